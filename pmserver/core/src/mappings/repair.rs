// SPDX-License-Identifier: BSD-2-Clause
//! What comes back by itself: an access that a mapping or a region allows is no fault to the
//! program (protocol R2, O18, design D4, D8).
//!
//! ```text
//!   access, nothing installed for it
//!     | mapping there? else a region, which makes one
//!     | asked for with that right? no lease of another's against it?  no ----> a fault
//!     | contents there? ------- no, somebody supplies them ------------------> asked; tried again
//!     v
//!   store: memory of its own, copied if it is shared     load: the page, or the page of zeros
//!     +------------------------> installed; tried again <------------------------+
//! ```

use pmserver_api::{AccessKind, Failure, MapFlags, Mapped, PmError};
use proto::{FrameCount, PeerId, VirtAddr};

use crate::broken;
use crate::containers::lease::Need;
use crate::containers::objects::{Access, Share};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::mappings::mapping::pages_from;
use crate::mappings::mapping::{at_frame, check_flags, last_page, need_of};
use crate::mappings::objects::{Installed, Mapping};
use crate::memory::radix::Leaf;
use crate::memory::records::Ref;
use crate::server::Server;

/// What became of an access that faulted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// It succeeds when it is tried again, or what it needs has been asked for.
    TryAgain,
    /// The program may not do that.
    No,
}

impl<K: Kernel> Server<K> {
    /// Does what an access needs that faulted.
    pub(crate) fn repair(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> Repair {
        let Some(page) = VirtAddr::new(address).map(VirtAddr::page) else { return Repair::No };
        let found = self.find_mapping(peer, page).or_else(|| self.map_in_region(peer, page));
        let Some(mapping) = found else { return Repair::No };
        let access = self.access_of(mapping);
        self.expire_leases(access.container);
        if !self.is_allowed(mapping, &access, kind) {
            return Repair::No;
        }
        if self.check_touched(peer, self.frame_of(mapping), kind).is_err() {
            return if self.is_waiting(peer) { Repair::TryAgain } else { Repair::No };
        }
        // A program is not stopped because the kernel refused once what it had granted before.
        let result = self.bring(mapping, &access, kind);
        match result.or_else(|_| self.bring(mapping, &access, kind)) {
            Ok(()) => Repair::TryAgain,
            Err(_) => Repair::No,
        }
    }

    /// Returns whether a mapping was asked for with the right, and nobody holds a lease against it.
    fn is_allowed(&self, mapping: Ref<Mapping>, access: &Access, kind: AccessKind) -> bool {
        let (needed, need) = match kind {
            AccessKind::Read => (MapFlags::empty(), Need::Read),
            AccessKind::Write => (MapFlags::WRITE, Need::Change),
            AccessKind::Execute => (MapFlags::EXECUTE, Need::Read),
        };
        self.pool.get(mapping).asked().contains(needed) && self.is_free_for(mapping, access, need)
    }

    /// Returns whether no lease of another's forbids this to a mapping.
    fn is_free_for(&self, mapping: Ref<Mapping>, access: &Access, need: Need) -> bool {
        let frame = self.frame_of(mapping);
        let number = self.pool.get(frame).key();
        let range = Range::one(number);
        self.check_leases(access, range, need).is_ok() && self.check_sharers(frame, need).is_ok()
    }

    /// Installs a mapping for an access that is allowed.
    fn bring(
        &mut self,
        mapping: Ref<Mapping>,
        access: &Access,
        kind: AccessKind,
    ) -> Result<(), PmError> {
        let frame = self.frame_of(mapping);
        if kind == AccessKind::Write {
            self.break_cow(frame).map_err(|_: KernelError| PmError::Kernel)?;
            return self.install(mapping, Installed::ReadWrite);
        }
        let asked = self.pool.get(mapping).asked();
        let may_write = self.pool.get(frame).page().is_some()
            && self.granted(frame, asked).contains(MapFlags::WRITE)
            && self.is_free_for(mapping, access, Need::Change);
        let rights = if may_write { Installed::ReadWrite } else { Installed::ReadOnly };
        match self.install(mapping, rights) {
            // The page of zeros takes a slot, memory of the frame's own does not.
            Err(PmError::NoTableQuota) if self.pool.get(frame).page().is_none() => {
                self.bind(frame).map_err(|_: KernelError| PmError::Kernel)?;
                self.install(mapping, rights)
            }
            result => result,
        }
    }

    /// Brings back mappings that were taken away, with the rights that are asked for now (R2).
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
        for vaddr in pages_from(vaddr).take(usize::try_from(count.get()).unwrap_or_default()) {
            match self.remap_one(caller, vaddr, flags) {
                Ok(rights) if mapped.push(rights) => {}
                Err(failure) if mapped.count == 0 => return Err(failure),
                Ok(_) | Err(_) => break,
            }
        }
        Ok(mapped)
    }

    fn remap_one(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<MapFlags, Failure> {
        let missing = Failure { error: PmError::NotFound, done: 0, at: vaddr.get() };
        let mapping = self.find_mapping(peer, vaddr).ok_or(missing)?;
        let frame = self.frame_of(mapping);
        let access = self.access_of(mapping);
        self.expire_leases(access.container);
        let number = self.pool.get(frame).key();
        let range = Range::one(number);
        self.check_map_rights(&access, range, flags)?;
        self.check_leases(&access, range, need_of(flags))?;
        self.check_sharers(frame, need_of(flags))?;
        self.ready(peer, frame, number, flags)?;
        self.pool.get_mut(mapping).set_asked(flags);
        self.suspend(mapping).map_err(|_: KernelError| PmError::Kernel)?;
        self.show(mapping).map_err(|error| at_frame(error, number))?;
        Ok(self.granted(frame, flags))
    }

    /// Returns what the handle gave by which a mapping was made.
    pub(crate) fn access_of(&self, mapping: Ref<Mapping>) -> Access {
        let frame = self.frame_of(mapping);
        let Some(container) = Ref::from_link(self.pool.get(frame).container) else {
            broken("frame without a container")
        };
        match Ref::<Share>::from_link(self.pool.get(mapping).share) {
            None => Access::strong(container),
            Some(share) => Access::through(container, share, self.pool.get(share)),
        }
    }
}
