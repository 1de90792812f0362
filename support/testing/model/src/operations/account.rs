// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: what they use, splitting and lending them, their limits (PM-110, PM-230 to PM-250).

use pmserver_api::{
    AccountHandle, AccountInfo, AccountRights, ExtraRequest, LimitFlags, PmError, Reply,
};
use proto::limits::{ACCOUNT_DEPTH_MAX, ACCOUNT_LOANS_MAX, CALL_FRAMES_MAX};
use proto::{ByteCount, Micros, PAGE_BYTES, PeerId};

use crate::answers::{CountBounds, Doubt, Expected};
use crate::rules::for_records;
use crate::state::{Account, AccountId, Kind, Model, Object, Outcome};

impl Model {
    pub(crate) fn account_info(&mut self, caller: PeerId, handle: AccountHandle) -> Outcome {
        let id = self.account(caller, handle, AccountRights::READ)?;
        let all = self.subtree(id);
        let add = |(low, high): (u64, u64), (from, to): (u64, u64)| (low + from, high + to);
        let frames = all.iter().map(|id| self.own_frames(*id)).fold((0, 0), add);
        let extra = all.iter().map(|id| self.own_extra(*id)).fold((0, 0), add);
        let is_pool = id == self.pool;
        // Any call may have freed what was left of an account that is being destroyed.
        let is_known = !is_pool && self.children(id).all(|id| !self.accounts[&id].is_dying);
        let bounds = CountBounds {
            limit: self.accounts[&id].limit,
            promised: is_known.then(|| self.promised(id)),
            frames: frames.0..=frames.1,
            extra: extra.0..=extra.1,
            pool: is_pool.then_some(self.config.pool_pages),
        };
        if let Some(Reply::AccountInfo(info)) = self.observed.reply() {
            self.learn_counts(id, &info);
        } else if self.observed.is_nothing() {
            return Ok(Expected::Exactly(Ok(Reply::AccountInfo(counts(&bounds)))));
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

    pub(crate) fn account_split(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u64,
        flags: LimitFlags,
    ) -> Outcome {
        let is_pool = handle == AccountHandle::POOL && self.setup(caller).sets_policy;
        let parent = match is_pool {
            true => self.pool,
            false => self.account(caller, handle, AccountRights::ALLOCATE)?,
        };
        if flags.contains(LimitFlags::EXCESS) {
            return Err(PmError::Invalid.into());
        }
        let may_have_extra = flags.contains(LimitFlags::EXTRA);
        if may_have_extra && !self.may_have_extra(parent) {
            return Err(PmError::NotEligible.into());
        }
        if self.upwards(parent).count() >= ACCOUNT_DEPTH_MAX {
            return Err(PmError::TooMany.into());
        }
        let pages = limit + for_records(2);
        self.pay(Some(parent), pages, PmError::QuotaExceeded)?;
        if self.room(parent).1 < limit {
            return Err(PmError::QuotaExceeded.into());
        }
        let id = AccountId(self.fresh());
        let account = Account::new(Some(parent), limit, may_have_extra);
        self.accounts.insert(id, Account { maker: Some(caller), ..account });
        let handle = self.give_account(caller, caller, id);
        Ok(Expected::Exactly(Ok(Reply::Account(handle))))
    }

    /// Gives a peer a handle of an account.
    fn give_account(&mut self, to: PeerId, maker: PeerId, id: AccountId) -> AccountHandle {
        let told = self.observed.handle();
        let raw = self.names.give(to, Some(maker), Object::Account(id), told);
        AccountHandle::from_raw(raw)
    }

    pub(crate) fn account_remove(&mut self, caller: PeerId, handle: AccountHandle) -> Outcome {
        let id = self.account(caller, handle, AccountRights::REMOVE)?;
        let parent = self.accounts[&id].parent.expect("nobody has REMOVE on the pool");
        for peer in self.peers.keys().copied().collect::<Vec<PeerId>>() {
            let could = self.may_charge(peer, id);
            self.left_over.remove(&(peer, id));
            if could && !self.has_allocate(peer, parent) {
                self.left_over.insert((peer, parent));
            }
        }
        let containers = self.containers.values_mut().filter(|c| c.account == id);
        containers.for_each(|container| container.account = parent);
        let below = self.accounts.values_mut().filter(|account| account.parent == Some(id));
        below.for_each(|account| account.parent = Some(parent));
        let users = self.peers.values_mut().filter(|peer| peer.vspace_account == Some(id));
        users.for_each(|peer| peer.vspace_account = Some(parent));
        self.accounts.remove(&id);
        self.names.forget(Object::Account(id));
        Ok(Expected::done())
    }

    pub(crate) fn account_set_limits(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u64,
        flags: LimitFlags,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::SET)?;
        let may_exceed = flags.contains(LimitFlags::EXCESS);
        if may_exceed && !self.setup(caller).sets_policy {
            return Err(PmError::NoRight.into());
        }
        let wants_extra = flags.contains(LimitFlags::EXTRA);
        if may_exceed && !wants_extra {
            return Err(PmError::Invalid.into());
        }
        let parent = self.accounts[&id].parent.expect("nobody has SET on the pool");
        if wants_extra && !self.may_have_extra(parent) {
            return Err(PmError::NotEligible.into());
        }
        let more = limit.saturating_sub(self.accounts[&id].limit);
        let (in_use, in_use_most) = self.committed(id);
        let kept = self.kept_frames(id);
        let fixed = self.own_overhead(id) + self.promised(id) + self.pinned_frames(id).0 + kept;
        let (needed, needed_most) = if may_exceed { (fixed, fixed) } else { (in_use, in_use_most) };
        let surely_not = more > self.room(parent).1 || limit < needed;
        let perhaps_not = self.may_be_short(Some(parent), more)
            || self.may_be_short(Some(id), 0)
            || limit < needed_most;
        let is_told = self.observed.refusal(PmError::QuotaExceeded).is_some();
        let excess = in_use.saturating_sub(limit);
        // A call that does not suffice looks at as many frames as it demotes, and at no more.
        let is_short = surely_not && (excess <= CALL_FRAMES_MAX || !may_exceed);
        if is_short || perhaps_not && is_told {
            return Err(PmError::QuotaExceeded.into());
        }
        // What is left of containers that are being destroyed may be in use, too.
        let most = in_use_most.saturating_sub(limit);
        let is_more = most > CALL_FRAMES_MAX && self.observed.refusal(PmError::Pending).is_some();
        let (in_use, excess) = if is_more { (in_use_most, most) } else { (in_use, excess) };
        let step = excess.min(CALL_FRAMES_MAX);
        let account = self.accounts.get_mut(&id).expect("it was looked up");
        account.limit = limit.max(in_use - step);
        account.may_have_extra = wants_extra;
        if in_use_most > limit {
            // Which frames are the newest depends on records, too, and what is left of containers
            // that are being destroyed has frames as well.
            self.doubt_extra(id);
        }
        match excess > step {
            true => Err(Expected::refused(PmError::Pending, step, 0)),
            false => Ok(Expected::done()),
        }
    }

    /// Notes that frames within the limit may be extra now.
    pub(crate) fn doubt_extra(&mut self, account: AccountId) {
        let containers = self.containers.values_mut().filter(|c| c.account == account);
        for frame in containers.flat_map(|container| container.frames.values_mut()) {
            frame.is_extra = frame.is_extra.max(Doubt::Perhaps);
        }
    }

    pub(crate) fn account_lend(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        to: PeerId,
        rights: AccountRights,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::empty())?;
        if self.accounts[&id].maker != Some(caller) {
            return Err(PmError::NoRight.into());
        }
        let is_there = self.peers.get(&to).is_some_and(|peer| !peer.is_stopped);
        if !is_there || to == caller || rights.is_empty() {
            return Err(PmError::Invalid.into());
        }
        if self.accounts[&id].lent.len() >= ACCOUNT_LOANS_MAX {
            return Err(PmError::TooMany.into());
        }
        self.pay(Some(id), for_records(1), PmError::QuotaExceeded)?;
        let handle = self.give_account(to, caller, id);
        let account = self.accounts.get_mut(&id).expect("it was looked up");
        account.lent.insert((to, handle.raw()), rights);
        if rights.contains(AccountRights::ALLOCATE) {
            self.left_over.remove(&(to, id));
        }
        Ok(Expected::Exactly(Ok(Reply::Account(handle))))
    }

