// SPDX-License-Identifier: BSD-2-Clause
//! Accesses of programs to their memory, and what repairs them (PM-124, PM-200, PM-280).

use pmserver_api::{AccessKind, MapFlags};
use proto::limits::EXTRA_MICROS;
use proto::{Micros, PeerId, VirtAddr};

use crate::answers::{Doubt, Observed};
use crate::rules::{Need, for_mappings, most_mappings, need_of, rights_for};
use crate::state::{Mapping, Model, Place, Region};

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

impl Access {
    const fn kind(self) -> AccessKind {
        match self {
            Self::Load => AccessKind::Read,
            Self::Store(_) => AccessKind::Write,
        }
    }

    const fn need(self) -> Need {
        match self {
            Self::Load => Need::Load,
            Self::Store(_) => Need::Store,
        }
    }
}

impl Model {
    /// Returns what comes of an access. Afterwards the model is in the state that it leads to. If
    /// the model cannot know whether it is a fault it believes what was seen.
    pub fn touch(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        now: Micros,
        seen: Option<Touch>,
    ) -> Touch {
        self.observed = Observed::default();
        self.is_limited.set(false);
        self.set_time(now);
        let has_faulted = seen == Some(Touch::Faulted);
        let page = vaddr.page().get();
        let there = self.peers.get(&peer).and_then(|peer| peer.mappings.get(&page)).copied();
        if let Some(there) = there.filter(|there| !self.is_direct && there.is_doubtful) {
            // What was taken is unmapped first, and a region may be there (PM-436).
            self.take_over(there.place.0);
        }
        let Some(mapping) = self.mapping_at(peer, page, access, seen) else {
            return Touch::Faulted;
        };
        let place = mapping.place;
        if !self.may_touch(&mapping, access) {
            // What a region maps first may wait for memory (PM-200, PM-342).
            let waits = mapping.is_doubtful && seen == Some(Touch::Waits);
            return if waits { self.waits_for_memory() } else { Touch::Faulted };
        }
        let may_be_gone = mapping.is_doubtful || self.containers[&place.0].is_dying;
        if may_be_gone && has_faulted {
            let is_absent = self.is_absent(place) != Doubt::No;
            let wait = self.peers.get_mut(&peer).and_then(|peer| peer.wait.as_mut());
            if let Some(wait) = wait.filter(|_| is_absent) {
                wait.may_be_over = true;
            }
            if !is_absent {
                self.replace_by_region(peer, page, place, access);
            }
            return Touch::Faulted;
        }
        // There may be no memory for a mapping, until extra frames are dropped (PM-342).
        let may_be_short = mapping.is_doubtful && seen == Some(Touch::Waits);
        if let Some(outcome) = self.waits(peer, place, access, seen) {
            let wait = self.peers.get_mut(&peer).and_then(|peer| peer.wait.as_mut());
            if let Some(wait) = wait.filter(|_| may_be_short) {
                // Then the handler was not asked.
                wait.may_be_over = true;
            }
            return if may_be_short { self.waits_for_memory() } else { outcome };
        }
        if may_be_short {
            return self.waits_for_memory();
        }
        if self.is_kernel_unsure && has_faulted {
            return Touch::Faulted;
        }
        let is_new = !self.is_direct && there.is_none_or(|there| there.is_doubtful);
        self.keep(peer, page, Mapping { is_doubtful: false, ..mapping });
        if is_new {
            self.map_ahead(peer, page);
        }
        let cell = self.cell(place).expect("an access went to it");
        if let Access::Store(word) = access {
            self.make_writable(cell);
            self.contents.write(cell, word);
        }
        Touch::Done(self.contents.value(cell))
    }

    /// Notes that a program waits until extra frames are given back (PM-342).
    fn waits_for_memory(&mut self) -> Touch {
        let until = self.now.saturating_add(Micros::new(EXTRA_MICROS));
        self.asked_until = self.asked_until.or(Some(until));
        Touch::Waits
    }

    /// Notes that a mapping is gone, as an access that it allows has faulted: then a region with
    /// another frame at this page has mapped that, or tried to (PM-200).
    fn replace_by_region(&mut self, id: PeerId, page: u64, gone: Place, access: Access) {
        let Some((place, region)) = self.in_region(id, page).filter(|(place, _)| *place != gone)
        else {
            return;
        };
        self.peers.get_mut(&id).expect("it has accessed").mappings.remove(&page);
        let seen = Some(Touch::Faulted);
        if let Some(mapping) = self.map_in_region(id, page, (place, region), access, seen) {
            self.keep(id, page, Mapping { is_doubtful: true, ..mapping });
        }
    }

