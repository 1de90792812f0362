// SPDX-License-Identifier: BSD-2-Clause
//! map, unmap (O6, O7, R2).
//!
//! Every mapping is made here, with a capability that pmserver keeps (R19). It is found by its
//! address, from its frame, and from the share that it was made through. `tables/mappings.rs`
//! decides what is installed in page tables at the moment; `ops/repair.rs` restores mappings that
//! were taken away.

use pmserver_api::{AccessKind, Failure, Frames, MapFlags, Mapped, PmError, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER, LARGE_FRAMES};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::failure::at_frame;
use crate::records::frame::{Frame, LARGE_PAGES};
use crate::records::leaf::Leaf;
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
        Frames { container, start, count }: Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapped, Failure> {
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_right_to(&access, range, flags)?;
        check_flags(flags)?;
        last_page(vaddr, count.get())?;
        self.check_revoking(&access)?;
        let mut mapped = Mapped::default();
        if count.get() == LARGE_FRAMES {
            self.store.meter().begin_frame(0)?;
            if let Some(rights) = self.map_large(caller, &access, (range, vaddr), flags)? {
                mapped.push_all(rights, LARGE_PAGES);
                return Ok(mapped);
            }
        }
        let mut pages = pages_from(vaddr);
        for number in range.first..=range.last {
            let Some(vaddr) = pages.next() else { break };
            let room = self.store.meter().begin_frame(0);
            let asked = (flags, mapped.count == 0);
            match room.and_then(|()| self.map_one(caller, &access, number, vaddr, asked)) {
                Ok(rights) if mapped.push(rights) => {}
                // The reply has no room for another run: unmap the page, the caller continues here.
                Ok(_) => {
                    self.unmap_at(caller, vaddr)?;
                    break;
                }
                Err(failure) if mapped.count == 0 => return Err(failure),
                Err(_) => break,
            }
        }
        Ok(mapped)
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
        let frame = self.check_mapping(peer, access, number, vaddr, flags)?;
        let was_bound = self.store.get(frame).page != 0;
        self.prepare_forced(peer, frame, number, (flags, is_first))?;
        let result = self.record_new(peer, access, frame, vaddr, flags);
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
    ) -> Result<Ref<Mapping>, Failure> {
        let frame = self.check_mapping(peer, access, number, vaddr, flags)?;
        self.record_new(peer, access, frame, vaddr, flags).map_err(|error| at_frame(error, number))
    }

    /// Refuses a mapping that is not allowed now. Returns its frame.
    fn check_mapping(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Ref<Frame>, Failure> {
        self.check_leases(access, Range::one(number), need_of(flags))?;
        let frame = self.present_frame(access.container, number)?;
        self.check_sharers(frame, need_of(flags))?;
        if self.find_mapping(peer, vaddr).is_some() {
            return Err(Failure { error: PmError::Occupied, done: 0, at: vaddr.get() });
        }
        self.check_mapping_room(access, frame, number)?;
        Ok(frame)
    }

    fn record_new(
        &mut self,
        peer: PeerId,
        access: &Access,
        frame: Ref<Frame>,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Ref<Mapping>, PmError> {
        let mapping = Mapping::new(frame.link(), link_of(access.share), peer, vaddr, flags);
        self.add_mapping(peer, mapping, vaddr)
    }

    /// With FORCE_WRITE, gives the frame memory of its own now; with FORCE_READ, refuses a frame
    /// that has no contents yet.
    pub(super) fn prepare_forced(
        &mut self,
        peer: PeerId,
        frame: Ref<Frame>,
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
    pub(super) fn granted(&self, frame: Ref<Frame>, flags: MapFlags) -> MapFlags {
        let mut granted = MapFlags::READ | flags.intersection(MapFlags::EXECUTE);
        granted.set(MapFlags::WRITE, flags.contains(MapFlags::WRITE) && !self.is_cow(frame));
        granted
    }

    /// Installs a mapping if its frame has memory, or for loads with FORCE_READ; else the first
    /// access installs it.
    pub(super) fn show(&mut self, mapping: Ref<Mapping>) -> Result<(), PmError> {
        let frame = self.frame_of(mapping);
        let asked = self.store.get(mapping).asked();
        if self.store.get(frame).page().is_some() {
            let granted = self.granted(frame, asked);
            return self.install(mapping, installed_for(granted));
        }
        if asked.contains(MapFlags::FORCE_READ) {
            return self.install(mapping, Installed::ReadOnly);
        }
        // The page of zeros is mapped at the first load: a frame that is never read costs nothing.
        self.suspend(mapping).map_err(|_: KernelError| PmError::Kernel)
    }

    /// Charges all that a mapping will ever need, its record, its slot and its page tables, and
    /// records it; undoes everything if a step fails.
    fn add_mapping(
        &mut self,
        peer: PeerId,
        mut mapping: Mapping,
        vaddr: VirtAddr,
    ) -> Result<Ref<Mapping>, PmError> {
        let account = self.table_account(peer)?;
        let slot = self.store.alloc_slot(account).map_err(Shortage::as_table_quota)?;
        mapping.set_slot(slot);
        let mapping = self.record_mapping(account, peer, mapping).inspect_err(|_| {
            self.store.free_slot(slot);
        })?;
        if let Err(error) = self.ensure_tables_at(peer, vaddr) {
            let tree = self.peer(peer).vspace.mappings;
            self.peer_mut(peer).vspace.mappings = self.store.tree_remove(tree, vaddr.get());
            self.store.free(mapping);
            self.store.free_slot(slot);
            self.collect_tables(peer, vaddr.get());
            return Err(error);
        }
        self.count_mapping(peer, vaddr.get(), true);
        self.link_mapping(mapping);
        Ok(mapping)
    }

    fn record_mapping(
        &mut self,
        account: Ref<Account>,
        peer: PeerId,
        mapping: Mapping,
    ) -> Result<Ref<Mapping>, PmError> {
        let mapping = self.store.alloc(account, mapping).map_err(Shortage::as_table_quota)?;
        let tree = self.peer(peer).vspace.mappings;
        let result = self.store.tree_insert(account, tree, mapping);
        let tree = result.map_err(Shortage::as_table_quota).inspect_err(|_| {
            self.store.free(mapping);
        })?;
        self.peer_mut(peer).vspace.mappings = tree;
        Ok(mapping)
    }

    fn unmap_at(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<(), Failure> {
        let Some(mapping) = self.find_mapping(peer, vaddr) else { return Ok(()) };
        self.remove_mapping(mapping).map_err(|_: KernelError| PmError::Kernel.into())
    }

    /// Unmaps pages of the caller (O7). Pages that are not mapped are skipped.
    #[inline(never)]
    pub(crate) fn unmap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
    ) -> Result<u64, Failure> {
        let last = last_page(vaddr, count.get())?;
        let done = self.unmap_range(caller, (vaddr.get(), last.get()), u64::MAX)?;
        // Empty tables that `ensure_tables` made are removed with the range, which is shorter than
        // the span of a table.
        self.collect_tables(caller, vaddr.get());
        self.collect_tables(caller, last.get());
        Ok(done)
    }

    /// Unmaps up to `most` mappings between two addresses and returns how many.
    ///
    /// # Errors
    /// `Pending` with how many were unmapped if there are more.
    pub(super) fn unmap_range(
        &mut self,
        peer: PeerId,
        (first, last): (u64, u64),
        most: u64,
    ) -> Result<u64, Failure> {
        let mut done: u64 = 0;
        loop {
            let tree = self.peer(peer).vspace.mappings;
            let Some(mapping) = self.store.tree_next::<Mapping>(tree, first) else { break };
            if self.store.get(mapping).key() > last {
                break;
            }
            if done >= most {
                return Err(Failure { error: PmError::Pending, done, at: 0 });
            }
            self.store.meter().begin_frame(done)?;
            let record = self.store.get(mapping);
            let (starts, is_large) = (record.vaddr() >= first, record.is_large());
            let is_whole = starts && record.last() <= last;
            let pages = if is_large { LARGE_FRAMES } else { 1 };
            if is_large && (!is_whole || done.saturating_add(pages) > most) {
                self.split_mapped(mapping).map_err(|failure| Failure { done, ..failure })?;
                continue;
            }
            self.remove_mapping(mapping).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done,
                at: 0,
            })?;
            done = done.saturating_add(pages);
        }
        Ok(done)
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

    /// Refuses one mapping of a frame too many. Borrowers cannot use up the owner's part.
    pub(super) fn check_mapping_room(
        &self,
        access: &Access,
        frame: Ref<Frame>,
        number: u64,
    ) -> Result<(), Failure> {
        let reserved = if access.is_strong() { 0 } else { FRAME_MAPPINGS_OWNER };
        if self.store.get(frame).mapping_count.get() >= FRAME_MAPPINGS_MAX.saturating_sub(reserved)
        {
            return Err(at_frame(PmError::TooMany, number));
        }
        Ok(())
    }
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
