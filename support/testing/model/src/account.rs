// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: who may use them, what they are charged, and whether one may be short.

use std::ops::RangeInclusive;

use pmserver_api::{AccountHandle, AccountInfo, AccountRights, Failure, PmError, Reply};
use proto::{PAGE_BYTES, PeerId};

use crate::contents::Doubt;
use crate::expected::{CountBounds, Expected, Seen};
use crate::names::{Kind, Object};
use crate::objects::{Account, AccountId, Container};
use crate::{Model, Outcome, PeerSetup};

/// What tables, slots and records of one call take at most, besides a page for some frames each:
/// the model does not know it, and believes an account with less room to be short.
const SLACK_PAGES: u64 = 40;
const SLACK_FRAMES_A_PAGE: u64 = 4;

impl Account {
    pub(crate) const fn new(parent: Option<AccountId>, limit: u64, may_have_extra: bool) -> Self {
        Self {
            parent,
            limit,
            may_have_extra,
            maker: None,
            lent: std::collections::BTreeMap::new(),
            is_dying: false,
            overhead: 0,
        }
    }
}

/// Returns what stands for pages that only the server knows.
fn slack(frames: u64) -> u64 {
    SLACK_PAGES + frames / SLACK_FRAMES_A_PAGE
}

fn sum(ranges: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    ranges.fold((0, 0), |(low, high), (from, to)| (low + from, high + to))
}

impl Model {
    pub(crate) fn setup(&self, peer: PeerId) -> PeerSetup {
        let setup = self.config.peers.iter().find(|setup| setup.peer == peer);
        *setup.expect("who calls is configured")
    }

    /// Returns the account that a handle names, if it gives this right.
    pub(crate) fn account(
        &self,
        caller: PeerId,
        handle: AccountHandle,
        right: AccountRights,
    ) -> Result<AccountId, Expected> {
        let (id, rights) = self.account_of(caller, handle).ok_or(PmError::InvalidCap)?;
        let is_destroyed_on = right == AccountRights::DESTROY;
        match self.accounts.get(&id) {
            Some(account) if !account.is_dying || is_destroyed_on => {}
            _ => return Err(PmError::InvalidCap.into()),
        }
        if rights.contains(right) { Ok(id) } else { Err(PmError::NoRight.into()) }
    }

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

    pub(crate) fn promised(&self, by: AccountId) -> u64 {
        self.children(by).map(|id| self.accounts[&id].limit).sum()
    }

    fn containers_of(&self, account: AccountId) -> impl Iterator<Item = &Container> {
        self.containers.values().filter(move |container| container.account == account)
    }

    /// Returns what an account itself is charged for frames, extra ones included.
    fn own_frames(&self, account: AccountId) -> (u64, u64) {
        let containers = self.containers_of(account).map(|container| {
            let frames = container.frames.len() as u64 - container.gone;
            (if container.is_dying { 0 } else { frames }, frames)
        });
        // What a holder whose account is gone still holds is somebody's: the pool's, if anybody's.
        let is_pool = account == self.pool;
        let pins = self.leases.values().filter(|lease| {
            let payer = self.peers[&lease.holder].account;
            lease.is_pin && payer.map_or(is_pool, |payer| payer == account)
        });
        let pins = pins.map(|lease| {
            let is_doubtful = lease.is_over == Doubt::Perhaps || is_pool;
            (if is_doubtful { 0 } else { lease.frames() }, lease.frames())
        });
        sum(containers.chain(pins))
    }

    fn own_extra(&self, account: AccountId) -> (u64, u64) {
        sum(self.containers_of(account).map(|container| {
            let count = |test: fn(Doubt) -> bool| {
                container.frames.values().filter(|frame| test(frame.is_extra)).count() as u64
            };
            let surely = if container.is_dying { 0 } else { count(Doubt::surely) };
            (surely, count(Doubt::perhaps))
        }))
    }

    /// Returns what an account may still be charged: at least and at most, as its records take no
    /// one knows how much.
    pub(crate) fn room(&self, account: AccountId) -> (u64, u64) {
        let (frames, extra) = (self.own_frames(account), self.own_extra(account));
        let below: u64 = self.children(account).map(|id| self.accounts[&id].overhead).sum();
        let overhead = self.accounts[&account].overhead.saturating_sub(below);
        let limit = self.accounts[&account].limit;
        let left = limit.saturating_sub(self.promised(account)).saturating_sub(overhead);
        let least = frames.0.saturating_sub(extra.1);
        let most = frames.1.saturating_sub(extra.0);
        (left.saturating_sub(most), left.saturating_sub(least))
    }

    /// Whether an account may be too short for so many frames and what they take besides.
    pub(crate) fn may_be_short(&self, account: Option<AccountId>, frames: u64) -> bool {
        let Some(account) = account else { return true };
        self.room(account).0 < frames + slack(frames)
    }

