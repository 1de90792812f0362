// SPDX-License-Identifier: BSD-2-Clause
//! The text of a Rust file, taken apart into code and comments.

/// Returns the code alone: comments and the contents of literals are blanked, lines stay.
pub(crate) fn code_of(text: &str) -> String {
    split(text).0
}

/// Returns the comments alone, without the slashes: everything else is blanked, lines stay.
pub(crate) fn comments_of(text: &str) -> String {
    split(text).1
}

/// Returns code without the items that are compiled for tests only.
///
/// Expects code without comments: see [`code_of`].
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut rest = code;
    let mut kept = String::new();
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        let item = &rest[start + MARK.len()..];
        let end = end_of_item(item);
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// Returns where the first item of a text ends: at a semicolon or at the brace that closes it.
fn end_of_item(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Splits a text into code and comments, each as long in lines as the whole.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (taken, is_comment) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), true)
        } else if let Some(length) = literal(rest) {
            code.push('"');
            (length, false)
        } else {
            code.push(first);
            if first == '\n' {
                comments.push('\n');
            }
            rest = &rest[first.len_utf8()..];
            continue;
        };
        if is_comment {
            comments.push_str(&rest[..taken]);
            code.extend(rest[..taken].chars().filter(|c| *c == '\n'));
        } else {
            let lines: String = rest[..taken].chars().filter(|c| *c == '\n').collect();
            code.push_str(&lines);
            comments.push_str(&lines);
        }
        rest = &rest[taken..];
    }
    (code, comments)
}

/// Returns how long the string or character literal is that a text begins with.
fn literal(text: &str) -> Option<usize> {
    if let Some(raw) = text.strip_prefix("r#\"") {
        return Some(raw.find("\"#").map_or(text.len(), |end| end + 5));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if letter == '\\' {
            is_escaped = true;
        } else if letter == quote {
            return Some(at + letter.len_utf8());
        } else if quote == '\'' && at > 1 && !text[1..].starts_with('\\') {
            // Not a character but a lifetime.
            return None;
        }
    }
    None
}

#[test]
fn code_and_comments_are_told_apart() {
    let text =
        "let a = \"// no\"; // yes 'x\nfn f<'a>(c: char) { '\"'; '\\''; \"\n\"; } /* b\n */ g";
    let (code, comments) = split(text);
    assert_eq!(code, "let a = \"; \nfn f<'a>(c: char) { \"; \"; \"\n; } \n g");
    assert_eq!(comments, "// yes 'x\n\n/* b\n */");
}

#[test]
fn tests_are_left_out() {
    let code = "a\n#[cfg(test)]\nuse x;\nb\n#[cfg(test)]\nmod tests {\n    fn f() { {} }\n}\nc\n";
    assert_eq!(without_tests(code), "a\n\n\nb\n\n\n\n\nc\n");
}
