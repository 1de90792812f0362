// SPDX-License-Identifier: BSD-2-Clause
//! The kernel as the core calls it: every invocation is charged to the running call.
//!
//! An invocation is charged with what pmserver does around it. The costs are those of the slower
//! board, and at least [`INVOCATION_WORK`], so that a bound on work bounds invocations.

use proto::limits::INVOCATION_WORK;
use proto::{Micros, PeerId, VirtAddr};

use crate::kernel::{
    CapRights, FrameCap, Kernel, KernelError, ObjectKind, PageIndex, PageRights, RecordPage,
    SlotAddress, VSpace,
};
use crate::records::meter::Meter;

/// Retyping a page.
const MAKE_WORK: u64 = 1_700;

/// Revoking a page: of a page table on x86-64, which also flushes; and the kernel clears the page
/// when it is retyped the next time.
const UNMAKE_WORK: u64 = 4_500;

/// Copying a page: seven invocations and 4 KiB.
const COPY_WORK: u64 = 14_000;

/// Making the pages of a block: 2 invocations, 512 objects.
const CUT_WORK: u64 = 235_000;

/// Revoking a block: 512 capabilities.
const JOIN_WORK: u64 = 400_000;

/// Making the pieces of a block.
const DIVIDE_WORK: u64 = 5_000;

/// Making the pages or frames of a piece: 64 objects.
const MAKE_PIECE_WORK: u64 = CUT_WORK / 8;

/// Revoking a piece: 64 capabilities; and the kernel clears the piece the next time.
const JOIN_PIECE_WORK: u64 = 170_000;

/// Retyping a block to a large frame.
const MAKE_LARGE_WORK: u64 = 3_000;

/// Copying a page of a large frame: what the page needs, and three invocations to map the frame.
const COPY_PART_WORK: u64 = 4_500;

/// Clearing a page of a large frame.
const CLEAR_LARGE_PAGE_WORK: u64 = 700;

/// Making a frame accessible to pmserver, instead of another: three invocations.
const WINDOW_WORK: u64 = 3 * INVOCATION_WORK;

/// A kernel whose invocations are counted.
#[derive(Clone)]
pub(crate) struct Metered<K> {
    kernel: K,
    /// The work of the running call.
    pub(crate) meter: Meter,
}

impl<K> Metered<K> {
    pub(crate) fn new(kernel: K) -> Self {
        Self { kernel, meter: Meter::default() }
    }

    /// Returns the kernel itself.
    pub(crate) const fn inner(&self) -> &K {
        &self.kernel
    }

    /// Returns the kernel itself, for the platform's own use.
    pub(crate) const fn inner_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// Returns the kernel for one invocation, and charges it.
    fn invoke(&mut self, work: u64) -> &mut K {
        self.meter.charge(work);
        &mut self.kernel
    }
}

impl<K: Kernel> Kernel for Metered<K> {
    fn page_count(&self) -> u32 {
        self.kernel.page_count()
    }

    fn overhead_pages(&self) -> u32 {
        self.kernel.overhead_pages()
    }

    fn make(&mut self, page: PageIndex, kind: ObjectKind) -> Result<(), KernelError> {
        self.invoke(MAKE_WORK).make(page, kind)
    }

    fn unmake(&mut self, page: PageIndex) -> Result<(), KernelError> {
        self.invoke(UNMAKE_WORK).unmake(page)
    }

    fn is_block(&self, page: PageIndex) -> bool {
        self.kernel.is_block(page)
    }

    fn cut(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.invoke(CUT_WORK).cut(block)
    }

    fn join(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.invoke(JOIN_WORK).join(block)
    }

    fn make_large(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.invoke(MAKE_LARGE_WORK).make_large(block)
    }

    fn divide(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.invoke(DIVIDE_WORK).divide(block)
    }

