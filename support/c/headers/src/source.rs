// SPDX-License-Identifier: BSD-2-Clause
//! What the source and the protocol's document say: doc comments, and sections with their rules.

use std::collections::BTreeMap;

/// Returns the doc comments of a text of Rust, each by the first word of the line that it is for:
/// a variant, a field of `bitflags!` (`const NAME`), or a type (`struct Name`, `enum Name`).
/// Only what is between `from` and the next line that ends it counts.
pub(crate) fn docs(text: &str, from: &str) -> BTreeMap<String, String> {
    let start = text.find(from).unwrap_or_else(|| panic!("no {from}"));
    let indent = text[..start].rsplit('\n').next().unwrap_or_default();
    let (_, body) = text[start..].split_once('\n').expect("it has a body");
    let body = body.split(&format!("\n{indent}}}")).next().unwrap_or_default();
    let (mut found, mut doc) = (BTreeMap::new(), Vec::new());
    let depth = indent.len() + 4;
    for line in body.lines() {
        let trimmed = line.trim_start();
        if line.len() - trimmed.len() != depth {
            continue;
        }
        if let Some(text) = trimmed.strip_prefix("///") {
            doc.push(text.trim());
        } else if trimmed.starts_with(|c: char| c.is_alphabetic()) {
            let line = trimmed.trim_start_matches("const ");
            let name = line.split(|c: char| !c.is_alphanumeric() && c != '_').next();
            found.insert(name.unwrap_or_default().to_owned(), doc.join(" "));
            doc.clear();
        }
    }
    found
}

/// Returns the doc comment before a line that begins so.
pub(crate) fn doc_before(text: &str, line: &str) -> String {
    let at = text.find(line).unwrap_or_else(|| panic!("no {line}"));
    let before = text[..at].lines().rev().map(str::trim);
    let before = before.skip_while(|line| line.starts_with("#[") || line.is_empty());
    let mut doc: Vec<&str> = before.map_while(|line| line.strip_prefix("///")).collect();
    doc.reverse();
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A section of a protocol's document.
pub(crate) struct Section {
    /// What it says before its first rule.
    pub(crate) head: String,
    /// The numbers of its rules, such as `PM-30 to PM-36, PM-382`.
    pub(crate) rules: String,
}

/// Returns the section of an operation.
pub(crate) fn section(document: &str, prefix: &str, number: u64, name: &str) -> Section {
    let title = format!("{number} {name}");
    let is_title = |line: &str| {
        line.strip_prefix("## ").is_some_and(|all| all.split(", ").any(|one| one == title))
    };
    let lines = document.lines().skip_while(|line| !is_title(line)).skip(1);
    let body: Vec<&str> = lines.take_while(|line| !line.starts_with("## ")).collect();
    let is_rule = |line: &&&str| line.starts_with("- **");
    let head: Vec<&str> = body.iter().take_while(|line| !is_rule(line)).copied().collect();
    let numbers = body.iter().filter_map(|line| {
        let rest = line.strip_prefix("- **")?.strip_prefix(prefix)?.strip_prefix('-')?;
        rest.split("**").next()?.parse::<u32>().ok()
    });
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    let runs = numbers.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
        [first, .., last] => format!("{prefix}-{first} to {prefix}-{last}"),
        _ => run.iter().map(|one| format!("{prefix}-{one}")).collect(),
    });
    Section { head: head.join(" "), rules: runs.collect::<Vec<_>>().join(", ") }
}

/// Returns the cells of the rows of a table, whose first line begins so.
pub(crate) fn table<'a>(document: &'a str, head: &str) -> Vec<Vec<&'a str>> {
    let rows = document.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// Returns prose without what only readers of the source need: links, and ids of the
/// specification in parentheses.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['[', '(']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (open, close) = if from.starts_with('[') { ('[', ']') } else { ('(', ')') };
        let Some((inside, after)) = from[1..].split_once(close) else {
            out.push_str(from);
            return out;
        };
        let is_id = |word: &str| {
            let number = word.strip_prefix(['O', 'R']).unwrap_or_default();
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        match open {
            '[' => {
                out.push_str(&inside.replace("crate::", "").replace("FsError::", ""));
                rest = match after.strip_prefix('(').and_then(|link| link.split_once(')')) {
                    Some((_, after)) => after,
                    None => after,
                };
            }
            _ if inside.split(", ").all(is_id) => {
                out.truncate(out.trim_end().len());
                rest = after;
            }
            _ => {
                out.push_str(&from[..inside.len() + 2]);
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_for_readers_of_c() {
        assert_eq!(plain("frees (O5, R2) a [`b`](c.md) (PM-1)."), "frees a `b` (PM-1).");
    }

    #[test]
    fn docs_are_those_of_variants() {
        let text = "x {\n    /// 1: a\n    /// b.\n    #[no]\n\
                    \x20   First { c: u8 },\n    /// d\n    Two,\n\
                    }\n/// e\n    No,\n";
        let docs = docs(text, "x {");
        assert_eq!(docs.len(), 2);
        assert_eq!((&*docs["First"], &*docs["Two"]), ("1: a b.", "d"));
    }

    #[test]
    fn a_section_has_its_rules() {
        let text = "## 4 a, 5 b\n\nThe owner.\nMore.\n\n- **PM-8** x\n- **PM-7** y\n- **PM-40** z\n\
                    ## 6 c\n- **PM-9** y\n";
        let section = section(text, "PM", 5, "b");
        assert_eq!(section.head.trim(), "The owner. More.");
        assert_eq!(section.rules, "PM-7 to PM-8, PM-40");
    }
}
