// SPDX-License-Identifier: BSD-2-Clause
//! Mappings that a peer asks for (PM-80 to PM-90, PM-140, PM-220).

use pmserver_api::{AccessKind, Frames, MapFlags, Mapped, PmError, Reply};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::answers::Expected;
use crate::rules::for_records;
use crate::rules::{check_flags, check_user_space, for_mappings, need_of, rights_for, span_of};
use crate::state::{CellId, Lease, Mapping, Model, Outcome, Place, Via};

/// Levels of page tables that a program may lack, of which a range has at most two each.
const TABLES_MAX: u64 = 6;

impl Model {
    pub(crate) fn map(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let range = span_of(frames)?;
        self.demand(via, range, rights_for(flags))?;
        check_flags(flags)?;
        check_user_space(vaddr, frames.count.get())?;
        self.check_revoking(via)?;
        let mut mapped = Mapped::default();
        for (place, index) in (range.0..=range.1).map(|number| (id, number)).zip(0..) {
            let page = vaddr.get() + index * PAGE_BYTES;
            let pages = for_mappings(frames.count.get());
            match self.map_one(caller, (place, via), page, flags, (index, pages)) {
                Ok(rights) if mapped.push(rights) => {}
                Err(refusal) if index == 0 => return Err(refusal),
                _ => break,
            }
            self.keep(caller, page, Mapping { place, via, flags, is_doubtful: false });
        }
        Ok(Expected::Exactly(Ok(Reply::Mapped(mapped))))
    }

    /// Refuses to map a frame at a page; else returns the rights.
    pub(crate) fn map_one(
        &mut self,
        caller: PeerId,
        (place, via): (Place, Via),
        page: u64,
        flags: MapFlags,
        (index, pages): (u64, u64),
    ) -> Result<MapFlags, Expected> {
        self.check_leases(place.0, via, (place.1, place.1), need_of(flags))?;
        let cell = self.present(place)?;
        self.check_sharers(place, need_of(flags))?;
        let occupied = Expected::refused(PmError::Occupied, 0, page);
        let is_told = match index {
            0 => self.observed.refusal(PmError::Occupied).is_some_and(|told| told.at == page),
            _ => self.observed.stopped_after() == Some(index),
        };
        match self.peers[&caller].mappings.get(&page) {
            Some(there) if !there.is_doubtful || is_told => return Err(occupied),
            _ => {}
        }
        self.check_mapping_count(place, via)?;
        let is_ended = self.check_ready(caller, (place, cell), flags, index)?;
        if let Some(short) = self.short_at(caller, pages, place.1, index) {
            if is_ended {
                self.doubt_relation(place);
            }
            return Err(short);
        }
        if is_ended {
            self.make_writable(cell);
        }
        Ok(self.finish(cell, flags, index))
    }

