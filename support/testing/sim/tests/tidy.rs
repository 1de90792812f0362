// SPDX-License-Identifier: BSD-2-Clause
//! The rules of the house style that a machine can check, over every file that git tracks.
//!
//! Each rule is a function that returns what breaks it, and each is shown a breach of its own, so
//! that none can fall silent unnoticed.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod tree;

use std::collections::BTreeSet;

use tree::{File, files};

const LINE_CHARACTERS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 400;
const FILE_LINES_WITH_TESTS_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const UNSAFE_BLOCKS_MAX: usize = 18;
const SPDX: &str = "SPDX-License-Identifier: BSD-2-Clause";
const UNSAFE_LIST: &str = "support/docs/unsafe.md";

/// Every source file says under which licence it stands: in its first line, or after what has to
/// come before. Manifests say it by a key.
fn licence_first(file: &File) -> Vec<String> {
    let is_source =
        [".rs", ".sh", ".mk", ".xml", ".c", ".h"].iter().any(|e| file.path.ends_with(e))
            || file.name() == "Makefile";
    let is_sample = file.path.contains("/tests/bad/");
    let mut lines = file.text.lines();
    let first = lines.next().unwrap_or_default();
    let line = match first {
        first if first.starts_with("#!") || first.starts_with("<?xml") => lines.next(),
        first => Some(first),
    };
    let is_there = line.is_some_and(|line| line.contains(SPDX));
    breach(is_source && !is_sample && !is_there, &file.path, 1, "does not begin with its licence")
}

/// Every Rust file says what it is for, as the next thing after the licence.
fn purpose_second(file: &File) -> Vec<String> {
    let mut lines = file.text.lines().skip(1).filter(|line| !line.is_empty());
    let second = lines.next().unwrap_or_default();
    breach(file.is_rust() && !second.starts_with("//! "), &file.path, 2, "has no module doc")
}

fn short_lines(file: &File) -> Vec<String> {
    let long = file.lines().filter(|(_, line)| line.chars().count() > LINE_CHARACTERS_MAX);
    let found = long.map(|(number, _)| at(&file.path, number, "is too long a line"));
    if file.is_rust() { found.collect() } else { Vec::new() }
}

fn short_files(file: &File) -> Vec<String> {
    let has_tests = file.path.contains("/tests/") || file.text.contains("#[cfg(test)]");
    let max = if has_tests { FILE_LINES_WITH_TESTS_MAX } else { FILE_LINES_MAX };
    let lines = file.text.lines().count();
    let production = file.text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let is_long = lines > max
        || (!file.path.contains("/tests/") && production.lines().count() > FILE_LINES_MAX);
    breach(file.is_rust() && is_long, &file.path, lines, "is the last line of too long a file")
}

/// The formatter ends a function with a brace below its first letter, and one that is declared over
/// several lines and has no body with a parenthesis there.
///
/// A function whose body is one `match` and nothing else may be longer: it is a table, and cutting
/// it into parts costs the compiler's check that every case has a row.
fn short_functions(file: &File) -> Vec<String> {
    let mut open: Option<(usize, &str)> = None;
    let mut found = Vec::new();
    for (number, line) in file.lines().filter(|_| file.is_rust()) {
        let trimmed = line.trim_start();
        let indent = &line[..line.len() - trimmed.len()];
        match open {
            Some((start, of_function)) if indent == of_function => {
                let is_long = trimmed == "}" && number - start >= FUNCTION_LINES_MAX;
                if is_long && !is_one_match(&file.text, start, number) {
                    found.push(at(&file.path, start, "begins too long a function"));
                }
                if trimmed == "}" || (trimmed.starts_with(')') && line.ends_with(';')) {
                    open = None;
                }
            }
            None if begins_function(trimmed) && !trimmed.ends_with(['}', ';']) => {
                open = Some((number, indent));
            }
            _ => {}
        }
    }
    found
}

/// Whether the body of the function in these lines is a `match`, alone or as the argument of a
/// call such as `Ok`.
fn is_one_match(text: &str, first: usize, last: usize) -> bool {
    let lines: Vec<&str> = text.lines().skip(first - 1).take(last + 1 - first).collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let body =
        lines.iter().position(|line| line.ends_with('{') && indent(line) == indent(lines[0]));
    let body = &lines[body.map_or(0, |header| header + 1)..lines.len() - 1];
    let Some(depth) = body.first().map(|line| indent(line)) else { return false };
    let outer: Vec<&str> = body
        .iter()
        .filter(|line| !line.is_empty() && indent(line) <= depth)
        .map(|l| l.trim())
        .collect();
    match outer.as_slice() {
        [head, "}"] => head.starts_with("match ") && head.ends_with('{'),
        [head, "})"] => {
            head.contains("(match ") && !head.starts_with("let ") && head.ends_with('{')
        }
        _ => false,
    }
}

