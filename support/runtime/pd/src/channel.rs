// SPDX-License-Identifier: BSD-2-Clause
//! Converts the messages of `proto` to and from Microkit's message registers.

use proto::limits::FASTPATH_REGISTERS;
use proto::{Message, ProtocolError, Transport};
use sel4_microkit::{Channel, MessageInfo, with_msg_regs, with_msg_regs_mut};

/// The endpoint of a channel on which the domain may call protected procedures of the other end.
pub struct PpChannel(sel4::cap::Endpoint);

impl PpChannel {
    /// Returns the transport over the channel with this identifier.
    #[must_use]
    pub fn new(identifier: usize) -> Self {
        Self(Channel::new(identifier).endpoint())
    }
}

impl Transport for PpChannel {
    #[inline(always)]
    fn call(&mut self, request: Message) -> Message {
        match request.as_short() {
            Some((registers, count)) => self.call_short(request.label(), registers, count),
            None => self.call_long(&request).unwrap_or(ProtocolError::BadReply.reply()),
        }
    }
}

impl PpChannel {
    /// Calls with what the kernel's fastpath carries in registers of the processor.
    #[inline(always)]
    fn call_short(
        &self,
        label: u64,
        registers: [u64; FASTPATH_REGISTERS],
        count: usize,
    ) -> Message {
        let info = sel4::MessageInfo::new(label, 0, 0, count);
        let reply = self.0.call_with_mrs(info, registers);
        match reply.info.length() {
            count @ 0..=FASTPATH_REGISTERS => Message::short(reply.info.label(), reply.msg, count),
            _ => long_reply(reply.info, reply.msg).unwrap_or(ProtocolError::BadReply.reply()),
        }
    }

    #[cold]
    fn call_long(&self, request: &Message) -> Result<Message, ProtocolError> {
        receive(&MessageInfo::from_inner(self.0.call(send(request).into_inner())))
    }
}

/// Returns a reply of which the fastpath has carried only the first registers.
#[cold]
fn long_reply(
    info: sel4::MessageInfo,
    first: [u64; FASTPATH_REGISTERS],
) -> Result<Message, ProtocolError> {
    with_msg_regs_mut(|wire| {
        if let Some(head) = wire.first_chunk_mut() {
            *head = first;
        }
        take(info.label(), info.length(), wire)
    })
}

/// Writes a message to the message registers; returns the `MessageInfo` that describes it.
#[must_use]
#[inline(always)]
pub fn send(message: &Message) -> MessageInfo {
    MessageInfo::new(message.label(), with_msg_regs_mut(|wire| put(message, wire)))
}

/// Reads the message that arrived from the message registers.
///
/// # Errors
/// [`ProtocolError::WrongLength`] if it has more registers than a [`Message`] can have.
#[inline(always)]
pub fn receive(info: &MessageInfo) -> Result<Message, ProtocolError> {
    with_msg_regs(|wire| take(info.label(), info.count(), wire))
}

/// Writes the registers of a message to `wire`; returns how many there are.
#[must_use]
#[inline(always)]
pub fn put(message: &Message, wire: &mut [u64]) -> usize {
    match (message.as_short(), wire.first_chunk_mut()) {
        (Some((registers, count)), Some(head)) => {
            *head = registers;
            count
        }
        _ => put_long(*message, wire),
    }
}

#[cold]
fn put_long(message: Message, wire: &mut [u64]) -> usize {
    for (to, from) in wire.iter_mut().zip(message.registers()) {
        *to = *from;
    }
    message.registers().len()
}

/// Reads a message with this label and number of registers from `wire`.
///
/// # Errors
/// The same as [`receive`].
#[inline(always)]
pub fn take(label: u64, count: usize, wire: &[u64]) -> Result<Message, ProtocolError> {
    match wire.first_chunk() {
        Some(head) if count <= FASTPATH_REGISTERS => Ok(Message::short(label, *head, count)),
        // Moved, not returned: what another function writes to is in memory, whoever writes it.
        _ => Ok(Message::from_wire(label, wire.get(..count).ok_or(ProtocolError::WrongLength)?)?),
    }
}
