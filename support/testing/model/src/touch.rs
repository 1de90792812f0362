// SPDX-License-Identifier: BSD-2-Clause
//! Accesses of programs to their memory, and what repairs them (PM-124, PM-200, PM-280).

use pmserver_api::{AccessKind, MapFlags};
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

use crate::Model;
use crate::contents::{Doubt, Place};
use crate::lease::Want;
use crate::mapping::rights_for;
use crate::objects::{Mapping, Waiter};

const HANDLER_MICROS: u64 = 1_000_000;

/// How a program touches a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads its word.
    Load,
    /// It writes this word.
    Store(u64),
}

/// What comes of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The program goes on: with the word that is there afterwards.
    Done(u64),
    /// It is a fault.
    Faulted,
    /// The program waits for a handler.
    Waits,
}

/// Where an access goes to, and what is not certain about it.
struct Target {
    mapping: Mapping,
    /// Whether the access maps the page.
    is_new: bool,
    may_fault: bool,
}

impl Access {
    const fn flags(self) -> MapFlags {
        match self {
            Self::Load => MapFlags::READ,
            Self::Store(_) => MapFlags::WRITE,
        }
    }

    const fn kind(self) -> AccessKind {
        match self {
            Self::Load => AccessKind::Read,
            Self::Store(_) => AccessKind::Write,
        }
    }
}

impl Model {
    /// Returns what may come of an access, after which the model is in the state that it says: what
    /// was seen, if that may be.
    pub fn touch(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        now: Micros,
        seen: Option<Touch>,
    ) -> Touch {
        self.at(now);
        let Some(target) = self.target(peer, vaddr, access) else {
            self.doubt_mapping_by_region(peer, vaddr);
            return Touch::Faulted;
        };
        let place = target.mapping.place;
        let waits = self.waits(peer, place, access, seen);
        if target.may_fault && seen == Some(Touch::Faulted) {
            self.doubt_mapping_by_region(peer, vaddr);
            return Touch::Faulted;
        }
        if let Some(outcome) = waits {
            if outcome == Touch::Waits && target.is_new {
                self.keep(peer, vaddr, Mapping { is_doubtful: true, ..target.mapping });
            }
            return outcome;
        }
        let is_dying = self.containers[&place.0].is_dying || self.vspace_payer(peer).is_none();
        self.keep(peer, vaddr, Mapping { is_doubtful: is_dying, ..target.mapping });
        let cell = self.cell(place).expect("an access went to it");
        let may_be_short = self.may_be_short(self.vspace_payer(peer), 0);
        if (may_be_short || self.may_pool_be_short(0))
            && let Some(frame) = self.frame_mut(place)
        {
            // Where nothing else can be had the frame's own memory is what a load gets.
            frame.may_be_bound = true;
        }
        if let Access::Store(word) = access {
            self.make_writable(cell);
            self.contents.write(cell, word);
        }
        Touch::Done(self.contents.value(cell))
    }

    fn keep(&mut self, peer: PeerId, vaddr: VirtAddr, mapping: Mapping) {
        let peer = self.peers.get_mut(&peer).expect("it touches");
        peer.mappings.insert(vaddr.page().get(), mapping);
    }

    /// Returns the mapping that allows an access, be it one that a region makes.
    fn target(&self, id: PeerId, vaddr: VirtAddr, access: Access) -> Option<Target> {
        let peer = self.peers.get(&id).filter(|peer| !peer.is_stopped)?;
        let page = vaddr.page().get();
        let there = peer.mappings.get(&page).copied();
        let mapping = there.or_else(|| self.mapping_by_region(id, page))?;
        let is_new = there.is_none();
        let (container, number) = mapping.place;
        let is_readable = mapping.flags.intersects(MapFlags::all());
        let is_allowed = match access {
            Access::Load => is_readable,
            Access::Store(_) => mapping.flags.contains(MapFlags::WRITE),
        };
        let want = if matches!(access, Access::Load) { Want::Read } else { Want::Change };
        let is_locked = self.obstacle_at(mapping.place, mapping.via, want).is_some();
        if !is_allowed || is_locked || self.frame(mapping.place).is_none() {
            return None;
        }
        let payer = self.vspace_payer(id);
        let mut may_fault = mapping.is_doubtful
            || self.containers[&container].is_dying
            || (want == Want::Change
                && self.locks_itself(mapping.place, mapping.via).next().is_some())
            || self.may_be_short(payer, 0)
            || self.may_pool_be_short(0)
            || self.is_kernel_unsure;
        if is_new {
            let rights = rights_for(access.flags());
            let mut hurdles = Vec::new();
            self.count_hurdle(&mut hurdles, mapping.place, mapping.via);
            let is_full = hurdles.iter().any(|hurdle| hurdle.is_sure);
            let is_valid = self.is_valid(container, mapping.via)
                && self.allows(mapping.via, number, 1, rights);
            if !is_valid || payer.is_none() || is_full {
                return None;
            }
            may_fault |= !hurdles.is_empty();
        }
        Some(Target { mapping, is_new, may_fault })
    }

