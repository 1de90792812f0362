// SPDX-License-Identifier: BSD-2-Clause
//! A copy before it is done: its two sides, what forbids it, and what linking each pair of frames
//! will cost at most, so that it stops before a pair or is refused before anything changed.
//!
//! The estimate is of what is installed now. Mappings that were suspended before cost nothing.

use heapless::Vec;
use pmserver_api::{AccessKind, CopyFlags, Failure, PmError, Rights};
use proto::PeerId;
use proto::limits::{FRAME_WORK_MAX, SHARERS_MAX};

use crate::frames::FrameManager;
use crate::frames::binding::Sharers;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::at_frame;
use crate::records::frame::Frame;
use crate::records::id::{FrameId, Id};
use crate::records::lease::{Lease, Need};
use crate::records::mapping::{Installed, Mapping, MappingsOfFrame};
use crate::records::range::{CALL_FRAMES, Range};
use crate::records::share::Access;
use crate::tables::Tables;

/// Linking two frames that nothing maps, and removing a destination that was made for it.
const LINK_WORK: u64 = 1_700;

/// Passing a frame of a ring, and a mapping, as often as linking does.
const RING_WORK: u64 = 200;
const PASS_WORK: u64 = 100;

/// Copying a page in place, or to a page that is taken for it.
const BYTES_WORK: u64 = 14_000;
const NEW_PAGE_WORK: u64 = 7_000;

/// Making a mapping read-only; taking its capability; removing it, but for page tables.
const PROTECT_WORK: u64 = 2_300;
const FORGET_WORK: u64 = 1_200;
const REMOVE_WORK: u64 = 5_000;

/// Revoking a grant, which may be the last one in its CNode.
const REVOKE_WORK: u64 = 9_000;

/// Removing the page tables above a mapping, divided among the mappings in the lowest one.
const TABLES_WORK: u64 = 27_000;

/// Copying a run whose source and destination are mapped twice: 64 pages are unmapped and mapped
/// again, and 64 are unmapped, each time.
const RUN_COPY_WORK: u64 = 450_000;

/// Rings of frames, each with the number of frames that a copy adds to it.
pub(crate) type Joining = Vec<(u32, usize), CALL_FRAMES>;

/// Both sides of a copy, and its flags.
#[derive(Clone, Copy)]
pub(crate) struct Copying {
    pub(crate) from: Access,
    pub(crate) to: Access,
    pub(crate) flags: CopyFlags,
    /// The numbers that a range is moved to in the container that it comes from.
    pub(crate) moved_to: Option<Range>,
}

impl Copying {
    pub(crate) fn is_logical(&self) -> bool {
        !self.flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE)
    }

    pub(crate) fn makes_new(&self) -> bool {
        self.flags.contains(CopyFlags::NEW)
    }

    /// Refuses ranges that the handles do not give access to.
    pub(crate) fn check_rights(&self, from: Range, to: Range) -> Result<(), PmError> {
        let is_given = self.from.allows(from, Rights::READ) && self.to.allows(to, Rights::WRITE);
        if is_given { Ok(()) } else { Err(PmError::NoRight) }
    }

    /// Refuses pairs whose result would depend on their order.
    pub(crate) fn check_pairs(&self, pairs: &[(u64, u64)]) -> Result<(), PmError> {
        let is_moved = self.flags.contains(CopyFlags::MOVE);
        for (index, (from, to)) in pairs.iter().enumerate() {
            let mut others = pairs.iter().skip(index.saturating_add(1));
            if others.any(|other| other.1 == *to || is_moved && other.0 == *from) {
                return Err(PmError::Invalid);
            }
            let is_read = |other: &(u64, u64)| other.0 == *to && other.1 != *to;
            if !self.is_logical() && self.is_within() && pairs.iter().any(is_read) {
                return Err(PmError::Invalid);
            }
        }
        Ok(())
    }

    pub(crate) fn moves_to(&self, number: u64) -> bool {
        self.moved_to.is_some_and(|range| range.contains(number))
    }

    pub(crate) const fn is_within(&self) -> bool {
        self.from.container.cell() == self.to.container.cell()
    }
}

