// SPDX-License-Identifier: BSD-2-Clause
//! The message form of `proto` over the message registers of the platform.

use proto::{Message, ProtocolError, Transport};
use sel4_microkit::{Channel, MessageInfo, with_msg_regs, with_msg_regs_mut};

/// A channel on which protected procedures of the other end are called.
pub struct PpChannel(Channel);

impl PpChannel {
    /// Returns the transport over the channel with this identifier.
    #[must_use]
    pub const fn new(identifier: usize) -> Self {
        Self(Channel::new(identifier))
    }
}

impl Transport for PpChannel {
    fn call(&mut self, request: Message) -> Message {
        let reply = self.0.pp_call(send(&request));
        receive(&reply).unwrap_or(ProtocolError::BadReply.reply())
    }
}

/// Puts a message into the message registers; the result announces it to the kernel.
#[must_use]
pub fn send(message: &Message) -> MessageInfo {
    MessageInfo::new(message.label(), with_msg_regs_mut(|wire| put(message, wire)))
}

/// Copies the message that arrived out of the message registers.
///
/// # Errors
/// [`ProtocolError::WrongLength`] where it has more registers than any message of the system.
pub fn receive(info: &MessageInfo) -> Result<Message, ProtocolError> {
    with_msg_regs(|wire| take(info.label(), info.count(), wire))
}

/// Puts the registers of a message into message registers; returns how many there are.
#[must_use]
pub fn put(message: &Message, wire: &mut [u64]) -> usize {
    for (to, from) in wire.iter_mut().zip(message.registers()) {
        *to = *from;
    }
    message.registers().len()
}

/// Copies the message with this label and number of registers out of message registers.
///
/// # Errors
/// As [`receive`].
pub fn take(label: u64, count: usize, wire: &[u64]) -> Result<Message, ProtocolError> {
    Message::from_wire(label, wire.get(..count).ok_or(ProtocolError::WrongLength)?)
}
