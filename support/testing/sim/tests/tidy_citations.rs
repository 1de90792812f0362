// SPDX-License-Identifier: BSD-2-Clause
//! What comments and documents refer to is in the repository: ids, files and links.
//!
//! Ids are those of sentences, rules, decisions and lessons. Each is defined in one document, in
//! bold type or as the first cell of a table row.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use tree::source::comments_of;
use tree::{File, files};

/// The document that defines the ids of each kind.
const DEFINED_IN: &[(&str, &str)] = &[
    ("PM", "support/docs/pm-protocol.md"),
    ("FS", "support/docs/fs-protocol.md"),
    ("BLK", "support/docs/block-protocol.md"),
    ("R", "support/docs/specification.md"),
    ("O", "support/docs/specification.md"),
    ("S", "support/docs/specification.md"),
    ("I", "support/docs/specification.md"),
    ("lesson", "support/docs/specification.md"),
    ("D", "support/docs/decisions/0014-founding-decisions.md"),
    ("U", "support/docs/unsafe.md"),
];
const DECISIONS: &str = "support/docs/decisions/";

/// Endings of names that are taken for those of files.
const ENDINGS: &[&str] = &[".rs", ".md", ".toml", ".xml", ".sh", ".mk"];

/// Returns what is prose in a file: all of a document or description, the comments of code.
fn prose(file: &File) -> Option<String> {
    let is_script = [".sh", ".mk", ".toml"].iter().any(|ending| file.path.ends_with(ending))
        || file.name() == "Makefile";
    let is_text = [".md", ".xml"].iter().any(|ending| file.path.ends_with(ending));
    let is_data = file.path.starts_with("support/files/") || file.path.contains("/tests/bad/");
    match file {
        _ if is_data => None,
        _ if file.is_rust() => Some(comments_of(&file.text)),
        _ if is_script => {
            let comment =
                |line: &str| if line.starts_with('#') { line.to_owned() } else { String::new() };
            Some(file.text.lines().map(comment).collect::<Vec<_>>().join("\n"))
        }
        _ => is_text.then(|| file.text.clone()),
    }
}

/// Returns the kind of an id: the letters before its number.
fn kind_of(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['-', ' '])
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Returns the ids that a line cites.
fn ids(line: &str) -> Vec<String> {
    let parts: Vec<&str> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
    let mut found = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let next = parts.get(index + 1).copied().filter(|next| is_number(next));
        let number = part.get(1..).unwrap_or_default();
        match (*part, next) {
            ("PM" | "FS", Some(next)) if line.contains(&format!("{part}-{next}")) => {
                found.push(format!("{part}-{next}"));
            }
            ("lesson" | "lessons", Some(next)) => found.push(format!("lesson {next}")),
            _ if part.starts_with(['R', 'O', 'S', 'I', 'D', 'U']) && is_number(number) => {
                found.push((*part).to_owned());
            }
            _ if is_number(part) && part.len() == 4 && part.starts_with("00") => {
                found.push(format!("decision {part}"));
            }
            _ => {}
        }
    }
    found
}

/// Returns the ids that the documents define.
fn defined(files: &[File]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in files {
        if let Some(name) = file.path.strip_prefix(DECISIONS) {
            found.extend(name.get(..4).map(|number| format!("decision {number}")));
        }
        let kinds: Vec<&str> = DEFINED_IN
            .iter()
            .filter(|(_, path)| *path == file.path)
            .map(|(kind, _)| *kind)
            .collect();
        for (_, line) in file.lines().filter(|_| !kinds.is_empty()) {
            let start = line.strip_prefix("- **").and_then(|rest| rest.split_once("**"));
            let cell = line.strip_prefix("| ").and_then(|rest| rest.split_once(" |"));
            let Some((start, _)) = start.or(cell) else { continue };
            let first = ids(start).into_iter().next();
            found.extend(
                first.filter(|id| kinds.contains(&kind_of(id)) && start.starts_with(id.as_str())),
            );
        }
    }
    found
}

/// Every id that is cited is defined.
fn ids_are_defined(file: &File, all: &[File]) -> Vec<String> {
    let defined = defined(all);
    let text = prose(file).unwrap_or_default();
    let cited = text
        .lines()
        .enumerate()
        .flat_map(|(index, line)| ids(line).into_iter().map(move |id| (index + 1, id)));
    let unknown = cited.filter(|(_, id)| !defined.contains(id));
    unknown.map(|(line, id)| format!("{}:{line} cites {id}, which is nowhere", file.path)).collect()
}

