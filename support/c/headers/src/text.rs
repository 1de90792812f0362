// SPDX-License-Identifier: BSD-2-Clause
//! Text as C has it: comments, names, and what a register carries.

/// The widest line.
const COLUMNS: usize = 100;

/// Returns a name in capitals: `QuotaExceeded` and `quota exceeded` as `QUOTA_EXCEEDED`.
pub(crate) fn capitals(name: &str) -> String {
    let has_words = name.contains(|letter: char| letter.is_lowercase());
    let mut out = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && has_words && !out.is_empty() {
            out.push('_');
        }
        out.push(if letter == ' ' { '_' } else { letter.to_ascii_uppercase() });
    }
    out
}

/// Returns a name of C for the name of a field in a table.
pub(crate) fn name_of(field: &str) -> String {
    field.replace("'s", "").replace(' ', "_")
}

/// Returns a comment of these paragraphs and, below a line of its own each, what is listed.
pub(crate) fn comment(indent: &str, paragraphs: &[String], listed: &[String]) -> String {
    let blocks = paragraphs.iter().filter(|text| !text.is_empty());
    let blocks = blocks.map(|text| wrapped(indent, text, "")).collect::<Vec<_>>();
    let mut body = blocks.join(&format!("{indent} *\n"));
    if let [line] = blocks.as_slice()
        && listed.is_empty()
        && line.matches('\n').count() == 1
        && line.len() + " */".len() <= COLUMNS
    {
        let text = line.trim_start().trim_start_matches("* ").trim_end();
        return format!("{indent}/** {text} */\n");
    }
    if !listed.is_empty() {
        body.push_str(&format!("{indent} *\n"));
    }
    body.extend(listed.iter().map(|text| wrapped(indent, text, "    ")));
    format!("{indent}/**\n{body}{indent} */\n")
}

/// Returns text in lines of a comment; all but the first line are indented by `hang`.
fn wrapped(indent: &str, text: &str, hang: &str) -> String {
    let start = format!("{indent} *");
    let mut lines = vec![start.clone()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is one");
        if line.len() + word.len() < COLUMNS {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{start}{hang} {word}"));
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Returns the start of a declaration with its parameters, over as many lines as they need.
pub(crate) fn declaration(head: &str, parameters: &[String]) -> String {
    let list = if parameters.is_empty() { "void".to_owned() } else { parameters.join(", ") };
    let line = format!("{head}({list})");
    if line.len() <= COLUMNS {
        return line + "\n";
    }
    let mut lines = vec![format!("{head}(")];
    for (index, parameter) in parameters.iter().enumerate() {
        let end = if index + 1 == parameters.len() { ")" } else { "," };
        let line = lines.last_mut().expect("there is one");
        let gap = if line.ends_with(['(', ' ']) { "" } else { " " };
        if line.len() + gap.len() + parameter.len() + end.len() <= COLUMNS {
            line.push_str(&format!("{gap}{parameter}{end}"));
        } else {
            lines.push(format!("        {parameter}{end}"));
        }
    }
    lines.join("\n") + "\n"
}

/// A field of a register: its name, its lowest bit, and how many bits it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) shift: u32,
    pub(crate) bits: u32,
}

/// Returns the fields of a register as a table writes them, without those that are 0.
pub(crate) fn fields(register: &str) -> Vec<Field> {
    if !register.contains(':') {
        return vec![Field { name: register.to_owned(), shift: 0, bits: 64 }];
    }
    let (mut fields, mut words, mut shift) = (Vec::new(), Vec::new(), 0);
    for word in register.split(' ') {
        let Some((last, bits)) = word.split_once(':') else {
            words.push(word);
            continue;
        };
        words.push(last);
        let bits = bits.parse().expect("a width is a number");
        fields.push(Field { name: words.join(" "), shift, bits });
        words.clear();
        shift += bits;
    }
    fields.retain(|field| field.name != "0");
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_taken_apart() {
        let field = |name: &str, shift, bits| Field { name: name.to_owned(), shift, bits };
        assert_eq!(fields("its start"), [field("its start", 0, 64)]);
        assert_eq!(
            fields("peer:16 0:16 start frame:32"),
            [field("peer", 0, 16), field("start frame", 32, 32)]
        );
    }

    #[test]
    fn names_are_those_of_c() {
        assert_eq!(capitals("QuotaExceeded"), "QUOTA_EXCEEDED");
        assert_eq!(capitals("IsADirectory"), "IS_A_DIRECTORY");
        assert_eq!(capitals("read_dir"), "READ_DIR");
        assert_eq!(capitals("FORCE_WRITE"), "FORCE_WRITE");
        assert_eq!(name_of("fsserver's peer"), "fsserver_peer");
    }
}
