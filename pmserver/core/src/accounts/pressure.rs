// SPDX-License-Identifier: BSD-2-Clause
//! Memory pressure: taking extra frames back where somebody needs what was promised (protocol R12,
//! R13, O16).
//!
//! An operation that is refused memory undoes itself; then room is made here, and it runs again.
//! So nothing is dropped under the hands of an operation. Nobody is waited for: whoever needs the
//! memory is told when to ask again.
//!
//! ```text
//!   refused -> drop discardable extra frames -> enough: run again
//!                        | not enough
//!                        v
//!              a request runs? -> Pending until its deadline
//!                        | no: its deadline has passed, or there is none
//!                        v
//!              drop what was asked for and not given back -> enough: run again
//!                        | not enough
//!                        v
//!              ask, notify, Pending until the deadline
//! ```

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, CopyFlags, ExtraRequest, Failure, Frames,
    PmError, Reply, Request,
};
use proto::limits::{ASKED_ACCOUNTS_MAX, EXTRA_MICROS, PRESSURE_FRAMES_MAX};
use proto::{Micros, PeerId};

use crate::accounts::account::Account;
use crate::accounts::demand::Asked;
use crate::accounts::extra::FrameList;
use crate::accounts::ledger::PressedAccounts;
use crate::accounts::loan::Loan;
use crate::broken;
use crate::containers::objects::{Container, Frame};
use crate::containers::range::Range;
use crate::kernel::Kernel;
use crate::memory::radix::Leaf;
use crate::memory::records::Ref;
use crate::server::Server;

/// How often a call runs again at most: the first time room was made for all of its frames, so
/// that what it lacks afterwards is a page for records or a table at a time.
const RUNS_MAX: u32 = 8;

/// What came of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is as much as is needed.
    Made,
    /// It was asked for, until this deadline.
    Asked(Micros),
    /// There is no extra frame that could be taken.
    Nowhere,
}

/// The frames that an operation makes.
enum Made<'a> {
    /// None.
    Nothing,
    /// Those of a range that do not exist yet.
    MissingOf(&'a Frames),
    /// So many in a container.
    In(ContainerHandle, u64),
    /// So many in a new container that an account pays for.
    For(AccountHandle, u64),
}

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
        | Request::Disturb { .. } => Made::Nothing,
    }
}

