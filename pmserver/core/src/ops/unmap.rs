// SPDX-License-Identifier: BSD-2-Clause
//! unmap (O7).

use pmserver_api::{Failure, PmError};
use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::ops::map::last_page;
use crate::records::id::lowest;
use crate::records::leaf::Leaf;
use crate::records::mapping::Mapping;
use crate::tables::page_tables::LEAF_SPAN_BITS;

impl<K: Kernel> Operations<K> {
    pub(super) fn unmap_at(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<(), Failure> {
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
        if count.get() == LARGE_FRAMES && self.unmap_large(caller, vaddr)? {
            return Ok(LARGE_FRAMES);
        }
        let done = self.unmap_range(caller, (vaddr.get(), last.get()), u64::MAX)?;
        // Empty tables that `ensure_tables` made are removed with the range, which is shorter than
        // the span of a table.
        self.collect_tables(caller, vaddr.get());
        if vaddr.get() >> LEAF_SPAN_BITS != last.get() >> LEAF_SPAN_BITS {
            self.collect_tables(caller, last.get());
        }
        Ok(done)
    }

    /// Unmaps a large frame whose record can be kept. Returns whether there is one.
    fn unmap_large(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<bool, Failure> {
        self.store.meter().begin_frame(0)?;
        self.keep_unmapped(peer, vaddr).map_err(|_: KernelError| PmError::Kernel.into())
    }

    /// Unmaps up to `most` mappings between two addresses and returns how many.
    ///
    /// # Errors
    /// `Pending` with how many were unmapped if there are more.
    pub(super) fn unmap_range(
        &mut self,
        peer: PeerId,
        (mut first, last): (u64, u64),
        most: u64,
    ) -> Result<u64, Failure> {
        let mut done: u64 = 0;
        while first <= last {
            let tree = self.peer(peer).vspace.mappings;
            let Some(mapping) = self.store.tree_next::<Mapping>(tree, first) else { break };
            let record = *self.store.get(mapping);
            if record.key() > last {
                break;
            }
            let mask = record.within(first, last);
            if mask == 0 && !record.is_kept() {
                // Those of its pages that are mapped are not in the range.
                first = record.last().saturating_add(1);
                continue;
            }
            let left = most.saturating_sub(done);
            if left == 0 {
                return Err(Failure { error: PmError::Pending, done, at: 0 });
            }
            self.store.meter().begin_frame(done)?;
            let kernel = |_: KernelError| Failure { error: PmError::Kernel, done, at: 0 };
            if self.drop_if_kept(mapping).map_err(kernel)? {
                continue;
            }
            let is_whole = record.vaddr() >= first && record.last() <= last;
            let pages = u64::from(record.pages_of(mask));
            if record.is_whole() && (!is_whole || left < pages) {
                self.split_mapped(mapping).map_err(|failure| Failure { done, ..failure })?;
                continue;
            }
            let gone = lowest(mask, left);
            self.remove_mappings_in(mapping, gone).map_err(kernel)?;
            done = done.saturating_add(record.pages_of(gone).into());
            if gone == mask {
                first = record.last().saturating_add(1);
            }
        }
        Ok(done)
    }
}
