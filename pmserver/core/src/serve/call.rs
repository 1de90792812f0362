// SPDX-License-Identifier: BSD-2-Clause
//! The main loop of a call: decode, dispatch, retry under memory pressure, encode.

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, CopyFlags, Failure, Frames, PmError, Reply,
    Request,
};
use proto::{Message, PeerId};

use crate::kernel::Kernel;
use crate::serve::Service;
use crate::serve::pressure::Room;
use crate::store::claims::Waiting;

/// How often one call runs at most. The first retry has room for all of its frames; each later one
/// lacks only a page for records or a table.
pub(super) const RUNS_MAX: u32 = 8;

/// The part of a request's label that names the operation.
const OPERATION_MASK: u64 = 0xFFFF;

/// What came of one run of an operation.
enum Run {
    /// It is answered with this.
    Over(Result<Reply, Failure>),
    /// Extra frames occupy memory that was promised for it.
    Starved(Failure),
}

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

impl<K: Kernel> Service<K> {
    /// Answers one call. Every message gets a reply, and none can make the server panic.
    pub(crate) fn call(&mut self, caller: PeerId, message: &Message) -> Message {
        self.store.allowances.serve(caller);
        let waiting = Waiting::Operation(message.label() & OPERATION_MASK);
        // By reference: requests and replies are large, and a move of one is a call of `memcpy`.
        match &Request::decode(message) {
            Ok(request) => match &self.serve_with_memory(caller, request, waiting) {
                Ok(reply) => reply.encode(),
                Err(failure) => failure.reply(),
            },
            Err(error) => error.reply(),
        }
    }

    /// Runs an operation. If extra frames occupy the memory that it needs, makes room and runs it
    /// again.
    #[inline(always)]
    fn serve_with_memory(
        &mut self,
        caller: PeerId,
        request: &Request,
        waiting: Waiting,
    ) -> Result<Reply, Failure> {
        match self.run(caller, request, waiting) {
            Run::Over(result) => result,
            Run::Starved(failure) => self.make_room_and_run(caller, request, waiting, failure),
        }
    }

    /// Runs an operation once.
    #[inline(always)]
    fn run(&mut self, caller: PeerId, request: &Request, waiting: Waiting) -> Run {
        self.store.is_starved = false;
        match self.serve_once(caller, request) {
            Err(failure) if failure.error == PmError::NoMemory && self.store.is_starved => {
                Run::Starved(failure)
            }
            result => {
                self.store.claims.close(caller, waiting);
                Run::Over(result)
            }
        }
    }

    /// Makes room for an operation that found no memory, and runs it again.
    #[cold]
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
            let free = self.store.get(self.pool_account).free();
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
            match self.run(caller, request, waiting) {
                Run::Over(result) => return result,
                Run::Starved(another) => failure = another,
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
        | Request::Disarm { .. }
        | Request::Take { .. } => Made::Nothing,
    }
}

fn length(items: impl IntoIterator) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}
