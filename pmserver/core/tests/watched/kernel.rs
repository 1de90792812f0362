// SPDX-License-Identifier: BSD-2-Clause
//! The simulated kernel, but reading records is limited: a ring that was broken may have no end.

use std::cell::Cell;

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    CapRights, FrameCap, Kernel, KernelError, ObjectKind, PageRights, RecordPage, SlotAddress,
    VSpace,
};
use proto::{Micros, PeerId, VirtAddr};
use sim::SimKernel;

/// How often a walk over all state reads a record at most.
const READS_MAX: u64 = 200_000;

pub(crate) struct Watched {
    kernel: SimKernel,
    reads: Cell<u64>,
}

impl Watched {
    pub(crate) const fn new(kernel: SimKernel) -> Self {
        Self { kernel, reads: Cell::new(0) }
    }

    /// Begins a walk.
    pub(crate) fn begin(&self) {
        self.reads.set(0);
    }

    pub(crate) fn clock(&self) -> sim::Clock {
        self.kernel.clock()
    }
}

/// Passes calls on as they are.
macro_rules! passes_on {
    ({ $($read:ident($($a:ident: $at:ty),*) -> $rt:ty;)* }
     { $($write:ident($($b:ident: $bt:ty),*) -> $wt:ty;)* }) => {
        $(fn $read(&self, $($a: $at),*) -> $rt { self.kernel.$read($($a),*) })*
        $(fn $write(&mut self, $($b: $bt),*) -> $wt { self.kernel.$write($($b),*) })*
    };
}

impl Kernel for Watched {
    fn record_page(&self, page: PageIndex) -> &RecordPage {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() <= READS_MAX, "a walk without an end");
        self.kernel.record_page(page)
    }

    passes_on! { {
        page_count() -> u32;
        overhead_pages() -> u32;
        is_block(page: PageIndex) -> bool;
        window_address(page: PageIndex) -> VirtAddr;
        physical_address(page: PageIndex) -> u64;
        grant_address(index: u8) -> u64;
        confines(peer: PeerId) -> bool;
        now() -> Micros;
    } {
        make(page: PageIndex, kind: ObjectKind) -> Result<(), KernelError>;
        unmake(page: PageIndex) -> Result<(), KernelError>;
        derive(frame: PageIndex, to: SlotAddress, rights: CapRights) -> Result<(), KernelError>;
        delete(slot: SlotAddress) -> Result<(), KernelError>;
        map_frame(frame: FrameCap, vspace: VSpace, vaddr: VirtAddr, rights: PageRights)
            -> Result<(), KernelError>;
        unmap_frame(frame: FrameCap) -> Result<(), KernelError>;
        map_table(table: PageIndex, span_bits: u8, vspace: VSpace, vaddr: VirtAddr)
            -> Result<(), KernelError>;
        record_page_mut(page: PageIndex) -> &mut RecordPage;
        redirect(peer: PeerId, entry: VirtAddr, stack_top: VirtAddr) -> Result<(), KernelError>;
        retire(peer: PeerId) -> Result<(), KernelError>;
        copy_page(from: PageIndex, to: PageIndex) -> Result<(), KernelError>;
        prepare_copy(to: PageIndex) -> Result<(), KernelError>;
        overwrite_page(from: PageIndex, to: PageIndex) -> Result<(), KernelError>;
        cut(block: PageIndex) -> Result<(), KernelError>;
        join(block: PageIndex) -> Result<(), KernelError>;
        divide(block: PageIndex) -> Result<(), KernelError>;
        cut_piece(piece: PageIndex) -> Result<(), KernelError>;
        make_frames(piece: PageIndex) -> Result<(), KernelError>;
        join_piece(piece: PageIndex) -> Result<(), KernelError>;
        make_large(block: PageIndex) -> Result<(), KernelError>;
        copy_part(large: PageIndex, part: u16, to: PageIndex) -> Result<(), KernelError>;
        clear_large(large: PageIndex, first: u16, count: u16) -> Result<(), KernelError>;
        end_copies() -> Result<(), KernelError>;
        notify(peer: PeerId) -> ();
        install_grants(peer: PeerId, node: PageIndex) -> Result<(), KernelError>;
        uninstall_grants(peer: PeerId) -> Result<(), KernelError>;
        bus_map(peer: PeerId, page: PageIndex, rights: CapRights) -> Result<(), KernelError>;
        bus_unmap(peer: PeerId, page: PageIndex) -> Result<(), KernelError>;
    } }
}
