// SPDX-License-Identifier: BSD-2-Clause
//! The protection domain that a program runs in, and what a program is that serves others.

use crate::address_space::AddressSpace;
use crate::message::{Message, Transport};

/// A protection domain as its own program sees it. A program that reaches the platform in no other
/// way runs on seL4 and in the simulator.
pub trait Domain {
    /// What calls are made on.
    type Channel: Transport;
    /// What memory is accessed by.
    type Memory: AddressSpace;

    /// Returns the domain's end of a channel on which it may call.
    fn channel(&self, id: u8) -> Self::Channel;

    /// Returns access to the domain's own memory.
    fn memory(&self) -> Self::Memory;
}

/// What a program does that serves others. A function of a channel and a request is one that is
/// never notified.
pub trait Service {
    /// Returns the reply to a request that came in on this channel.
    fn protected(&mut self, channel: u8, request: &Message) -> Message;

    /// Does what there is to do after a notification.
    fn notified(&mut self) {}
}

impl<F: FnMut(u8, &Message) -> Message> Service for F {
    fn protected(&mut self, channel: u8, request: &Message) -> Message {
        self(channel, request)
    }
}
