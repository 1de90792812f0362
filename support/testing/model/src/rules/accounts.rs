// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: who may use them, what they are charged, and whether one may be short.

use std::ops::RangeInclusive;

use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::{Micros, PeerId};

use crate::answers::{CALL_MICROS_MAX, Doubt, Expected};
use crate::state::{Account, AccountId, Container, ContainerId, Kind, Lease, Model, Object, Place};

/// Records in a page. A page has room for more capability slots than that.
const RECORDS_A_PAGE: u64 = 64;
/// Page tables that a range of pages may lack: three levels, and two tables of each if the range
/// crosses from one into the next.
const TABLES_MAX: u64 = 6;

/// Returns how many pages so many records take at most (PM-15). A frame or mapping is two.
pub(crate) const fn for_records(records: u64) -> u64 {
    records.div_ceil(RECORDS_A_PAGE)
}

/// Returns how many pages so many mappings take at most (PM-15): records, tables and slots.
pub(crate) const fn for_mappings(mappings: u64) -> u64 {
    for_records(2 * (mappings + TABLES_MAX)) + TABLES_MAX + mappings.div_ceil(RECORDS_A_PAGE)
}

fn sum(ranges: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    ranges.fold((0, 0), |(low, high), (from, to)| (low + from, high + to))
}

impl Model {
    /// Returns the account that a handle names, if it gives this right.
    pub(crate) fn account(
        &self,
        caller: PeerId,
        handle: AccountHandle,
        right: AccountRights,
    ) -> Result<AccountId, Expected> {
        let (id, rights) = self.account_of(caller, handle).ok_or(PmError::InvalidCap)?;
        if self.accounts[&id].is_dying && right != AccountRights::DESTROY {
            return Err(PmError::InvalidCap.into());
        }
        if rights.contains(right) { Ok(id) } else { Err(PmError::NoRight.into()) }
    }

