// SPDX-License-Identifier: BSD-2-Clause
//! What the numbers in a record mean, by the tables of the protocols: operations, the fields of
//! their registers, errors.

use block_api::BlockError;
use fsserver_api::FsError;
use pmserver_api::{PmError, Registers, ServerError};
use proto::ProtocolError;
use trace::Record;

/// An operation, in words.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    /// The registers of its request and of its reply.
    registers: Registers,
    /// What is in the label above the operation's number, as fields of a register.
    label: &'static str,
    /// What an argument `count` counts.
    unit: &'static str,
}

/// The operations of block servers.
const BLOCK: [(&str, &[&str]); 7] = [
    ("version", &[]),
    ("geometry", &[]),
    ("read", &["container", "offset", "block", "count:32 tag:32"]),
    ("write", &["container", "offset", "block", "count:32 tag:32"]),
    ("flush", &["tag"]),
    ("discard", &["block", "count:32 tag:32"]),
    ("completed", &[]),
];

/// The operations of the console.
const CONSOLE: [(&str, &[&str]); 2] = [("write", &["bytes:8"]), ("read", &[])];

/// Bits of a label that are the number of an operation of pmserver.
const NUMBER_BITS: u32 = 16;

/// Returns the operation of a program that a label names.
pub(crate) fn operation(program: &str, label: u64) -> Option<Operation> {
    match kind(program)? {
        Kind::Memory => {
            let [low, high, ..] = label.to_le_bytes();
            let number = u16::from_le_bytes([low, high]);
            let of = pmserver_api::Operation::from_number(number)?;
            let (registers, label) = (of.registers(), of.label().fields());
            Some(Operation { name: of.name(), registers, label, unit: "frames" })
        }
        Kind::Files => {
            let of = fsserver_api::Operation::from_number(label)?;
            let registers = of.registers();
            Some(Operation { name: of.name(), registers, label: "", unit: "count" })
        }
        Kind::Blocks => listed(&BLOCK, label, "blocks"),
        Kind::Console => listed(&CONSOLE, label, "bytes"),
    }
}

/// Returns the operation with this number, the first of which is 1.
fn listed(
    operations: &'static [(&str, &[&str])],
    number: u64,
    unit: &'static str,
) -> Option<Operation> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    let (name, request) = operations.get(index)?;
    let registers = Registers { request, list: &[], reply: &[] };
    Some(Operation { name, registers, label: "", unit })
}

impl Operation {
    /// Returns the arguments of a request, each by its name; `count` by what it counts.
    pub(crate) fn arguments(&self, record: &Record) -> Vec<(String, u64)> {
        let label = record.label.checked_shr(NUMBER_BITS).unwrap_or_default();
        let mut found = fields(self.label, label);
        for (names, value) in self.registers.request.iter().zip(record.registers) {
            found.extend(fields(names, value));
        }
        for (name, _) in found.iter_mut().filter(|(name, _)| name == "count") {
            self.unit.clone_into(name);
        }
        found
    }

    /// Returns the first field of a reply, by its name.
    pub(crate) fn result(&self, record: &Record) -> Option<(String, u64)> {
        fields(self.registers.reply.first()?, record.result).into_iter().next()
    }
}

/// Returns the error that the status of a program's reply stands for, in a word.
pub(crate) fn error(program: &str, status: u64) -> Option<String> {
    if status == 0 {
        return None;
    }
    let of_program = kind(program).and_then(|kind| match kind {
        Kind::Memory => PmError::from_status(status).map(|error| format!("{error:?}")),
        Kind::Files => FsError::from_status(status).map(|error| format!("{error:?}")),
        Kind::Blocks => BlockError::from_status(status).map(|error| format!("{error:?}")),
        Kind::Console => None,
    });
    let of_protocol = || ProtocolError::from_status(status).map(|error| format!("{error:?}"));
    of_program.or_else(of_protocol).or_else(|| Some(format!("{status:#x}")))
}

/// Which protocol a program speaks.
enum Kind {
    Memory,
    Files,
    Blocks,
    Console,
}

fn kind(program: &str) -> Option<Kind> {
    match program.strip_prefix("sabotaged-").unwrap_or(program) {
        "pmserver" => Some(Kind::Memory),
        "fsserver" => Some(Kind::Files),
        "virtio-blk" => Some(Kind::Blocks),
        "console" => Some(Kind::Console),
        _ => None,
    }
}

