// SPDX-License-Identifier: BSD-2-Clause
//! Requests go over the wire and come back, and whatever else comes is an error of its own (PM-2,
//! PM-3, S50).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod any;

use any::operations;
use pmserver_api::{CallError, Failure, PmError, Request};
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::{TestCaseError, TestRunner};
use proto::limits::{FASTPATH_REGISTERS, MESSAGE_REGISTERS_MAX};
use proto::{Message, PAGE_BYTES, ProtocolError};

const OPERATIONS: u64 = 50;
/// Operations that take lists.
const LISTS: [u64; 2] = [25, 28];
/// Operations whose label may carry a count, and such whose label may carry flags.
const COUNTED: [u64; 2] = [24, 27];
const FLAGGED: [u64; 2] = [24, 25];

/// Holds any requests of each operation against a rule.
fn for_every_operation(rule: impl Fn(u64, &Request) -> Result<(), TestCaseError>) {
    for (number, requests) in operations() {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
        runner.run(&requests, |request| rule(number, &request)).unwrap();
    }
}

fn unknown() -> Result<Request, CallError> {
    Err(ProtocolError::UnknownOperation.into())
}

fn wrong_length() -> Result<Request, CallError> {
    Err(ProtocolError::WrongLength.into())
}

fn with_registers(message: &Message, registers: &[u64]) -> Message {
    Message::from_wire(message.label(), registers).unwrap()
}

#[test]
fn there_are_as_many_operations_as_numbers() {
    let mut numbers: Vec<u64> = operations().iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=OPERATIONS).collect::<Vec<_>>());
    for label in [0, OPERATIONS + 1, 0xFFFF] {
        assert_eq!(Request::decode(&Message::new(label, [])), unknown());
    }
}

#[test]
fn every_request_comes_back() {
    for_every_operation(|number, request| {
        let message = request.encode();
        prop_assert_eq!(message.label() & 0xFFFF, number);
        prop_assert_eq!(&Request::decode(&message), &Ok(*request));
        Ok(())
    });
}

#[test]
fn only_lists_are_too_long_for_the_fastpath() {
    for_every_operation(|number, request| {
        let is_short = request.encode().registers().len() <= FASTPATH_REGISTERS;
        prop_assert!(is_short || LISTS.contains(&number));
        Ok(())
    });
}

#[test]
fn a_register_more_or_less_is_a_wrong_length() {
    // PM-3
    for_every_operation(|number, request| {
        let message = request.encode();
        let registers = message.registers();
        // One more is a longer list, but for half a pair.
        if number != 28 && registers.len() < MESSAGE_REGISTERS_MAX {
            let longer = with_registers(&message, &[registers, &[0]].concat());
            prop_assert_eq!(Request::decode(&longer), wrong_length());
        }
        if number != 28 && !registers.is_empty() {
            let shorter = with_registers(&message, &registers[1..]);
            prop_assert_eq!(Request::decode(&shorter), wrong_length());
        }
        Ok(())
    });
}

#[test]
fn lists_have_an_entry_and_what_stands_before_it() {
    for (label, head) in [(25, 2), (28, 3)] {
        for length in 0..head {
            let message = Message::from_wire(label, &[1; 3][..length]).unwrap();
            assert_eq!(Request::decode(&message), wrong_length());
        }
        let message = Message::from_wire(label, &[1; 3][..head]).unwrap();
        assert_eq!(Request::decode(&message), Err(PmError::Invalid.into()));
    }
}

#[test]
fn a_label_carries_what_its_operation_takes() {
    // PM-3
    for_every_operation(|number, request| {
        let message = request.encode();
        for bit in 16..64 {
            let takes = if bit < 32 { COUNTED } else { FLAGGED };
            let label = (message.label() & 0xFFFF) | 1 << bit;
            let other = Message::from_wire(label, message.registers()).unwrap();
            let is_known = Request::decode(&other) != unknown();
            prop_assert_eq!(is_known, takes.contains(&number), "bit {}", bit);
        }
        Ok(())
    });
}

/// Registers that mean something in one place or another.
fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0u64..300,
        2 => any::<u64>(),
        1 => (0u32..64).prop_map(|bit| 1 << bit),
        2 => (0u64..40).prop_map(|page| 0x1000_0000 + page * PAGE_BYTES),
        3 => (0u64..40, 0u64..40, 0u64..4).prop_map(|(a, b, c)| a | b << 16 | c << 32),
    ]
}

fn label() -> impl Strategy<Value = u64> {
    let bits = || prop_oneof![Just(0), 0u64..300];
    let made = (0..OPERATIONS + 2, bits(), bits()).prop_map(|(n, a, b)| n | a << 16 | b << 32);
    prop_oneof![8 => made, 1 => any::<u64>()]
}

/// A message that was a request until one register of it was changed, or its label.
fn spoilt() -> impl Strategy<Value = Message> {
    let requests = operations().into_iter().map(|(_, requests)| requests);
    (Union::new(requests), register(), any::<prop::sample::Index>()).prop_map(
        |(request, value, at)| {
            let message = request.encode();
            let mut registers = message.registers().to_vec();
            match registers.len() {
                0 => Message::from_wire(message.label() ^ value, &registers).unwrap(),
                count => {
                    registers[at.index(count)] = value;
                    with_registers(&message, &registers)
                }
            }
        },
    )
}

fn made_up() -> impl Strategy<Value = Message> {
    let registers = prop::collection::vec(register(), 0..=MESSAGE_REGISTERS_MAX);
    let registers = prop_oneof![prop::collection::vec(register(), 0..=4), registers];
    (label(), registers)
        .prop_map(|(label, registers)| Message::from_wire(label, &registers).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// PM-2, PM-3: a message is the one message of a request, or it is refused for what it is.
    #[test]
    fn every_message_is_a_request_or_an_error(message in prop_oneof![spoilt(), made_up()]) {
        let invalid = CallError::Refused(Failure { error: PmError::Invalid, done: 0, at: 0 });
        match Request::decode(&message) {
            Ok(request) => prop_assert_eq!(request.encode(), message),
            Err(error) => prop_assert!(
                [ProtocolError::UnknownOperation.into(), ProtocolError::WrongLength.into(), invalid]
                    .contains(&error)
            ),
        }
    }
}
