// SPDX-License-Identifier: BSD-2-Clause
//! A kernel whose invocations cost nothing and always succeed, so that only the core's own
//! instructions are counted.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    BLOCK_PAGES, CapRights, FrameCap, Kernel, KernelError, ObjectKind, PageRights, RecordPage,
    SlotAddress, VSpace,
};
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

/// Where the pool window is.
const WINDOW: u64 = 0x1000_0000;

type Done = Result<(), KernelError>;

/// A pool whose pages have contents only if they hold records.
pub(crate) struct FreeKernel {
    records: Vec<Option<Box<RecordPage>>>,
    /// What a page holds until it is written to.
    empty: RecordPage,
}

impl FreeKernel {
    /// Returns a kernel with a pool of so many pages.
    pub(crate) fn new(pages: u32) -> Self {
        let pages = usize::try_from(pages).unwrap_or(usize::MAX);
        Self { records: (0..pages).map(|_| None).collect(), empty: RecordPage([0; 4096]) }
    }

    fn index(page: PageIndex) -> usize {
        usize::try_from(page.get()).unwrap_or(usize::MAX)
    }
}

impl Kernel for FreeKernel {
    fn page_count(&self) -> u32 {
        u32::try_from(self.records.len()).unwrap_or(u32::MAX)
    }

    fn overhead_pages(&self) -> u32 {
        0
    }

    /// Makes the page anew, so that it is clear.
    fn make(&mut self, page: PageIndex, _: ObjectKind) -> Done {
        if let Some(record) = self.records.get_mut(Self::index(page)) {
            *record = None;
        }
        Ok(())
    }

    fn unmake(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn is_block(&self, page: PageIndex) -> bool {
        let end = page.get().saturating_add(BLOCK_PAGES);
        page.get().is_multiple_of(BLOCK_PAGES) && end <= self.page_count()
    }

    fn cut(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn join(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn make_large(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn divide(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn cut_piece(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn make_frames(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn join_piece(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn derive(&mut self, _: PageIndex, _: SlotAddress, _: CapRights) -> Done {
        Ok(())
    }

    fn delete(&mut self, _: SlotAddress) -> Done {
        Ok(())
    }

    fn map_frame(&mut self, _: FrameCap, _: VSpace, _: VirtAddr, _: PageRights) -> Done {
        Ok(())
    }

    fn unmap_frame(&mut self, _: FrameCap) -> Done {
        Ok(())
    }

    fn map_table(&mut self, _: PageIndex, _: u8, _: VSpace, _: VirtAddr) -> Done {
        Ok(())
    }

    fn record_page(&self, page: PageIndex) -> &RecordPage {
        let record = self.records.get(Self::index(page)).and_then(Option::as_deref);
        record.unwrap_or(&self.empty)
    }

    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage {
        match self.records.get_mut(Self::index(page)) {
            Some(record) => record.get_or_insert_with(|| Box::new(RecordPage([0; 4096]))),
            None => &mut self.empty,
        }
    }

    fn window_address(&self, page: PageIndex) -> VirtAddr {
        let offset = u64::from(page.get()).saturating_mul(PAGE_BYTES);
        VirtAddr::new_page(WINDOW.saturating_add(offset)).unwrap_or_else(|| unreachable!())
    }

    fn redirect(&mut self, _: PeerId, _: VirtAddr, _: VirtAddr) -> Done {
        Ok(())
    }

    fn retire(&mut self, _: PeerId) -> Done {
        Ok(())
    }

    fn copy_page(&mut self, _: PageIndex, _: PageIndex) -> Done {
        Ok(())
    }

    fn prepare_copy(&mut self, _: PageIndex) -> Done {
        Ok(())
    }

    fn overwrite_page(&mut self, _: PageIndex, _: PageIndex) -> Done {
        Ok(())
    }

    fn copy_part(&mut self, _: PageIndex, _: u16, _: PageIndex) -> Done {
        Ok(())
    }

    fn clear_large(&mut self, _: PageIndex, _: u16, _: u16) -> Done {
        Ok(())
    }

    fn end_copies(&mut self) -> Done {
        Ok(())
    }

    fn physical_address(&self, page: PageIndex) -> u64 {
        u64::from(page.get()).saturating_mul(PAGE_BYTES)
    }

    fn notify(&mut self, _: PeerId) {}

    fn install_grants(&mut self, _: PeerId, _: PageIndex) -> Done {
        Ok(())
    }

    fn uninstall_grants(&mut self, _: PeerId) -> Done {
        Ok(())
    }

    fn grant_address(&self, index: u8) -> u64 {
        index.into()
    }

    fn confines(&self, _: PeerId) -> bool {
        false
    }

    fn bus_map(&mut self, _: PeerId, _: PageIndex, _: CapRights) -> Done {
        Ok(())
    }

    fn bus_unmap(&mut self, _: PeerId, _: PageIndex) -> Done {
        Ok(())
    }

    fn now(&self) -> Micros {
        Micros::new(0)
    }
}
