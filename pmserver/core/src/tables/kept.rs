// SPDX-License-Identifier: BSD-2-Clause
//! Records of large mappings in which nothing is mapped now. The record, its capability and what it
//! has set aside wait for the same frames to be mapped at the same place, which then costs one
//! invocation. They make way for everything else.
//!
//! - Of what was taken and given back (PM-436) each is kept, and stays charged to the borrower.
//! - Of what was unmapped the last one is kept, and nobody can tell: whatever charges something, or
//!   tells what is charged, removes it first.

use proto::{PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::id::Id;
use crate::records::mapping::Mapping;
use crate::records::share::Share;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Unmaps what was made through a share if that is one large mapping, and keeps its record.
    /// Returns whether it is.
    ///
    /// # Errors
    /// The kernel's error; it is mapped then as it was.
    pub(crate) fn keep_large(&mut self, share: Ref<Share>) -> Result<bool, KernelError> {
        let of_share = self.store.get(share);
        let Some(mapping) = of_share.mappings.target() else { return Ok(false) };
        if of_share.is_revoking() || !self.store.get(mapping).is_large() {
            return Ok(false);
        }
        self.keep(mapping)?;
        Ok(true)
    }

    /// Unmaps a mapping of a large frame and keeps its record.
    fn keep(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        self.suspend_one(Id::first(mapping))?;
        self.store.get_mut(mapping).set_present(0);
        Ok(())
    }

    /// Unmaps the large frame of an owner that is mapped at an address, and keeps its record.
    /// Returns whether there is one.
    ///
    /// # Errors
    /// The kernel's error; it is mapped then as it was.
    pub(crate) fn keep_unmapped(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
    ) -> Result<bool, KernelError> {
        let Some(Id { record: mapping, .. }) = self.find_mapping(peer, vaddr) else {
            return Ok(false);
        };
        let record = self.store.get(mapping);
        // A derived capability is one that the kernel could refuse to delete later.
        let is_derived = record.has_cap(0) && !record.is_original(0);
        if !record.is_large()
            || record.vaddr() != vaddr.get()
            || !record.share.is_none()
            || is_derived
        {
            return Ok(false);
        }
        self.drop_unmapped();
        if self.kept.is_some() {
            return Ok(false);
        }
        self.keep(mapping)?;
        self.kept = Some(mapping);
        Ok(true)
    }

    /// Returns the record that is kept of what was unmapped last.
    pub(crate) const fn kept(&self) -> Option<Ref<Mapping>> {
        self.kept
    }

    /// Removes the record that is kept of what was unmapped last.
    #[inline]
    pub(crate) fn drop_unmapped(&mut self) {
        if let Some(kept) = self.kept {
            let before = self.store.meter().spent();
            // It has no capability that the kernel could refuse to delete, but for one that was
            // derived in vain: then it stays until the next call.
            let _: Result<bool, KernelError> = self.drop_if_kept(kept);
            self.store.meter().count_split(before);
        }
    }

    /// Says that a record is not kept any more.
    pub(crate) fn forget_kept(&mut self, mapping: Ref<Mapping>) {
        if self.kept == Some(mapping) {
            self.kept = None;
        }
    }

    /// Removes a record if it was kept, and returns whether it was.
    ///
    /// # Errors
    /// The kernel's error; it is kept then.
    pub(crate) fn drop_if_kept(&mut self, mapping: Ref<Mapping>) -> Result<bool, KernelError> {
        let is_kept = self.store.get(mapping).is_kept();
        if is_kept {
            self.remove_mappings_in(mapping, 1)?;
        }
        Ok(is_kept)
    }

    /// Removes the records of a frame that were kept.
    ///
    /// # Errors
    /// The kernel's error; some are kept then.
    pub(crate) fn drop_kept_of(&mut self, frame: Ref<Frame>) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            self.drop_if_kept(mapping)?;
        }
        Ok(())
    }
}
