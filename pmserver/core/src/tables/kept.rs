// SPDX-License-Identifier: BSD-2-Clause
//! Records of large mappings that were given back (PM-436). Nothing is mapped there; the record,
//! its capability and what it has set aside wait for the next take of the same frames at the same
//! place, which then costs one invocation. They make way for everything else.

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
        self.suspend_one(Id::first(mapping))?;
        self.store.get_mut(mapping).set_present(0);
        Ok(true)
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
