// SPDX-License-Identifier: BSD-2-Clause
//! Repair of mappings at a fault, and remap (R2, O18, decisions D4, D8): an access that a mapping
//! or a region allows never stops the program.
//!
//! ```text
//!   access, nothing installed for it
//!     | is there a mapping? else a region, which makes one
//!     | asked for with that right, and no other holder's lease forbids it?  no -> a fault
//!     | installed for it already, at the last fault too? ----------------- yes -> a fault
//!     | has contents? ---------- no: ask the handler -------------------------> retried
//!     v
//!   store: memory of its own, copied if it is shared     load: the page, or the page of zeros
//!     +--------------------------> installed; retried <--------------------------+
//! ```

use pmserver_api::{AccessKind, Failure, MapFlags, Mapped, PmError};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::ops::map::{check_flags, last_page};
use crate::records::failure::{at_frame, is_more_to_do};
use crate::records::id::MappingId;
use crate::records::lease::{Need, need_of};
use crate::records::mapping::Installed;
use crate::records::range::Range;
use crate::records::share::Access;

/// The result of repairing a faulting access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// A retry succeeds, or what it needs has been asked for.
    TryAgain,
    /// The access is not allowed.
    No,
}

impl<K: Kernel> Operations<K> {
    /// Does what a faulting access needs.
    pub(crate) fn repair(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> Repair {
        let Some(page) = VirtAddr::new(address).map(VirtAddr::page) else { return Repair::No };
        let found = self.find_mapping(peer, page);
        if self.is_in_vain(peer, found, (address, kind)) {
            return Repair::No;
        }
        let mapping = match found {
            Some(found) => Ok(Some(found)),
            None => self.map_in_region(peer, page, kind),
        };
        let mapping = match mapping {
            Ok(Some(mapping)) => mapping,
            Ok(None) => return Repair::TryAgain,
            Err(failure) if is_more_to_do(&failure) => return Repair::TryAgain,
            Err(_) => return Repair::No,
        };
        let mapping = match self.split_for_access(mapping, kind) {
            Ok(false) => mapping,
            // It has been replaced.
            Ok(true) => match self.find_mapping(peer, page) {
                Some(mapping) => mapping,
                None => return Repair::No,
            },
            Err(failure) if is_more_to_do(&failure) => return Repair::TryAgain,
            Err(_) => return Repair::No,
        };
        let access = self.access_of(mapping);
        // The retry goes on with what is more than one fault does.
        let room = self.expire_leases(access.container);
        if room.and_then(|()| self.store.meter().begin_frame(0)).is_err() {
            return Repair::TryAgain;
        }
        // A mapping of what was taken has gone with its lease.
        if !access.is_strong() && self.find_mapping(peer, page) != Some(mapping) {
            return Repair::TryAgain;
        }
        if !self.is_allowed(mapping, &access, kind) {
            return Repair::No;
        }
        let frame = self.frame_of(mapping);
        if self.check_touched(peer, frame, kind).is_err() {
            return if self.is_waiting(peer) { Repair::TryAgain } else { Repair::No };
        }
        // Try twice: one refusal by the kernel must not stop a program.
        let result = self.install_for_access(mapping, &access, kind);
        match result.or_else(|_| self.install_for_access(mapping, &access, kind)) {
            Ok(()) => Repair::TryAgain,
            Err(_) => {
                if found.is_none() {
                    // Nothing is left of what the fault has made.
                    let _ = self.remove_mapping(mapping);
                }
                Repair::No
            }
        }
    }

    /// Splits a large frame or a bound run if a page of it is needed alone, for a store to memory
    /// that others share copy-on-write, or if that has begun. Returns whether it was split.
    fn split_for_access(&mut self, mapping: MappingId, kind: AccessKind) -> Result<bool, Failure> {
        let is_split = self.is_split_for(mapping, kind == AccessKind::Write);
        if is_split {
            self.split_mapped(mapping.record)?;
        }
        Ok(is_split)
    }

    /// Returns whether the large frame or bound run of a mapping has to be split before it is used.
    fn is_split_for(&self, mapping: MappingId, is_stored_to: bool) -> bool {
        let frame = self.frame_of(mapping);
        let is_whole = self.store.get(frame.record).is_whole();
        let first = self.store.page_of(frame).filter(|_| is_whole);
        first.is_some_and(|first| {
            self.store.is_splitting(first) || is_stored_to && self.is_cow(frame)
        })
    }

    /// Makes the mapping of a region's page that was accessed, if that is allowed. The access
    /// installs it. None if it was installed with other pages.
    ///
    /// # Errors
    /// `NotFound` if no region is there; else as `map`.
    fn map_in_region(
        &mut self,
        peer: PeerId,
        page: VirtAddr,
        kind: AccessKind,
    ) -> Result<Option<MappingId>, Failure> {
        let region = self.find_region(peer, page).ok_or(PmError::NotFound)?;
        let region = *self.store.get(region);
        let number = region.frame_at(page.get()).ok_or(PmError::NotFound)?;
        let access = self.access(peer, region.container())?;
        let range = Range::one(number);
        self.check_map_rights(&access, range, region.flags())?;
        // Nothing is forced: only what the access needs happens now, and no lease that allows the
        // access is in the way.
        let forced = MapFlags::FORCE_WRITE | MapFlags::FORCE_READ;
        let flags = region.flags().difference(forced);
        if self.map_ahead(peer, (&region, page), &access, (flags, kind)) {
            return Ok(None);
        }
        let needed = match kind {
            AccessKind::Write => flags,
            AccessKind::Read | AccessKind::Execute => {
                flags.difference(MapFlags::WRITE) | MapFlags::READ
            }
        };
        let result = self.map_lazily(peer, &access, number, page, needed);
        let mapping = result.or_else(|_| self.map_lazily(peer, &access, number, page, needed))?;
        Ok(Some(self.set_asked(mapping, flags)?))
    }

    /// Returns whether an access faults for the second time at a page that is mapped for it: no
    /// mapping cures that. The first time may be a fault from before the page was mapped again.
    fn is_in_vain(
        &mut self,
        peer: PeerId,
        mapping: Option<MappingId>,
        fault: (u64, AccessKind),
    ) -> bool {
        let needed = match fault.1 {
            AccessKind::Write => Installed::ReadWrite,
            AccessKind::Read | AccessKind::Execute => Installed::ReadOnly,
        };
        let is_installed = mapping.is_some_and(|mapping| self.installed(mapping) >= needed);
        let before = self.peer(peer).in_vain;
        let is_second = is_installed && before == Some(fault);
        self.peer_mut(peer).in_vain = Some(fault).filter(|_| is_installed && !is_second);
        is_second
    }

    /// Returns whether a mapping was asked for with the right, and no lease forbids it.
    fn is_allowed(&self, mapping: MappingId, access: &Access, kind: AccessKind) -> bool {
        let (needed, need) = match kind {
            AccessKind::Read => (MapFlags::empty(), Need::Load),
            AccessKind::Write => (MapFlags::WRITE, Need::Store),
            AccessKind::Execute => (MapFlags::EXECUTE, Need::Load),
        };
        self.store.get(mapping.record).asked().contains(needed)
            && self.is_free_for(mapping, access, need)
    }

    /// Returns whether no other holder's lease forbids this to a mapping.
    fn is_free_for(&self, mapping: MappingId, access: &Access, need: Need) -> bool {
        let frame = self.frame_of(mapping);
        let range = self.range_of(frame);
        self.check_leases(access, range, need).is_ok() && self.check_sharers(frame, need).is_ok()
    }

    /// Installs a mapping for an access that is allowed.
    fn install_for_access(
        &mut self,
        mapping: MappingId,
        access: &Access,
        kind: AccessKind,
    ) -> Result<(), PmError> {
        let frame = self.frame_of(mapping);
        if kind == AccessKind::Write {
            self.break_cow(frame).map_err(|_: KernelError| PmError::Kernel)?;
            return self.ensure_installed(mapping, Installed::ReadWrite);
        }
        let asked = self.store.get(mapping.record).asked();
        let may_write = self.store.page_of(frame).is_some()
            && self.granted(frame, asked).contains(MapFlags::WRITE)
            && self.is_free_for(mapping, access, Need::Store);
        let rights = if may_write { Installed::ReadWrite } else { Installed::ReadOnly };
        self.ensure_installed(mapping, rights)
    }

    /// Installs a mapping unless it is installed like that: a region has just made it, or the fault
    /// is from before it was installed.
    fn ensure_installed(&mut self, mapping: MappingId, rights: Installed) -> Result<(), PmError> {
        if self.installed(mapping) == rights { Ok(()) } else { self.install(mapping, rights) }
    }

    /// Restores mappings, with the rights that are asked for now (R2).
    #[inline(never)]
    pub(crate) fn remap(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
        flags: MapFlags,
    ) -> Result<Mapped, Failure> {
        check_flags(flags)?;
        last_page(vaddr, count.get())?;
        let mut mapped = Mapped::default();
        let mut next = Some(vaddr);
        while let Some(vaddr) = next.filter(|_| mapped.count < count.get()) {
            let left = count.get().saturating_sub(mapped.count);
            let whole = self.whole_at(caller, vaddr, left);
            let frames = whole.unwrap_or(1);
            let room = self.store.meter().begin_frame(0);
            let asked = (flags, mapped.count == 0);
            match room.and_then(|()| self.remap_one(caller, (vaddr, whole.is_some()), asked)) {
                Ok(rights) if mapped.push_all(rights, frames) => {}
                Err(failure) if mapped.count == 0 => return Err(failure),
                Ok(_) | Err(_) => break,
            }
            next = vaddr.checked_add(u64::from(frames).saturating_mul(PAGE_BYTES));
        }
        Ok(mapped)
    }

    fn remap_one(
        &mut self,
        peer: PeerId,
        (vaddr, is_whole): (VirtAddr, bool),
        (flags, is_first): (MapFlags, bool),
    ) -> Result<MapFlags, Failure> {
        let missing = Failure { error: PmError::NotFound, done: 0, at: vaddr.get() };
        let mut mapping = self.find_mapping(peer, vaddr).ok_or(missing)?;
        let is_stored_to = flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE);
        if !is_whole || self.is_split_for(mapping, is_stored_to) {
            self.split_mapped(mapping.record)?;
            mapping = self.find_mapping(peer, vaddr).ok_or(missing)?;
        }
        let frame = self.frame_of(mapping);
        let access = self.access_of(mapping);
        self.expire_leases(access.container)?;
        // A mapping of what was taken has gone with its lease.
        if !access.is_strong() && self.find_mapping(peer, vaddr) != Some(mapping) {
            return Err(missing);
        }
        let range = self.range_of(frame);
        let number = range.first;
        self.check_map_rights(&access, range, flags)?;
        self.check_leases(&access, range, need_of(flags))?;
        self.check_sharers(frame, need_of(flags))?;
        self.prepare_forced(peer, frame, number, (flags, is_first))?;
        let before = self.store.get(mapping.record).asked();
        let refused = |_: KernelError| at_frame(PmError::Kernel, number);
        self.suspend_one(mapping).map_err(refused)?;
        let mapping = self.set_asked(mapping, flags).map_err(|error| at_frame(error, number))?;
        self.show(mapping).map_err(|error| {
            // Of 64 pages some may be installed. If the kernel refuses, they stay so.
            let _ = self.suspend_one(mapping);
            self.store.get_mut(mapping.record).set_asked(before);
            at_frame(error, number)
        })?;
        Ok(self.granted(frame, flags))
    }

