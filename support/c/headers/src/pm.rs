// SPDX-License-Identifier: BSD-2-Clause
//! `pmserver.h`.

use bitflags::Flags;
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, Book, ContainerHandle, CopyFlags, DeallocateFlags,
    Disturbance, FrameList, FrameState, Frames, HANDLE_MAKER_MASK, HANDLE_MAKER_SHIFT, LimitFlags,
    LockMode, MapFlags, Marks, Operation, PROTOCOL_VERSION, PairList, PmError, Request, Rights,
    ShareTerms,
};
use proto::limits::{
    CALL_FRAMES_MAX, LARGE_FRAMES, LEASE_MICROS_MAX, STATUS_FRAMES_MAX, WATCH_MICROS_MAX,
};
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId};

use crate::function::{Header, Row};
use crate::items::{self, Line, enumeration, name_of_error, with_names_of_c};
use crate::source::{doc_before, docs, plain, section, table};
use crate::text::capitals;
use crate::until_done::until_done;
use crate::vocabulary::{self, DONE};

const TEMPLATE: &str = include_str!("pmserver.template.h");
const DOCUMENT: &str = include_str!("../../../docs/pm-protocol.md");
const OPS: &str = include_str!("../../../../pmserver/api/src/ops.rs");
const ERRORS: &str = include_str!("../../../../pmserver/api/src/error.rs");
const FLAGS: &str = include_str!("../../../../pmserver/api/src/flags.rs");

pub(crate) const HEADER: Header =
    Header { prefix: "pm", argument: vocabulary::argument, result: vocabulary::result, done: DONE };

/// Returns the header.
pub(crate) fn header() -> String {
    let account = |number: u64| AccountHandle::from_raw(number).raw().to_string();
    let first_peer = AccountHandle::of_peer(peer()).raw() - u64::from(peer().get());
    let rows: Vec<Row> = Operation::ALL.iter().map(|operation| row(*operation)).collect();
    let functions: Vec<String> = rows.iter().map(|row| row.function(&HEADER)).collect();
    let structures: String = rows.iter().map(|row| row.structure_of_results(&HEADER)).collect();
    let repeated = Operation::ALL.iter().zip(&rows);
    let repeated = repeated.filter_map(|(operation, row)| until_done(*operation, row, &HEADER));
    let repeated: Vec<String> = repeated.collect();
    let numbers = Operation::ALL.iter().map(|one| (one.name(), one.number().into()));
    TEMPLATE
        .replace("@VERSION@", &PROTOCOL_VERSION.to_string())
        .replace("@CONSTANTS@", &constants())
        .replace("@ACCOUNT_OWN@", &account(AccountHandle::OWN.raw()))
        .replace("@ACCOUNT_POOL@", &account(AccountHandle::POOL.raw()))
        .replace("@ACCOUNT_OF_PEER@", &first_peer.to_string())
        .replace("@MAKER_SHIFT@", &HANDLE_MAKER_SHIFT.to_string())
        .replace("@MAKER_MASK@", &format!("0x{HANDLE_MAKER_MASK:x}"))
        .replace("@ERRORS@\n", &errors())
        .replace("@FLAGS@\n", &flags())
        .replace("@STRUCTURES@", &structures)
        .replace("@OPERATIONS@\n", &items::operations("pm", numbers))
        .replace("@FUNCTIONS@\n", &(functions.join("\n") + "\n"))
        .replace("@UNTIL_DONE@\n", &repeated.join("\n"))
}

fn peer() -> PeerId {
    PeerId::new(1).expect("there is a first peer")
}

