// SPDX-License-Identifier: BSD-2-Clause
//! What each domain did when: a slice for each record on the track of the domain that wrote it,
//! and one on the track of the domain that it was done for.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sim::system_file::SystemFile;
use trace::{Cause, Record};

use crate::protocol::{self, Operation};
use crate::transcript::PrintedRing;

/// What a domain did from one time to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Slice {
    /// The domain, by its index in the system file.
    pub domain: usize,
    /// Ticks.
    pub begin: u64,
    /// Ticks.
    pub end: u64,
    /// What it did.
    pub name: String,
    /// More about that.
    pub arguments: Map<String, Value>,
    /// On the track of a caller: the slice, by its index, of what was called.
    pub calls: Option<usize>,
}

/// Accounts of containers, by the handle of the container and who called.
type Accounts = BTreeMap<(usize, u64), u64>;

/// Returns the slices of all rings.
///
/// # Errors
/// A sentence if the system file has no such rings.
pub fn slices(file: &SystemFile, rings: &[PrintedRing]) -> Result<Vec<Slice>, String> {
    let reader = file.running("trace-reader").ok_or("no domain runs trace-reader.elf")?;
    let regions = &file.domains.get(reader).ok_or("no such domain")?.rings_of_others;
    let mut slices = Vec::new();
    for ring in rings {
        let region = regions.get(ring.number);
        let writer = region.and_then(|region| file.writing_to(region));
        let writer = writer.ok_or_else(|| format!("nobody writes ring {}", ring.number))?;
        let mut accounts = Accounts::new();
        for record in &ring.records {
            add(&mut slices, file, writer, record, &mut accounts);
        }
    }
    Ok(slices)
}

/// Adds the slices of one record.
fn add(
    slices: &mut Vec<Slice>,
    file: &SystemFile,
    writer: usize,
    record: &Record,
    accounts: &mut Accounts,
) {
    let other = match record.cause {
        Cause::Request(channel) => file.channel(writer, channel).map(|(_, end)| end.domain),
        Cause::Fault(child) => {
            file.domains.iter().position(|domain| domain.parent == Some((writer, child)))
        }
        Cause::Notification => None,
    };
    let domain = |index: usize| file.domains.get(index);
    let program = domain(writer).map_or("", |domain| domain.program.as_str());
    let mut arguments = Map::new();
    if let Some(other) = other.and_then(domain) {
        arguments.insert("peer".to_owned(), other.name.clone().into());
    }
    let name = match record.cause {
        Cause::Request(_) => request(&mut arguments, program, other, record, accounts),
        Cause::Fault(_) => {
            let [_, address, ..] = record.registers;
            arguments.insert("address".to_owned(), hex(address));
            "fault".to_owned()
        }
        Cause::Notification => "notified".to_owned(),
    };
    let (begin, end) = (record.begin, record.end);
    let called = slices.len();
    if let Some(other) = other {
        let server = domain(writer).map_or("", |domain| domain.name.as_str());
        let name = format!("{server}: {name}");
        let (arguments, calls) = (arguments.clone(), Some(called.saturating_add(1)));
        slices.push(Slice { domain: other, begin, end, name, arguments, calls });
    }
    slices.push(Slice { domain: writer, begin, end, name, arguments, calls: None });
}

/// Adds what is known of a request; returns the name of its operation.
fn request(
    arguments: &mut Map<String, Value>,
    program: &str,
    caller: Option<usize>,
    record: &Record,
    accounts: &mut Accounts,
) -> String {
    if let Some(error) = protocol::error(program, record.status) {
        arguments.insert("error".to_owned(), error.into());
    }
    let Some(operation) = protocol::operation(program, record.label) else {
        return format!("operation {}", record.label);
    };
    let words = operation.arguments(record);
    if let Some(account) = account(&operation, &words, caller, record, accounts) {
        arguments.insert("account".to_owned(), hex(account));
    }
    for (word, value) in words {
        let is_count = ["frames", "blocks", "length"].contains(&word.as_str());
        let value = if is_count { value.into() } else { hex(value) };
        arguments.entry(word).or_insert(value);
    }
    let result = operation.result(record).filter(|_| record.status == 0);
    if let Some((word, value)) = result {
        arguments.insert(format!("-> {word}"), hex(value));
    }
    operation.name.to_owned()
}

/// Returns the account of a request: the one that it names, or of the container that it names, if
/// that was made while the trace goes back.
fn account(
    operation: &Operation,
    words: &[(String, u64)],
    caller: Option<usize>,
    record: &Record,
    accounts: &mut Accounts,
) -> Option<u64> {
    let caller = caller?;
    let named = |name: &str| words.iter().find(|(word, _)| word == name).map(|(_, value)| *value);
    let Some(account) = named("account") else {
        let container = ["container", "destination", "source"].into_iter().find_map(named)?;
        return accounts.get(&(caller, container)).copied();
    };
    let result = operation.result(record).filter(|_| record.status == 0);
    if let Some((_, container)) = result.filter(|(word, _)| word == "container") {
        accounts.insert((caller, container), account);
    }
    Some(account)
}

fn hex(value: u64) -> Value {
    format!("{value:#x}").into()
}

/// Checks that of two slices of a track either one contains the other, or one ends before the
/// other begins.
///
/// # Errors
/// A sentence about two for which that is not so, or about one that ends before it begins.
pub fn check_nesting(slices: &[Slice]) -> Result<(), String> {
    let mut sorted: Vec<&Slice> = slices.iter().collect();
    sorted.sort_by_key(|slice| (slice.domain, slice.begin, std::cmp::Reverse(slice.end)));
    let mut open: Vec<&Slice> = Vec::new();
    for slice in sorted {
        if slice.end < slice.begin {
            return Err(format!("{} ends before it begins: {slice:?}", slice.name));
        }
        open.retain(|outer| outer.domain == slice.domain && outer.end > slice.begin);
        if let Some(outer) = open.iter().find(|outer| outer.end < slice.end) {
            return Err(format!(
                "{} begins in {} and ends after it: {slice:?}",
                slice.name, outer.name
            ));
        }
        open.push(slice);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(domain: usize, begin: u64, end: u64) -> Slice {
        let (name, arguments) = ("call".to_owned(), Map::new());
        Slice { domain, begin, end, name, arguments, calls: None }
    }

    #[test]
    fn slices_contain_each_other_or_are_apart() {
        let nested = [slice(0, 0, 10), slice(0, 2, 5), slice(0, 5, 5), slice(0, 5, 10)];
        assert_eq!(check_nesting(&nested), Ok(()));
        let apart = [slice(0, 10, 12), slice(0, 0, 10), slice(1, 5, 11)];
        assert_eq!(check_nesting(&apart), Ok(()), "those of other tracks do not matter");
        let begins_in = [slice(0, 0, 10), slice(0, 1, 3), slice(0, 5, 11)];
        assert!(check_nesting(&begins_in).unwrap_err().contains("ends after it"));
        assert!(check_nesting(&[slice(0, 2, 1)]).unwrap_err().contains("before it begins"));
    }
}
