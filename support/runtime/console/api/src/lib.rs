// SPDX-License-Identifier: BSD-2-Clause
//! The console's protocol: one operation that writes a few bytes and one that reads a few, and a
//! client that splits longer text into such writes.
//!
//! Owns no state. The console server decodes requests with [`Request::decode`]; programs that print
//! use [`Client`]. Neither depends on the platform, so the simulator uses the same code.
//!
//! | operation | registers in | reply |
//! |---|---|---|
//! | 1 write | four registers: a length byte, the bytes, then zeros | status 0 |
//! | 2 read | | status 0, and what was typed in four such registers |
//!
//! One client may read: the system file says which. A read does not wait: if nothing was typed it
//! returns no bytes, and the reader is notified once something is.
#![no_std]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]
#![forbid(unsafe_code)]

use core::fmt::Display;

use proto::limits::FASTPATH_REGISTERS;
use proto::{Console, Domain, Message, ProtocolError, Transport, Waiter};

/// The numbers of the operations.
const OP_WRITE: u64 = 1;
const OP_READ: u64 = 2;

/// The status of the reply to every valid request.
const OK: u64 = 0;

const REGISTER_BYTES: usize = 8;

const MESSAGE_BYTES: usize = FASTPATH_REGISTERS * REGISTER_BYTES;

/// Bytes that one call can write or read: what four registers hold, less the length byte.
pub const TEXT_BYTES_MAX: usize = MESSAGE_BYTES - 1;

const _: () = assert!(TEXT_BYTES_MAX < 1 << 8, "the length is one byte");

/// A few bytes, as many as one call carries. Holding one proves that the length is not larger than
/// the bytes in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    length: u8,
    bytes: [u8; TEXT_BYTES_MAX],
}

impl Text {
    /// Takes as much as fits in one call from the front of `text`; returns that and the rest.
    #[must_use]
    pub fn take(text: &[u8]) -> (Self, &[u8]) {
        let (head, rest) = text.split_at_checked(TEXT_BYTES_MAX).unwrap_or((text, &[]));
        (head.iter().copied().collect(), rest)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }

    fn registers(&self) -> [u64; FASTPATH_REGISTERS] {
        let mut registers = [[0; REGISTER_BYTES]; FASTPATH_REGISTERS];
        let wire = core::iter::once(&self.length).chain(&self.bytes);
        for (to, from) in registers.as_flattened_mut().iter_mut().zip(wire) {
            *to = *from;
        }
        registers.map(u64::from_le_bytes)
    }

    /// Returns the text in a message, if there are four registers, no length beyond the bytes in
    /// them, and nothing behind the text.
    fn decode(message: &Message) -> Result<Self, ProtocolError> {
        let registers: [u64; FASTPATH_REGISTERS] = message.exactly()?;
        let registers = registers.map(u64::to_le_bytes);
        let (length, bytes) =
            registers.as_flattened().split_first_chunk::<1>().ok_or(ProtocolError::WrongLength)?;
        let [length] = *length;
        let bytes: [u8; TEXT_BYTES_MAX] = bytes
            .try_into()
            .map_err(|_: core::array::TryFromSliceError| ProtocolError::WrongLength)?;
        let unused = bytes.get(usize::from(length)..).ok_or(ProtocolError::WrongLength)?;
        if unused.iter().any(|byte| *byte != 0) {
            return Err(ProtocolError::WrongLength);
        }
        Ok(Self { length, bytes })
    }
}

/// Takes from an iterator what fits.
impl FromIterator<u8> for Text {
    fn from_iter<I: IntoIterator<Item = u8>>(from: I) -> Self {
        let mut text = Self::default();
        for (to, byte) in text.bytes.iter_mut().zip(from) {
            *to = byte;
            text.length = text.length.saturating_add(1);
        }
        text
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// To print this.
    Write(Text),
    /// To be told what was typed since the last read.
    Read,
}

impl Request {
    /// Returns the message that carries this request.
    #[must_use]
    pub fn encode(&self) -> Message {
        match self {
            Self::Write(text) => Message::new(OP_WRITE, text.registers()),
            Self::Read => Message::new(OP_READ, []),
        }
    }