    /// Changes the flags of a mapping, which then is in a record of its own.
    ///
    /// # Errors
    /// `NoTableQuota` if its account cannot pay for that; `Kernel` if the kernel refuses a page.
    fn set_asked(&mut self, mapping: MappingId, flags: MapFlags) -> Result<MappingId, PmError> {
        let record = *self.store.get(mapping.record);
        if record.asked() == flags {
            return Ok(mapping);
        }
        let mut single = mapping;
        if record.is_cluster() {
            self.split_mappings(mapping.record)?;
            let vaddr = VirtAddr::new_page(record.vaddr_of(mapping.index));
            let found = vaddr.and_then(|vaddr| self.find_mapping(record.peer(), vaddr));
            single = found.ok_or(PmError::Kernel)?;
        }
        self.store.get_mut(single.record).set_asked(flags);
        Ok(single)
    }

    /// Returns how all pages of a mapping are installed.
    fn installed(&self, mapping: MappingId) -> Installed {
        let record = self.store.get(mapping.record);
        if record.is_partial() { Installed::No } else { record.installed(mapping.index) }
    }

    /// Returns the access of the handle that a mapping was made with.
    fn access_of(&self, mapping: MappingId) -> Access {
        let frame = self.frame_of(mapping);
        let container = self.store.container_of(frame.record);
        match self.store.get(mapping.record).share.target() {
            None => Access::strong(container),
            Some(share) => Access::through(container, share, self.store.get(share)),
        }
    }
}