    /// Refuses a frame that has no contents yet if either FORCE needs them; else returns whether
    /// FORCE_WRITE ends the copy-on-write relation of one that has memory.
    fn check_ready(
        &mut self,
        caller: PeerId,
        (place, cell): (Place, CellId),
        flags: MapFlags,
        index: u64,
    ) -> Result<bool, Expected> {
        if flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.supplied_in_turn(caller, place, AccessKind::Write, index)?;
            return Ok(self.contents.is_bound(cell));
        }
        if flags.contains(MapFlags::FORCE_READ) {
            self.supplied_in_turn(caller, place, AccessKind::Read, index)?;
        }
        Ok(false)
    }

    /// Notes that FORCE_WRITE may have ended the copy-on-write relation of the frame that is the
    /// problem (PM-80), unless that was what there was no memory for.
    pub(crate) fn doubt_relation(&mut self, place: Place) {
        let members = self.members(place);
        if let Some(cell) = self.cell(place) {
            self.contents.blur(cell);
        }
        self.doubt_grants(&members);
    }

    fn finish(&mut self, cell: CellId, flags: MapFlags, index: u64) -> MapFlags {
        if flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.contents.bind(cell);
        }
        self.granted(cell, flags, index)
    }

    /// Notes a mapping. Teardown may take it away at any time if it has begun with the container
    /// or with the account that pays for it, or if a take has ended.
    pub(crate) fn keep(&mut self, peer: PeerId, page: u64, mut mapping: Mapping) {
        let is_dying = self.containers[&mapping.place.0].is_dying;
        let is_past =
            |lease: &Lease| lease.is_take && !lease.is_active() && lease.via == mapping.via;
        let is_given_back = self.leases.values().any(is_past);
        mapping.is_doubtful |= is_dying || is_given_back || self.vspace_account_of(peer).is_none();
        self.peers.get_mut(&peer).expect("it maps").mappings.insert(page, mapping);
    }

    /// Returns the refusal if the account of a VSpace has no room for the mapping or grant of a
    /// frame, surely or as the server says. Not the first frame's refusal is told.
    pub(crate) fn short_at(
        &mut self,
        caller: PeerId,
        pages: u64,
        number: u64,
        index: u64,
    ) -> Option<Expected> {
        let payer = self.vspace_payer(caller);
        let error = PmError::NoTableQuota;
        if payer.is_none() {
            return Some(Expected::refused(error, 0, number));
        }
        if index == 0 {
            if let Some(refusal) = self.refused_address(number, index) {
                return Some(refusal);
            }
            let failure = self.shortage(payer, pages, error)?;
            return Some(self.short_of(failure, 0, number..=number));
        }
        let is_possible = self.may_be_short(payer, pages)
            || self.may_pool_be_short(pages)
            || self.is_kernel_unsure;
        let is_told = self.observed.stopped_after() == Some(index);
        (is_told && is_possible).then_some(error.into())
    }

    /// Returns the refusal if the server says that the kernel refused the address (PM-383).
    fn refused_address(&self, number: u64, index: u64) -> Option<Expected> {
        let is_told = match index {
            0 => self.observed.refusal(PmError::Invalid).is_some(),
            _ => self.observed.stopped_after() == Some(index),
        };
        let refusal = || Expected::refused(PmError::Invalid, 0, number);
        (self.is_kernel_unsure && is_told).then(refusal)
    }

    pub(crate) fn unmap(&mut self, caller: PeerId, vaddr: VirtAddr, count: u64) -> Outcome {
        check_user_space(vaddr, count)?;
        let (from, end) = (vaddr.get(), vaddr.get() + count * PAGE_BYTES);
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let there = || peer.mappings.range(from..end);
        let surely = there().filter(|(_, mapping)| !mapping.is_doubtful).count() as u64;
        let perhaps = there().count() as u64;
        peer.mappings.retain(|page, _| !(from..end).contains(page));
        let number = self.observed.count(surely..=perhaps);
        Ok(Expected::Exactly(Ok(Reply::Number(number))))
    }

    pub(crate) fn remap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
        flags: MapFlags,
    ) -> Outcome {
        check_flags(flags)?;
        check_user_space(vaddr, count.get())?;
        let mut mapped = Mapped::default();
        for index in 0..count.get() {
            let page = vaddr.get() + index * PAGE_BYTES;
            match self.remap_one(caller, page, flags, index) {
                Ok(rights) if mapped.push(rights) => {}
                Err(refusal) if index == 0 => return Err(refusal),
                _ => break,
            }
        }
        Ok(Expected::Exactly(Ok(Reply::Mapped(mapped))))
    }

    fn remap_one(
        &mut self,
        caller: PeerId,
        page: u64,
        flags: MapFlags,
        index: u64,
    ) -> Result<MapFlags, Expected> {
        let gone = Expected::refused(PmError::NotFound, 0, page);
        let there = self.peers[&caller].mappings.get(&page).copied().ok_or(gone.clone())?;
        let is_told = match index {
            0 => self.observed.refusal(PmError::NotFound).is_some(),
            _ => self.observed.stopped_after() == Some(index),
        };
        if there.is_doubtful && is_told {
            return Err(gone);
        }
        let (place, via) = (there.place, there.via);
        self.take_over(place.0);
        if !self.peers[&caller].mappings.contains_key(&page) {
            return Err(gone);
        }
        self.demand(via, (place.1, place.1), rights_for(flags))?;
        self.check_revoking(via)?;
        self.check_leases(place.0, via, (place.1, place.1), need_of(flags))?;
        self.check_sharers(place, need_of(flags))?;
        let cell = self.present(place)?;
        let is_ended = self.check_ready(caller, (place, cell), flags, index)?;
        if is_ended {
            self.make_writable(cell);
        }
        if let Some(refusal) = self.refused_address(place.1, index) {
            return Err(refusal);
        }
        // It may get a record of its own (PM-450).
        if there.flags != flags
            && self.vspace_payer(caller).is_some()
            && let Some(short) = self.short_at(caller, for_records(18), place.1, index)
        {
            return Err(short);
        }
        self.keep(caller, page, Mapping { flags, is_doubtful: false, ..there });
        Ok(self.finish(cell, flags, index))
    }

    pub(crate) fn ensure_tables(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
    ) -> Outcome {
        check_user_space(vaddr, count.get())?;
        let payer = self.vspace_payer(caller);
        let error = PmError::NoTableQuota;
        if let Some(peer) = self.peers.get_mut(&caller) {
            peer.had_tables = true;
        }
        if let Some(failure) = self.shortage(payer, for_mappings(0), error) {
            return Err(self.short_of(failure, failure.done, 0..=u64::MAX));
        }
        let is_refused = self.observed.refusal(PmError::Invalid).is_some();
        if self.is_kernel_unsure && is_refused {
            // A table that the kernel does not map (PM-383).
            let (done, at) = (0..=TABLES_MAX, vaddr.get()..=u64::MAX);
            return Err(Expected::Refused { error: PmError::Invalid, done, at });
        }
        Ok(Expected::Number(0..=if payer.is_some() { TABLES_MAX } else { 0 }))
    }
}
