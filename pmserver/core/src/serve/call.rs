// SPDX-License-Identifier: BSD-2-Clause
//! The main loop of a call: decode, dispatch, retry under memory pressure, encode.

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, CopyFlags, Failure, Frames, PmError, Reply,
    Request, Serve,
};
use proto::{Message, PeerId};

use crate::kernel::Kernel;
use crate::records::failure::is_more_to_do;
use crate::serve::Service;
use crate::serve::pressure::Room;
use crate::store::claims::Waiting;

/// How often one call runs at most. The first retry has room for all of its frames; each later one
/// lacks only a page for records or a table.
pub(super) const RUNS_MAX: u32 = 8;

/// The part of a request's label that names the operation.
const OPERATION_MASK: u64 = 0xFFFF;

/// The frames that a request makes, and who pays for them.
enum Made<'a> {
    /// None.
    Nothing,
    /// Those of a range that do not exist yet.
    MissingOf(&'a Frames),
    /// This many in a container.
    In(ContainerHandle, u64),
    /// This many in a new container that an account pays for.
    For(AccountHandle, u64),
}

/// A call that is being served, and where its reply goes.
struct Serving<'a, K> {
    service: &'a mut Service<K>,
    caller: PeerId,
    reply: &'a mut Message,
}

impl<K: Kernel> Serve for Serving<'_, K> {
    type Answer = Result<(), Failure>;

    #[inline(always)]
    fn serve(self, request: &Request) -> Result<(), Failure> {
        self.service.serve_once(self.caller, request)?.encode_to(self.reply);
        Ok(())
    }
}

impl<K: Kernel> Service<K> {
    /// Answers one call. Every message gets a reply, and none can make the server panic.
    #[inline(always)]
    pub(crate) fn call(&mut self, caller: PeerId, message: &Message, reply: &mut Message) {
        self.store.allowances.serve(caller);
        let waiting = Waiting::Operation(message.label() & OPERATION_MASK);
        self.store.is_starved = false;
        let serving = Serving { service: self, caller, reply };
        match Request::decode_for(message, serving) {
            Ok(Ok(())) => self.store.claims.close(caller, waiting),
            Ok(Err(failure)) if self.is_starved_by(&failure) => {
                *reply = self.serve_again(caller, *message, waiting, failure);
            }
            Ok(Err(failure)) => {
                self.store.claims.close(caller, waiting);
                *reply = self.until_unpinned(failure).reply();
            }
            Err(error) => *reply = error.reply(),
        }
    }

    /// Returns a failure with the deadline of the pin that has kept a large frame from being split.
    #[cold]
    fn until_unpinned(&self, failure: Failure) -> Failure {
        let until = self.store.held_until.filter(|_| is_more_to_do(&failure));
        until.map_or(failure, |until| Failure { at: until.get(), ..failure })
    }

    /// Returns whether extra frames occupy memory that was promised for what has failed.
    fn is_starved_by(&self, failure: &Failure) -> bool {
        failure.error == PmError::NoMemory && self.store.is_starved
    }

    /// Makes room for a request that found no memory, and serves it again. It takes a copy of the
    /// message, so that the one that was received need not be in memory.
    #[cold]
    fn serve_again(
        &mut self,
        caller: PeerId,
        message: Message,
        waiting: Waiting,
        failure: Failure,
    ) -> Message {
        match Request::decode(&message) {
            Ok(request) => match self.make_room_and_run(caller, &request, waiting, failure) {
                Ok(reply) => reply.encode(),
                Err(failure) => failure.reply(),
            },
            Err(error) => error.reply(),
        }
    }

    /// Makes room for an operation that found no memory, and runs it again.
    fn make_room_and_run(
        &mut self,
        caller: PeerId,
        request: &Request,
        waiting: Waiting,
        mut failure: Failure,
    ) -> Result<Reply, Failure> {
        let again = |done| Err(Failure { error: PmError::Pending, done, at: 0 });
        let mut more_runs = 1..RUNS_MAX;
        loop {
            let free = self.store.get(self.store.pool()).free();
            let missing = self.frames_needed(caller, request, failure.done);
            match self.make_room(caller, waiting, missing.saturating_sub(free.into()).max(1)) {
                Room::Nowhere => return Err(failure),
                Room::Asked(at) => {
                    return Err(Failure { error: PmError::Pending, at: at.get(), ..failure });
                }
                Room::More => return again(failure.done),
                Room::Made if failure.done > 0 => return again(failure.done),
                Room::Made if more_runs.next().is_none() => return again(0),
                Room::Made => {}
            }
            self.store.is_starved = false;
            match self.serve_once(caller, request) {
                Err(another) if self.is_starved_by(&another) => failure = another,
                result => {
                    self.store.claims.close(caller, waiting);
                    return result;
                }
            }
        }
    }

