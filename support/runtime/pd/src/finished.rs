// SPDX-License-Identifier: BSD-2-Clause
//! A protection domain whose program has run: it does all its work in `init`.

use proto::ProtocolError;
use sel4_microkit::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, var};

use crate::channel::send;

/// There is nothing more to do. The domain offers no procedures and has no children.
pub struct Finished;

/// Says that the program has run: notifies who is at the channel that the system file names by the
/// variable `finished_channel`. Nobody has to be.
#[must_use]
pub fn finished() -> Finished {
    // Channel 0 is pmserver's.
    if let Ok(channel @ 1..) = usize::try_from(*var!(finished_channel: u64 = 0)) {
        Channel::new(channel).notify();
    }
    Finished
}

impl Handler for Finished {
    type Error = Infallible;

    fn protected(&mut self, _: Channel, _: MessageInfo) -> Result<MessageInfo, Infallible> {
        Ok(send(&ProtocolError::UnknownOperation.reply()))
    }

    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }

    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
