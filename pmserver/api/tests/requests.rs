// SPDX-License-Identifier: BSD-2-Clause
//! Every request survives encoding and decoding, and every other message is refused with the right
//! error (PM-2, PM-3, S50).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod any;

use any::requests;
use pmserver_api::{CallError, Failure, Operation, PmError, Request};
use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::{TestCaseError, TestRunner};
use proto::limits::{FASTPATH_REGISTERS, MESSAGE_REGISTERS_MAX};
use proto::{Message, PAGE_BYTES, ProtocolError};

/// Holds any requests of each operation against a rule.
fn for_every_operation(rule: impl Fn(Operation, &Request) -> Result<(), TestCaseError>) {
    for operation in Operation::ALL {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
        runner.run(&requests(*operation), |request| rule(*operation, &request)).unwrap();
    }
}

fn takes_list(operation: Operation) -> bool {
    !operation.registers().list.is_empty()
}

fn last_number() -> u16 {
    Operation::ALL.last().unwrap().number()
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
fn what_is_no_number_of_an_operation_is_unknown() {
    for label in [0, u64::from(last_number()) + 1, 0xFFFF] {
        assert_eq!(Request::decode(&Message::new(label, [])), unknown());
    }
}

#[test]
fn every_request_comes_back() {
    for_every_operation(|operation, request| {
        let message = request.encode();
        prop_assert_eq!(request.operation(), operation);
        prop_assert_eq!(message.label() & 0xFFFF, u64::from(operation.number()));
        prop_assert_eq!(&Request::decode(&message), &Ok(*request));
        Ok(())
    });
}

#[test]
fn a_request_has_the_registers_of_its_row() {
    for_every_operation(|operation, request| {
        let registers = operation.registers();
        let entries = request.encode().registers().len() - registers.request.len();
        match registers.list.len() {
            0 => prop_assert_eq!(entries, 0),
            entry => prop_assert!(entries > 0 && entries.is_multiple_of(entry)),
        }
        Ok(())
    });
}

#[test]
fn only_lists_are_too_long_for_the_fastpath() {
    for_every_operation(|operation, request| {
        let is_short = request.encode().registers().len() <= FASTPATH_REGISTERS;
        prop_assert!(is_short || takes_list(operation));
        Ok(())
    });
}

#[test]
fn a_register_more_or_less_is_a_wrong_length() {
    // PM-3
    for_every_operation(|operation, request| {
        let message = request.encode();
        let registers = message.registers();
        // One more is a longer list, unless an entry has two.
        if operation.registers().list.len() == 1 {
            return Ok(());
        }
        if registers.len() < MESSAGE_REGISTERS_MAX {
            let longer = with_registers(&message, &[registers, &[0]].concat());
            prop_assert_eq!(Request::decode(&longer), wrong_length());
        }
        if !registers.is_empty() {
            let shorter = with_registers(&message, &registers[1..]);
            prop_assert_eq!(Request::decode(&shorter), wrong_length());
        }
        Ok(())
    });
}

#[test]
fn lists_have_an_entry_and_what_stands_before_it() {
    for operation in Operation::ALL.iter().filter(|operation| takes_list(**operation)) {
        let (label, head) = (operation.number().into(), operation.registers().request.len());
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
    for_every_operation(|operation, request| {
        let message = request.encode();
        let carried = operation.label();
        for bit in 16..64 {
            let takes = if bit < 32 { carried.has_count() } else { carried.has_flags() };
            let label = (message.label() & 0xFFFF) | 1 << bit;
            let other = Message::from_wire(label, message.registers()).unwrap();
            let is_known = Request::decode(&other) != unknown();
            prop_assert_eq!(is_known, takes, "bit {}", bit);
        }
        Ok(())
    });
}

/// Register values that some operation accepts somewhere.
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
    let made = (0..u64::from(last_number()) + 2, bits(), bits())
        .prop_map(|(n, a, b)| n | a << 16 | b << 32);
    prop_oneof![8 => made, 1 => any::<u64>()]
}

/// A request of which one register was changed, or the label if it has none.
fn spoilt() -> impl Strategy<Value = Message> {
    (
        Union::new(Operation::ALL.iter().map(|operation| requests(*operation))),
        register(),
        any::<prop::sample::Index>(),
    )
        .prop_map(|(request, value, at)| {
            let message = request.encode();
            let mut registers = message.registers().to_vec();
            match registers.len() {
                0 => Message::from_wire(message.label() ^ value, &registers).unwrap(),
                count => {
                    registers[at.index(count)] = value;
                    with_registers(&message, &registers)
                }
            }
        })
}

fn made_up() -> impl Strategy<Value = Message> {
    let registers = prop::collection::vec(register(), 0..=MESSAGE_REGISTERS_MAX);
    let registers = prop_oneof![prop::collection::vec(register(), 0..=4), registers];
    (label(), registers)
        .prop_map(|(label, registers)| Message::from_wire(label, &registers).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// PM-2, PM-3: a message is the encoding of a request, or it is refused.
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