    /// Returns how many frames an operation still has to make, up to the room that the paying
    /// account was promised.
    fn frames_needed(&self, caller: PeerId, request: &Request, done: u64) -> u64 {
        let (count, payer) = match made_by(request) {
            Made::Nothing => return 1,
            Made::MissingOf(frames) => {
                let missing = self.missing_frames(caller, frames);
                (missing.saturating_add(done), Err(frames.container))
            }
            Made::In(container, count) => (count, Err(container)),
            Made::For(account, count) => (count, Ok(account)),
        };
        let payer = match payer {
            Ok(account) => self.account(caller, account, AccountRights::ALLOCATE).ok(),
            Err(container) => {
                let container = self.owned_container(caller, container.raw());
                container.map(|container| self.store.payer_of_container(container))
            }
        };
        let room = payer.map_or(0, |payer| self.store.get(payer).room());
        count.saturating_sub(done).min(room.into())
    }
}

/// Returns the frames that a request makes.
fn made_by(request: &Request) -> Made<'_> {
    match request {
        Request::Allocate { frames, .. } => Made::MissingOf(frames),
        Request::AllocateContiguous { frames, .. } => {
            Made::In(frames.container, frames.count.get())
        }
        Request::AllocateAnywhere { container, count, .. } => Made::In(*container, count.get()),
        Request::Copy { destination, count, flags, .. } => {
            if flags.contains(CopyFlags::NEW) {
                Made::In(*destination, count.get())
            } else {
                Made::Nothing
            }
        }
        Request::CopyList { destination, pairs, flags, .. } => {
            if flags.contains(CopyFlags::NEW) {
                Made::In(*destination, length(pairs.items()))
            } else {
                Made::Nothing
            }
        }
        Request::CreateWith { account, count, .. } => Made::For(*account, count.get()),
        Request::CreateFrom { account, source, .. } => Made::For(*account, source.count.get()),
        Request::CreateGather { account, frames, .. } => {
            Made::For(*account, length(frames.items()))
        }
        Request::Version
        | Request::WhoAmI
        | Request::Clock
        | Request::ContainerCreate { .. }
        | Request::ContainerDestroy { .. }
        | Request::Deallocate { .. }
        | Request::Share { .. }
        | Request::Unshare { .. }
        | Request::Lock { .. }
        | Request::Unlock { .. }
        | Request::Map { .. }
        | Request::Unmap { .. }
        | Request::Status { .. }
        | Request::AccountInfo { .. }
        | Request::RegisterRecovery { .. }
        | Request::Watch { .. }
        | Request::Rescue
        | Request::Reclaim
        | Request::Remap { .. }
        | Request::Renew { .. }
        | Request::Attach { .. }
        | Request::Detach { .. }
        | Request::Grant { .. }
        | Request::Ungrant { .. }
        | Request::EnsureTables { .. }
        | Request::AccountSplit { .. }
        | Request::AccountDestroy { .. }
        | Request::AccountRemove { .. }
        | Request::AccountSetLimits { .. }
        | Request::AccountLend { .. }
        | Request::AccountRecall { .. }
        | Request::VspaceAccount { .. }
        | Request::Mark { .. }
        | Request::ExtraRequest
        | Request::Pin { .. }
        | Request::BusAddress { .. }
        | Request::DeviceReset { .. }
        | Request::SetHandler { .. }
        | Request::NextFault
        | Request::Supply { .. }
        | Request::Refuse { .. }
        | Request::Disturb { .. }
        | Request::Arm { .. }
        | Request::Inspect { .. }
        | Request::Disarm { .. }
        | Request::Take { .. } => Made::Nothing,
    }
}

fn length(items: impl IntoIterator) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}