/// Returns the fields of a register: `name`, or `name:bits name:bits`, lowest bits first. A name
/// may be of several words; that of what is not used is 0.
fn fields(names: &str, value: u64) -> Vec<(String, u64)> {
    let mut found = Vec::new();
    let (mut rest, mut name) = (value, Vec::new());
    for word in names.split_whitespace() {
        let Some((last, bits)) = word.split_once(':') else {
            name.push(word);
            continue;
        };
        name.push(last);
        let bits: u32 = bits.parse().unwrap_or(u64::BITS);
        let mask = 1_u64.checked_shl(bits).map_or(u64::MAX, |end| end.wrapping_sub(1));
        found.push((name.join(" "), rest & mask));
        rest = rest.checked_shr(bits).unwrap_or_default();
        name.clear();
    }
    if !name.is_empty() {
        found.push((name.join(" "), rest));
    }
    found.retain(|(name, _)| name != "0");
    found
}

#[cfg(test)]
mod tests {
    use block_api::{BlockCount, Place, Request, Tag};
    use pmserver_api::ContainerHandle;
    use trace::Cause;

    use super::*;

    fn record(label: u64, registers: [u64; 4]) -> Record {
        let (cause, result) = (Cause::Request(1), 77);
        Record { begin: 0, end: 0, cause, label, status: 0, registers, result }
    }

    fn words(program: &str, record: &Record) -> Vec<(String, u64)> {
        operation(program, record.label).unwrap().arguments(record)
    }

    fn named(names: &[(&str, u64)]) -> Vec<(String, u64)> {
        names.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    #[test]
    fn registers_are_divided_into_their_fields() {
        let copy = record(9 << 32 | 3 << 16 | 24, [1, 2, 3, 4]);
        let expected = [("frames", 3), ("flags", 9), ("source", 1), ("its start", 2)];
        assert_eq!(words("pmserver", &copy)[..4], named(&expected));
        let map = record(12, [1, 2, 0x1000, 5 << 16 | 4]);
        let expected =
            [("container", 1), ("start", 2), ("vaddr", 0x1000), ("frames", 4), ("flags", 5)];
        assert_eq!(words("pmserver", &map), named(&expected));
        let read = record(5, [1, 2, 3, 8192 << 32 | 7]);
        let expected =
            [("file", 1), ("container", 2), ("offset", 3), ("start frame", 7), ("length", 8192)];
        assert_eq!(words("fsserver", &read), named(&expected));
        let handler = record(46, [1, 2, 3, 6 << 32 | 4]);
        assert_eq!(words("pmserver", &handler)[3..], named(&[("peer", 4), ("cookie", 6)]));
    }

    #[test]
    fn results_and_errors_have_their_names() {
        let allocate = record(6, [0; 4]);
        let result = operation("pmserver", 6).unwrap().result(&allocate);
        assert_eq!(result, Some(("done".to_owned(), 77)));
        assert!(operation("pmserver", 5).unwrap().result(&allocate).is_none());
        for (program, status, name) in [
            ("pmserver", 7, "NoMemory"),
            ("sabotaged-fsserver", 2, "NotADirectory"),
            ("virtio-blk", 2, "PastEnd"),
            ("fsserver", 0xFF03, "Stopped"),
            ("puppet", 5, "0x5"),
        ] {
            assert_eq!(error(program, status).as_deref(), Some(name));
        }
        assert_eq!(error("pmserver", 0), None);
    }

    #[test]
    fn requests_to_block_servers_have_the_names_of_their_protocol() {
        let (to, tag) = (Place { container: ContainerHandle::from_raw(5), offset: 6 }, Tag::new(8));
        let count = BlockCount::new(9).unwrap();
        let read = Request::Read { to, block: 7, count, tag }.encode();
        let read = record(read.label(), read.exactly().unwrap());
        let expected = [("container", 5), ("offset", 6), ("block", 7), ("blocks", 9), ("tag", 8)];
        assert_eq!(words("virtio-blk", &read), named(&expected));
        let name =
            |request: Request| operation("virtio-blk", request.encode().label()).unwrap().name;
        let all = [Request::Version, Request::Geometry, Request::Flush { tag }, Request::Completed];
        assert_eq!(all.map(name), ["version", "geometry", "flush", "completed"]);
        assert!(operation("virtio-blk", 0).is_none() && operation("virtio-blk", 8).is_none());
    }
}