    /// Returns the request in a message. Total: every message gives a value or an error.
    ///
    /// # Errors
    /// [`ProtocolError::UnknownOperation`]; [`ProtocolError::WrongLength`] if there are other
    /// registers than the table says, the length is larger than the bytes in them, or a byte after
    /// the text is not 0.
    pub fn decode(message: &Message) -> Result<Self, ProtocolError> {
        match message.label() {
            OP_WRITE => Text::decode(message).map(Self::Write),
            OP_READ => message.exactly().map(|[]: [u64; 0]| Self::Read),
            _ => Err(ProtocolError::UnknownOperation),
        }
    }
}

/// Returns the reply to a write.
#[must_use]
pub const fn done() -> Message {
    Message::new(OK, [])
}

/// Returns the reply to a read.
#[must_use]
pub fn typed(text: &Text) -> Message {
    Message::new(OK, text.registers())
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

    /// Returns what was typed, after waiting for it. Returns nothing if the console refuses: then
    /// this is not who may read.
    pub fn read(&mut self, waiter: &mut impl Waiter) -> Text {
        loop {
            let reply = self.transport.call(Request::Read.encode());
            if reply.label() != OK {
                return Text::default();
            }
            match Text::decode(&reply) {
                // Not yet typed; or the reader was notified of something else.
                Ok(text) if text.bytes().is_empty() => waiter.wait(),
                text => return text.unwrap_or_default(),
            }
        }
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
            let (text, rest) = Text::take(left);
            // An error of the console could only be reported on the console: ignore the reply.
            let _ = self.transport.call(Request::Write(text).encode());
            left = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// Stands in for the console server: collects what is written, and has something typed after
    /// some reads.
    #[derive(Default)]
    struct Server {
        written: Vec<u8>,
        calls: usize,
        empty_reads: usize,
        typed: Text,
    }

    impl Transport for &mut Server {
        fn call(&mut self, request: Message) -> Message {
            self.calls += 1;
            match Request::decode(&request).unwrap() {
                Request::Write(text) => self.written.extend_from_slice(text.bytes()),
                Request::Read if self.calls > self.empty_reads => return typed(&self.typed),
                Request::Read => return typed(&Text::default()),
            }
            done()
        }
    }

    #[test]
    fn text_of_every_length_arrives_whole_and_in_order() {
        for length in 0..100 {
            let text: Vec<u8> = (0..length).map(|i| u8::try_from(i).unwrap() ^ 0xA5).collect();
            let mut server = Server::default();
            Client::new(&mut server).write(&text);
            assert_eq!(server.written, text);
            assert_eq!(server.calls, text.len().div_ceil(TEXT_BYTES_MAX));
        }
    }

    /// Counts how often somebody waits.
    struct Waits(usize);

    impl Waiter for Waits {
        fn wait(&mut self) {
            self.0 += 1;
        }
    }

    #[test]
    fn who_reads_waits_until_something_was_typed() {
        let text = Text::take(&[b'x'; 40]).0;
        assert_eq!(text.bytes(), [b'x'; TEXT_BYTES_MAX]);
        let mut server = Server { empty_reads: 3, typed: text, ..Server::default() };
        let mut waits = Waits(0);
        assert_eq!(Client::new(&mut server).read(&mut waits), text);
        assert_eq!(waits.0, 3);
    }

    #[test]
    fn who_may_not_read_is_not_kept_waiting() {
        struct Refuses;
        impl Transport for Refuses {
            fn call(&mut self, _: Message) -> Message {
                ProtocolError::UnknownOperation.reply()
            }
        }
        assert_eq!(Client::new(Refuses).read(&mut Waits(0)), Text::default());
    }

    #[test]
    fn malformed_requests_are_refused() {
        let good = Request::Write(Text::take(b"abc").0).encode();
        let registers: [u64; 4] = good.exactly().unwrap();
        let decode = |label, registers| Request::decode(&Message::new(label, registers));
        assert_eq!(decode(3, registers), Err(ProtocolError::UnknownOperation));
        assert_eq!(decode(2, registers), Err(ProtocolError::WrongLength));
        let short = Request::decode(&Message::new(1, [0; 3]));
        assert_eq!(short, Err(ProtocolError::WrongLength));
        let [first, ..] = registers;
        assert_eq!(decode(1, [first | 32, 0, 0, 0]), Err(ProtocolError::WrongLength), "too long");
        let beyond = decode(1, [first, 0, 0, 1 << 56]);
        assert_eq!(beyond, Err(ProtocolError::WrongLength), "bytes beyond the length");
        for request in [Request::Write(Text::take(b"abc").0), Request::Read] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }
}