impl<K: Kernel> FrameManager<K> {
    /// Refuses a copy between ranges that the handles do not give access to or that leases forbid.
    pub(crate) fn check_sides(
        &self,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<(), Failure> {
        let (reading, writing) = if copying.is_logical() {
            (Need::Read, Need::Change)
        } else {
            (Need::Alone, Need::Alone)
        };
        copying.check_rights(from, to)?;
        self.check_leases(&copying.from, from, reading)?;
        self.check_leases(&copying.to, to, writing)
    }

    /// Refuses a source frame that has not been supplied yet, or that a device may write to.
    pub(crate) fn check_copied_from(
        &mut self,
        caller: PeerId,
        frame: FrameId,
    ) -> Result<(), Failure> {
        self.check_supplied(caller, frame, AccessKind::Read)?;
        let pin = self.live_pin(frame).map(|pin| self.store.get(pin));
        let deadline = pin.filter(|pin| pin.is_exclusive()).map(Lease::deadline);
        self.locked_until(deadline)
    }

    /// Refuses a destination frame that a lease forbids to change or, unless the copy is logical,
    /// to touch, or that is pinned: its contents would not be where the device finds them.
    pub(crate) fn check_copied_to(
        &mut self,
        source: FrameId,
        destination: FrameId,
        is_logical: bool,
    ) -> Result<(), Failure> {
        let need = if is_logical { Need::Change } else { Need::Alone };
        self.check_sharers(destination, need)?;
        let deadline = self.pin_deadline(destination).filter(|_| destination != source);
        self.locked_until(deadline)
    }

    /// Copies a range as one, if that is possible: both sides are frames that stand for all of it.
    pub(crate) fn copy_whole(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<bool, Failure> {
        let source = self.whole(copying.from.container, from);
        let destination = self.whole(copying.to.container, to);
        let Some((source, destination)) = source.zip(destination) else { return Ok(false) };
        let block = self.store.get(source).page(0);
        let has_room = block.is_none_or(|block| self.has_holders_left(block));
        let is_replaced = copying.is_logical() && !copying.makes_new() && source != destination;
        let is_supplied = self.has_handler_in(copying.to.container, to)
            || block.is_none() && self.has_handler_in(copying.from.container, from);
        // Without memory, a frame that stands for more than one is not mapped.
        if block.is_none() {
            self.drop_kept_of(destination).map_err(|_| Failure::from(PmError::Kernel))?;
        }
        let is_emptied = block.is_none() && !self.store.get(destination).mappings.is_none();
        if !has_room || !is_replaced || is_supplied || is_emptied {
            return Ok(false);
        }
        let is_mapped = |frame: Ref<Frame>| !self.store.get(frame).mappings.is_none();
        let has_mappings = is_mapped(source) || is_mapped(destination);
        let room = if has_mappings { RUN_COPY_WORK } else { FRAME_WORK_MAX };
        let (source, destination) = (Id::first(source), Id::first(destination));
        self.store.meter().begin_step(room, 0)?;
        self.check_copied_from(caller, source)?;
        self.check_copied_to(source, destination, true)?;
        let linked = self.link_copy(source, destination);
        linked.map_err(|error| Failure::from(Shortage::from(error).as_quota()))?;
        Ok(true)
    }

    /// Splits large frames and bound runs of which a copy needs a part: if it has to be done as a
    /// whole, it does not come to an end otherwise.
    ///
    /// # Errors
    /// As for `split_at_ends`; `Pending` if that has left no room for copying.
    pub(crate) fn split_for_copy(
        &mut self,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<(), Failure> {
        self.split_at_ends(copying.from.container, from)?;
        self.split_at_ends(copying.to.container, to)?;
        self.store.meter().check_room(FRAME_WORK_MAX, 0)
    }

    /// Counts a frame that joins the ring of a source; refuses one too many.
    pub(crate) fn check_ring(
        &self,
        (container, from): (Ref<Container>, u64),
        to: Option<FrameId>,
        joining: &mut Joining,
    ) -> Result<(), Failure> {
        let Some(source) = self.find_id(container, from) else { return Ok(()) };
        let sharers = self.sharers(source);
        if to.is_some_and(|to| sharers.contains(&to)) {
            return Ok(());
        }
        // The smallest link identifies the ring.
        let ring = sharers.iter().map(|sharer| sharer.raw()).min().unwrap_or(0);
        let known = joining.iter_mut().find(|(other, _)| *other == ring);
        let more = match known {
            Some((_, more)) => {
                *more = more.saturating_add(1);
                *more
            }
            None => {
                let _ = joining.push((ring, 1));
                1
            }
        };
        if sharers.len().saturating_add(more) > SHARERS_MAX {
            return Err(at_frame(PmError::TooMany, from));
        }
        Ok(())
    }

    /// Returns what linking a pair costs at most. A destination that does not exist yet costs
    /// nothing, and a frame that is copied to itself stays as it is (PM-164).
    pub(crate) fn link_work(
        &self,
        copying: &Copying,
        source: FrameId,
        destination: Option<FrameId>,
    ) -> u64 {
        if destination == Some(source) {
            return LINK_WORK;
        }
        let taken = if copying.flags.contains(CopyFlags::SHARED) {
            0
        } else if copying.flags.contains(CopyFlags::MOVE) {
            self.mappings_work(source, |mapping, _| self.removal_work(mapping))
        } else {
            self.taking_work(source)
        };
        let given = destination.map_or(0, |destination| {
            if copying.is_logical() {
                self.giving_work(destination)
            } else {
                self.mappings_work(destination, forgetting_work)
            }
        });
        LINK_WORK.saturating_add(taken).saturating_add(given)
    }

    /// Returns the work of taking the contents of a frame to share them copy-on-write.
    fn taking_work(&self, source: FrameId) -> u64 {
        let Some(page) = self.store.page_of(source) else { return 0 };
        if self.store.is_kept_apart(page) || self.is_in_place(source) {
            return BYTES_WORK.saturating_add(NEW_PAGE_WORK);
        }
        if self.is_cow(source) {
            return 0;
        }
        self.ring_work(&self.sharers(source), |mapping, of| {
            if mapping.above(Installed::ReadOnly) & of == 0 {
                0
            } else if mapping.is_grant() {
                REVOKE_WORK
            } else {
                PROTECT_WORK
            }
        })
    }

    /// Returns the work of giving a frame other contents.
    fn giving_work(&self, destination: FrameId) -> u64 {
        let ring = self.sharers(destination);
        if self.ring_is_in_place(&ring) {
            return BYTES_WORK;
        }
        let supplied = match self.store.page_of(destination) {
            _ if !self.ring_needs_memory(&ring) => 0,
            // It may be its own, and is cleared then.
            Some(_) => BYTES_WORK,
            None => NEW_PAGE_WORK,
        };
        supplied.saturating_add(self.ring_work(&ring, forgetting_work))
    }

    fn removal_work(&self, mapping: &Mapping) -> u64 {
        if mapping.is_grant() {
            return REVOKE_WORK;
        }
        let table = self.lowest_table(mapping.peer(), mapping.vaddr());
        let mappings = table.map_or(0, |table| table.children.get().into());
        REMOVE_WORK.saturating_add(TABLES_WORK.checked_div(mappings).unwrap_or(0))
    }

    fn ring_work(&self, ring: &Sharers, each: impl Fn(&Mapping, u8) -> u64) -> u64 {
        ring.iter().map(|sharer| self.mappings_work(*sharer, &each)).sum()
    }

    /// Adds up the work of each mapping of a frame, given its record and its mask in that.
    fn mappings_work(&self, frame: FrameId, each: impl Fn(&Mapping, u8) -> u64) -> u64 {
        let mappings = self.store.names(frame).flat_map(|name| {
            let mappings = self.store.get(name.record).mappings;
            self.store.chain::<MappingsOfFrame>(mappings).map(move |mapping| (name, mapping))
        });
        let all = mappings.map(|(name, mapping)| {
            let record = self.store.get(mapping);
            let of = record.of(name.bit());
            PASS_WORK.saturating_add(if of == 0 { 0 } else { each(record, of) })
        });
        all.fold(RING_WORK, u64::saturating_add)
    }

    /// Suspends mappings of the frames of pairs, as many as one call can, so that linking them in
    /// the next call costs less. Grants stay. Returns whether there was one.
    pub(crate) fn make_way(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Result<bool, KernelError> {
        let mut has_made = false;
        for (from, to) in pairs {
            if self.store.meter().begin_frame(0).is_err() {
                break;
            }
            if let Some(source) = self.find_id(copying.from.container, from)
                && copying.is_logical()
            {
                has_made |= self.suspend_stores(source)?;
            }
            if let Some(destination) = self.find_id(copying.to.container, to) {
                has_made |= self.forget_mappings(destination)?;
            }
        }
        Ok(has_made)
    }

    /// Suspends the mappings of a frame's ring that can be written through. Its grants stay.
    /// Returns whether there was one.
    fn suspend_stores(&mut self, frame: FrameId) -> Result<bool, KernelError> {
        self.each_mapping(frame, |tables, mapping, of| {
            let stores = of & tables.store.get(mapping).above(Installed::ReadOnly);
            tables.suspend(mapping, stores).map(|()| stores != 0)
        })
    }

    /// Takes the capabilities of all mappings of a frame's ring. Its grants stay: they would not
    /// come back by themselves. Returns whether there was one.
    fn forget_mappings(&mut self, frame: FrameId) -> Result<bool, KernelError> {
        self.each_mapping(frame, |tables, mapping, of| {
            let caps = of & tables.store.get(mapping).caps();
            tables.forget_caps_of(mapping, caps).map(|()| caps != 0)
        })
    }

    /// Does something with each mapping of a frame's ring, given its record and its mask in that.
    /// Returns whether it has done anything.
    fn each_mapping(
        &mut self,
        frame: FrameId,
        mut act: impl FnMut(&mut Tables<K>, Ref<Mapping>, u8) -> Result<bool, KernelError>,
    ) -> Result<bool, KernelError> {
        let mut has_acted = false;
        for sharer in self.sharers(frame) {
            let tables: &mut Tables<K> = self;
            tables.each_mapping_of(sharer.record, sharer.bit(), |tables, mapping, of| {
                if !tables.store.get(mapping).is_grant() {
                    has_acted |= act(tables, mapping, of)?;
                }
                Ok(())
            })?;
        }
        Ok(has_acted)
    }
}

fn forgetting_work(mapping: &Mapping, of: u8) -> u64 {
    if mapping.is_grant() {
        REVOKE_WORK
    } else if mapping.caps() & of != 0 {
        FORGET_WORK
    } else {
        0
    }
}
