// SPDX-License-Identifier: BSD-2-Clause
//! What the scenarios work with: the actors, and what a scenario has made, which is undone after
//! it.

use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, Calls, ContainerHandle, FrameState, LimitFlags,
    MapFlags, Rights, Shared,
};
use pmserver_client::{Container, Error, Pages, Pm, Region, SplitAccount};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES, LEASE_MICROS_MAX};
use proto::{
    AddressSpace, FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, Transport, VirtAddr,
};
use puppet_core::{Behaviour, OrderError};

use crate::cast::{Actor, Cast};
use crate::error::{Outcome, ScenarioError, did, filled, pm, same};
use crate::files::Files;

/// Where puppets map containers: in the first gigabyte, with tables of its own.
pub(crate) const WINDOW: VirtAddr = vaddr(0x2000_0000);
/// Another place, with other tables.
pub(crate) const WINDOW_2: VirtAddr = vaddr(0x2400_0000);
/// The longest lease.
pub(crate) const LONG: Micros = Micros::new(LEASE_MICROS_MAX);
/// Readable and writable.
pub(crate) const READ_WRITE: MapFlags = MapFlags::READ.union(MapFlags::WRITE);

/// How many things one scenario may make.
const MADE_MAX: usize = 24;

/// Returns an address that the scenarios have chosen.
pub(crate) const fn vaddr(address: u64) -> VirtAddr {
    match VirtAddr::new(address) {
        Some(vaddr) => vaddr,
        None => unreachable!(),
    }
}

/// Returns the address `pages` pages further on.
pub(crate) const fn page(vaddr: VirtAddr, pages: u64) -> VirtAddr {
    match vaddr.checked_add(pages.saturating_mul(PAGE_BYTES)) {
        Some(vaddr) => vaddr,
        None => unreachable!(),
    }
}