fn constants() -> String {
    let lines: [(&str, String, &str); 9] = [
        (
            "PROTOCOL_VERSION",
            PROTOCOL_VERSION.to_string(),
            "What pm_version() tells if this header is of its version.",
        ),
        ("PAGE_BYTES", PAGE_BYTES.to_string(), "Bytes of a page and of a frame."),
        (
            "CALL_FRAMES_MAX",
            CALL_FRAMES_MAX.to_string(),
            "Frames that one call names at most, but for a large frame.",
        ),
        (
            "LARGE_FRAMES",
            LARGE_FRAMES.to_string(),
            "Frames of 2 MiB, which some calls can name as one (PM-445).",
        ),
        (
            "STATUS_FRAMES_MAX",
            STATUS_FRAMES_MAX.to_string(),
            "Frames of which one call tells the states at most.",
        ),
        ("LEASE_US_MAX", LEASE_MICROS_MAX.to_string(), "The longest lease, in microseconds."),
        ("WATCH_US_MAX", WATCH_MICROS_MAX.to_string(), "The longest watch, in microseconds."),
        ("PAIRS_MAX", PairList::MOST.to_string(), "Pairs that pm_copy_list() takes at most."),
        (
            "FRAMES_MAX",
            FrameList::MOST.to_string(),
            "Frames that pm_create_gather() takes at most.",
        ),
    ];
    items::constants("PM", lines)
}

fn errors() -> String {
    let says = docs(ERRORS, "pub enum PmError {");
    let own = PmError::ALL.into_iter().map(|error| {
        let variant = format!("{error:?}");
        let comment = prose(&says[&variant]);
        (variant, error.status(), comment, error.to_string())
    });
    let [first, .., last] = PmError::ALL.map(PmError::status);
    let limits = format!("#define PM_ERROR_FIRST {first}\n#define PM_ERROR_LAST {last}\n");
    items::errors("pm", own, prose, &limits)
}

fn flags() -> String {
    fn of<F: Flags<Bits = u16>>(rust: &str, name: &str, prefix: &str) -> (String, Vec<Line>) {
        let says = docs(FLAGS, &format!("pub struct {rust}: u16 {{"));
        let lines = F::FLAGS.iter().map(|flag| {
            let name = format!("PM_{prefix}_{}", flag.name());
            (name, u64::from(flag.value().bits()), prose(&says[flag.name()]))
        });
        (format!("pm_{name}"), lines.collect())
    }
    fn text<F: Flags<Bits = u16>>(rust: &str, name: &str, prefix: &str) -> String {
        let (name, lines) = of::<F>(rust, name, prefix);
        enumeration(&name, &prose(&doc_before(FLAGS, &format!("pub struct {rust}:"))), &lines)
    }
    let (name, mut rights) = of::<Rights>("Rights", "rights", "RIGHT");
    let once =
        "No right: the peer can only take the range, once each time that it is armed (PM-430).";
    let names = Book::ALL.map(|book| (format!("{book:?}"), u64::from(book.number())));
    let books = names.each_ref().map(|(name, number)| (name.as_str(), *number));
    rights.push(("PM_RIGHT_ONCE".to_owned(), once_bit(), once.to_owned()));
    [
        text::<AllocateFlags>("AllocateFlags", "allocate_flags", "ALLOCATE"),
        text::<DeallocateFlags>("DeallocateFlags", "deallocate_flags", "DEALLOCATE"),
        text::<CopyFlags>("CopyFlags", "copy_flags", "COPY"),
        text::<MapFlags>("MapFlags", "map_flags", "MAP"),
        enumeration(&name, &prose(&doc_before(FLAGS, "pub struct Rights:")), &rights),
        text::<AccountRights>("AccountRights", "account_rights", "ACCOUNT"),
        text::<LimitFlags>("LimitFlags", "limit_flags", "LIMIT"),
        text::<Marks>("Marks", "marks", "MARK"),
        text::<FrameState>("FrameState", "frame_state", "STATE"),
        numbered(
            "LockMode",
            "lock_mode",
            "LOCK",
            &[mode(LockMode::Read), mode(LockMode::Exclusive)],
        ),
        // The protocol's document numbers them (PM-281).
        numbered("AccessKind", "access", "ACCESS", &[("Read", 0), ("Write", 1), ("Execute", 2)]),
        numbered(
            "Disturbance",
            "disturbance",
            "DISTURB",
            &[what(Disturbance::Unmap), what(Disturbance::Move)],
        ),
        numbered("Book", "book", "BOOK", &books),
    ]
    .concat()
}