    pub(crate) fn account_recall(&mut self, caller: PeerId, lent: AccountHandle) -> Outcome {
        let own = self.accounts.values_mut().filter(|account| account.maker == Some(caller));
        for account in own.filter(|account| !account.is_dying) {
            let name = account.lent.keys().find(|(_, raw)| *raw == lent.raw()).copied();
            if let Some(name) = name {
                account.lent.remove(&name);
                self.names.forget_name(name.0, Kind::Account, name.1);
                return Ok(Expected::done());
            }
        }
        Err(PmError::InvalidCap.into())
    }

    pub(crate) fn vspace_account(&mut self, caller: PeerId, handle: AccountHandle) -> Outcome {
        let id = self.account(caller, handle, AccountRights::ALLOCATE)?;
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let error = PmError::Occupied;
        let first = peer.mappings.iter().find(|(_, mapping)| !mapping.is_doubtful);
        if let Some((page, _)) = first {
            let is_exact = peer.mappings.values().all(|mapping| !mapping.is_doubtful);
            let from = if is_exact { *page } else { 0 };
            return Err(Expected::Refused { error, done: 0..=0, at: from..=*page });
        }
        let has_grant = peer.grants.values().any(|grant| !grant.is_doubtful);
        let may_have = peer.had_tables || !peer.mappings.is_empty() || !peer.grants.is_empty();
        let is_told = self.observed.refusal(error).is_some();
        if !peer.regions.is_empty() || has_grant || may_have && is_told {
            let last = peer.mappings.keys().next_back().copied().unwrap_or(0);
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=last });
        }
        peer.vspace_account = Some(id);
        Ok(Expected::done())
    }

    /// Nothing is asked back as long as the pool was never short.
    pub(crate) fn extra_request(&mut self) -> Expected {
        let none = ExtraRequest { count: 0, deadline: Micros::new(0), sequence: 0 };
        let told = match self.observed.reply() {
            Some(Reply::ExtraRequest(told)) if self.asked_until.is_some() => told,
            _ => none,
        };
        Expected::Exactly(Ok(Reply::ExtraRequest(told)))
    }
}

/// Returns the counts that a server tells which needs no records.
fn counts(bounds: &CountBounds) -> AccountInfo {
    let bytes = ByteCount::from_pages;
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