/// Returns the folder of the crate that a file is part of.
fn crate_of<'a>(path: &'a str, all: &[File]) -> &'a str {
    let mut folder = path;
    while let Some((parent, _)) = folder.rsplit_once('/') {
        folder = parent;
        let manifest = format!("{folder}/Cargo.toml");
        if all.iter().any(|file| file.path == manifest) {
            return folder;
        }
    }
    ""
}

/// Returns the names with each of the alternatives that stand in braces.
fn expanded(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else { return vec![name.to_owned()] };
    let Some((group, after)) = rest.split_once('}') else { return Vec::new() };
    group.split(',').map(|part| format!("{before}{part}{after}")).collect()
}

/// Returns the words of a line that look like names of files or paths from the root.
fn names(line: &str) -> Vec<String> {
    let is_outside = |c: char| !c.is_alphanumeric() && !"_./{},-*<>$".contains(c);
    let words = line.split(is_outside).map(|word| word.trim_matches([',', '.']));
    let root = ["pmserver/", "fsserver/", "client-demo/", "support/"];
    let is_name = |word: &&str| {
        let is_pattern = word.contains(['*', '<', '>', '$']) || word.contains("..");
        let has_ending = ENDINGS.iter().any(|e| word.ends_with(e) && word.len() > e.len());
        let is_path = root.iter().any(|folder| word.starts_with(folder));
        !is_pattern && !word.starts_with('/') && (has_ending || is_path)
    };
    words.filter(is_name).flat_map(expanded).collect()
}

/// Every file that is named exists: a path from the root, from the crate or from beside the file; a
/// name alone in the same crate, or anywhere if a document names it. The changelog may name files
/// that are gone.
fn files_exist(file: &File, all: &[File]) -> Vec<String> {
    let own = crate_of(&file.path, all);
    let beside = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let paths: BTreeSet<&str> = all.iter().map(|file| file.path.as_str()).collect();
    let is_there = |path: &str| {
        let path = path.trim_start_matches('/').trim_end_matches('/');
        let folder = format!("{path}/");
        paths.contains(path) || all.iter().any(|file| file.path.starts_with(&folder))
    };
    let exists = |name: &str| {
        if name.contains('/') {
            let froms = ["", own, beside];
            return froms.iter().any(|from| is_there(&format!("{from}/{name}")))
                || is_there(&format!("{own}/src/{name}"));
        }
        let within = if file.is_rust() && name.ends_with(".rs") { own } else { "" };
        let inside = all.iter().filter(|file| file.path.starts_with(within));
        inside.filter(|file| file.name() == name).count() > 0
    };
    let text = prose(file).filter(|_| file.name() != "CHANGELOG.md").unwrap_or_default();
    let named = text
        .lines()
        .enumerate()
        .flat_map(|(index, line)| names(line).into_iter().map(move |name| (index + 1, name)));
    let missing = named.filter(|(_, name)| !exists(name));
    missing
        .map(|(line, name)| format!("{}:{line} names {name}, which is not there", file.path))
        .collect()
}