fn numbered(rust: &str, name: &str, prefix: &str, values: &[(&str, u64)]) -> String {
    let says = docs(FLAGS, &format!("pub enum {rust} {{"));
    let lines = values.iter().map(|(variant, value)| {
        (format!("PM_{prefix}_{}", capitals(variant)), *value, prose(&says[*variant]))
    });
    let lines: Vec<_> = lines.collect();
    let title = prose(&doc_before(FLAGS, &format!("pub enum {rust} ")));
    enumeration(&format!("pm_{name}"), &title, &lines)
}

// What has no table: the numbers are those that a request is encoded with.

fn once_bit() -> u64 {
    let terms = |once| ShareTerms {
        peer: peer(),
        rights: Rights::empty(),
        lease_max: Micros::new(0),
        once,
    };
    let word = |once| {
        let (container, start) = (ContainerHandle::from_raw(0), FrameNumber::new(0));
        let share = Request::Share { container, start, count: 1, terms: terms(once) };
        share.encode().registers()[3]
    };
    (word(true) ^ word(false)) >> 16
}

fn mode(mode: LockMode) -> (&'static str, u64) {
    let (container, start) = (ContainerHandle::from_raw(0), FrameNumber::new(0));
    let frames = Frames { container, start, count: FrameCount::ONE };
    let message = Request::Lock { frames, mode, ttl: Micros::new(1) }.encode();
    let name = if mode == LockMode::Read { "Read" } else { "Exclusive" };
    (name, message.registers()[2] >> 16)
}

fn what(what: Disturbance) -> (&'static str, u64) {
    let message = Request::Disturb { what, cursor: 0 }.encode();
    let name = if what == Disturbance::Unmap { "Unmap" } else { "Move" };
    (name, message.registers()[0])
}

/// Returns prose of the source as a reader of C needs it.
pub(crate) fn prose(text: &str) -> String {
    let errors = PmError::ALL.into_iter().map(|error| format!("{error:?}"));
    let operations = Operation::ALL.iter().map(|one| (format!("{one:?}"), one.name()));
    with_names_of_c(&plain(text), "pm", errors, operations)
}

pub(crate) fn row(operation: Operation) -> Row {
    let says = &docs(OPS, "pub enum Request {")[&format!("{operation:?}")];
    let says = says.split_once(": ").map_or(says.as_str(), |(_, says)| says);
    let (first, rest) = says.split_at(1);
    let section = section(DOCUMENT, "PM", operation.number().into(), operation.name());
    let errors = table(DOCUMENT, "| operation | errors besides those |");
    let errors = errors.iter().find(|row| row[1] == operation.name()).expect("it has a row")[2];
    let mut errors = format!(" {errors},");
    for error in PmError::ALL {
        let variant = format!("{error:?}");
        for end in [",", ";", " ("] {
            let name = format!(" {}{end}", name_of_error("pm", &variant));
            errors = errors.replace(&format!(" {variant}{end}"), &name);
        }
    }
    let errors = errors.trim().trim_end_matches(',');
    let besides =
        "PM_INVALID, and PM_KERNEL, PM_NO_MEMORY or PM_PENDING where it needs memory (PM-14)";
    let counted = operation.registers().reply.iter().find(|name| DONE.contains(name));
    let counted = counted.map_or(String::new(), |name| format!("in `done` how many were {name}; "));
    let counted = counted.replace("were tables made", "tables were made");
    let errors =
        if errors.is_empty() { besides.to_owned() } else { format!("{errors}; besides {besides}") };
    let is_idempotent = if operation.is_idempotent() { "idempotent" } else { "not idempotent" };
    let bound = operation.bound();
    Row {
        name: operation.name(),
        has_count: operation.label().has_count(),
        has_flags: operation.label().has_flags(),
        registers: operation.registers(),
        paragraphs: vec![
            prose(&format!("{}{rest}", first.to_uppercase())),
            prose(&section.head),
            format!("One call: {bound}; {is_idempotent}. Rules: {}.", section.rules),
        ],
        returns: vec![format!("@return {counted}errors: {errors}")],
    }
}