    /// The same for an access that has succeeded without a fault: the server does not know of it,
    /// and so it ends no wait.
    pub fn touch_directly(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        access: Access,
        now: Micros,
        seen: Option<Touch>,
    ) -> Touch {
        self.is_direct = true;
        let touch = self.touch(peer, vaddr, access, now, seen);
        self.is_direct = false;
        touch
    }

    /// Returns whether a mapping was asked for with the right, and no lease forbids the access.
    fn may_touch(&self, mapping: &Mapping, access: Access) -> bool {
        let (place, via) = (mapping.place, mapping.via);
        let range = (place.1, place.1);
        let is_store = matches!(access, Access::Store(_));
        let is_asked = !is_store || mapping.flags.contains(MapFlags::WRITE);
        is_asked
            && self.frame(place).is_some()
            && self.check_leases(place.0, via, range, access.need()).is_ok()
            && self.check_sharers(place, access.need()).is_ok()
    }

    /// Returns the mapping at a page; if there is none, the one that a region makes.
    fn mapping_at(
        &mut self,
        id: PeerId,
        page: u64,
        access: Access,
        seen: Option<Touch>,
    ) -> Option<Mapping> {
        let peer = self.peers.get(&id).filter(|peer| !peer.is_stopped)?;
        let there = peer.mappings.get(&page).copied();
        if there.is_some_and(|there| self.is_direct || !there.is_doubtful) {
            return there;
        }
        let Some((place, region)) = self.in_region(id, page) else { return there };
        let flags = region.mapped_flags();
        if there.is_some_and(|it| (it.place, it.via, it.flags) != (place, region.via, flags)) {
            return there;
        }
        // Whether it is there or not, the region maps the same.
        self.map_in_region(id, page, (place, region), access, seen).or(there)
    }

    /// Returns the mapping that a region makes at a page.
    fn map_in_region(
        &mut self,
        id: PeerId,
        page: u64,
        (place, region): (Place, Region),
        access: Access,
        seen: Option<Touch>,
    ) -> Option<Mapping> {
        let range = (place.1, place.1);
        let is_seen = matches!(seen, Some(Touch::Done(_) | Touch::Waits));
        if !self.is_valid(region.container, region.via, is_seen) {
            return None;
        }
        self.take_over(region.container);
        self.demand(region.via, range, rights_for(region.flags)).ok()?;
        self.check_revoking(region.via).ok()?;
        // Both the flags and the access have to need it: a store to what is read-only maps it, too.
        let need = match access {
            Access::Load => Need::Load,
            Access::Store(_) => need_of(region.flags),
        };
        self.check_leases(place.0, region.via, range, need).ok()?;
        self.present(place).ok()?;
        self.check_sharers(place, need).ok()?;
        self.check_mapping_count(place, region.via).ok()?;
        let payer = self.vspace_payer(id)?;
        let pages = for_mappings(1);
        // Mappings that may be gone may be there, too.
        let may_be_short = self.may_be_short(Some(payer), pages)
            || self.mappings_of(place).count() >= most_mappings(region.via)
            || self.may_pool_be_short(pages)
            || self.is_kernel_unsure;
        let (via, flags) = (region.via, region.mapped_flags());
        let is_doubtful = may_be_short && matches!(seen, Some(Touch::Faulted | Touch::Waits));
        let mapping = Mapping { place, via, flags, is_doubtful };
        self.keep(id, page, mapping);
        Some(mapping)
    }

    /// Returns what becomes of an access to a frame that has to be supplied.
    fn waits(
        &mut self,
        id: PeerId,
        place: Place,
        access: Access,
        seen: Option<Touch>,
    ) -> Option<Touch> {
        let is_told = matches!(seen, Some(Touch::Waits | Touch::Faulted));
        match self.is_absent(place) {
            Doubt::Yes => {}
            Doubt::Perhaps if is_told => {}
            _ => {
                if !self.is_direct {
                    self.stop_waiting(id, place);
                }
                return None;
            }
        }
        self.ask(id, place, access.kind(), (true, seen == Some(Touch::Waits)));
        let is_waiting = self.peers[&id].wait.is_some();
        Some(if is_waiting { Touch::Waits } else { Touch::Faulted })
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
