// SPDX-License-Identifier: BSD-2-Clause
//! Mapping frames into the address spaces of peers, and taking mappings away (protocol O6, O7, R2).
//!
//! Every mapping is made here, through a capability that pmserver keeps (protocol R19, lesson 14),
//! and is found again from three sides: by its address, from its frame, and from the share it was
//! made through. What of it is installed at the moment is the matter of `install.rs`, what comes
//! back by itself that of `repair.rs`.

use pmserver_api::{AccessKind, Failure, Frames, MapFlags, Mapped, PmError, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::accounts::account::Shortage;
use crate::containers::lease::Need;
use crate::containers::objects::{Access, Container, Frame, FrameMarks};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::mappings::objects::{Installed, Mapping};
use crate::memory::radix::Leaf;
use crate::memory::records::{Ref, link_of};
use crate::server::Server;

/// Refuses flags that make no sense together.
pub(crate) fn check_flags(flags: MapFlags) -> Result<(), PmError> {
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

/// Returns what stores are to a lease.
pub(crate) const fn need_of(flags: MapFlags) -> Need {
    if flags.contains(MapFlags::WRITE) { Need::Change } else { Need::Read }
}

pub(crate) const fn at_frame(error: PmError, number: u64) -> Failure {
    Failure { error, done: 0, at: number }
}

impl<K: Kernel> Server<K> {
    /// Maps frames (protocol O6) up to the first problem; it is an error if that is the first
    /// frame.
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
        let mut pages = pages_from(vaddr);
        let mut mapped = Mapped::default();
        for number in range.first..=range.last {
            let Some(vaddr) = pages.next() else { break };
            match self.map_one(caller, &access, number, vaddr, flags) {
                Ok(rights) if mapped.push(rights) => {}
                // A run too many: the caller goes on from here, and finds nothing in its way.
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

    /// Refuses to map what a handle does not give, or does not give any more.
    pub(crate) fn check_map_rights(
        &self,
        access: &Access,
        range: Range,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        self.check_right_to(access, range, flags)?;
        self.check_revoking(access)
    }

    /// Refuses rights that a handle does not give. The kernel would grant less without a word.
    pub(crate) fn check_right_to(
        &self,
        access: &Access,
        range: Range,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        let needed = if flags.contains(MapFlags::WRITE) { Rights::WRITE } else { Rights::READ };
        if access.allows(range, needed) { Ok(()) } else { Err(PmError::NoRight.into()) }
    }

    /// Refuses new mappings through a share that is only kept by leases' ends.
    pub(crate) fn check_revoking(&self, access: &Access) -> Result<(), Failure> {
        if let Some(share) = access.share.map(|share| self.pool.get(share))
            && share.is_revoking()
            && share.lease_count == 0
        {
            return Err(PmError::Revoking.into());
        }
        Ok(())
    }

    pub(crate) fn map_one(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<MapFlags, Failure> {
        self.check_leases(access, Range::one(number), need_of(flags))?;
        let frame = self.present_frame(access.container, number)?;
        self.check_sharers(frame, need_of(flags))?;
        if self.find_mapping(peer, vaddr).is_some() {
            return Err(Failure { error: PmError::Occupied, done: 0, at: vaddr.get() });
        }
        self.check_mapping_room(access, frame, number)?;
        let was_bound = self.pool.get(frame).page != 0;
        self.ready(peer, frame, number, flags)?;
        let mapping = Mapping::new(frame.link(), link_of(access.share), peer, vaddr, flags);
        let result = self.add_mapping(peer, mapping, vaddr);
        let result = result.and_then(|mapping| {
            self.show(mapping).inspect_err(|_| {
                // The mapping is new: where the kernel keeps it, so do the books.
                let _ = self.remove_mapping(mapping);
            })
        });
        match result {
            Ok(()) => Ok(self.granted(frame, flags)),
            Err(error) => {
                if !was_bound {
                    // It has no mapping but those that it had, and they show zeros again.
                    let _ = self.rebind(frame, None);
                }
                let at = if error == PmError::Occupied { vaddr.get() } else { number };
                Err(Failure { error, done: 0, at })
            }
        }
    }

    /// A borrower cannot use up the owner's mappings of a frame.
    pub(crate) fn check_mapping_room(
        &self,
        access: &Access,
        frame: Ref<Frame>,
        number: u64,
    ) -> Result<(), Failure> {
        let reserved = if access.is_strong() { 0 } else { FRAME_MAPPINGS_OWNER };
        if self.pool.get(frame).mapping_count >= FRAME_MAPPINGS_MAX.saturating_sub(reserved) {
            return Err(at_frame(PmError::TooMany, number));
        }
        Ok(())
    }

    /// Returns a frame of a container, or why there is none.
    pub(crate) fn present_frame(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Ref<Frame>, Failure> {
        let frame = self.frame_at(container, number).map_err(|error| at_frame(error, number))?;
        if self.pool.get(frame).has(FrameMarks::TENTATIVE) {
            return Err(at_frame(PmError::NotFound, number));
        }
        Ok(frame)
    }

    /// Does what FORCE_WRITE asks for: memory of the frame's own, now.
    pub(crate) fn ready(
        &mut self,
        peer: PeerId,
        frame: Ref<Frame>,
        number: u64,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        if !flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            return Ok(());
        }
        self.check_supplied(peer, frame, AccessKind::Write)?;
        self.break_cow(frame)
            .map(drop)
            .map_err(|error| at_frame(Shortage::from(error).as_quota(), number))
    }

    /// Returns the rights that a mapping with these flags gives now (R14).
    pub(crate) fn granted(&self, frame: Ref<Frame>, flags: MapFlags) -> MapFlags {
        let mut granted = MapFlags::READ | flags.intersection(MapFlags::EXECUTE);
        granted.set(MapFlags::WRITE, flags.contains(MapFlags::WRITE) && !self.is_cow(frame));
        granted
    }

    /// Installs a mapping where its frame has something to show; else it waits to be touched.
    pub(crate) fn show(&mut self, mapping: Ref<Mapping>) -> Result<(), PmError> {
        let frame = self.frame_of(mapping);
        if self.pool.get(frame).page().is_none() {
            // Zeros are mapped when they are read; what may never be read costs nothing.
            return self.suspend(mapping).map_err(|_: KernelError| PmError::Kernel);
        }
        let flags = self.granted(frame, self.pool.get(mapping).asked());
        self.install(mapping, installed_for(flags))
    }

    /// Records a mapping, with the page tables that it needs; undoes all of it at the first
    /// refusal.
    fn add_mapping(
        &mut self,
        peer: PeerId,
        mapping: Mapping,
        vaddr: VirtAddr,
    ) -> Result<Ref<Mapping>, PmError> {
        let account = self.table_account(peer)?;
        let mapping = self.pool.alloc(account, mapping).map_err(Shortage::as_table_quota)?;
        let tree = self.peer(peer).vspace.mappings;
        let result = self.pool.tree_insert(account, tree, mapping);
        match result.map_err(Shortage::as_table_quota) {
            Ok(tree) => self.peer_mut(peer).vspace.mappings = tree,
            Err(error) => {
                self.pool.free(mapping);
                return Err(error);
            }
        }
        if let Err(error) = self.ensure_tables_at(peer, vaddr) {
            let tree = self.pool.tree_remove(self.peer(peer).vspace.mappings, vaddr.get());
            self.peer_mut(peer).vspace.mappings = tree;
            self.pool.free(mapping);
            self.collect_tables(peer, vaddr.get());
            return Err(error);
        }
        self.count_mapping(peer, vaddr.get(), true);
        self.link_mapping(mapping);
        Ok(mapping)
    }

    fn unmap_at(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<(), Failure> {
        let Some(mapping) = self.find_mapping(peer, vaddr) else { return Ok(()) };
        self.remove_mapping(mapping).map_err(|_: KernelError| PmError::Kernel.into())
    }

    /// Unmaps pages of the caller's own (protocol O7); those that are not mapped are passed over.
    pub(crate) fn unmap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
    ) -> Result<u64, Failure> {
        let last = last_page(vaddr, count.get())?;
        let done = self.unmap_range(caller, (vaddr.get(), last.get()), u64::MAX)?;
        // Tables that were asked for and have nothing below them go with the range.
        for page in pages_from(vaddr).take_while(|page| *page <= last) {
            self.collect_tables(caller, page.get());
        }
        Ok(done)
    }

    /// Unmaps up to `most` mappings between two addresses and returns how many.
    pub(crate) fn unmap_range(
        &mut self,
        peer: PeerId,
        (first, last): (u64, u64),
        most: u64,
    ) -> Result<u64, Failure> {
        let mut done: u64 = 0;
        while done < most {
            let tree = self.peer(peer).vspace.mappings;
            let Some(mapping) = self.pool.tree_next::<Mapping>(tree, first) else { break };
            if self.pool.get(mapping).key() > last {
                break;
            }
            self.remove_mapping(mapping).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done,
                at: 0,
            })?;
            done = done.saturating_add(1);
        }
        Ok(done)
    }
}

/// Returns what is installed for rights that are granted.
pub(crate) const fn installed_for(granted: MapFlags) -> Installed {
    if granted.contains(MapFlags::WRITE) { Installed::ReadWrite } else { Installed::ReadOnly }
}

/// Returns the pages from an address on, as far as there are any.
pub(crate) fn pages_from(vaddr: VirtAddr) -> impl Iterator<Item = VirtAddr> {
    core::iter::successors(Some(vaddr), |page| page.checked_add(PAGE_BYTES))
}
