// SPDX-License-Identifier: BSD-2-Clause
//! The console's protocol: one operation that writes a few bytes, and a client that splits longer
//! text into such writes.
//!
//! Owns no state. The console server decodes requests with [`Write::decode`]; programs that print
//! use [`Client`]. Neither depends on the platform, so the simulator uses the same code.
//!
//! | operation | registers in | reply |
//! |---|---|---|
//! | 1 write | four registers: a length byte, the bytes, then zeros | status 0 |
#![no_std]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]
#![forbid(unsafe_code)]

use core::fmt::Display;

use proto::limits::FASTPATH_REGISTERS;
use proto::{Console, Domain, Message, ProtocolError, Transport};

/// The number of the only operation.
const OP_WRITE: u64 = 1;

/// The status of the reply to every valid request.
const OK: u64 = 0;

const REGISTER_BYTES: usize = 8;

const MESSAGE_BYTES: usize = FASTPATH_REGISTERS * REGISTER_BYTES;

/// Bytes that one call can write: what four registers hold, less the length byte.
pub const WRITE_BYTES_MAX: usize = MESSAGE_BYTES - 1;

const _: () = assert!(WRITE_BYTES_MAX < 1 << 8, "the length is one byte");

/// A request to write. Holding one proves that the length is not larger than the bytes in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write {
    length: u8,
    bytes: [u8; WRITE_BYTES_MAX],
}

impl Write {
    /// Takes as much as fits in one request from the front of `text`; returns the request and the
    /// rest of the text.
    #[must_use]
    pub fn take(text: &[u8]) -> (Self, &[u8]) {
        let (head, rest) = text.split_at_checked(WRITE_BYTES_MAX).unwrap_or((text, &[]));
        let mut bytes = [0; WRITE_BYTES_MAX];
        let mut length = 0_u8;
        for (to, from) in bytes.iter_mut().zip(head) {
            *to = *from;
            length = length.saturating_add(1);
        }
        (Self { length, bytes }, rest)
    }

    /// Returns the bytes to write.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    /// Returns the message that carries this request.
    #[must_use]
    pub fn encode(&self) -> Message {
        let mut registers = [[0; REGISTER_BYTES]; FASTPATH_REGISTERS];
        let wire = core::iter::once(&self.length).chain(&self.bytes);
        for (to, from) in registers.as_flattened_mut().iter_mut().zip(wire) {
            *to = *from;
        }
        Message::new(OP_WRITE, registers.map(u64::from_le_bytes))
    }

    /// Returns the request in a message. Total: every message gives a value or an error.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownOperation`]; [`ProtocolError::WrongLength`] if there are not four
    /// registers, the length is larger than the bytes in them, or a byte after the text is not 0.
    pub fn decode(message: &Message) -> Result<Self, ProtocolError> {
        if message.label() != OP_WRITE {
            return Err(ProtocolError::UnknownOperation);
        }
        let registers: [u64; FASTPATH_REGISTERS] = message.exactly()?;
        let registers = registers.map(u64::to_le_bytes);
        let (length, bytes) =
            registers.as_flattened().split_first_chunk::<1>().ok_or(ProtocolError::WrongLength)?;
        let [length] = *length;
        let bytes: [u8; WRITE_BYTES_MAX] = bytes
            .try_into()
            .map_err(|_: core::array::TryFromSliceError| ProtocolError::WrongLength)?;
        let unused = bytes.get(usize::from(length)..).ok_or(ProtocolError::WrongLength)?;
        if unused.iter().any(|byte| *byte != 0) {
            return Err(ProtocolError::WrongLength);
        }
        Ok(Self { length, bytes })
    }
}

/// Returns the reply that reports success.
#[must_use]
pub const fn done() -> Message {
    Message::new(OK, [])
}

/// Prints on a console server, which it calls over a transport.
pub struct Client<T: Transport> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// Returns a client that calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }
}

/// Runs a program and prints its last line: PASS, or FAIL and why. Returns whether that is PASS.
pub fn run<D: Domain, E: Display>(
    domain: &D,
    console: u8,
    program: impl FnOnce(&D) -> Result<(), E>,
) -> bool {
    let result = program(domain);
    let mut console = Client::new(domain.channel(console));
    match &result {
        Ok(()) => console.write(b"PASS\n"),
        Err(error) => console.print(format_args!("FAIL: {error}\n")),
    }
    result.is_ok()
}

impl<T: Transport> Console for Client<T> {
    fn write(&mut self, bytes: &[u8]) {
        let mut left = bytes;
        while !left.is_empty() {
            let (write, rest) = Write::take(left);
            // An error of the console could only be reported on the console: ignore the reply.
            let _ = self.transport.call(write.encode());
            left = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Stands in for the console server and collects the bytes.
    #[derive(Default)]
    struct Written {
        bytes: Vec<u8>,
        calls: usize,
    }

    impl Transport for Written {
        fn call(&mut self, request: Message) -> Message {
            self.calls += 1;
            self.bytes.extend_from_slice(Write::decode(&request).unwrap().bytes());
            done()
        }
    }

    #[test]
    fn text_of_every_length_arrives_whole_and_in_order() {
        for length in 0..100 {
            let text: Vec<u8> = (0..length).map(|i| u8::try_from(i).unwrap() ^ 0xA5).collect();
            let mut written = Written::default();
            Client::new(&mut written).write(&text);
            assert_eq!(written.bytes, text);
            assert_eq!(written.calls, text.len().div_ceil(WRITE_BYTES_MAX));
        }
    }

    #[test]
    fn malformed_writes_are_refused() {
        let good = Write::take(b"abc").0.encode();
        let registers: [u64; 4] = good.exactly().unwrap();
        assert_eq!(
            Write::decode(&Message::new(2, registers)),
            Err(ProtocolError::UnknownOperation)
        );
        assert_eq!(Write::decode(&Message::new(1, [0; 3])), Err(ProtocolError::WrongLength));
        let [first, ..] = registers;
        let too_long = Message::new(1, [first | 32, 0, 0, 0]);
        assert_eq!(Write::decode(&too_long), Err(ProtocolError::WrongLength));
        let beyond_the_length = Message::new(1, [first, 0, 0, 1 << 56]);
        assert_eq!(Write::decode(&beyond_the_length), Err(ProtocolError::WrongLength));
        assert_eq!(Write::decode(&good).unwrap().bytes(), b"abc");
    }
}