    /// Notes that a region may have made a mapping though the access is a fault: it is answered as
    /// if the mapping had been there before.
    fn doubt_mapping_by_region(&mut self, id: PeerId, vaddr: VirtAddr) {
        let page = vaddr.page().get();
        let Some(peer) = self.peers.get(&id).filter(|peer| !peer.mappings.contains_key(&page))
        else {
            return;
        };
        let is_running = !peer.is_stopped;
        let mapping = self.mapping_by_region(id, page).filter(|_| is_running);
        if let Some(mapping) = mapping.filter(|new| self.is_valid(new.place.0, new.via)) {
            self.keep(id, vaddr, Mapping { is_doubtful: true, ..mapping });
        }
    }

    fn mapping_by_region(&self, id: PeerId, page: u64) -> Option<Mapping> {
        let (at, region) = self.peers[&id].regions.range(..=page).next_back()?;
        let index = (page - at) / PAGE_BYTES;
        let place = (region.container, region.start.checked_add(index)?);
        let is_there = index < region.pages && self.frame(place).is_some();
        let mapping = Mapping { place, via: region.via, flags: region.flags, is_doubtful: false };
        is_there.then_some(mapping)
    }

    /// Returns what becomes of an access to a frame that may be absent.
    fn waits(
        &mut self,
        id: PeerId,
        place: Place,
        access: Access,
        seen: Option<Touch>,
    ) -> Option<Touch> {
        let absent = self.is_absent(place);
        let refused = self.peers[&id].refused.filter(|(of, _)| *of == place);
        let before = self.faults.values().find(|fault| fault.place == place);
        let waiter = before.and_then(|fault| fault.waiters.get(&id)).copied();
        self.doubt_waiter(id);
        match absent {
            Doubt::No => return None,
            Doubt::Perhaps if !matches!(seen, Some(Touch::Waits | Touch::Faulted)) => return None,
            _ => {}
        }
        if let Some((_, doubt)) = refused
            && (doubt.surely() || seen == Some(Touch::Faulted))
        {
            self.peers.get_mut(&id).expect("it touches").refused = None;
            return Some(Touch::Faulted);
        }
        let handler = self.ask(place, &[access.kind()]);
        let Some(fault) = handler.and_then(|handler| self.faults.get_mut(&handler)) else {
            // A frame of its group has the handler.
            return Some(seen.unwrap_or(Touch::Waits));
        };
        let handler = fault.handler;
        let now = self.now;
        let since = waiter.map_or(now, |waiter| waiter.since);
        let waited = now.get() - since.get();
        // Whether the time begins when the frame is touched, or when a call asked for it, is open.
        let longest = waited.max(now.get() - fault.asked.get());
        let is_late = longest + crate::CALL_MICROS_MAX >= HANDLER_MICROS;
        let is_surely_late = waited >= HANDLER_MICROS + crate::CALL_MICROS_MAX;
        let is_doubtful = waiter.is_some_and(|waiter| waiter.is_doubtful);
        fault.waiters.insert(id, Waiter { since, is_doubtful: false });
        let is_dead = handler == id || self.peers[&handler].is_stopped;
        let must_fault = is_dead || (is_surely_late && !is_doubtful);
        if must_fault || (is_late && seen == Some(Touch::Faulted)) {
            self.faults.values_mut().for_each(|fault| {
                fault.waiters.remove(&id);
            });
            return Some(Touch::Faulted);
        }
        if is_doubtful && is_late {
            // What it waited for was given up, perhaps, and this is another wait.
            let waiters = self.faults.values_mut().filter_map(|fault| fault.waiters.get_mut(&id));
            waiters.for_each(|waiter| waiter.since = now);
        }
        Some(Touch::Waits)
    }

    /// Loads the word of a page, as a server would have it that is short of nothing.
    ///
    /// # Errors
    /// What else comes of it.
    pub fn load(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<u64, Touch> {
        match self.touch(peer, vaddr, Access::Load, self.now, None) {
            Touch::Done(word) => Ok(word),
            other => Err(other),
        }
    }

    /// Stores a word to a page.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn store(&mut self, peer: PeerId, vaddr: VirtAddr, word: u64) -> Result<(), Touch> {
        match self.touch(peer, vaddr, Access::Store(word), self.now, None) {
            Touch::Done(_) => Ok(()),
            other => Err(other),
        }
    }
}
