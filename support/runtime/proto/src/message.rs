// SPDX-License-Identifier: BSD-2-Clause
//! The form of every request and reply: a label and some registers.
//!
//! The kernel's IPC fastpath carries four registers (decision D5), so frequent operations use no
//! more. In a request the label names the operation; in a reply it is the status, 0 for success.

use core::fmt;

use crate::limits::{FASTPATH_REGISTERS, MESSAGE_REGISTERS_MAX};

/// A request or a reply.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    label: u64,
    registers: Registers,
    count: usize,
}

/// The registers of a message. Those beyond its count mean nothing.
#[derive(Clone, Copy, Debug)]
enum Registers {
    /// What the fastpath carries. Most messages are short, and clearing the other registers would
    /// take longer than all else that is done with a message.
    Short([u64; FASTPATH_REGISTERS]),
    /// More.
    Long([u64; MESSAGE_REGISTERS_MAX]),
}

/// Returns `values` with zeros after them.
const fn padded<const N: usize, const M: usize>(values: [u64; N]) -> [u64; M] {
    let mut registers = [0; M];
    let (head, _) = registers.split_at_mut(N);
    head.copy_from_slice(&values);
    registers
}

impl Message {
    /// Returns a message with `N` registers; too many are a compile error.
    #[must_use]
    #[inline(always)]
    pub const fn new<const N: usize>(label: u64, values: [u64; N]) -> Self {
        let mut message =
            Self { label, registers: Registers::Short([0; FASTPATH_REGISTERS]), count: 0 };
        message.become_new(label, values);
        message
    }

    /// Becomes another message, as [`Self::new`], in its place: most of a message's memory is for
    /// registers that most messages do not have, and a move copies all of it.
    #[inline(always)]
    pub const fn become_new<const N: usize>(&mut self, label: u64, values: [u64; N]) {
        const { assert!(N <= MESSAGE_REGISTERS_MAX) };
        self.label = label;
        self.registers = if N <= FASTPATH_REGISTERS {
            Registers::Short(padded(values))
        } else {
            Registers::Long(padded(values))
        };
        self.count = N;
    }

    /// Returns the message that arrived with this label and the first of these registers: as many
    /// as the fastpath carries, or fewer.
    #[must_use]
    #[inline(always)]
    pub const fn short(label: u64, registers: [u64; FASTPATH_REGISTERS], count: usize) -> Self {
        let count = if count > FASTPATH_REGISTERS { FASTPATH_REGISTERS } else { count };
        Self { label, registers: Registers::Short(registers), count }
    }

    /// Returns the registers of a message that the fastpath carries, and how many it has.
    #[must_use]
    #[inline(always)]
    pub const fn as_short(&self) -> Option<([u64; FASTPATH_REGISTERS], usize)> {
        match self.registers {
            Registers::Short(registers) => Some((registers, self.count)),
            Registers::Long(_) => None,
        }
    }

    /// Returns the message that arrived with this label and these registers.
    ///
    /// # Errors
    /// [`ProtocolError::WrongLength`] if there are more registers than a message can have.
    #[inline(always)]
    pub fn from_wire(label: u64, values: &[u64]) -> Result<Self, ProtocolError> {
        // One arm for each length that the fastpath carries: a call of `memcpy` costs more than
        // all of this.
        Ok(match *values {
            [] => Self::new(label, []),
            [a] => Self::new(label, [a]),
            [a, b] => Self::new(label, [a, b]),
            [a, b, c] => Self::new(label, [a, b, c]),
            [a, b, c, d] => Self::new(label, [a, b, c, d]),
            _ => return Self::long(label, values),
        })
    }

    /// The same for a message that is too long for the fastpath.
    #[cold]
    fn long(label: u64, values: &[u64]) -> Result<Self, ProtocolError> {
        let mut registers = [0; MESSAGE_REGISTERS_MAX];
        registers
            .get_mut(..values.len())
            .ok_or(ProtocolError::WrongLength)?
            .copy_from_slice(values);
        Ok(Self { label, registers: Registers::Long(registers), count: values.len() })
    }