impl<K: Kernel> Server<K> {
    /// Runs an operation; where extra frames have the memory that it needs, makes room and runs it
    /// again.
    pub(crate) fn serve(&mut self, caller: PeerId, request: &Request) -> Result<Reply, Failure> {
        let again = |done| Err(Failure { error: PmError::Pending, done, at: 0 });
        for _ in 0..RUNS_MAX {
            self.pool.is_starved = false;
            let result = self.operate(caller, request);
            let Err(failure) = result else { return result };
            if failure.error != PmError::NoMemory || !self.pool.is_starved {
                return result;
            }
            let free = self.pool.get(self.pool_account).free();
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

    /// Returns how many frames an operation has yet to make, as far as they are promised to whoever
    /// pays for them; 1 if it makes none, for a record or a table.
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
                container.map(|container| self.payer(container))
            }
        };
        let room = payer.map_or(0, |payer| self.pool.get(payer).room());
        count.saturating_sub(done).min(room.into())
    }

    /// Returns how many frames of a range are not there.
    fn missing_frames(&self, caller: PeerId, frames: &Frames) -> u64 {
        let container = self.owned_container(caller, frames.container.raw());
        let range = Range::new(frames.start, frames.count.get());
        let Some((container, range)) = container.zip(range) else { return 0 };
        let is_missing = |number: &u64| self.find_frame(container, *number).is_none();
        length((range.first..=range.last).filter(is_missing))
    }

    /// Makes room for so many pages by dropping extra frames, or asks for it.
    pub(crate) fn make_room(&mut self, pages: u64) -> Room {
        let now = self.pool.kernel.now();
        let mut missing = pages.saturating_sub(self.drop_discardable(pages));
        if missing > 0
            && let Some(deadline) = self.pool.demand.running(now)
        {
            return Room::Asked(deadline);
        }
        missing = missing.saturating_sub(self.drop_overdue(missing));
        if missing == 0 { Room::Made } else { self.ask_back(missing, now) }
    }

    // --- dropping ---

    /// Drops discardable frames, at most so many; returns how many.
    fn drop_discardable(&mut self, most: u64) -> u64 {
        let mut dropped = 0;
        for _ in 0..PRESSURE_FRAMES_MAX {
            let first = Ref::from_link(self.pool.pressed.chain(FrameList::Discardable));
            let Some(ledger) = first.filter(|_| dropped < most) else { break };
            let account = self.pool.account_of(ledger);
            if self.drop_newest(account, FrameList::Discardable) {
                dropped = dropped.saturating_add(1);
            } else {
                self.pool.pass_over_account(ledger);
            }
        }
        dropped
    }

    /// Drops frames of accounts that were asked for them and have not given them back, at most so
    /// many; returns how many.
    fn drop_overdue(&mut self, most: u64) -> u64 {
        let mut dropped: u64 = 0;
        let mut looks = PRESSURE_FRAMES_MAX;
        let overdue = self.pool.demand;
        for Asked { account, count } in overdue.open() {
            let end = dropped.saturating_add(count.into()).min(most);
            while dropped < end && looks > 0 {
                looks = looks.saturating_sub(1);
                if self.drop_newest(account, FrameList::Extra) {
                    dropped = dropped.saturating_add(1);
                }
            }
        }
        dropped
    }

    /// Drops the newest frame of one of an account's lists of extra frames, unless it is leased or
    /// the kernel refuses: then it goes to the end of the list. Returns whether it did.
    fn drop_newest(&mut self, account: Ref<Account>, list: FrameList) -> bool {
        let first = self.pool.ledger(account).list(list);
        let Some(frame) = Ref::<Frame>::from_link(first) else { return false };
        let record = self.pool.get(frame);
        let number = record.key();
        let Some(container) = Ref::<Container>::from_link(record.container) else {
            broken("frame without a container")
        };
        self.expire_leases(container);
        if self.is_leased(container, number) || self.drop_contents(frame).is_err() {
            self.pool.pass_over(account, frame);
            return false;
        }
        self.discard_frame(container, frame);
        true
    }

    // --- asking ---

    /// Asks accounts for so many extra frames, those first that have not been asked for longest.
    fn ask_back(&mut self, frames: u64, now: Micros) -> Room {
        let mut missing = frames;
        let mut asked = [None; ASKED_ACCOUNTS_MAX];
        let lists = [FrameList::Extra, FrameList::Discardable];
        let chains = lists.map(|list| self.pool.pressed.chain(list));
        let ledgers = chains.iter().flat_map(|chain| self.pool.chain::<PressedAccounts>(*chain));
        for (place, ledger) in asked.iter_mut().zip(ledgers) {
            let account = self.pool.account_of(ledger);
            let count = self.pool.count_extra(account, missing);
            missing = missing.saturating_sub(count.into());
            *place = (count > 0).then_some(Asked { account, count });
        }
        for Asked { account, .. } in asked.into_iter().flatten() {
            self.pool.pass_over_account(self.pool.ledger_ref(account));
        }
        if asked.iter().flatten().next().is_none() {
            return Room::Nowhere;
        }
        let deadline = now.saturating_add(Micros::new(EXTRA_MICROS));
        self.pool.demand.begin(asked, deadline);
        for peer in self.peers.iter().flatten().map(|peer| peer.id) {
            if self.extra_request(peer).count > 0 {
                self.pool.kernel.notify(peer);
            }
        }
        Room::Asked(deadline)
    }

    /// Tells whether extra frames of the caller's are asked back.
    pub(crate) fn extra_request(&self, caller: PeerId) -> ExtraRequest {
        let demand = &self.pool.demand;
        let open = demand.open().filter(|asked| self.is_answerable(caller, asked.account));
        let count = open.map(|asked| u64::from(asked.count)).sum();
        if count == 0 {
            return ExtraRequest { count, deadline: Micros::new(0), sequence: 0 };
        }
        ExtraRequest { count, deadline: demand.deadline, sequence: demand.sequence }
    }

    /// Returns whether a peer can give back what an account has: it is its own, or it has split it
    /// off, or may allocate from it.
    fn is_answerable(&self, peer: PeerId, account: Ref<Account>) -> bool {
        let is_lent =
            |loan: &Loan| loan.is_for(peer) && loan.rights().contains(AccountRights::ALLOCATE);
        self.peer_of_account(account) == Some(peer)
            || self.pool.get(account).is_made_by(peer)
            || self.pool.loans(account).any(is_lent)
    }
}

fn length(items: impl IntoIterator) -> u64 {
    u64::try_from(items.into_iter().count()).unwrap_or(u64::MAX)
}