    fn cut_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        self.invoke(MAKE_PIECE_WORK).cut_piece(piece)
    }

    fn make_frames(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        self.invoke(MAKE_PIECE_WORK).make_frames(piece)
    }

    fn join_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        self.invoke(JOIN_PIECE_WORK).join_piece(piece)
    }

    #[inline(always)]
    fn derive(
        &mut self,
        frame: PageIndex,
        to: SlotAddress,
        rights: CapRights,
    ) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).derive(frame, to, rights)
    }

    #[inline(always)]
    fn delete(&mut self, slot: SlotAddress) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).delete(slot)
    }

    #[inline(always)]
    fn map_frame(
        &mut self,
        frame: FrameCap,
        vspace: VSpace,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), KernelError> {
        // What is executed takes another one, for the caches.
        let invocations = 1_u64.saturating_add(rights.execute.into());
        let work = INVOCATION_WORK.saturating_mul(invocations);
        self.invoke(work).map_frame(frame, vspace, vaddr, rights)
    }

    #[inline(always)]
    fn unmap_frame(&mut self, frame: FrameCap) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).unmap_frame(frame)
    }

    fn map_table(
        &mut self,
        table: PageIndex,
        span_bits: u8,
        vspace: VSpace,
        vaddr: VirtAddr,
    ) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).map_table(table, span_bits, vspace, vaddr)
    }

    fn record_page(&self, page: PageIndex) -> &RecordPage {
        self.kernel.record_page(page)
    }

    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage {
        self.kernel.record_page_mut(page)
    }

    fn record_piece<const N: usize>(&self, piece: u32) -> &[u8; N] {
        self.kernel.record_piece(piece)
    }

    fn record_piece_mut<const N: usize>(&mut self, piece: u32) -> &mut [u8; N] {
        self.kernel.record_piece_mut(piece)
    }

    fn window_address(&self, page: PageIndex) -> VirtAddr {
        self.kernel.window_address(page)
    }

    fn redirect(
        &mut self,
        peer: PeerId,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).redirect(peer, entry, stack_top)
    }

    fn retire(&mut self, peer: PeerId) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).retire(peer)
    }

    fn copy_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.invoke(COPY_WORK).copy_page(from, to)
    }

    fn prepare_copy(&mut self, to: PageIndex) -> Result<(), KernelError> {
        self.invoke(WINDOW_WORK).prepare_copy(to)
    }

    fn overwrite_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.invoke(COPY_WORK).overwrite_page(from, to)
    }

    fn copy_part(&mut self, large: PageIndex, part: u16, to: PageIndex) -> Result<(), KernelError> {
        self.invoke(COPY_PART_WORK).copy_part(large, part, to)
    }

    fn clear_large(&mut self, large: PageIndex, first: u16, count: u16) -> Result<(), KernelError> {
        let pages = CLEAR_LARGE_PAGE_WORK.saturating_mul(count.into());
        let work = WINDOW_WORK.saturating_add(pages);
        self.invoke(work).clear_large(large, first, count)
    }

    fn end_copies(&mut self) -> Result<(), KernelError> {
        self.kernel.end_copies()
    }

    fn physical_address(&self, page: PageIndex) -> u64 {
        self.kernel.physical_address(page)
    }

    fn notify(&mut self, peer: PeerId) {
        self.invoke(INVOCATION_WORK).notify(peer);
    }

    fn install_grants(&mut self, peer: PeerId, node: PageIndex) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).install_grants(peer, node)
    }

    fn uninstall_grants(&mut self, peer: PeerId) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).uninstall_grants(peer)
    }

    fn grant_address(&self, index: u8) -> u64 {
        self.kernel.grant_address(index)
    }

    fn confines(&self, peer: PeerId) -> bool {
        self.kernel.confines(peer)
    }

    fn bus_map(
        &mut self,
        peer: PeerId,
        page: PageIndex,
        rights: CapRights,
    ) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).bus_map(peer, page, rights)
    }

    fn bus_unmap(&mut self, peer: PeerId, page: PageIndex) -> Result<(), KernelError> {
        self.invoke(INVOCATION_WORK).bus_unmap(peer, page)
    }

    fn now(&self) -> Micros {
        self.kernel.now()
    }
}
