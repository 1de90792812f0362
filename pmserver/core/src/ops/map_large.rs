// SPDX-License-Identifier: BSD-2-Clause
//! map for a large frame: 512 frames at aligned numbers and an aligned address, in one mapping.
//!
//! Nobody asks for a large frame. A range gets one when all of it is given memory at once, and
//! keeps it until somebody needs a part of it (`frames/large.rs`). What stands in the way of one
//! mapping is no error: then the frames are mapped one by one.

use pmserver_api::{Failure, Frames, MapFlags, PmError};
use proto::limits::FRAME_WORK_MAX;
use proto::{PeerId, VirtAddr};

use crate::frames::bound_runs::{BIND_RUN_WORK, MAP_RUN_WORK};
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::ops::map::{check_flags, installed_for};
use crate::records::cell::Ref;
use crate::records::failure::at_frame;
use crate::records::frame::{Frame, RUN_ORDER, RUN_PAGES};
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::share::{Access, Share};
use crate::tables::large::LARGE_BYTES;

/// The flags of a mapping that gives frames memory of their own.
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

impl<K: Kernel> Operations<K> {
    /// Maps the frames of a range as one large frame, if they can be. Returns their rights, or
    /// nothing if they have to be mapped one by one.
    ///
    /// # Errors
    /// `Kernel`; nothing is mapped then.
    pub(super) fn map_large(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, vaddr): (Range, VirtAddr),
        flags: MapFlags,
    ) -> Result<Option<MapFlags>, Failure> {
        let Some(frame) = self.find_whole(access, range) else { return Ok(None) };
        if !vaddr.get().is_multiple_of(LARGE_BYTES)
            || self.check_leases(access, range, need_of(flags)).is_err()
            || !self.is_large_place(peer, vaddr).map_err(|_: KernelError| PmError::Kernel)?
        {
            return Ok(None);
        }
        if !self.has_mappings_left(frame) {
            self.drop_kept_of(frame).map_err(|_: KernelError| PmError::Kernel)?;
        }
        let was_bound = self.store.get(frame).is_large();
        if !self.prepare_whole(access, frame, flags)? {
            return Ok(None);
        }
        let frame = Id::first(frame);
        let mapping = Mapping::new(frame, link_of(access.share), peer, vaddr, flags).of_large();
        let account = self.setting_aside(peer);
        let mapping = account.and_then(|account| self.add_record(account, mapping).ok());
        let Some(mapping) = mapping else {
            self.unbind_new(frame, was_bound);
            return Ok(None);
        };
        let granted = self.granted(frame, flags);
        match self.install(Id::first(mapping), installed_for(granted)) {
            Ok(()) => {
                self.store.get_mut(mapping).set_counted();
                self.count_large(peer, vaddr.get());
                Ok(Some(granted))
            }
            Err(error) => {
                // If the kernel refuses to delete the capability, the record stays as well.
                if self.remove_mappings_in(mapping, 1).is_ok() {
                    self.unbind_new(frame, was_bound);
                }
                Err(at_frame(error, range.first))
            }
        }
    }

    /// Returns the record of a run that stands for exactly a range, if every lease on it is on all
    /// of it.
    pub(super) fn find_whole(&self, access: &Access, range: Range) -> Option<Ref<Frame>> {
        let mut leases = self.leases(access.container).map(|lease| lease.range);
        let is_whole = leases.all(|lease| !lease.overlaps(range) || lease.covers(range));
        drop(leases);
        self.whole(access.container, range).filter(|_| is_whole)
    }

    /// Returns whether nothing is mapped where a large page would be, and no page table is there.
    ///
    /// # Errors
    /// The kernel's error if a record that was kept there cannot be removed.
    fn is_large_place(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<bool, KernelError> {
        Ok(self.is_free_place(peer, vaddr, LARGE_BYTES)?
            && self.lowest_table(peer, vaddr.get()).is_none()
            && self.is_of_program(peer, vaddr) == Ok(false))
    }

    /// Returns whether nothing is mapped at so many bytes.
    ///
    /// # Errors
    /// The kernel's error if a record that was kept there cannot be removed.
    pub(super) fn is_free_place(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        bytes: u64,
    ) -> Result<bool, KernelError> {
        let end = vaddr.get().saturating_add(bytes);
        let tree = self.peer(peer).vspace.mappings;
        let next = self.store.tree_next::<Mapping>(tree, vaddr.get());
        let there = next.filter(|next| self.store.get(*next).vaddr() < end);
        there.map_or(Ok(true), |there| self.drop_if_kept(there))
    }

    /// Maps what was taken as one large frame once more, by the record that was kept when it was
    /// given back. Returns whether there is such a record; one that is not of use is removed.
    ///
    /// # Errors
    /// `Kernel`; the record is kept then.
    pub(super) fn map_kept(
        &mut self,
        access: &Access,
        share: Ref<Share>,
        (range, vaddr): (Range, VirtAddr),
        flags: MapFlags,
    ) -> Result<bool, Failure> {
        let Some(kept) = self.store.get(share).mappings.target() else { return Ok(false) };
        let frame = self.store.get(kept).frame(0).record;
        if self.is_whole_range(frame, access.container, range)
            && self.reuse(kept, vaddr, flags).is_some()
        {
            return Ok(true);
        }
        self.remove_mappings_through(share, FRAME_WORK_MAX)?;
        Ok(false)
    }

    /// Maps a large frame of an owner once more by the record that was kept when it was unmapped,
    /// which says that all but the flags was checked before. Returns its rights; nothing if there
    /// is no such record, or if there is more to check.
    #[inline(always)]
    pub(super) fn map_again(
        &mut self,
        caller: PeerId,
        frames: Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Option<MapFlags> {
        let kept = self.kept()?;
        let record = self.store.get(kept);
        let frame = record.frame(0).record;
        let container = self.store.container_of(frame);
        let is_same = record.peer() == caller
            && self.store.get(frame).key() == frames.start.get()
            && self.store.handle(container) == frames.container.raw();
        let is_usual =
            check_flags(flags).is_ok() && self.store.get(container).leases.target().is_none();
        if !is_same || !is_usual || self.store.meter().begin_frame(0).is_err() {
            return None;
        }
        let rights = self.reuse(kept, vaddr, flags)?;
        self.forget_kept(kept);
        Some(rights)
    }

    /// Maps a large frame by a record of it that was kept. Returns its rights; nothing if that is
    /// for another place, or if the frame has to be dealt with first.
    #[inline(always)]
    fn reuse(&mut self, kept: Ref<Mapping>, vaddr: VirtAddr, flags: MapFlags) -> Option<MapFlags> {
        let record = self.store.get(kept);
        if !record.is_kept() || record.vaddr() != vaddr.get() {
            return None;
        }
        let frame = record.frame(0);
        let has_cap = record.has_cap(0);
        let block = self.store.get(frame.record).page(0)?;
        let granted = self.granted_on(Some(block), flags);
        let is_cow = flags.contains(FORCED) && !granted.contains(MapFlags::WRITE);
        if is_cow || self.store.is_splitting(block) {
            return None;
        }
        let record = self.store.get_mut(kept);
        record.set_asked(flags);
        record.set_present(1);
        let (mapping, rights) = (Id::first(kept), installed_for(granted));
        let shown = if has_cap {
            self.put_in(mapping, block, rights)
        } else {
            self.install(mapping, rights)
        };
        if shown.is_err() {
            self.store.get_mut(kept).set_present(0);
            return None;
        }
        Some(granted)
    }

    /// Returns whether a large frame, or a run, that has memory can be mapped with these flags;
    /// nothing if it has none.
    pub(super) fn can_map_whole(&self, frame: Ref<Frame>, flags: MapFlags) -> Option<bool> {
        let block = self.store.get(frame).page(0)?;
        let forces = flags.contains(FORCED);
        let is_whole = !self.store.is_splitting(block);
        Some(is_whole && !(forces && self.is_cow(Id::first(frame))))
    }

    /// Returns whether a large frame, or a run, has memory now and can be mapped with these flags.
    /// With FORCE_WRITE it is given memory if it has none.
    ///
    /// # Errors
    /// `Pending` if the call has no room for giving memory to a run.
    pub(super) fn prepare_whole(
        &mut self,
        access: &Access,
        frame: Ref<Frame>,
        flags: MapFlags,
    ) -> Result<bool, Failure> {
        if let Some(can) = self.can_map_whole(frame, flags) {
            return Ok(can && self.has_mappings_left(frame));
        }
        let record = self.store.get(frame);
        let (range, is_run) = (record.range(), record.order() == RUN_ORDER);
        let forces = flags.contains(FORCED);
        if !forces || self.has_handler_in(access.container, range) {
            return Ok(false);
        }
        if is_run && self.store.clean.count.get() < RUN_PAGES.into() {
            self.store.meter().check_room(BIND_RUN_WORK.saturating_add(MAP_RUN_WORK), 0)?;
        }
        let memory = if is_run { self.store.take_run() } else { self.store.take_large() };
        if let Ok(first) = memory {
            self.join_page(Id::first(frame), first);
        }
        Ok(memory.is_ok())
    }

    pub(super) fn unbind_new(&mut self, frame: FrameId, was_bound: bool) {
        if !was_bound {
            // Nothing is mapped, so there is nothing that the kernel could refuse.
            let _: Result<(), KernelError> = self.rebind(frame, None);
        }
    }

    /// Returns how many pages a mapping of a large frame or a run has that begins at an address, if
    /// there are at most so many.
    pub(super) fn whole_at(&self, peer: PeerId, vaddr: VirtAddr, most: u64) -> Option<u16> {
        let record = self.store.get(self.find_mapping(peer, vaddr)?.record);
        let pages = u16::try_from(record.pages_of(u8::MAX)).ok()?;
        let is_all = record.vaddr() == vaddr.get() && u64::from(pages) <= most;
        (record.is_whole() && is_all).then_some(pages)
    }

    /// Splits the large frame or bound run whose mapping this is, if it is one.
    ///
    /// # Errors
    /// As for `split`.
    pub(super) fn split_mapped(&mut self, mapping: Ref<Mapping>) -> Result<(), Failure> {
        let frame = self.store.get(mapping).frame(0);
        self.split_if_whole(frame.record)
    }
}
