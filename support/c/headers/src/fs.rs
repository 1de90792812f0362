// SPDX-License-Identifier: BSD-2-Clause
//! `fsserver.h`.

use fsserver_api::{
    ENTRY_HEADER_BYTES, Feature, FileKind, FsError, NAME_BYTES_MAX, Operation, PROTOCOL_VERSION,
    SHORT_PATH_BYTES_MAX,
};
use pmserver_api::ServerError;
use proto::PAGE_BYTES;
use proto::limits::{
    CALL_FRAMES_MAX, FS_REQUESTS_PER_CLIENT_MAX, FS_TWO_PATHS_BYTES_MAX, FS_WAITS_MAX,
    PATH_BYTES_MAX,
};

use crate::function::{Header, Row};
use crate::items::{self, enumeration, with_names_of_c};
use crate::pm::prose;
use crate::source::{docs, section};
use crate::text::capitals;
use crate::vocabulary;

const TEMPLATE: &str = include_str!("fsserver.template.h");
const DOCUMENT: &str = include_str!("../../../docs/fs-protocol.md");
const OPS: &str = include_str!("../../../../fsserver/api/src/ops.rs");
const CHANGES: &str = include_str!("../../../../fsserver/api/src/change.rs");
const ERRORS: &str = include_str!("../../../../fsserver/api/src/error.rs");
const KINDS: &str = include_str!("../../../../fsserver/api/src/entry.rs");

pub(crate) const HEADER: Header = Header {
    prefix: "fs",
    argument: vocabulary::file_argument,
    result: vocabulary::file_result,
    done: &[],
};

/// Returns the header.
pub(crate) fn header() -> String {
    let rows: Vec<Row> = Operation::ALL.iter().map(|operation| row(*operation)).collect();
    let functions: Vec<String> = rows.iter().map(|row| row.function(&HEADER)).collect();
    let numbers = Operation::ALL.iter().map(|one| (one.name(), one.number()));
    let structures: String = rows.iter().map(|row| row.structure_of_results(&HEADER)).collect();
    TEMPLATE
        .replace("@VERSION@", &PROTOCOL_VERSION.to_string())
        .replace("@CONSTANTS@\n", &constants())
        .replace("@ERRORS@\n", &errors())
        .replace("@KINDS@\n", &kinds())
        .replace("@FEATURES@\n", &features())
        .replace("@STRUCTURES@", &structures)
        .replace("@OPERATIONS@\n", &items::operations("fs", numbers))
        .replace("@FUNCTIONS@\n", &functions.join("\n"))
}

fn constants() -> String {
    let number = |number: usize| number.to_string();
    let lines = [
        (
            "PROTOCOL_VERSION",
            PROTOCOL_VERSION.to_string(),
            "What fs_version() tells if this header is of its version.",
        ),
        ("PATH_BYTES_MAX", number(PATH_BYTES_MAX), "Bytes of the longest path."),
        (
            "TWO_PATHS_BYTES_MAX",
            number(FS_TWO_PATHS_BYTES_MAX),
            "Bytes of two paths in one call, together.",
        ),
        (
            "SHORT_PATH_BYTES_MAX",
            number(SHORT_PATH_BYTES_MAX),
            "Bytes of the longest path that fs_lookup_short() takes.",
        ),
        (
            "READ_BYTES_MAX",
            (CALL_FRAMES_MAX * PAGE_BYTES).to_string(),
            "Bytes that one call reads or writes at most.",
        ),
        ("NAME_BYTES_MAX", number(NAME_BYTES_MAX), "Bytes of the longest name in a directory."),
        (
            "ENTRY_HEADER_BYTES",
            number(ENTRY_HEADER_BYTES),
            "Bytes before the name of an entry (FS-40).",
        ),
        (
            "REQUESTS_MAX",
            number(FS_REQUESTS_PER_CLIENT_MAX),
            "Requests of a client that can be pending at a time (FS-103).",
        ),
        ("WAITS_MAX", FS_WAITS_MAX.to_string(), "How often FS_UNTIL_DONE() waits at most."),
        ("LEAVE_TIME", "UINT64_MAX".to_owned(), "For fs_set_times(): the time stays as it is."),
    ];
    items::constants("FS", lines) + "\n"
}

fn errors() -> String {
    let says = docs(ERRORS, "pub enum FsError {");
    let own = FsError::ALL.iter().map(|error| {
        let variant = format!("{error:?}");
        let comment = words(&says[&variant]);
        (variant, error.status(), comment, error.to_string())
    });
    let last = FsError::ALL.iter().map(|error| error.status()).max().expect("there are some");
    items::errors("fs", own, prose, &format!("#define FS_ERROR_LAST {last}\n"))
}

fn kinds() -> String {
    let says = docs(KINDS, "pub enum FileKind {");
    let line = |number: u8| {
        let variant = format!("{:?}", FileKind::from_number(number)?);
        Some((format!("FS_KIND_{}", capitals(&variant)), u64::from(number), words(&says[&variant])))
    };
    let lines: Vec<_> = (1..=u8::MAX).map_while(line).collect();
    enumeration("fs_kind", "What a file is.", &lines)
}

fn features() -> String {
    let line = |feature: &Feature| {
        let name = format!("FS_FEATURE_{}", capitals(&format!("{feature:?}")));
        let says = feature.to_string();
        let (first, rest) = says.split_at(1);
        (name, feature.number(), format!("{}{rest}.", first.to_uppercase()))
    };
    let lines: Vec<_> = Feature::ALL.iter().map(line).collect();
    enumeration("fs_feature", "The detail of FS_UNSUPPORTED.", &lines)
}

/// Returns prose of the source as a reader of C needs it.
fn words(text: &str) -> String {
    let errors = FsError::ALL.iter().map(|error| format!("{error:?}"));
    let operations = Operation::ALL.iter().map(|one| (format!("{one:?}"), one.name()));
    prose(&with_names_of_c(&text.replace("Self::", ""), "fs", errors, operations))
}

pub(crate) fn row(operation: Operation) -> Row {
    let mut says = docs(OPS, "pub enum Request {");
    says.extend(docs(CHANGES, "pub enum Change {"));
    let name = format!("{operation:?}");
    let says = match name.as_str() {
        // The request says by a field that it stands.
        "ReadStanding" => {
            "Reads as `read` does, and lets fsserver keep its lease and its mapping for \
                           the next such call."
        }
        "LookupShort" => {
            "Opens a file or directory by a path of at most 32 bytes, without a container."
        }
        _ => says.get(&name).unwrap_or_else(|| panic!("{name} has no comment")),
    };
    let section = section(DOCUMENT, "FS", operation.number(), operation.name());
    Row {
        name: operation.name(),
        has_count: false,
        has_flags: false,
        registers: operation.registers(),
        paragraphs: vec![
            words(says),
            words(&section.head),
            format!("Rules: {}; FS-100 to FS-108.", section.rules),
        ],
        returns: vec![
            "@return an error of enum fs_error; FS_PENDING if it waits for the disk".to_owned(),
        ],
    }
}
