// SPDX-License-Identifier: BSD-2-Clause
//! Loads and stores by the owner of an address space, translated by its page tables.

use pmserver_core::kernel::VSpace;

use super::home::{COPIED_TO, PREPARED};
use super::{SimKernel, vspace_address};
use crate::machine::{Access, Cap, Mapped, PAGE_BYTES};

impl SimKernel {
    /// Loads bytes from an address space.
    ///
    /// # Errors
    /// The first address that faults; the bytes before it have been copied.
    pub fn load(&self, vspace: VSpace, from: u64, to: &mut [u8]) -> Result<(), u64> {
        let mut done = 0;
        while done < to.len() {
            let vaddr = from.wrapping_add(done as u64);
            let page = self.page_at(vspace, vaddr, Access::Read)?;
            let (start, length) = within_page(vaddr, to.len() - done);
            to[done..done + length]
                .copy_from_slice(&self.machine.page(page).0[start..start + length]);
            done += length;
        }
        Ok(())
    }

    /// Stores bytes to an address space.
    ///
    /// # Errors
    /// The same as [`Self::load`].
    pub fn store(&mut self, vspace: VSpace, from: &[u8], to: u64) -> Result<(), u64> {
        let mut done = 0;
        while done < from.len() {
            let vaddr = to.wrapping_add(done as u64);
            let page = self.page_at(vspace, vaddr, Access::Write)?;
            let (start, length) = within_page(vaddr, from.len() - done);
            self.machine.page_mut(page).0[start..start + length]
                .copy_from_slice(&from[done..done + length]);
            done += length;
        }
        Ok(())
    }

    pub(crate) fn page_at(&self, vspace: VSpace, vaddr: u64, access: Access) -> Result<u64, u64> {
        let walk = || {
            let cap = self.machine.look(self.cspace, vspace_address(vspace)).ok()?;
            self.machine.translate(cap, vaddr, access)
        };
        self.tlb.translate(self.machine.epoch(), (vspace, vaddr, access), walk).ok_or(vaddr)
    }

    /// Returns the ASID of pmserver's own address space.
    pub(crate) fn own_asid(&self) -> u16 {
        match self.machine.look(self.cspace, vspace_address(VSpace::Own)) {
            Ok(Cap::VSpace { asid: Some(asid), .. }) => asid,
            other => panic!("pmserver has no address space but {other:?}"),
        }
    }

    /// Returns whether a mapping is at one of pmserver's places for pages that were copied from, or
    /// are prepared to be copied to.
    pub(crate) fn is_for_copies(&self, mapped: Mapped) -> bool {
        mapped.asid == self.own_asid() && (PREPARED..COPIED_TO).contains(&mapped.vaddr)
    }
}

fn within_page(vaddr: u64, length: usize) -> (usize, usize) {
    let start = usize::try_from(vaddr % PAGE_BYTES).expect("less than a page");
    (start, length.min(PAGE_BYTES as usize - start))
}
