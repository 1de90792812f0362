// SPDX-License-Identifier: BSD-2-Clause
//! What both headers have: constants, enums, sentences for errors, and the names of C in prose.

use proto::ProtocolError;

use crate::source::docs;
use crate::text::{capitals, comment};

const MESSAGES: &str = include_str!("../../../runtime/proto/src/message.rs");

/// The errors that any server can reply.
const PROTOCOL_ERRORS: [ProtocolError; 4] = [
    ProtocolError::UnknownOperation,
    ProtocolError::WrongLength,
    ProtocolError::BadReply,
    ProtocolError::Stopped,
];

/// A line of an enum: its name, its value, and its comment.
pub(crate) type Line = (String, u64, String);

/// Returns constants, each of a name, a value and a comment.
pub(crate) fn constants<const N: usize>(prefix: &str, lines: [(&str, String, &str); N]) -> String {
    let lines = lines
        .map(|(name, value, says)| format!("/** {says} */\n#define {prefix}_{name} {value}\n"));
    lines.concat()
}

/// Returns an enum.
pub(crate) fn enumeration(name: &str, says: &str, lines: &[Line]) -> String {
    let mut text = comment("", &[says.to_owned()], &[]);
    text.push_str(&format!("enum {name} {{\n"));
    for (name, value, says) in lines {
        text.push_str(&comment("    ", std::slice::from_ref(says), &[]));
        text.push_str(&format!("    {name} = {value},\n"));
    }
    text + "};\n\n"
}

/// Returns the enum of the operations, of these names and numbers.
pub(crate) fn operations<'a>(prefix: &str, all: impl Iterator<Item = (&'a str, u64)>) -> String {
    let lines = all.map(|(name, number)| {
        format!("    {}_OP_{} = {number},\n", capitals(prefix), capitals(name))
    });
    format!("enum {prefix}_operation {{\n{}}};\n", lines.collect::<String>())
}

/// Returns the enum of the errors, `limits`, and the function that has a sentence for each: for
/// those of a server (variant, number, comment, sentence), and for those that any server can reply,
/// whose comments `prose` makes for a reader of C.
pub(crate) fn errors(
    prefix: &str,
    own: impl Iterator<Item = (String, u64, String, String)>,
    prose: fn(&str) -> String,
    limits: &str,
) -> String {
    let says = docs(MESSAGES, "pub enum ProtocolError {");
    let of_all = PROTOCOL_ERRORS.into_iter().map(|error| {
        let variant = format!("{error:?}");
        let comment = prose(&says[&variant]);
        (variant, error.status(), comment, error.to_string())
    });
    let none = ("Ok".to_owned(), 0, "None.".to_owned(), "done".to_owned());
    let (mut values, mut sentences) = (Vec::new(), String::new());
    for (variant, number, comment, sentence) in [none].into_iter().chain(own).chain(of_all) {
        let name = name_of_error(prefix, &variant);
        sentences.push_str(&format!("    case {name}:\n        return \"{sentence}\";\n"));
        values.push((name, number, comment));
    }
    enumeration(&format!("{prefix}_error"), "Why a call failed.", &values)
        + limits
        + &format!(
            "\n/** Returns what an error means, in words. */\n\
             static inline const char *{prefix}_error_string(enum {prefix}_error error)\n\
             {{\n    switch (error) {{\n{sentences}    }}\n    \
             return \"no error of this protocol\";\n}}\n\n"
        )
}

/// Returns the name in C of an error, of which `variant` is the name in Rust.
pub(crate) fn name_of_error(prefix: &str, variant: &str) -> String {
    format!("{}_{}", capitals(prefix), capitals(variant))
}

/// Returns prose with the names of C for the errors (their variants) and the operations (variant
/// and name) that stand in it as code.
pub(crate) fn with_names_of_c<'a>(
    text: &str,
    prefix: &str,
    errors: impl Iterator<Item = String>,
    operations: impl Iterator<Item = (String, &'a str)>,
) -> String {
    let mut text = text.to_owned();
    for variant in errors {
        let name = name_of_error(prefix, &variant);
        text =
            text.replace(&format!("[`{variant}`]"), &name).replace(&format!("`{variant}`"), &name);
    }
    for (variant, name) in operations {
        let function = format!("{prefix}_{name}()");
        text = text.replace(&format!("`{variant}`"), &function);
        text = text.replace(&format!("`{name}`"), &function);
    }
    text
}