    /// Returns the operation of a request or the status of a reply.
    #[must_use]
    #[inline(always)]
    pub const fn label(&self) -> u64 {
        self.label
    }

    /// Returns the registers that the message carries.
    #[must_use]
    #[inline(always)]
    pub fn registers(&self) -> &[u64] {
        let all: &[u64] = match &self.registers {
            Registers::Short(registers) => registers,
            Registers::Long(registers) => registers,
        };
        all.get(..self.count).unwrap_or(&[])
    }

    /// Returns the first registers, as many as the fastpath carries. Those beyond the message's own
    /// mean nothing.
    #[must_use]
    #[inline(always)]
    pub const fn head(&self) -> [u64; FASTPATH_REGISTERS] {
        match self.registers {
            Registers::Short(head) => head,
            Registers::Long([a, b, c, d, ..]) => [a, b, c, d],
        }
    }

    /// Returns the registers as an array of exactly `N`.
    ///
    /// # Errors
    /// [`ProtocolError::WrongLength`] if the message carries more or fewer: surplus registers are
    /// refused, never ignored.
    #[inline(always)]
    pub fn exactly<const N: usize>(&self) -> Result<[u64; N], ProtocolError> {
        let registers = match &self.registers {
            Registers::Short(registers) => registers.first_chunk(),
            Registers::Long(registers) => registers.first_chunk(),
        };
        match registers {
            Some(values) if self.count == N => Ok(*values),
            _ => Err(ProtocolError::WrongLength),
        }
    }
}

impl Default for Message {
    fn default() -> Self {
        Self::new(0, [])
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        (self.label, self.registers()) == (other.label, other.registers())
    }
}

impl Eq for Message {}

/// A server at the other end of a channel, called by protected procedure.
pub trait Transport {
    /// Calls the server and waits for its reply (Microkit manual, "Protected procedures").
    fn call(&mut self, request: Message) -> Message;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    fn call(&mut self, request: Message) -> Message {
        (**self).call(request)
    }
}

/// A malformed request or reply. These errors have a status range of their own (0xFF00 and up), so
/// that they are never confused with a service's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ProtocolError {
    /// The server has no operation with this number.
    UnknownOperation = 0xFF00,
    /// The operation takes more or fewer registers.
    WrongLength = 0xFF01,
    /// This version of the protocol has no such reply.
    BadReply = 0xFF02,
    /// The server was stopped, and nobody does its work any more (PM-370).
    Stopped = 0xFF03,
}

impl ProtocolError {
    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u64 {
        self as u64
    }

    /// Returns the error with this number.
    #[must_use]
    pub const fn from_status(status: u64) -> Option<Self> {
        match status {
            0xFF00 => Some(Self::UnknownOperation),
            0xFF01 => Some(Self::WrongLength),
            0xFF02 => Some(Self::BadReply),
            0xFF03 => Some(Self::Stopped),
            _ => None,
        }
    }

    /// Returns the reply that reports this error.
    #[must_use]
    pub const fn reply(self) -> Message {
        Message::new(self.status(), [])
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownOperation => {
                "unknown operation: is the server another one, or of another version?"
            }
            Self::WrongLength => "wrong number of registers",
            Self::BadReply => "unintelligible reply: is the channel that of the server?",
            Self::Stopped => "the server was stopped",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surplus_and_missing_registers_are_refused() {
        let message = Message::from_wire(7, &[1, 2]).unwrap();
        assert_eq!(message.exactly::<2>(), Ok([1, 2]));
        assert_eq!(message.exactly::<1>(), Err(ProtocolError::WrongLength));
        assert_eq!(message.exactly::<3>(), Err(ProtocolError::WrongLength));
        assert_eq!(Message::from_wire(7, &[0; 17]), Err(ProtocolError::WrongLength));
    }

    #[test]
    fn every_protocol_error_has_its_own_status() {
        for error in [
            ProtocolError::UnknownOperation,
            ProtocolError::WrongLength,
            ProtocolError::BadReply,
            ProtocolError::Stopped,
        ] {
            assert_eq!(ProtocolError::from_status(error.status()), Some(error));
        }
    }
}