fn begins_function(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').take_while(|word| !word.starts_with("fn")).collect();
    let has_fn = line.split(' ').nth(words.len()) == Some("fn");
    let modifiers = ["pub", "pub(crate)", "pub(super)", "const", "unsafe", "extern", "\"C\""];
    has_fn && words.iter().all(|word| modifiers.contains(word))
}

fn nothing_left_to_do(file: &File) -> Vec<String> {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
    ];
    let found = file.lines().filter(|(_, line)| marks.iter().any(|mark| line.contains(mark)));
    let is_source = !file.path.starts_with("support/files/");
    let found = found.map(|(number, _)| at(&file.path, number, "says that something is not done"));
    if is_source { found.collect() } else { Vec::new() }
}

fn telling_names(file: &File) -> Vec<String> {
    let banned = ["utils.rs", "util.rs", "common.rs", "prelude.rs", "helpers.rs", "misc.rs"];
    breach(banned.contains(&file.name()), &file.path, 1, "has a name that says nothing")
}

/// Two are customary: a test module's view of its parent, and the prelude of proptest.
fn no_glob_imports(file: &File) -> Vec<String> {
    let customary = ["use super::*;", "use proptest::prelude::*;"];
    let is_glob = |line: &str| {
        let line = line.trim();
        line.starts_with("use ") && line.contains("::*") && !customary.contains(&line)
    };
    let found = file.code().filter(|(_, line)| file.is_rust() && is_glob(line));
    found.map(|(number, _)| at(&file.path, number, "imports whatever there is")).collect()
}

/// Code that the compiler does not check is in as few places as possible.
fn unsafe_stays_home(file: &File) -> Vec<String> {
    let is_home = file.name() == "regions.rs"
        || ["support/runtime/shm/", "support/runtime/heap/"]
            .iter()
            .any(|home| file.path.starts_with(home));
    let found = file.code().filter(|(_, line)| file.is_rust() && !is_home && has_unsafe(line));
    found.map(|(number, _)| at(&file.path, number, "is unsafe outside of its home")).collect()
}

fn has_unsafe(code: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == concat!("uns", "afe"))
        && !code.contains('"')
}

/// What api and core know of the platform is a trait. Who reads what a crate is for, is told.
fn cores_are_platform_free(file: &File) -> Vec<String> {
    let names_it = |line: &str| line.to_lowercase().contains("sel4");
    let is_code = file.is_platform_free() && !file.path.ends_with(".md");
    let found = file.lines().filter(|(_, line)| is_code && names_it(line));
    found.map(|(number, _)| at(&file.path, number, "names the platform")).collect()
}

/// The tree can be anywhere, and nobody can see where it was written.
fn no_paths_of_one_machine(file: &File) -> Vec<String> {
    let paths = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/opt/", "src"),
        concat!("/ho", "me/"),
    ];
    let found = file.lines().filter(|(_, line)| paths.iter().any(|path| line.contains(path)));
    found.map(|(number, _)| at(&file.path, number, "names a path of one machine")).collect()
}

/// Returns the ids that the comment above an unsafe block names.
fn invariants_of(text: &str, line: usize) -> BTreeSet<String> {
    let before: Vec<&str> = text.lines().take(line - 1).map(str::trim).collect();
    let comment: Vec<&str> =
        before.iter().rev().copied().take_while(|line| line.starts_with("//")).collect();
    let is_proof = comment.iter().any(|line| line.starts_with("// SAFETY: "));
    if is_proof { ids(&comment.join(" ")) } else { BTreeSet::new() }
}