/// Returns a frame number.
pub(crate) const fn at(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

/// Returns a count that fits into one call.
pub(crate) const fn frames(count: u64) -> FrameCount {
    match FrameCount::new(count) {
        Some(count) => count,
        None => unreachable!(),
    }
}

/// Something to undo at the end of a scenario.
#[derive(Clone, Copy)]
pub(crate) enum Made {
    /// An actor's container.
    Container(Actor, ContainerHandle),
    /// An account that the parent has split off.
    Account(AccountHandle),
    /// The limit of an actor's account, to be what it was before, with these flags.
    Limit(Actor, AccountInfo, LimitFlags),
    /// An actor's VSpace, to be paid for by its own account again.
    VspaceAccount(Actor),
    /// An actor's region.
    Region(Actor, Pages),
}

/// All that a scenario works with.
pub(crate) struct World<T: Transport, A: AddressSpace> {
    channels: Cast<T>,
    peers: Cast<PeerId>,
    pub(crate) space: A,
    pub(crate) files: Files<T>,
    made: [Option<Made>; MADE_MAX],
    /// Whether an actor died in this scenario.
    pub(crate) has_died: bool,
    /// Whether the file server is dead.
    pub(crate) fsserver_has_died: bool,
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Asks the actors who they are, and prepares the file server.
    pub(crate) fn new(mut channels: Cast<T>, fsserver: T, space: A) -> Outcome<Self> {
        let peers = channels.try_map(|channel| {
            let identity = Calls::new(channel).whoami();
            pm("asking an actor who it is", identity).map(|identity| identity.peer)
        })?;
        let parent = Pm::new(channels.get_mut(Actor::Parent));
        let files = Files::new(&parent, fsserver)?;
        let made = [None; MADE_MAX];
        let (has_died, fsserver_has_died) = (false, false);
        Ok(Self { channels, peers, space, files, made, has_died, fsserver_has_died })
    }

    /// Returns the raw calls of an actor, for what a scenario checks.
    pub(crate) const fn calls(&mut self, actor: Actor) -> Calls<&mut T> {
        Calls::new(self.channels.get_mut(actor))
    }

    /// Returns an actor's connection as programs have it, for what only has to work.
    pub(crate) const fn pm(&mut self, actor: Actor) -> Pm<&mut T> {
        Pm::new(self.channels.get_mut(actor))
    }

    /// Returns a puppet, to tell it what to do.
    pub(crate) const fn puppet(&mut self, actor: Actor) -> puppet_core::Client<&mut T> {
        puppet_core::Client::new(self.channels.get_mut(actor))
    }

    /// Returns an actor's channel to pmserver, for messages that no client library sends.
    pub(crate) const fn channel(&mut self, actor: Actor) -> &mut T {
        self.channels.get_mut(actor)
    }

    /// Returns an actor's number at pmserver.
    pub(crate) const fn peer(&self, actor: Actor) -> PeerId {
        *self.peers.get(actor)
    }

    /// Remembers something to undo when the scenario is over.
    pub(crate) fn remember(&mut self, made: Made) -> Outcome {
        let place = self.made.iter_mut().find(|place| place.is_none());
        *place.ok_or(ScenarioError::Wrong("a scenario makes too much"))? = Some(made);
        Ok(())
    }

    /// Makes an actor create a container that this account pays for.
    pub(crate) fn container_in(
        &mut self,
        actor: Actor,
        account: AccountHandle,
    ) -> Outcome<ContainerHandle> {
        let container = pm("making a container", self.calls(actor).container_create(account))?;
        self.remember(Made::Container(actor, container))?;
        Ok(container)
    }

    /// Makes an actor create a container.
    pub(crate) fn container(&mut self, actor: Actor) -> Outcome<ContainerHandle> {
        self.container_in(actor, AccountHandle::OWN)
    }

    /// Makes an actor allocate the first frames of a container.
    pub(crate) fn allocate(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        count: u64,
    ) -> Outcome {
        let none = AllocateFlags::empty();
        let done = self.calls(actor).allocate(container, at(0), frames(count), none);
        same("frames allocated", pm("allocating", done)?, count)
    }

    /// Makes an actor create a container with `count` frames.
    pub(crate) fn filled_container(
        &mut self,
        actor: Actor,
        count: u64,
    ) -> Outcome<ContainerHandle> {
        let container = self.container(actor)?;
        self.allocate(actor, container, count)?;
        Ok(container)
    }

    /// Makes an actor map the first frames of a container.
    pub(crate) fn map(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        count: u64,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Outcome {
        // A call maps as many as one call can (PM-320).
        let mut done: u64 = 0;
        while done < count {
            let rest = count.saturating_sub(done);
            let rest = frames(if rest == LARGE_FRAMES { rest } else { rest.min(CALL_FRAMES_MAX) });
            let to = vaddr.checked_add(done.saturating_mul(PAGE_BYTES)).unwrap_or(vaddr);
            let mapped = self.calls(actor).map(container, at(done), rest, to, flags);
            done = done.saturating_add(pm("mapping", mapped)?.count);
        }
        same("pages mapped", done, count)
    }

    /// Makes an actor unmap pages.
    pub(crate) fn unmap(&mut self, actor: Actor, vaddr: VirtAddr, count: u64) -> Outcome {
        let unmapped = self.calls(actor).unmap(vaddr, frames(count));
        same("pages unmapped", pm("unmapping", unmapped)?, count)
    }

    /// Makes an actor lend all frames of a container, for leases of up to a second.
    pub(crate) fn share(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        to: Actor,
        rights: Rights,
    ) -> Outcome<Shared> {
        let peer = self.peer(to);
        pm("sharing", self.calls(actor).share(container, at(0), u64::MAX, peer, rights, LONG))
    }

    /// Makes an actor attach the first frames of a container as a region.
    pub(crate) fn attach(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        count: u32,
        vaddr: VirtAddr,
    ) -> Outcome {
        let attached = self.calls(actor).attach(container, at(0), count, vaddr, READ_WRITE);
        pm("attaching", attached)?;
        let region = Pages::new(vaddr, count.into());
        let region = region.ok_or(ScenarioError::Wrong("a region outside user space"))?;
        self.remember(Made::Region(actor, region))
    }

    /// Returns how many of the first frames of a container, at most 24, are in a state.
    pub(crate) fn count_in(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        count: u64,
        state: FrameState,
    ) -> Outcome<u64> {
        let status = self.calls(actor).status(container, at(0), frames(count));
        let status = pm("asking for states", status)?;
        same("states told", status.count, count)?;
        let states = status.frames.into_iter().zip(0..count);
        Ok(states.map(|(seen, _)| u64::from(seen.contains(state))).sum())
    }

    /// Returns the state of one frame.
    pub(crate) fn state(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        number: u64,
    ) -> Outcome<FrameState> {
        let status = self.calls(actor).status(container, at(number), FrameCount::ONE);
        let [state, ..] = pm("asking for a state", status)?.frames;
        Ok(state)
    }

    /// Fails unless a puppet reads the expected word.
    pub(crate) fn reads(
        &mut self,
        actor: Actor,
        what: &'static str,
        vaddr: VirtAddr,
        expected: u64,
    ) -> Outcome {
        let word = did(what, self.puppet(actor).load(vaddr))?;
        same(what, word, expected)
    }

    /// Makes a puppet store a word.
    pub(crate) fn writes(
        &mut self,
        actor: Actor,
        what: &'static str,
        vaddr: VirtAddr,
        word: u64,
    ) -> Outcome {
        did(what, self.puppet(actor).store(vaddr, word))
    }

    /// Fails unless pages hold the pattern of a seed: 0 for pages that nobody has written to.
    pub(crate) fn holds(
        &mut self,
        actor: Actor,
        what: &'static str,
        vaddr: VirtAddr,
        count: u64,
        seed: u64,
    ) -> Outcome {
        let seen = did(what, self.puppet(actor).sum(vaddr, count))?;
        filled(what, count, seen, seed)
    }

    /// Returns the time.
    pub(crate) fn now(&mut self) -> Outcome<u64> {
        pm("asking for the time", self.calls(Actor::Parent).clock()).map(Micros::get)
    }

    /// Waits until a deadline is over.
    pub(crate) fn wait_until(&mut self, deadline: u64) -> Outcome {
        while self.now()? <= deadline {
            self.space.relax();
        }
        Ok(())
    }

    /// Undoes all that the scenario has made, the last first, and returns whether an actor died in
    /// it. Never fails: the accounts show what is left.
    pub(crate) fn clear(&mut self) -> bool {
        while let Some(made) = self.made.iter_mut().rev().find_map(Option::take) {
            // If it no longer exists, there is nothing to undo.
            let _: Result<(), Error> = self.undo(made);
        }
        for actor in [Actor::Client, Actor::Driver, Actor::Holder, Actor::Server] {
            let _: Result<(), OrderError> = self.puppet(actor).behave(Behaviour::Count);
        }
        core::mem::take(&mut self.has_died)
    }

    /// Undoes one thing, as soon as the leases on it have ended.
    fn undo(&mut self, made: Made) -> Result<(), Error> {
        match made {
            Made::Container(actor, container) => {
                Container::from_raw(&self.pm(actor), container.raw()).destroy_waiting()?;
            }
            Made::Account(account) => {
                SplitAccount::from_raw(&self.pm(Actor::Parent), account.raw()).destroy_waiting()?;
            }
            Made::Limit(actor, before, flags) => {
                let peer = self.peer(actor);
                let limit = u32::try_from(pages(before.limit)).unwrap_or(u32::MAX);
                self.pm(Actor::Parent).account_of(peer).set_limits(limit, flags)?;
            }
            Made::VspaceAccount(actor) => self.pm(actor).account().pay_for_vspace()?,
            Made::Region(actor, region) => {
                Region::from_pages(&self.pm(actor), region).detach()?;
            }
        }
        Ok(())
    }
}

/// Returns how many pages a number of bytes is.
pub(crate) const fn pages(bytes: proto::ByteCount) -> u64 {
    bytes.get() >> 12
}