    pub(crate) fn may_pool_be_short(&self, frames: u64) -> bool {
        self.free < frames + slack(frames)
    }

    /// Returns how many pages the pool has left, where it is for the model to say.
    pub(crate) fn pool_left(&self, seen: Seen) -> u64 {
        if seen.0.is_some() {
            return u64::MAX;
        }
        let frames = sum(self.accounts.keys().map(|id| self.own_frames(*id)));
        self.config.pool_pages.saturating_sub(frames.1)
    }

    /// Returns the refusal that a server answered, where it is one for want of memory, and this can
    /// be: so many frames and their records were to be charged.
    pub(crate) fn shortage(
        &self,
        seen: Seen,
        payer: Option<AccountId>,
        frames: u64,
        error: PmError,
    ) -> Option<Failure> {
        let failure = seen.failure()?;
        let is_believed = match failure.error {
            found if found == error => self.may_be_short(payer, frames),
            PmError::NoMemory if self.is_kernel_unsure => true,
            PmError::NoMemory | PmError::Pending => self.may_pool_be_short(frames),
            PmError::Kernel => self.is_kernel_unsure,
            _ => false,
        };
        is_believed.then_some(failure)
    }

    /// Stops an operation that charges records alone where the server says that it was short.
    pub(crate) fn pay(
        &mut self,
        seen: Seen,
        payer: Option<AccountId>,
        error: PmError,
    ) -> Result<(), Expected> {
        if payer.is_none() {
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        match self.shortage(seen, payer, 0, error) {
            Some(failure) => Err(self.short_of(failure, 0, 0..=u64::MAX)),
            None => Ok(()),
        }
    }

    /// Returns the expected refusal for a shortage that is believed.
    pub(crate) fn short_of(
        &mut self,
        failure: Failure,
        done: u64,
        numbers: RangeInclusive<u64>,
    ) -> Expected {
        let error = failure.error;
        if error == PmError::Pending {
            let from = self.now.get();
            let at = if failure.at == 0 { 0..=0 } else { from..=from.saturating_add(10_000_000) };
            if failure.at != 0 {
                self.asked_until = Some(proto::Micros::new(failure.at));
            }
            return Expected::Refused { error, done: 0..=u64::MAX, at };
        }
        let at = if failure.at == 0 { 0..=0 } else { numbers };
        Expected::Refused { error, done: done..=done, at }
    }

    pub(crate) fn account_info(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        seen: Seen,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::READ)?;
        let all = self.subtree(id);
        let frames = sum(all.iter().map(|id| self.own_frames(*id)));
        let extra = sum(all.iter().map(|id| self.own_extra(*id)));
        let is_pool = id == self.pool;
        // When a dying account is gone only the server knows, as anybody may have freed the rest.
        let is_known = !is_pool && self.children(id).all(|id| !self.accounts[&id].is_dying);
        let bounds = CountBounds {
            limit: self.accounts[&id].limit,
            promised: is_known.then(|| self.promised(id)),
            frames: frames.0..=frames.1,
            extra: extra.0..=extra.1,
            pool: is_pool.then_some(self.config.pool_pages),
        };
        match seen.reply() {
            Some(Reply::AccountInfo(info)) => self.learn_counts(id, info),
            _ if seen.0.is_none() => {
                return Ok(Expected::Exactly(Ok(Reply::AccountInfo(self.counts(&bounds)))));
            }
            _ => {}
        }
        Ok(Expected::Counts(bounds))
    }

    fn learn_counts(&mut self, id: AccountId, info: &AccountInfo) {
        let overhead = info.tables.get() + info.slots.get() + info.records.get();
        if let Some(account) = self.accounts.get_mut(&id) {
            account.overhead = overhead / PAGE_BYTES;
        }
        if id == self.pool {
            self.free = info.free.get() / PAGE_BYTES;
        }
    }

    /// Returns the counts that a server tells which needs no records.
    fn counts(&self, bounds: &CountBounds) -> AccountInfo {
        let bytes = proto::ByteCount::from_pages;
        let (frames, extra) = (*bounds.frames.start(), *bounds.extra.start());
        let free = bounds.pool.map_or(0, |pool| pool.saturating_sub(frames));
        AccountInfo {
            limit: bytes(bounds.limit),
            used: bytes(frames.saturating_sub(extra)),
            frames: bytes(frames.saturating_sub(extra)),
            extra: bytes(extra),
            promised: bytes(bounds.promised.unwrap_or(0)),
            free: bytes(free),
            ..AccountInfo::default()
        }
    }

    /// What the protocol's clock shows during this call, so much later.
    pub(crate) fn within_call(&self, later: u64) -> RangeInclusive<u64> {
        let from = self.now.get().saturating_add(later);
        from..=from.saturating_add(crate::CALL_MICROS_MAX)
    }
}