/// Returns the ids in a text: a U and a number.
fn ids(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    let is_id = |word: &&str| {
        word.strip_prefix('U')
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    words.filter(is_id).map(str::to_owned).collect()
}

/// Every unsafe block is proved from invariants that are listed, every listed invariant is used,
/// and there are few of both.
fn unsafe_is_proved(files: &[File]) -> Vec<String> {
    let list = files.iter().find(|file| file.path == UNSAFE_LIST);
    let listed = list.map(|file| ids(&file.text)).unwrap_or_default();
    let mut used = BTreeSet::new();
    let mut found = Vec::new();
    let mut blocks = 0;
    for file in files.iter().filter(|file| file.is_rust()) {
        // Tests end a file; they break in the open.
        let tests = file.text.lines().take_while(|line| line.trim() != "#[cfg(test)]").count();
        for (number, _) in file
            .code()
            .filter(|(number, line)| *number <= tests && has_unsafe(line))
            .filter(|(_, line)| {
                line.contains(concat!("unsa", "fe {")) || line.contains(concat!("unsa", "fe impl"))
            })
        {
            blocks += 1;
            let proof = invariants_of(&file.text, number);
            if proof.is_empty() || !proof.is_subset(&listed) {
                found.push(at(&file.path, number, "is unsafe without a listed invariant"));
            }
            used.extend(proof);
        }
    }
    let unused = listed.difference(&used).map(|id| format!("{UNSAFE_LIST}: {id} is used nowhere"));
    found.extend(unused);
    if blocks > UNSAFE_BLOCKS_MAX {
        found.push(format!("{blocks} unsafe blocks, more than {UNSAFE_BLOCKS_MAX}"));
    }
    found
}

fn at(path: &str, line: usize, what: &str) -> String {
    format!("{path}:{line} {what}")
}

fn breach(is_one: bool, path: &str, line: usize, what: &str) -> Vec<String> {
    if is_one { vec![at(path, line, what)] } else { Vec::new() }
}

type Rule = fn(&File) -> Vec<String>;

/// Holds the whole tree against a rule, after a breach of it has been found to be one.
fn check(rule: Rule, path: &str, breach: &str) {
    let sample = File { path: path.to_owned(), text: breach.to_owned() };
    assert_eq!(rule(&sample).len(), 1, "the rule finds its own breach");
    let found: Vec<String> = files().iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_begin_with_their_licence() {
    check(licence_first, "a/b.sh", "#!/bin/sh\necho\n");
}

#[test]
fn modules_say_what_they_are_for() {
    check(purpose_second, "a/b.rs", "// SPDX\nuse a::b;\n");
}

#[test]
fn lines_are_short() {
    check(short_lines, "a/b.rs", &"x".repeat(101));
}

#[test]
fn files_are_short() {
    check(short_files, "a/b.rs", &"x\n".repeat(401));
}

#[test]
fn functions_are_short() {
    let body = "        x();\n".repeat(FUNCTION_LINES_MAX - 1);
    check(short_functions, "a/b.rs", &format!("    pub(crate) fn f() {{\n{body}    }}\n"));
}

/// Shows the rule functions of one line too many that are a table, and such that only have one.
#[test]
fn tables_may_be_long() {
    let arms = "        x => y,\n".repeat(FUNCTION_LINES_MAX);
    let breaches = |body: &str| {
        let text = format!("fn f(\n    x: u8,\n) -> u8 {{\n{body}}}\n");
        short_functions(&File { path: "a/b.rs".to_owned(), text }).len()
    };
    assert_eq!(breaches(&format!("    match x {{\n{arms}    }}\n")), 0);
    assert_eq!(breaches(&format!("    Ok(match x {{\n{arms}    }})\n")), 0);
    assert_eq!(breaches(&format!("    let x = match x {{\n{arms}    }};\n    x\n")), 1);
    assert_eq!(breaches(&format!("    let y = x;\n    match y {{\n{arms}    }}\n")), 1);
    assert_eq!(breaches(&format!("    match x {{\n{arms}    }}\n    y()\n")), 1);
    assert_eq!(breaches(&format!("    if x {{\n{arms}    }}\n")), 1);
}

#[test]
fn nothing_is_left_to_do() {
    check(nothing_left_to_do, "a/b.rs", concat!("// TO", "DO: more\n"));
}

#[test]
fn file_names_say_something() {
    check(telling_names, "a/utils.rs", "");
}

#[test]
fn imports_are_named() {
    check(no_glob_imports, "a/b.rs", "use std::fmt::*;\n");
}

#[test]
fn unsafe_code_is_at_home() {
    check(unsafe_stays_home, "a/b.rs", concat!("    uns", "afe { f() }\n"));
}

#[test]
fn api_and_core_do_not_know_the_platform() {
    check(cores_are_platform_free, "pmserver/core/src/b.rs", "use sel4_microkit::Channel;\n");
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    check(no_paths_of_one_machine, "a/b.rs", concat!("// see /ro", "ot/x\n"));
}

#[test]
fn unsafe_code_is_proved_from_listed_invariants() {
    let list = File { path: UNSAFE_LIST.to_owned(), text: "| U1 | … |\n".to_owned() };
    let block = |comment: &str| File {
        path: "a/regions.rs".to_owned(),
        text: format!("fn f() {{\n    {comment}\n    {} {{ g() }}\n}}\n", concat!("uns", "afe")),
    };
    let proved = block("// SAFETY: it holds (U1 name).");
    assert!(unsafe_is_proved(&[list, proved]).is_empty());
    let list = File { path: UNSAFE_LIST.to_owned(), text: "| U1 | … |\n".to_owned() };
    let found = unsafe_is_proved(&[list, block("// SAFETY: it holds (U2 other).")]);
    assert_eq!(found.len(), 2, "U2 is not listed, U1 not used: {found:?}");
    let found = unsafe_is_proved(&files());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
