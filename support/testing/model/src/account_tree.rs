// SPDX-License-Identifier: BSD-2-Clause
//! Splitting accounts, their limits, and who may use them (PM-230 to PM-250).

use pmserver_api::{AccountHandle, AccountRights, ExtraRequest, LimitFlags, PmError, Reply};
use proto::{Micros, PeerId};

use crate::contents::Doubt;
use crate::expected::{Expected, Seen};
use crate::names::{Kind, Object};
use crate::objects::{Account, AccountId};
use crate::{Model, Outcome};

const LENT_MAX: usize = 16;

fn account_in(seen: Seen) -> Option<u64> {
    match seen.reply() {
        Some(Reply::Account(handle)) => Some(handle.raw()),
        _ => None,
    }
}

impl Model {
    /// Returns the account to split another off: the pool too, for whom sets policy.
    fn splittable(&self, caller: PeerId, handle: AccountHandle) -> Result<AccountId, Expected> {
        if handle == AccountHandle::POOL && self.setup(caller).sets_policy {
            return Ok(self.pool);
        }
        self.account(caller, handle, AccountRights::ALLOCATE)
    }

    pub(crate) fn account_split(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u64,
        flags: LimitFlags,
        seen: Seen,
    ) -> Outcome {
        let parent = self.splittable(caller, handle)?;
        if flags.contains(LimitFlags::EXCESS) {
            return Err(PmError::Invalid.into());
        }
        let may_have_extra = flags.contains(LimitFlags::EXTRA);
        if may_have_extra && !self.accounts[&parent].may_have_extra {
            return Err(PmError::NotEligible.into());
        }
        if let Some(failure) = self.shortage(seen, Some(parent), limit, PmError::QuotaExceeded) {
            return Err(self.short_of(failure, 0, 0..=0));
        }
        if self.room(parent).1 < limit {
            return Err(PmError::QuotaExceeded.into());
        }
        let id = AccountId(self.fresh());
        let mut account = Account::new(Some(parent), limit, may_have_extra);
        account.maker = Some(caller);
        self.accounts.insert(id, account);
        let raw = self.names.give(caller, Some(caller), Object::Account(id), account_in(seen));
        Ok(Expected::Exactly(Ok(Reply::Account(AccountHandle::from_raw(raw)))))
    }

