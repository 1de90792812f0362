// SPDX-License-Identifier: BSD-2-Clause
//! S41, S42: removing accounts and setting limits; and what other scenarios do with accounts.

use pmserver_api::{AccountHandle, AccountInfo, AccountRights, LimitFlags, PmError};
use proto::{AddressSpace, Transport};

use crate::cast::Actor::{self, Client, Parent, Server};
use crate::error::{Outcome, pm, refused, same};
use crate::world::{Made, READ_WRITE, WINDOW, World, at, frames, pages};

const NO_FLAGS: LimitFlags = LimitFlags::empty();

/// S41: "account_remove (inherit) without the right: NoRight; with it, objects now belong to
/// parent, no charge change."
pub(crate) fn s41<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let account = world.split(AccountHandle::OWN, 60, NO_FLAGS)?;
    let child = world.split(account, 30, NO_FLAGS)?;
    let rights = AccountRights::all().difference(AccountRights::REMOVE);
    let lent = world.lend_account(child, Server, rights)?;
    let container = world.container_in(Server, lent)?;
    world.allocate(Server, container, 4)?;
    world.map(Server, container, 4, WINDOW, READ_WRITE)?;
    world.writes(Server, "using the child's frames", WINDOW, 41)?;
    let removed = world.calls(Server).account_remove(lent);
    refused("removing without the right", removed, PmError::NoRight)?;
    let of_peer = AccountHandle::of_peer(world.peer(Client));
    let removed = world.calls(Parent).account_remove(of_peer);
    refused("removing a peer's own account", removed, PmError::NoRight)?;

    let before = world.info(account)?;
    pm("removing the child", world.calls(Parent).account_remove(child))?;
    let after = world.info(account)?;
    same("frames of the parent", pages(after.frames), pages(before.frames))?;
    same("promises of the parent", pages(after.promised), 0)?;
    let info = world.calls(Parent).account_info(child);
    refused("asking for what was removed", info, PmError::InvalidCap)?;
    let created = world.calls(Server).container_create(lent);
    refused("using what was removed", created, PmError::InvalidCap)?;
    world.reads(Server, "the child's frames", WINDOW, 41)?;
    let none = pmserver_api::AllocateFlags::empty();
    let done = world.calls(Server).allocate(container, at(4), frames(4), none);
    same("frames allocated", pm("allocating on the parent's account", done)?, 4)?;
    let charged = pages(world.info(account)?.frames);
    same("frames of the parent", charged, pages(before.frames).saturating_add(4))?;
    pm("destroying the container", world.calls(Server).container_destroy(container))?;
    same("frames of the parent at last", pages(world.info(account)?.frames), 0)
}

/// S42: "split beyond own credit; set limit below usage: Quota; refused."
pub(crate) fn s42<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let account = world.split(AccountHandle::OWN, 60, NO_FLAGS)?;
    let lent = world.lend_account(account, Server, AccountRights::all())?;
    let container = world.container_in(Server, lent)?;
    world.allocate(Server, container, 10)?;
    let before = world.info(account)?;
    let used = u32::try_from(pages(before.used)).unwrap_or(u32::MAX);
    let left = 60_u32.saturating_sub(used);

    let split = world.calls(Parent).account_split(account, left.saturating_add(1), NO_FLAGS);
    refused("splitting too much off", split, PmError::QuotaExceeded)?;
    let set = world.calls(Parent).account_set_limits(account, used.saturating_sub(1), NO_FLAGS);
    refused("a limit below what is used", set, PmError::QuotaExceeded)?;
    let set = world.calls(Parent).account_set_limits(account, u32::MAX, NO_FLAGS);
    refused("a limit beyond the parent's", set, PmError::QuotaExceeded)?;
    let after = world.info(account)?;
    same("limit", pages(after.limit), pages(before.limit))?;
    same("use", pages(after.used), pages(before.used))?;
    same("promises", pages(after.promised), pages(before.promised))?;

    // A split may cost a page of records besides the limit that it reserves.
    let child = world.split(account, left.saturating_sub(1), NO_FLAGS)?;
    let set = world.calls(Parent).account_set_limits(account, used, NO_FLAGS);
    refused("a limit below what is promised", set, PmError::QuotaExceeded)?;
    let set = world.calls(Parent).account_set_limits(child, left.saturating_add(1), NO_FLAGS);
    refused("a child's limit beyond the rest", set, PmError::QuotaExceeded).map(drop)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Splits an account off another account of the parent.
    pub(crate) fn split(
        &mut self,
        account: AccountHandle,
        limit_pages: u32,
        flags: LimitFlags,
    ) -> Outcome<AccountHandle> {
        let split = self.calls(Parent).account_split(account, limit_pages, flags);
        let account = pm("splitting an account off", split)?;
        self.remember(Made::Account(account))?;
        Ok(account)
    }

    /// Lends an account of the parent to an actor; returns the actor's handle.
    pub(crate) fn lend_account(
        &mut self,
        account: AccountHandle,
        to: Actor,
        rights: AccountRights,
    ) -> Outcome<AccountHandle> {
        let peer = self.peer(to);
        pm("lending an account", self.calls(Parent).account_lend(account, peer, rights))
    }

    /// Splits off an account that pays for an actor's VSpace from now on.
    pub(crate) fn table_account(
        &mut self,
        actor: Actor,
        account: AccountHandle,
        limit_pages: u32,
    ) -> Outcome<AccountHandle> {
        // Undone in reverse order: the account is destroyed, then the actor's own pays for the
        // VSpace.
        self.remember(Made::VspaceAccount(actor))?;
        let split = self.split(account, limit_pages, NO_FLAGS)?;
        let lent = self.lend_account(split, actor, AccountRights::ALLOCATE)?;
        pm("naming who pays for tables", self.calls(actor).vspace_account(lent))?;
        Ok(split)
    }

    /// Sets the limit of an actor's own account. It is restored at the end of the scenario, with
    /// the same flags.
    pub(crate) fn limit(&mut self, actor: Actor, limit_pages: u64, flags: LimitFlags) -> Outcome {
        let before = self.account(actor)?;
        let kept = flags.difference(LimitFlags::EXCESS);
        self.remember(Made::Limit(actor, before, kept))?;
        pm("setting a limit", self.set_limit(actor, limit_pages, flags))
    }

    /// Tries to set the limit of an actor's own account.
    pub(crate) fn set_limit(
        &mut self,
        actor: Actor,
        limit_pages: u64,
        flags: LimitFlags,
    ) -> Result<(), pmserver_api::CallError> {
        let account = AccountHandle::of_peer(self.peer(actor));
        let limit = u32::try_from(limit_pages).unwrap_or(u32::MAX);
        self.calls(Parent).account_set_limits(account, limit, flags)
    }

    /// Returns the limit and the use of an account of the parent.
    pub(crate) fn info(&mut self, account: AccountHandle) -> Outcome<AccountInfo> {
        pm("reading an account", self.calls(Parent).account_info(account))
    }

    /// Returns the limit and the use of an actor's own account.
    pub(crate) fn account(&mut self, actor: Actor) -> Outcome<AccountInfo> {
        let peer = self.peer(actor);
        self.info(AccountHandle::of_peer(peer))
    }

    /// Returns how many frames an actor's account pays for.
    pub(crate) fn frames_of(&mut self, actor: Actor) -> Outcome<u64> {
        Ok(pages(self.account(actor)?.frames))
    }
}
