// SPDX-License-Identifier: BSD-2-Clause
//! map (O6, R2).
//!
//! Every mapping is made here, with a capability that pmserver keeps (R19). It is found by its
//! address, from its frame, and from the share that it was made through. `tables/mappings.rs`
//! decides what is installed in page tables at the moment; `ops/repair.rs` restores mappings that
//! were taken away.

use pmserver_api::{AccessKind, Failure, Frames, MapFlags, Mapped, PmError, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER, LARGE_FRAMES};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::ops::Operations;
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::failure::at_frame;
use crate::records::frame::LARGE_PAGES;
use crate::records::id::{FrameId, Id, MappingId};
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::{Installed, Mapping};
use crate::records::range::Range;
use crate::records::share::Access;

impl<K: Kernel> Operations<K> {
    /// Maps frames (O6) up to the first problem. It is an error if that is at the first frame.
    #[inline(never)]
    pub(crate) fn map(
        &mut self,
        caller: PeerId,
        frames: Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapped, Failure> {
        let Frames { container, start, count } = frames;
        if count.get() == LARGE_FRAMES {
            if let Some(rights) = self.map_again(caller, frames, vaddr, flags) {
                return Ok(Mapped::all(rights, LARGE_PAGES));
            }
            self.drop_unmapped();
        }
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_right_to(&access, range, flags)?;
        check_flags(flags)?;
        last_page(vaddr, count.get())?;
        self.check_revoking(&access)?;
        if count.get() == LARGE_FRAMES {
            self.store.meter().begin_frame(0)?;
            if let Some(rights) = self.map_large(caller, &access, (range, vaddr), flags)? {
                return Ok(Mapped::all(rights, LARGE_PAGES));
            }
        }
        let mut mapped = Mapped::default();
        let terms = (flags, self.payer_of_clusters(caller, count.get()));
        let mut rest = Some((range, vaddr));
        while let Some((left, vaddr)) = rest {
            let done = match self.map_next(caller, &access, (left, vaddr), terms, &mut mapped) {
                Ok(done) => u64::from(done),
                Err(failure) if mapped.count == 0 => return Err(failure),
                Err(_) => break,
            };
            rest = behind(left, vaddr, done);
        }
        Ok(mapped)
    }

    /// Maps the first frames of a range, those of a cluster together. Returns how many.
    fn map_next(
        &mut self,
        caller: PeerId,
        access: &Access,
        (range, vaddr): (Range, VirtAddr),
        (flags, payer): (MapFlags, Option<Ref<Account>>),
        mapped: &mut Mapped,
    ) -> Result<u8, Failure> {
        self.store.meter().begin_frame(0)?;
        let done = self.map_together(caller, access, (range, vaddr), (flags, payer), mapped)?;
        if done > 0 {
            return Ok(done);
        }
        let rights =
            self.map_one(caller, access, range.first, vaddr, (flags, mapped.count == 0))?;
        if !mapped.push(rights) {
            // The reply has no room for another run: unmap the page, the caller continues here.
            self.unmap_at(caller, vaddr)?;
            return Err(PmError::TooMany.into());
        }
        Ok(1)
    }

    /// Maps one frame; `is_first` says whether a problem of it is told.
    pub(super) fn map_one(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        (flags, is_first): (MapFlags, bool),
    ) -> Result<MapFlags, Failure> {
        let (frame, there) = self.check_mapping(peer, access, number, vaddr, flags)?;
        let was_bound = self.store.page_of(frame).is_some();
        self.prepare_forced(peer, frame, number, (flags, is_first))?;
        let result = self.record_new(peer, access, frame, (vaddr, there), flags);
        let result = result.and_then(|mapping| {
            self.show(mapping).inspect_err(|_| {
                // If the kernel refuses to unmap it, its record stays as well.
                let _ = self.remove_mapping(mapping);
            })
        });
        match result {
            Ok(()) => Ok(self.granted(frame, flags)),
            Err(error) => {
                if !was_bound {
                    // Only the mappings from before are left, and they show zeros again.
                    let _ = self.rebind(frame, None);
                }
                let at = if error == PmError::Occupied { vaddr.get() } else { number };
                Err(Failure { error, done: 0, at })
            }
        }
    }

    /// Makes a mapping that the access to it installs.
    pub(super) fn map_lazily(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<MappingId, Failure> {
        let (frame, there) = self.check_mapping(peer, access, number, vaddr, flags)?;
        self.record_new(peer, access, frame, (vaddr, there), flags)
            .map_err(|error| at_frame(error, number))
    }

    /// Refuses a mapping that is not allowed now. Returns its frame, and the record of a cluster
    /// that is in its place.
    fn check_mapping(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<(FrameId, Option<Ref<Mapping>>), Failure> {
        self.check_leases(access, Range::one(number), need_of(flags))?;
        let frame = self.present(access.container, number)?;
        self.check_sharers(frame, need_of(flags))?;
        let there = self.find_record(peer, vaddr);
        if there.is_some_and(|there| self.mapping_at(there, vaddr).is_some()) {
            return Err(Failure { error: PmError::Occupied, done: 0, at: vaddr.get() });
        }
        self.check_mapping_room(access, frame, number)?;
        Ok((frame, there))
    }

    fn record_new(
        &mut self,
        peer: PeerId,
        access: &Access,
        frame: FrameId,
        (vaddr, there): (VirtAddr, Option<Ref<Mapping>>),
        flags: MapFlags,
    ) -> Result<MappingId, PmError> {
        let mapping = Mapping::new(frame, link_of(access.share), peer, vaddr, flags);
        self.add_mapping(peer, frame, mapping, (vaddr, there))
    }

    /// With FORCE_WRITE, gives the frame memory of its own now; with FORCE_READ, refuses a frame
    /// that has no contents yet.
    pub(super) fn prepare_forced(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        number: u64,
        (flags, is_first): (MapFlags, bool),
    ) -> Result<(), Failure> {
        if !flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            if flags.contains(MapFlags::FORCE_READ) {
                self.check_supplied_in_turn(peer, frame, AccessKind::Read, is_first)?;
            }
            return Ok(());
        }
        self.check_supplied_in_turn(peer, frame, AccessKind::Write, is_first)?;
        self.break_cow(frame)
            .map(drop)
            .map_err(|error| at_frame(Shortage::from(error).as_quota(), number))
    }

    /// Returns the rights that a mapping with these flags gives now (R14).
    pub(super) fn granted(&self, frame: FrameId, flags: MapFlags) -> MapFlags {
        self.granted_on(self.store.page_of(frame), flags)
    }

    /// The same for a frame on this page, or without one.
    #[inline]
    pub(super) fn granted_on(&self, page: Option<PageIndex>, flags: MapFlags) -> MapFlags {
        let granted = MapFlags::READ | MapFlags::EXECUTE | MapFlags::WRITE;
        let granted = (flags | MapFlags::READ).intersection(granted);
        let is_cow = |page: PageIndex| self.store.is_held_twice(page);
        if granted.contains(MapFlags::WRITE) && page.is_some_and(is_cow) {
            granted.difference(MapFlags::WRITE)
        } else {
            granted
        }
    }

    /// Installs a mapping if its frame has memory, or for loads with FORCE_READ; else the first
    /// access installs it.
    pub(super) fn show(&mut self, mapping: MappingId) -> Result<(), PmError> {
        let frame = self.frame_of(mapping);
        let asked = self.store.get(mapping.record).asked();
        if self.store.page_of(frame).is_some() {
            let granted = self.granted(frame, asked);
            return self.install(mapping, installed_for(granted));
        }
        if asked.contains(MapFlags::FORCE_READ) {
            return self.install(mapping, Installed::ReadOnly);
        }
        // The page of zeros is mapped at the first load: a frame that is never read costs nothing.
        self.suspend_one(mapping).map_err(|_: KernelError| PmError::Kernel)
    }

    /// Charges all that a mapping will ever need, its record, its slot and its page tables, and
    /// records it, in a cluster if it can be; undoes everything if a step fails.
    fn add_mapping(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        mapping: Mapping,
        (vaddr, there): (VirtAddr, Option<Ref<Mapping>>),
    ) -> Result<MappingId, PmError> {
        let cluster = self.cluster_for(&mapping, there)?;
        let mapping = match cluster {
            Some(cluster) => Id::new(cluster, frame.index),
            None => {
                let account = self.table_account(peer)?;
                Id::first(self.add_record(account, mapping)?)
            }
        };
        if let Err(error) = self.count_with_tables(peer, vaddr, 1) {
            let is_used = cluster.is_some_and(|cluster| self.store.get(cluster).present() != 0);
            if !is_used {
                self.remove_record(mapping.record);
            }
            self.collect_tables(peer, vaddr.get());
            return Err(error);
        }
        if cluster.is_some() {
            let record = self.store.get_mut(mapping.record);
            record.set_present(record.present() | mapping.bit());
        }
        Ok(mapping)
    }

    /// Refuses mappings that the handle does not allow, or no longer allows.
    pub(super) fn check_map_rights(
        &self,
        access: &Access,
        range: Range,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        self.check_right_to(access, range, flags)?;
        self.check_revoking(access)
    }

    /// Refuses rights that the handle does not give. The kernel would silently reduce them.
    pub(super) fn check_right_to(
        &self,
        access: &Access,
        range: Range,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        let needed = if flags.contains(MapFlags::WRITE) { Rights::WRITE } else { Rights::READ };
        if access.allows(range, needed) { Ok(()) } else { Err(PmError::NoRight.into()) }
    }

    /// Refuses new mappings through a share that is being revoked, unless a lease is held through
    /// it.
    pub(super) fn check_revoking(&self, access: &Access) -> Result<(), Failure> {
        if let Some(share) = access.share.map(|share| self.store.get(share))
            && share.is_revoking()
            && share.lease_count.is_zero()
        {
            return Err(PmError::Revoking.into());
        }
        Ok(())
    }

    /// Refuses one mapping of a frame too many.
    pub(super) fn check_mapping_room(
        &self,
        access: &Access,
        frame: FrameId,
        number: u64,
    ) -> Result<(), Failure> {
        let most = most_mappings(access);
        let record = self.store.get(frame.record);
        let may_be = record.mapping_count.get() >= most || record.home().is_some();
        if may_be && self.count_mappings_of(frame) >= most {
            return Err(at_frame(PmError::TooMany, number));
        }
        Ok(())
    }
}

/// Returns how many mappings one frame may have. Borrowers cannot use up the owner's part.
pub(super) fn most_mappings(access: &Access) -> u16 {
    let reserved = if access.is_strong() { 0 } else { FRAME_MAPPINGS_OWNER };
    FRAME_MAPPINGS_MAX.saturating_sub(reserved)
}

/// Returns what is left of a range, and its address, behind so many frames.
pub(super) fn behind(range: Range, vaddr: VirtAddr, frames: u64) -> Option<(Range, VirtAddr)> {
    range.after(frames).zip(vaddr.checked_add(frames.checked_mul(PAGE_BYTES)?))
}

/// Refuses combinations of flags that are not allowed.
pub(super) fn check_flags(flags: MapFlags) -> Result<(), PmError> {
    if flags.is_empty() || flags.contains(MapFlags::WRITE | MapFlags::EXECUTE) {
        return Err(PmError::Invalid);
    }
    Ok(())
}

/// Returns the address of the last page of a range.
pub(crate) fn last_page(vaddr: VirtAddr, pages: u64) -> Result<VirtAddr, PmError> {
    let bytes = pages.saturating_sub(1).checked_mul(PAGE_BYTES).ok_or(PmError::Invalid)?;
    vaddr.checked_add(bytes).ok_or(PmError::Invalid)
}

/// Returns how a mapping with these rights is installed.
pub(super) const fn installed_for(granted: MapFlags) -> Installed {
    if granted.contains(MapFlags::WRITE) { Installed::ReadWrite } else { Installed::ReadOnly }
}

/// Returns the pages from an address on, up to the end of the user address space.
pub(super) fn pages_from(vaddr: VirtAddr) -> impl Iterator<Item = VirtAddr> {
    core::iter::successors(Some(vaddr), |page| page.checked_add(PAGE_BYTES))
}