    /// Returns the account that a handle names, and the rights that it gives.
    pub(crate) fn account_of(
        &self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Option<(AccountId, AccountRights)> {
        let setup = self.setup(caller);
        let mut rights = AccountRights::empty();
        rights.set(AccountRights::READ, setup.reads_accounts);
        if handle == AccountHandle::POOL {
            return Some((self.pool, rights));
        }
        let peer = if handle == AccountHandle::OWN { Some(caller) } else { handle.peer() };
        let Some(peer) = peer else { return self.account_by_number(caller, handle) };
        if peer == caller {
            rights |= AccountRights::ALLOCATE | AccountRights::READ;
        }
        if setup.sets_policy {
            rights |= AccountRights::READ | AccountRights::SET | AccountRights::DESTROY;
        }
        self.peers.get(&peer)?.account.map(|id| (id, rights))
    }

    fn account_by_number(
        &self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Option<(AccountId, AccountRights)> {
        let Some(Object::Account(id)) = self.names.find(caller, Kind::Account, handle.raw()) else {
            return None;
        };
        let lent = self.accounts[&id].lent.get(&(caller, handle.raw()));
        Some((id, lent.copied().unwrap_or(AccountRights::all())))
    }

    /// Returns whether something new may be charged to an account for a peer (PM-341).
    pub(crate) fn may_charge(&self, peer: PeerId, id: AccountId) -> bool {
        let is_left = self.left_over.contains(&(peer, id));
        self.is_limited.set(self.is_limited.get() || is_left);
        is_left || self.has_allocate(peer, id)
    }

    /// Returns whether a peer has ALLOCATE on an account.
    pub(crate) fn has_allocate(&self, peer: PeerId, id: AccountId) -> bool {
        let account = &self.accounts[&id];
        let mut lent = account.lent.iter().filter(|((to, _), _)| *to == peer);
        self.peers[&peer].account == Some(id)
            || account.maker == Some(peer)
            || lent.any(|(_, rights)| rights.contains(AccountRights::ALLOCATE))
    }

    /// Returns the account that something new in a container is charged to.
    pub(crate) fn charged(&self, id: ContainerId) -> Option<AccountId> {
        let container = &self.containers[&id];
        Some(container.account).filter(|account| self.may_charge(container.owner, *account))
    }

    pub(crate) fn children(&self, of: AccountId) -> impl Iterator<Item = AccountId> {
        let all = self.accounts.iter();
        all.filter(move |(_, account)| account.parent == Some(of)).map(|(id, _)| *id)
    }

    /// Returns an account and all below it.
    pub(crate) fn subtree(&self, of: AccountId) -> Vec<AccountId> {
        let mut all = vec![of];
        for id in self.children(of) {
            all.extend(self.subtree(id));
        }
        all
    }

    /// Returns an account and all above it.
    pub(crate) fn upwards(&self, from: AccountId) -> impl Iterator<Item = &Account> {
        let above = |account: &&Account| account.parent.map(|parent| &self.accounts[&parent]);
        std::iter::successors(self.accounts.get(&from), above)
    }

    /// Returns whether an account may have extra frames: it and all above it may.
    pub(crate) fn may_have_extra(&self, account: AccountId) -> bool {
        self.upwards(account).all(|account| account.may_have_extra)
    }

    pub(crate) fn promised(&self, by: AccountId) -> u64 {
        self.children(by).map(|id| self.accounts[&id].limit).sum()
    }

    fn containers_of(&self, account: AccountId) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(move |container| container.account == account)
    }

    /// Returns what an account itself is charged for frames of pins.
    pub(crate) fn pinned_frames(&self, account: AccountId) -> (u64, u64) {
        // If the holder has no account any more its parent pays, which is the pool.
        let is_pool = account == self.pool;
        let pins = self.leases.values().filter(|lease| {
            let payer = self.peers[&lease.holder].account;
            lease.is_pin && payer.map_or(is_pool, |payer| payer == account)
        });
        sum(pins.map(|lease| (if is_pool { 0 } else { lease.frames() }, lease.frames())))
    }

    /// Returns how many frames of an account cannot become extra, because of a pin (PM-461).
    pub(crate) fn kept_frames(&self, account: AccountId) -> u64 {
        let is_lasting = |lease: &&Lease| {
            let container = self.containers.get(&lease.container);
            lease.deadline == Micros::NEVER && container.is_some_and(|it| it.account == account)
        };
        self.active_leases().filter(is_lasting).map(Lease::frames).sum()
    }

    /// Returns how many frames an account itself is charged, extra ones included.
    pub(crate) fn own_frames(&self, account: AccountId) -> (u64, u64) {
        let containers = self.containers_of(account).map(|container| {
            let frames = container.frames.len() as u64 - container.gone;
            (if container.is_dying { 0 } else { frames }, frames)
        });
        sum(containers.chain([self.pinned_frames(account)]))
    }

    pub(crate) fn own_extra(&self, account: AccountId) -> (u64, u64) {
        sum(self.containers_of(account).map(|container| {
            let count = |test: fn(Doubt) -> bool| {
                container.frames.values().filter(|frame| test(frame.is_extra)).count() as u64
            };
            let surely = if container.is_dying { 0 } else { count(Doubt::surely) };
            (surely, count(Doubt::perhaps))
        }))
    }

    /// Returns what an account uses beside frames, without the accounts below it.
    pub(crate) fn own_overhead(&self, account: AccountId) -> u64 {
        let below: u64 = self.children(account).map(|id| self.accounts[&id].overhead).sum();
        self.accounts[&account].overhead.saturating_sub(below)
    }

    /// Returns what an account itself uses and has promised: at least and at most.
    pub(crate) fn committed(&self, account: AccountId) -> (u64, u64) {
        let (frames, extra) = (self.own_frames(account), self.own_extra(account));
        let fixed = self.own_overhead(account) + self.promised(account);
        (fixed + frames.0.saturating_sub(extra.1), fixed + frames.1.saturating_sub(extra.0))
    }

    /// Returns what an account may still be charged: at least and at most.
    pub(crate) fn room(&self, account: AccountId) -> (u64, u64) {
        let (least, most) = self.committed(account);
        let limit = self.accounts[&account].limit;
        (limit.saturating_sub(most), limit.saturating_sub(least))
    }

    /// Returns who may read an account, and by which handle.
    pub(crate) fn reader_of(&self, id: AccountId) -> Option<(PeerId, AccountHandle)> {
        let is_alive = |peer: &PeerId| !self.peers[peer].is_stopped;
        let account = self.accounts.get(&id).filter(|account| !account.is_dying)?;
        if let Some(maker) = account.maker.filter(is_alive) {
            let names = self.names.of(Object::Account(id));
            let mut own = names.filter(|name| name.0 == maker && !account.lent.contains_key(name));
            return own.next().map(|(peer, raw)| (peer, AccountHandle::from_raw(raw)));
        }
        let readers = self.config.peers.iter().filter(|setup| setup.reads_accounts);
        let reader = readers.map(|setup| setup.peer).find(is_alive);
        if id == self.pool {
            return reader.map(|reader| (reader, AccountHandle::POOL));
        }
        let holder = self.peers.iter().find(|(_, peer)| peer.account == Some(id))?;
        let by = reader.or(Some(*holder.0).filter(is_alive))?;
        Some((by, AccountHandle::of_peer(*holder.0)))
    }

    /// Returns whether an account has less room than so many pages, as far as the model knows.
    pub(crate) fn may_be_short(&self, account: Option<AccountId>, pages: u64) -> bool {
        let Some(account) = account.filter(|_| !self.is_limited.get()) else { return true };
        let is_known = self.subtree(account).iter().all(|id| self.reader_of(*id).is_some());
        !is_known || self.room(account).0 < pages
    }

    pub(crate) fn may_pool_be_short(&self, pages: u64) -> bool {
        self.reader_of(self.pool).is_none() || self.free < pages
    }

    /// Returns how many pages the pool has left, if the model decides that itself.
    pub(crate) fn pool_left(&self) -> u64 {
        if !self.observed.is_nothing() {
            return u64::MAX;
        }
        let frames = sum(self.accounts.keys().map(|id| self.own_frames(*id)));
        self.config.pool_pages.saturating_sub(frames.1)
    }

    /// Returns the server's refusal for want of memory, if it is possible: so many pages were to be
    /// charged at most.
    pub(crate) fn shortage(
        &self,
        payer: Option<AccountId>,
        pages: u64,
        error: PmError,
    ) -> Option<Failure> {
        let failure = self.observed.shortage(error)?;
        let is_possible = match failure.error {
            found if found == error => self.may_be_short(payer, pages),
            PmError::NoMemory if self.is_kernel_unsure => true,
            // Nobody gets new extra frames while somebody waits for what was promised (PM-342).
            PmError::NoMemory if self.asked_until.is_some() => true,
            PmError::NoMemory | PmError::Pending => self.may_pool_be_short(pages),
            _ => self.is_kernel_unsure,
        };
        is_possible.then_some(failure)
    }

    /// Refuses an operation that charges records, if the server says that it was short.
    pub(crate) fn pay(
        &mut self,
        payer: Option<AccountId>,
        pages: u64,
        error: PmError,
    ) -> Result<(), Expected> {
        let is_open = payer.is_some_and(|payer| !self.accounts[&payer].is_dying);
        if !is_open {
            return Err(error.into());
        }
        match self.shortage(payer, pages, error) {
            Some(failure) => Err(self.short_of(failure, 0, 0..=0)),
            None => Ok(()),
        }
    }

    /// Refuses what needs a record for a frame alone, after so many others, if the server says that
    /// the account was short (PM-450).
    pub(crate) fn pay_for_single(&mut self, place: Place, others: usize) -> Result<(), Expected> {
        const CLUSTER_RECORDS: u64 = 16;
        let error = PmError::QuotaExceeded;
        let account = self.containers[&place.0].account;
        let told = self.observed.shortage(error);
        let told = told.filter(|it| it.at == place.1 || it.error == PmError::Pending);
        let Some(told) = told else { return Ok(()) };
        if self.accounts[&account].is_dying && told.error == error {
            return Err(Expected::refused(error, 0, place.1));
        }
        let pages = for_records(CLUSTER_RECORDS * 2 * (others as u64 + 1));
        match self.shortage(Some(account), pages, error) {
            Some(failure) => Err(self.short_of(failure, 0, place.1..=place.1)),
            None => Ok(()),
        }
    }

    /// Returns the expectation of a shortage that is possible.
    pub(crate) fn short_of(
        &mut self,
        failure: Failure,
        done: u64,
        numbers: RangeInclusive<u64>,
    ) -> Expected {
        let error = failure.error;
        if error != PmError::Pending {
            return Expected::Refused { error, done: done..=done, at: numbers };
        }
        let from = self.now.get();
        let at = if failure.at == 0 { 0..=0 } else { from..=from.saturating_add(10_000_000) };
        let until = if failure.at == 0 { from } else { failure.at };
        // The first deadline: what was asked back then can be taken from then on.
        self.asked_until = self.asked_until.or(Some(Micros::new(until)));
        Expected::Refused { error, done: 0..=u64::MAX, at }
    }

    /// Returns what the server's clock can show during this call, so much later.
    pub(crate) fn within_call(&self, later: u64) -> RangeInclusive<u64> {
        let from = self.now.get().saturating_add(later);
        from..=from.saturating_add(CALL_MICROS_MAX)
    }
}
