// SPDX-License-Identifier: BSD-2-Clause
//! The main loop of a call: decode, dispatch, retry under memory pressure, encode.

use pmserver_api::{
    AccountRights, CallError, ContainerHandle, CopyFlags, Failure, Frames, PmError, Reply, Request,
};
use proto::{Message, PeerId};

use crate::kernel::Kernel;
use crate::records::range::Range;
use crate::serve::Service;
use crate::serve::pressure::Room;

/// How often one call runs at most. The first retry has room for all of its frames; each later one
/// lacks only a page for records or a table.
const RUNS_MAX: u32 = 8;

impl<K: Kernel> Service<K> {
    /// Answers one call. Every message gets a reply, and none can make the server panic.
    pub(crate) fn call(&mut self, caller: PeerId, message: &Message) -> Message {
        let reply = Request::decode(message).and_then(|request| {
            self.serve_with_memory(caller, &request)
                .map_err(|failure: Failure| CallError::Refused(failure))
        });
        match reply {
            Ok(reply) => reply.encode(),
            Err(error) => error.reply(),
        }
    }

    /// Runs an operation. If extra frames occupy the memory that it needs, makes room and runs it
    /// again.
    fn serve_with_memory(&mut self, caller: PeerId, request: &Request) -> Result<Reply, Failure> {
        let again = |done| Err(Failure { error: PmError::Pending, done, at: 0 });
        for _ in 0..RUNS_MAX {
            self.store.is_starved = false;
            let result = self.dispatch(caller, request);
            let Err(failure) = result else { return result };
            if failure.error != PmError::NoMemory || !self.store.is_starved {
                return result;
            }
            let free = self.store.get(self.pool_account).free();
            let missing = self.frames_needed(caller, request, failure.done);
            match self.make_room(missing.saturating_sub(free.into()).max(1)) {
                Room::Nowhere => return result,
                Room::Asked(at) => {
                    return Err(Failure { error: PmError::Pending, at: at.get(), ..failure });
                }
                Room::Made if failure.done > 0 => return again(failure.done),
                Room::Made => {}
            }
        }
        again(0)
    }

    /// Returns how many frames an operation still has to make, up to the room that the paying
    /// account was promised.
    fn frames_needed(&self, caller: PeerId, request: &Request, done: u64) -> u64 {
        let of_container = |container: ContainerHandle| {
            self.owned_container(caller, container.raw()).map(|container| self.payer(container))
        };
        let named = |account| self.account(caller, account, AccountRights::ALLOCATE).ok();
        let (count, payer) = match request {
            Request::Allocate { frames, .. } => {
                let missing = self.missing_frames(caller, frames);
                (missing.saturating_add(done), of_container(frames.container))
            }
            Request::AllocateContiguous { frames, .. } => {
                (frames.count.get(), of_container(frames.container))
            }
            Request::AllocateAnywhere { container, count, .. } => {
                (count.get(), of_container(*container))
            }
            Request::Copy { destination, count, flags, .. } if flags.contains(CopyFlags::NEW) => {
                (count.get(), of_container(*destination))
            }
            Request::CopyList { destination, pairs, flags, .. }
                if flags.contains(CopyFlags::NEW) =>
            {
                (length(pairs.items()), of_container(*destination))
            }
            Request::CreateWith { account, count, .. } => (count.get(), named(*account)),
            Request::CreateFrom { account, source, .. } => (source.count.get(), named(*account)),
            Request::CreateGather { account, frames, .. } => {
                (length(frames.items()), named(*account))
            }
            _ => return 1,
        };
        let room = payer.map_or(0, |payer| self.store.get(payer).room());
        count.saturating_sub(done).min(room.into())
    }

    /// Returns how many frames of a range do not exist.
    fn missing_frames(&self, caller: PeerId, frames: &Frames) -> u64 {
        let container = self.owned_container(caller, frames.container.raw());
        let range = Range::new(frames.start, frames.count.get());
        let Some((container, range)) = container.zip(range) else { return 0 };
        let is_missing = |number: &u64| self.find_frame(container, *number).is_none();
        length((range.first..=range.last).filter(is_missing))
    }
}

fn length(items: impl IntoIterator) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}
