// SPDX-License-Identifier: BSD-2-Clause
//! What is installed of a mapping in page tables: capabilities, and the rights of the moment.
//!
//! A mapping is a promise that pmserver keeps when the page is touched; what is installed is a
//! cache of it (protocol R2). It uses the page's original capability where no other mapping has
//! that, else a derived one in a slot, which it keeps for as long as it lives.
//!
//! ```text
//!            install                      install, with other rights
//!   no cap ----------> installed, cap <--------------------------------+
//!      ^                 |       |  \__________________________________|
//!      | forget_cap      |       | suspend
//!      +-----------------+       v
//!      +------------------- cap alone
//! ```

use pmserver_api::PmError;
use proto::{PeerId, VirtAddr};

use crate::kernel::{CapRights, FrameCap, Kernel, KernelError, PageIndex, PageRights};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::count::minus;
use crate::records::frame::Frame;
use crate::records::links::Link;
use crate::records::mapping::{Installed, Mapping};
use crate::records::share::Share;
use crate::tables::Tables;

/// Rights of what is mapped only to find out which tables are missing.
const PROBE: PageRights = PageRights { write: false, execute: false };

impl<K: Kernel> Tables<K> {
    /// Installs a mapping anew with these rights, on the page of its frame or, where that has none,
    /// on the page of zeros.
    pub(crate) fn install(
        &mut self,
        mapping: Ref<Mapping>,
        rights: Installed,
    ) -> Result<(), PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        let page = self.store.get(self.frame_of(mapping)).page().unwrap_or(self.store.zero);
        if self.store.get(mapping).page() != Some(page) {
            self.forget_cap(mapping).map_err(kernel)?;
            self.take_cap(mapping, page)?;
        }
        // Unmapped first, always: a coming kernel forbids to map over a page (design D8).
        self.suspend(mapping).map_err(kernel)?;
        let record = *self.store.get(mapping);
        let Some(vaddr) = VirtAddr::new_page(record.vaddr()) else { return Err(PmError::Invalid) };
        self.map_with_tables(record.peer(), record.cap(page), vaddr, record.rights(rights))?;
        self.store.get_mut(mapping).set_installed(rights);
        Ok(())
    }

    /// Gets a mapping a capability to a page.
    fn take_cap(&mut self, mapping: Ref<Mapping>, page: PageIndex) -> Result<(), PmError> {
        let record = *self.store.get(mapping);
        let slot = match record.slot() {
            Some(slot) => slot,
            None if page != self.store.zero && self.store.entry(page).original_user().is_none() => {
                self.store.entry_mut(page).set_original_user(mapping.link());
                self.store.get_mut(mapping).page = page.get();
                return Ok(());
            }
            None => {
                let account = self.table_account(record.peer())?;
                let slot = self.store.alloc_slot(account).map_err(Shortage::as_table_quota)?;
                self.store.get_mut(mapping).set_slot(slot);
                slot
            }
        };
        self.store
            .kernel
            .derive(page, slot, CapRights::All)
            .map_err(|_: KernelError| PmError::Kernel)?;
        self.store.get_mut(mapping).page = page.get();
        Ok(())
    }

    /// Takes a mapping out of the page tables; its capability stays with it.
    ///
    /// # Errors
    /// What the kernel says where it refuses; then it is installed as it was.
    pub(crate) fn suspend(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        if let (Some(page), true) = (record.page(), record.installed() != Installed::No) {
            self.store.kernel.unmap_frame(record.cap(page))?;
            self.store.get_mut(mapping).set_installed(Installed::No);
        }
        Ok(())
    }

    /// Takes a mapping out of the page tables, and its capability from it; a slot stays with it.
    ///
    /// # Errors
    /// As [`Self::suspend`].
    pub(crate) fn forget_cap(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        let Some(page) = record.page() else { return Ok(()) };
        match record.slot() {
            // Deleting a capability unmaps what was mapped by it.
            Some(slot) => self.store.kernel.delete(slot)?,
            None => {
                self.suspend(mapping)?;
                self.store.entry_mut(page).set_original_user(Link::NONE);
            }
        }
        let record = self.store.get_mut(mapping);
        record.page = 0;
        record.set_installed(Installed::No);
        Ok(())
    }

    /// Leaves the mappings of a frame that were made through a share that `whose` names with these
    /// rights at most; grants with more are taken back.
    pub(crate) fn limit_mappings(
        &mut self,
        frame: Ref<Frame>,
        most: Installed,
        whose: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            let record = *self.store.get(mapping);
            if record.installed() <= most || !whose(record.share) {
                continue;
            }
            if record.is_grant() {
                self.remove_mapping(mapping)?;
            } else {
                self.suspend(mapping)?;
                if most > Installed::No {
                    // Where the kernel refuses it comes back when it is touched.
                    let _ = self.install(mapping, most);
                }
            }
        }
        Ok(())
    }

    /// Installs the page tables that are missing at an address; returns how many were.
    pub(crate) fn ensure_tables_at(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
    ) -> Result<u64, PmError> {
        if self.has_leaf_table(peer, vaddr) {
            return Ok(0);
        }
        let before = self.peer(peer).vspace.table_count.get();
        let probe = FrameCap::Original(self.store.zero);
        self.map_with_tables(peer, probe, vaddr, PROBE)?;
        // The page of zeros is pmserver's own: nothing of the caller's depends on it.
        self.store.kernel.unmap_frame(probe).map_err(|_: KernelError| PmError::Kernel)?;
        Ok(minus(self.peer(peer).vspace.table_count.get(), before).into())
    }
}
