// SPDX-License-Identifier: BSD-2-Clause
//! Loads and stores by the owner of an address space, translated by its page tables.

use std::iter;
use std::ops::Range;

use pmserver_core::kernel::VSpace;

use super::SimKernel;
use super::home::{COPIED_TO, PREPARED};
use crate::machine::{Access, Cap, Mapped, PAGE_BYTES};

impl SimKernel {
    /// Loads bytes from an address space.
    ///
    /// # Errors
    /// The first address that faults; the bytes before it have been copied.
    pub fn load(&self, vspace: VSpace, from: u64, to: &mut [u8]) -> Result<(), u64> {
        for (page, at, part) in in_pages(from, to.len()) {
            let page = self.page_at(vspace, page + at as u64, Access::Read)?;
            let length = part.len();
            to[part].copy_from_slice(&self.machine.page(page).0[at..][..length]);
        }
        Ok(())
    }

    /// Stores bytes to an address space.
    ///
    /// # Errors
    /// The same as [`Self::load`].
    pub fn store(&mut self, vspace: VSpace, from: &[u8], to: u64) -> Result<(), u64> {
        for (page, at, part) in in_pages(to, from.len()) {
            let page = self.page_at(vspace, page + at as u64, Access::Write)?;
            self.machine.page_mut(page).0[at..][..part.len()].copy_from_slice(&from[part]);
        }
        Ok(())
    }

    pub(crate) fn page_at(&self, vspace: VSpace, vaddr: u64, access: Access) -> Result<u64, u64> {
        let of_peer = |peer| self.peers.get(&peer).map_or(Cap::Null, |loaded| loaded.vspace);
        let cap = match vspace {
            VSpace::Own => self.vspace,
            VSpace::Peer(peer) => of_peer(peer),
        };
        let walk = || self.machine.translate(cap, vaddr, access);
        self.tlb.translate(self.machine.epoch(cap), (vspace, vaddr, access), walk).ok_or(vaddr)
    }

    /// Returns the ASID of pmserver's own address space.
    pub(crate) fn own_asid(&self) -> u16 {
        match self.vspace {
            Cap::VSpace { asid: Some(asid), .. } => asid,
            other => panic!("pmserver has no address space but {other:?}"),
        }
    }

    /// Returns whether a mapping is at one of pmserver's places for pages that were copied from, or
    /// are prepared to be copied to.
    pub(crate) fn is_for_copies(&self, mapped: Mapped) -> bool {
        mapped.asid == self.own_asid() && (PREPARED..COPIED_TO).contains(&mapped.vaddr)
    }
}

/// Returns the parts of a range that lie in one page each: the page, where in it, and which bytes
/// of the range.
pub(super) fn in_pages(
    start: u64,
    bytes: usize,
) -> impl Iterator<Item = (u64, usize, Range<usize>)> {
    let mut done = 0;
    iter::from_fn(move || {
        let address = start.wrapping_add(done as u64);
        let at = usize::try_from(address % PAGE_BYTES).expect("less than a page");
        let part = done..bytes.min(done + PAGE_BYTES as usize - at);
        done = part.end;
        (!part.is_empty()).then(|| (address - at as u64, at, part))
    })
}
