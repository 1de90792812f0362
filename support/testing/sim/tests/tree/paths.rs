// SPDX-License-Identifier: BSD-2-Clause
//! The modules of a crate, and the paths in its code from one to another.

use super::File;
use super::source::{code_of, without_tests};

/// A module: its path from the root of the crate, and its code without tests.
pub(crate) struct Module<'a> {
    pub(crate) file: &'a File,
    pub(crate) path: Vec<String>,
    code: String,
}

/// A path in code: the line that it stands in, and what it names, from the root of the crate.
pub(crate) struct Naming {
    pub(crate) line: usize,
    pub(crate) path: Vec<String>,
}

/// Returns the modules below a source folder, without those that are for tests only.
pub(crate) fn modules<'a>(files: &'a [File], folder: &str) -> Vec<Module<'a>> {
    let own = files.iter().filter_map(|file| Some((file, module_path(file, folder)?)));
    let all = own.map(|(file, path)| {
        let code = without_tests(&code_of(&file.text));
        Module { file, path, code }
    });
    let all: Vec<Module<'a>> = all.collect();
    let for_tests: Vec<Vec<String>> = all.iter().flat_map(Module::test_modules).collect();
    all.into_iter().filter(|module| !for_tests.contains(&module.path)).collect()
}

fn module_path(file: &File, folder: &str) -> Option<Vec<String>> {
    let inside = file.path.strip_prefix(folder)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut path: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if path.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        path.pop();
    }
    Some(path)
}

impl Module<'_> {
    /// Returns the folder that its file is in.
    pub(crate) fn folder(&self) -> &str {
        self.file.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Returns the lines in which it has a module inside of its file.
    pub(crate) fn inner_modules(&self) -> Vec<usize> {
        let lines = self.code.lines().enumerate();
        let is_one = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&"mod") && words.last() == Some(&"{")
        };
        lines.filter(|(_, line)| is_one(line)).map(|(index, _)| index + 1).collect()
    }

    /// Returns the modules in files of their own that it declares for tests only.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let code = code_of(&self.file.text);
        let after = code.split("#[cfg(test)]").skip(1);
        let names = after.filter_map(|rest| {
            let item = rest.split([';', '{']).next()?;
            let name = item.trim().rsplit_once("mod ")?.1;
            rest[item.len()..].starts_with(';').then(|| name.trim().to_owned())
        });
        names.map(|name| self.below(&name)).collect()
    }

    /// Returns the names of the methods that it has.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &str> {
        self.code.split("fn ").skip(1).filter_map(|rest| {
            let (name, rest) = rest.split_at(rest.find(|c: char| !is_word(c))?);
            let first = rest.split_once('(')?.1.split([',', ')']).next()?;
            first.split(|c: char| !is_word(c)).any(|word| word == "self").then_some(name)
        })
    }

    /// Returns the names of the methods that it calls, with their lines.
    pub(crate) fn calls(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(index, line)| {
            let after = line.split('.').skip(1).filter_map(|rest| {
                let (name, rest) = rest.split_at(rest.find(|c: char| !is_word(c))?);
                (rest.starts_with('(') || rest.starts_with("::<")).then_some(name)
            });
            after.map(move |name| (index + 1, name))
        })
    }

    fn below(&self, name: &str) -> Vec<String> {
        let mut path = self.path.clone();
        path.push(name.to_owned());
        path
    }

    /// Returns what its code names by a path that begins with `crate`, `super`, `self` or with one
    /// of its own children.
    pub(crate) fn namings(&self, all: &[Module<'_>]) -> Vec<Naming> {
        let mut found = Vec::new();
        let mut line = 1;
        let mut before = "";
        let mut rest = self.code.as_str();
        while let Some(first) = rest.chars().next() {
            let length = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
            if length == 0 {
                line += usize::from(first == '\n');
                before = if first.is_whitespace() { before } else { &rest[..first.len_utf8()] };
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let word = &rest[..length];
            let begins = ![":", ".", "'", "in", "fn", "mod"].contains(&before);
            let root = self.root(word, all).filter(|_| begins);
            if let Some(root) = root {
                let is_whole = before == "use";
                let paths = tails(&rest[length..]);
                let named = paths.into_iter().filter(|tail| is_whole || !tail.is_empty());
                found.extend(named.map(|tail| Naming { line, path: self.resolve(&root, &tail) }));
            }
            before = word;
            rest = &rest[length..];
        }
        found
    }

    /// Returns the module that a path's first word stands for.
    fn root(&self, word: &str, all: &[Module<'_>]) -> Option<Vec<String>> {
        let child = self.below(word);
        match word {
            "crate" => Some(Vec::new()),
            "self" => Some(self.path.clone()),
            "super" => self.path.split_last().map(|(_, parent)| parent.to_vec()),
            _ => all.iter().any(|module| module.path == child).then_some(child),
        }
    }

    fn resolve(&self, root: &[String], tail: &[String]) -> Vec<String> {
        let mut path = root.to_vec();
        for word in tail {
            match word.as_str() {
                "super" => drop(path.pop()),
                "self" => {}
                _ => path.push(word.clone()),
            }
        }
        path
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Returns the continuations of a path, several where it branches in braces.
fn tails(text: &str) -> Vec<Vec<String>> {
    let Some(after) = text.trim_start().strip_prefix("::") else {
        return vec![Vec::new()];
    };
    let after = after.trim_start();
    if let Some(group) = after.strip_prefix('{') {
        return branches(group).into_iter().flat_map(tree).collect();
    }
    tree(after)
}

/// Returns the paths in a text that begins with a word.
fn tree(text: &str) -> Vec<Vec<String>> {
    let text = text.trim_start();
    let length = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
    let word = text[..length].to_owned();
    if word.is_empty() {
        return Vec::new();
    }
    let rest = tails(&text[length..]);
    rest.into_iter().map(|tail| [vec![word.clone()], tail].concat()).collect()
}

/// Returns the parts between the commas of a group whose opening brace has been read.
fn branches(group: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_usize, 0);
    let mut parts = Vec::new();
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(&group[start..at]);
                return parts;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

#[test]
fn every_form_of_a_path_is_followed() {
    let sample = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let code = "pub(in crate::ops) use crate::{\n    a::{B, c::D},\n    e,\n};\nuse super::f::G;\n\
                fn h() { super::super::i::j(); k::l(); self::k::m(); x.k::<u8>(); }\n\
                // crate::no\n#[cfg(test)]\nmod tests { use crate::never::X; }\n";
    let files = [sample("s/ops/mod.rs", code), sample("s/ops/k.rs", ""), sample("s/lib.rs", "")];
    let all = modules(&files, "s");
    let found = all[0].namings(&all);
    let found: Vec<String> = found.iter().map(|n| n.path.join("::")).collect();
    assert_eq!(
        found,
        ["a::B", "a::c::D", "e", "f::G", "i::j", "ops::k::l", "ops::k::m"],
        "{found:?}"
    );
}