    pub(crate) fn account_remove(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        seen: Seen,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::REMOVE)?;
        let Some(parent) = self.accounts[&id].parent.filter(|_| self.is_split(id)) else {
            return Err(PmError::NoRight.into());
        };
        let containers = self.containers.values().filter(|container| container.account == id);
        let frames: usize = containers.map(|container| container.frames.len()).sum();
        let more = Expected::Refused { error: PmError::Pending, done: 0..=256, at: 0..=0 };
        if frames > 256 && seen.0.is_some_and(|seen| more.allows(seen)) {
            return Err(more);
        }
        for container in self.containers.values_mut().filter(|c| c.account == id) {
            container.account = parent;
        }
        for account in self.accounts.values_mut().filter(|a| a.parent == Some(id)) {
            account.parent = Some(parent);
        }
        for peer in self.peers.values_mut().filter(|peer| peer.vspace_account == Some(id)) {
            peer.vspace_account = Some(parent);
        }
        self.accounts.remove(&id);
        self.names.forget(Object::Account(id));
        Ok(Expected::done())
    }

    fn is_split(&self, id: AccountId) -> bool {
        id != self.pool && !self.peers.values().any(|peer| peer.account == Some(id))
    }

    pub(crate) fn account_set_limits(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u64,
        flags: LimitFlags,
        seen: Seen,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::SET)?;
        let is_excess = flags.contains(LimitFlags::EXCESS);
        if is_excess && !self.setup(caller).sets_policy {
            return Err(PmError::NoRight.into());
        }
        if is_excess && !flags.contains(LimitFlags::EXTRA) {
            return Err(PmError::Invalid.into());
        }
        let Some(parent) = self.accounts[&id].parent else {
            return Err(PmError::NoRight.into());
        };
        let wants_extra = flags.contains(LimitFlags::EXTRA);
        let says = |error| seen.failure().is_some_and(|failure| failure.error == error);
        if wants_extra && !self.accounts[&parent].may_have_extra && says(PmError::NotEligible) {
            // It is said of splitting off alone.
            return Err(PmError::NotEligible.into());
        }
        let old = self.accounts[&id].limit;
        let (least, most) = self.room(id);
        let (in_use_least, in_use_most) = (old.saturating_sub(most), old.saturating_sub(least));
        let more = limit.saturating_sub(old);
        let is_refused = says(PmError::QuotaExceeded);
        let must_fit = if is_excess { self.fixed(id) } else { in_use_least };
        let may_fit = if is_excess { self.fixed(id) } else { in_use_most };
        let surely_not = more > self.room(parent).1 || limit < must_fit;
        let perhaps_not = more > self.room(parent).0 || limit < may_fit;
        if surely_not || (perhaps_not && is_refused) {
            return Err(PmError::QuotaExceeded.into());
        }
        let pending = Expected::Refused { error: PmError::Pending, done: 0..=256, at: 0..=0 };
        let is_pending = is_excess && seen.0.is_some_and(|seen| pending.allows(seen));
        let account = self.accounts.get_mut(&id).expect("it was looked up");
        account.limit = limit;
        account.may_have_extra = wants_extra;
        if is_excess && limit < in_use_most {
            // Which frames become extra, the newest, is for the server to say.
            let containers = self.containers.values_mut().filter(|c| c.account == id);
            for frame in containers.flat_map(|container| container.frames.values_mut()) {
                frame.is_extra = frame.is_extra.max(Doubt::Perhaps);
            }
        }
        Ok(if is_pending { pending } else { Expected::done() })
    }

    /// Returns what of an account's use is no frame, and what it has promised.
    fn fixed(&self, id: AccountId) -> u64 {
        let below: u64 = self.children(id).map(|id| self.accounts[&id].overhead).sum();
        self.accounts[&id].overhead.saturating_sub(below) + self.promised(id)
    }

    pub(crate) fn account_lend(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        to: PeerId,
        rights: AccountRights,
        seen: Seen,
    ) -> Outcome {
        let (id, held) = self.account_of(caller, handle).ok_or(PmError::InvalidCap)?;
        if self.accounts[&id].is_dying {
            return Err(PmError::InvalidCap.into());
        }
        let is_lent = held != AccountRights::all() || self.is_lent(caller, handle);
        if self.accounts[&id].maker != Some(caller) || is_lent {
            return Err(PmError::NoRight.into());
        }
        let is_there = self.peers.get(&to).is_some_and(|peer| !peer.is_stopped);
        let is_sensible = to != caller && !rights.is_empty();
        if !is_there || !is_sensible {
            // Of lending to oneself, or no right at all, nothing is said.
            let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Invalid);
            if !is_there || says_so {
                return Err(PmError::Invalid.into());
            }
        }
        if self.accounts[&id].lent.len() >= LENT_MAX {
            return Err(PmError::TooMany.into());
        }
        self.pay(seen, Some(id), PmError::QuotaExceeded)?;
        let raw = self.names.give(to, Some(caller), Object::Account(id), account_in(seen));
        self.accounts.get_mut(&id).expect("it was looked up").lent.insert((to, raw), rights);
        Ok(Expected::Exactly(Ok(Reply::Account(AccountHandle::from_raw(raw)))))
    }

    fn is_lent(&self, caller: PeerId, handle: AccountHandle) -> bool {
        self.accounts.values().any(|account| account.lent.contains_key(&(caller, handle.raw())))
    }

    pub(crate) fn account_recall(&mut self, caller: PeerId, lent: AccountHandle) -> Outcome {
        let own = self.accounts.iter_mut().filter(|(_, account)| account.maker == Some(caller));
        for (_, account) in own.filter(|(_, account)| !account.is_dying) {
            let name = account.lent.keys().find(|(_, raw)| *raw == lent.raw()).copied();
            let Some((peer, raw)) = name else { continue };
            account.lent.remove(&(peer, raw));
            self.names.forget_name(peer, Kind::Account, raw);
            return Ok(Expected::done());
        }
        // Whether the caller's own handle of an account that it lends is no handle, or no right.
        let is_own = self.account_of(caller, lent).is_some();
        let errors = [PmError::InvalidCap, PmError::NoRight];
        let count = if is_own { 2 } else { 1 };
        Err(Expected::OneOf(errors.into_iter().take(count).map(Expected::from).collect()))
    }

    pub(crate) fn vspace_account(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        seen: Seen,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::ALLOCATE)?;
        let peer = &self.peers[&caller];
        let error = PmError::Occupied;
        let mapped = peer.mappings.iter().find(|(_, mapping)| !mapping.is_doubtful);
        let occupied =
            mapped.map(|(page, _)| Expected::Refused { error, done: 0..=0, at: 0..=*page });
        let is_held = occupied.is_some() || !peer.regions.is_empty();
        let may_be_held = peer.had_tables || !peer.mappings.is_empty() || !peer.grants.is_empty();
        let says_so = seen.failure().is_some_and(|failure| failure.error == error);
        if is_held || (may_be_held && says_so) {
            let any = Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX };
            return Err(occupied.unwrap_or(any));
        }
        self.peers.get_mut(&caller).expect("it calls").vspace_account = Some(id);
        Ok(Expected::done())
    }

    /// Nothing is asked back as long as the pool was never short.
    pub(crate) fn extra_request(&mut self, _caller: PeerId, seen: Seen) -> Expected {
        let none = ExtraRequest { count: 0, deadline: Micros::new(0), sequence: 0 };
        let request = match seen.reply() {
            Some(Reply::ExtraRequest(request)) => *request,
            _ => none,
        };
        let is_believed = request.count == 0 || self.asked_until.is_some();
        Expected::Exactly(Ok(Reply::ExtraRequest(if is_believed { request } else { none })))
    }
}