/// Returns what a heading is called in a link, as the usual viewers make it.
fn anchor(heading: &str) -> String {
    let lower = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Returns a path without `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "" | "." => {}
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Every link from one document to another leads to a file, and to a heading that it has.
fn links_lead_somewhere(file: &File, all: &[File]) -> Vec<String> {
    let by_path: BTreeMap<&str, &File> = all.iter().map(|f| (f.path.as_str(), f)).collect();
    let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let leads = |link: &str| {
        let (path, heading) = link.split_once('#').unwrap_or((link, ""));
        let to =
            if path.is_empty() { file.path.clone() } else { normal(&format!("{folder}/{path}")) };
        let is_folder = all.iter().any(|file| file.path.starts_with(&format!("{to}/")));
        let Some(to) = by_path.get(to.as_str()) else { return is_folder && heading.is_empty() };
        let mut headings = to.text.lines().filter(|line| line.starts_with('#')).map(anchor);
        heading.is_empty() || headings.any(|known| known == heading)
    };
    let is_document = file.path.ends_with(".md");
    let lines = file.lines().filter(|_| is_document);
    let links = lines.flat_map(|(number, line)| {
        let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.map(move |target| (number, target))
    });
    let lost = links.filter(|(_, link)| !link.contains("://") && !leads(link));
    lost.map(|(line, link)| format!("{}:{line} links to {link}, which is not there", file.path))
        .collect()
}

type Rule = fn(&File, &[File]) -> Vec<String>;

/// Holds the tree against a rule.
fn check(rule: Rule) {
    let all = files();
    let found: Vec<String> = all.iter().flat_map(|file| rule(file, &all)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Shows a rule a file beside the documents that it may cite, and returns what it finds.
fn shown(rule: Rule, path: &str, text: &str) -> Vec<String> {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let all = [
        file("support/docs/pm-protocol.md", "## 1 a, 2 b_c\n- **PM-1** A. PM-1\n"),
        file("support/docs/specification.md", "| R1 | a |\n| lesson 7 | b |\n"),
        file("support/docs/decisions/0001-a.md", ""),
        file("pmserver/core/Cargo.toml", ""),
        file("pmserver/core/src/a/mod.rs", ""),
        file("pmserver/api/Cargo.toml", ""),
        file("pmserver/api/src/b.rs", ""),
        file("README.md", ""),
    ];
    rule(&file(path, text), &all)
}

#[test]
fn cited_ids_are_defined() {
    let cites = |text: &str| shown(ids_are_defined, "pmserver/core/src/c.rs", text).len();
    assert_eq!(cites("// R1, PM-1, lesson 7 and decision 0001\nfn f() { R2 }"), 0);
    for breach in
        ["// R2", "/// PM-1, PM-2", "// lesson 8", "// decision 0002", "// x (D1)", "// R1-R3"]
    {
        assert_eq!(cites(breach), 1, "{breach}");
    }
    check(ids_are_defined);
}

#[test]
fn named_files_exist() {
    let names = |text: &str| shown(files_exist, "pmserver/core/src/c.rs", text).len();
    assert_eq!(
        names("//! `mod.rs`, `a/mod.rs`, `README.md`, `pmserver/{core,api}`, `pmserver/core/`."),
        0
    );
    for breach in [
        "// `b.rs`",
        "// see b.rs.",
        "// `pmserver/no`",
        "// protocol.md",
        "// `pmserver/{api,no}`",
    ] {
        assert_eq!(names(breach), 1, "{breach}");
    }
    check(files_exist);
}

#[test]
fn links_lead_to_what_is_there() {
    let links = |text: &str| shown(links_lead_somewhere, "support/docs/x.md", text).len();
    assert_eq!(
        links("[a](decisions/0001-a.md) [b](../../README.md) [c](pm-protocol.md#1-a-2-b_c)"),
        0
    );
    for breach in ["[a](no.md)", "[a](pm-protocol.md#2-b)", "[a](../README.md)"] {
        assert_eq!(links(breach), 1, "{breach}");
    }
    check(links_lead_somewhere);
}

/// The files of a core's operation that a reader opens, at most.
const FILES_MOST: usize = 8;

/// Returns the names of files without an ending in a text: what has a slash.
fn stems(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_/".contains(c));
    words.filter(|word| word.contains('/')).collect()
}

#[test]
fn operations_are_found_in_few_files() {
    let files = files();
    let text_of = |path: &str| {
        let file = files.iter().find(|file| file.path == path).expect("the file is there");
        file.text.as_str()
    };
    let is_there = |stem: &str| {
        let of_core = format!("pmserver/core/src/{stem}.rs");
        files.iter().any(|file| file.path == of_core || file.path == format!("{stem}.rs"))
    };
    let table = text_of("support/docs/architecture.md");
    let (_, table) = table.split_once("| operation | decoded |").expect("the table is there");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let (_, head) = text_of("pmserver/core/src/lib.rs").split_once("```text").expect("a list");
    let (head, _) = head.split_once("```").expect("the list ends");
    let mut rows_seen = 0;
    for row in rows {
        let name = row.split('|').nth(1).unwrap_or_default().trim();
        let in_table = stems(row);
        let missing: Vec<_> = in_table.iter().filter(|stem| !is_there(stem)).collect();
        assert!(missing.is_empty(), "{name}: {missing:?} are not there");
        assert!(in_table.len() <= FILES_MOST, "{name}: more than {FILES_MOST} files");
        // In the core's own list, what every call has in common is left out.
        let (_, own) = head.split_once(&format!("//! {name} ")).expect("the list has it, too");
        let (first, rest) = own.split_once('\n').unwrap_or_default();
        let more = rest.lines().take_while(|line| line.starts_with("//!   "));
        let in_list: BTreeSet<_> =
            more.chain([first]).flat_map(|line| stems(line.trim_start_matches('/'))).collect();
        let common = ["pmserver/api/src/decode", "serve/dispatch"];
        let expected: BTreeSet<_> =
            in_table.into_iter().filter(|stem| !common.contains(stem)).collect();
        assert_eq!(in_list, expected, "{name}: the table and the list differ");
        rows_seen += 1;
    }
    assert_eq!(rows_seen, 5, "five operations");
}
