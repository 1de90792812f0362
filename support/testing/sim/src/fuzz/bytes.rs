// SPDX-License-Identifier: BSD-2-Clause
//! What an engine tries that is guided by coverage: any bytes are an input. Each of these panics
//! where something is wrong.

use pmserver_api::Request;
use proto::Message;
use proto::limits::MESSAGE_REGISTERS_MAX;

use super::core_subject::CoreSubject;
use super::operation::operations_of;
use super::run;
use super::run::Mistake;
use super::shape::Shape;

/// Takes bytes for a message: its label, then its registers. Whatever is decoded is what is
/// encoded, to the last bit (PM-2, PM-3, FS-7).
pub fn decode(bytes: &[u8]) {
    let mut words = bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
    let label = words.next().unwrap_or_default();
    let registers: Vec<u64> = words.take(MESSAGE_REGISTERS_MAX).collect();
    let message = Message::from_wire(label, &registers).expect("no more registers than fit");
    if let Ok(request) = Request::decode(&message) {
        assert_eq!(request.encode(), message, "{request:?}");
    }
    if let Ok(request) = fsserver_api::Request::decode(&message) {
        assert_eq!(request.encode(), message, "{request:?}");
    }
}

/// Takes bytes for the shape of a system and operations, which it does with the server and with the
/// model.
pub fn core(bytes: &[u8]) {
    let Some((shape, rest)) = bytes.split_first() else { return };
    let shape = Shape::of((*shape).into());
    let operations = operations_of(rest).into_iter().enumerate().collect();
    let found =
        run(operations, &mut CoreSubject::new(shape), shape.config(), (Mistake::None, false));
    if let Err(failure) = found {
        panic!("{}, step {}: {}", shape.name, failure.step, failure.what);
    }
}
