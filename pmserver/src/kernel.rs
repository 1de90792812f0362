// SPDX-License-Identifier: BSD-2-Clause
//! Implements the core's trait `Kernel` on seL4. pmserver invokes capabilities here and in
//! `capabilities/`, and nowhere else.
//!
//! Decides nothing and records nothing: the core knows what each page is, and where it is mapped.
//! The comment `CAP:` at each invocation says which authority it uses, and what holds if it fails.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    BLOCK_PAGES, CapRights as DerivedRights, FrameCap, Kernel, KernelError, ObjectKind,
    PIECE_PAGES, PageRights, RecordPage, SlotAddress, VSpace,
};
use pmserver_setup::slots::OWN_TCB;
use pmserver_setup::{Setup, WINDOW};
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};
use sel4::{CapRights, Error, ObjectBlueprint, cap};
use sel4_microkit::{Channel, Child};

use crate::capabilities::copy::{self, Copier};
use crate::capabilities::devices::Devices;
use crate::capabilities::home::{self, Home, RETYPE_MAX};
use crate::capabilities::objects::{
    PAGE_BITS, PIECE_BITS, attributes, blueprint, large_frame, make_fetchable, map_table,
    table_type, to_usize,
};
use crate::capabilities::slots;
use crate::clock;
use crate::regions::PoolWindow;

/// The priority of a stopped child, which runs only until its next fault ends it.
const LOWEST_PRIORITY: u64 = 0;

/// The address of an empty slot.
const NO_CAPABILITY: u64 = 0;

/// Registers that a redirection writes: pc, sp and flags, the first three of a context on both
/// targets. The flags are cleared: compilers expect that of some of them at a function's start.
const REDIRECT_REGISTERS: u64 = 3;

/// The kernel, through capabilities of seL4.
pub(crate) struct Sel4Kernel {
    home: Home,
    window: PoolWindow,
    copier: Copier,
    devices: Devices,
    /// The clock's ticks when pmserver started.
    started: u64,
}

impl Sel4Kernel {
    /// Divides the pool into pages. Called once, at the start.
    pub(crate) fn boot(setup: &Setup<'_>) -> Result<Self, KernelError> {
        let home = Home::build(setup, |part| {
            Devices::make_tables(setup, part)?;
            copy::make_table(part)
        })?;
        let devices = Devices::start(setup, &home)?;
        let (started, _) = clock::read();
        let copier = Copier::new(&home);
        Ok(Self { home, window: PoolWindow::open(), copier, devices, started })
    }

    /// Makes half of the pages of a block, as many as one Retype may make.
    fn cut_half(&self, block: PageIndex, first: u32) -> Result<(), KernelError> {
        let (slot, count) = (to_usize(block.get().saturating_add(first)), to_usize(RETYPE_MAX));
        // CAP: the block's own untyped; the pages go into their own slots. If refused, none was
        // made.
        self.home
            .block(block)
            .untyped_retype(&untyped(PAGE_BITS), &Home::untypeds(), slot, count)
            .map_err(slots::refusal)
    }

    fn frame(&self, frame: FrameCap) -> cap::Granule {
        match frame {
            FrameCap::Original(page) => self.home.object(page).cast(),
            FrameCap::Derived(slot) => self.home.derived(slot).cast(),
        }
    }
}

impl Kernel for Sel4Kernel {
    fn page_count(&self) -> u32 {
        self.home.pages()
    }

    fn overhead_pages(&self) -> u32 {
        self.home.overhead_pages()
    }

    fn make(&mut self, page: PageIndex, kind: ObjectKind) -> Result<(), KernelError> {
        let blueprint = blueprint(kind).ok_or(KernelError::Refused)?;
        // CAP: the page's own untyped; the object goes into the page's own slot. If refused,
        // nothing was made.
        self.home
            .untyped(page)
            .untyped_retype(&blueprint, &Home::objects(), to_usize(page.get()), 1)
            .map_err(slots::refusal)
    }

    fn unmake(&mut self, page: PageIndex) -> Result<(), KernelError> {
        // CAP: the page's own untyped: everything made from it is deleted, and nothing else. No
        // CNode on the path to the untyped's slot is made from a page, so this cannot delete its
        // own path and stop half-way.
        self.home.untyped_slot(page).revoke().map_err(slots::refusal)?;
        self.copier.forget(page);
        Ok(())
    }

    fn is_block(&self, page: PageIndex) -> bool {
        self.home.is_block(page)
    }

    fn cut(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.cut_half(block, 0)?;
        self.cut_half(block, RETYPE_MAX).inspect_err(|_| {
            // If that is refused as well, half of the block is cut until it is joined.
            let _ = self.join(block);
        })
    }

    fn join(&mut self, block: PageIndex) -> Result<(), KernelError> {
        // CAP: the block's own untyped: everything made from it is deleted, and nothing else. The
        // CNodes on the path to its slot are not made from a block. If refused, nothing was
        // deleted.
        self.home.block_slot(block).revoke().map_err(slots::refusal)?;
        self.copier.forget_all(block, BLOCK_PAGES);
        Ok(())
    }

    fn make_large(&mut self, block: PageIndex) -> Result<(), KernelError> {
        // CAP: the block's own untyped; the frame goes into the slot of its first page. If refused,
        // nothing was made.
        self.home
            .block(block)
            .untyped_retype(&large_frame(), &Home::objects(), to_usize(block.get()), 1)
            .map_err(slots::refusal)
    }

    fn divide(&mut self, block: PageIndex) -> Result<(), KernelError> {
        let (pieces, first) = Home::pieces(block);
        let count = to_usize(BLOCK_PAGES / PIECE_PAGES);
        // CAP: the block's own untyped; the pieces go into their own slots. If refused, none was
        // made.
        self.home
            .block(block)
            .untyped_retype(&untyped(PIECE_BITS), &pieces, to_usize(first), count)
            .map_err(slots::refusal)
    }

    fn cut_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        let (first, count) = (to_usize(piece.get()), to_usize(PIECE_PAGES));
        // CAP: the piece's own untyped; the pages go into their own slots. If refused, none was
        // made.
        self.home
            .piece(piece)
            .untyped_retype(&untyped(PAGE_BITS), &Home::untypeds(), first, count)
            .map_err(slots::refusal)
    }

    fn make_frames(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        let blueprint = blueprint(ObjectKind::Frame).ok_or(KernelError::Refused)?;
        let (first, count) = (to_usize(piece.get()), to_usize(PIECE_PAGES));
        // CAP: the piece's own untyped; the frames go into the slots of their pages. If refused,
        // none was made.
        self.home
            .piece(piece)
            .untyped_retype(&blueprint, &Home::objects(), first, count)
            .map_err(slots::refusal)
    }

    fn join_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        // CAP: the piece's own untyped, as for a block.
        self.home.piece_slot(piece).revoke().map_err(slots::refusal)?;
        self.copier.forget_all(piece, PIECE_PAGES);
        Ok(())
    }

    #[inline(always)]
    fn derive(
        &mut self,
        frame: PageIndex,
        to: SlotAddress,
        rights: DerivedRights,
    ) -> Result<(), KernelError> {
        // CAP: the frame's original capability. The copy has all rights if pmserver maps it, as
        // each mapping states its own rights; it has the rights that the core chose if a peer maps
        // it. If refused, nothing was made.
        let from = self.home.object_slot(frame);
        slots::copy(&self.home.derived_slot(to), &from, slots::rights(rights))
    }

    #[inline(always)]
    fn delete(&mut self, slot: SlotAddress) -> Result<(), KernelError> {
        slots::delete(&self.home.derived_slot(slot))
    }

    #[inline(always)]
    fn map_frame(
        &mut self,
        frame: FrameCap,
        vspace: VSpace,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), KernelError> {
        let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
        let frame = self.frame(frame);
        // CAP: a frame of the pool, and the VSpace that the core chose. If refused, nothing was
        // mapped.
        frame
            .frame_map(slots::vspace(vspace), to_usize(vaddr.get()), allowed, attributes(rights))
            .map_err(mapping_refusal)?;
        if rights.execute {
            // CAP: the same frame. If refused, it must not be executed.
            make_fetchable(frame).map_err(|error| {
                let _ = frame.frame_unmap();
                slots::refusal(error)
            })?;
        }
        Ok(())
    }

    #[inline(always)]
    fn unmap_frame(&mut self, frame: FrameCap) -> Result<(), KernelError> {
        // CAP: a frame of the pool; removes only the mapping of this capability. If refused, the
        // mapping stays.
        self.frame(frame).frame_unmap().map_err(slots::refusal)
    }

    fn map_table(
        &mut self,
        table: PageIndex,
        span_bits: u8,
        vspace: VSpace,
        vaddr: VirtAddr,
    ) -> Result<(), KernelError> {
        let kind = table_type(span_bits).ok_or(KernelError::Refused)?;
        let table = self.home.object(table).cast();
        // CAP: a table of the pool, and the VSpace that the core chose. If refused, nothing was
        // installed.
        map_table(table, kind, slots::vspace(vspace), vaddr.get()).map_err(mapping_refusal)
    }

    fn record_page(&self, page: PageIndex) -> &RecordPage {
        self.window.piece(self.window_address(page).get())
    }

    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage {
        let address = self.window_address(page);
        self.window.piece_mut(address.get())
    }

    fn record_piece<const N: usize>(&self, piece: u32) -> &[u8; N] {
        self.window.piece(piece_address(piece, N))
    }

    fn record_piece_mut<const N: usize>(&mut self, piece: u32) -> &mut [u8; N] {
        self.window.piece_mut(piece_address(piece, N))
    }

    fn window_address(&self, page: PageIndex) -> VirtAddr {
        let offset = u64::from(page.get()).saturating_mul(PAGE_BYTES);
        // 2^32 pages from 256 MiB on end far below the end of user space.
        VirtAddr::new_page(WINDOW.saturating_add(offset)).unwrap_or_else(|| unreachable!())
    }

    fn redirect(
        &mut self,
        peer: PeerId,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), KernelError> {
        let mut context = sel4::UserContext::default();
        *context.pc_mut() = entry.get();
        *context.sp_mut() = stack_top.get();
        // CAP: the child's TCB, which Microkit gives to its parent. The thread is not resumed here:
        // the reply to its fault does that. If refused, no register was written.
        Child::new(peer.get().into())
            .tcb()
            .tcb_write_registers(false, REDIRECT_REGISTERS, &mut context)
            .map_err(slots::refusal)
    }

    fn retire(&mut self, peer: PeerId) -> Result<(), KernelError> {
        // CAP: the child's TCB, and pmserver's own as the authority over priorities. The child
        // donated its scheduling context to pmserver with its fault, so none is bound here. Without
        // a fault endpoint it has no fault handler. If refused, nothing changed.
        Child::new(peer.get().into())
            .tcb()
            .tcb_set_sched_params(
                cap::Tcb::from_bits(slots::root_address(OWN_TCB)),
                LOWEST_PRIORITY,
                LOWEST_PRIORITY,
                cap::SchedContext::from_bits(NO_CAPABILITY),
                cap::Endpoint::from_bits(NO_CAPABILITY),
            )
            .map_err(slots::refusal)
    }

    fn copy_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.copier.copy(&self.home, from, to)
    }

    fn prepare_copy(&mut self, to: PageIndex) -> Result<(), KernelError> {
        self.copier.prepare(&self.home, to)
    }

    fn overwrite_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.copier.overwrite(&self.home, from, to)
    }

    fn copy_part(&mut self, large: PageIndex, part: u16, to: PageIndex) -> Result<(), KernelError> {
        self.copier.copy_part(&self.home, large, part, to)
    }

    fn clear_large(&mut self, large: PageIndex, first: u16, count: u16) -> Result<(), KernelError> {
        self.copier.clear_large(&self.home, large, copy::slice(first, count)?)
    }

    fn end_copies(&mut self) -> Result<(), KernelError> {
        self.copier.end(&self.home)
    }

    fn physical_address(&self, page: PageIndex) -> u64 {
        self.home.physical_address(page)
    }

    fn notify(&mut self, peer: PeerId) {
        // CAP: the channel to the peer. A signal is never refused; without a channel it is lost.
        Channel::new(peer.get().into()).notify();
    }

    fn install_grants(&mut self, peer: PeerId, node: PageIndex) -> Result<(), KernelError> {
        home::install_grants(peer, &self.home.object_slot(node))
    }

    fn uninstall_grants(&mut self, peer: PeerId) -> Result<(), KernelError> {
        home::uninstall_grants(peer)
    }

    fn grant_address(&self, index: u8) -> u64 {
        home::grant_address(index)
    }

    fn confines(&self, peer: PeerId) -> bool {
        self.devices.confines(peer)
    }

    fn bus_map(
        &mut self,
        peer: PeerId,
        page: PageIndex,
        rights: DerivedRights,
    ) -> Result<(), KernelError> {
        self.devices.map(&self.home, (peer, page), slots::rights(rights))
    }

    fn bus_unmap(&mut self, _: PeerId, page: PageIndex) -> Result<(), KernelError> {
        Devices::unmap(&self.home, page)
    }

    #[inline(never)]
    fn now(&self) -> Micros {
        let (ticks, ticks_per_second) = clock::read();
        let since = ticks.wrapping_sub(self.started);
        pd::micros(since, ticks_per_second).unwrap_or(Micros::new(0))
    }
}

/// Returns the argument of Retype for untyped objects.
fn untyped(bits: u32) -> ObjectBlueprint {
    ObjectBlueprint::Untyped { size_bits: to_usize(bits) }
}

/// Returns the address in the pool window of a piece of so many bytes.
fn piece_address(piece: u32, bytes: usize) -> u64 {
    let bytes = u64::try_from(bytes).unwrap_or_default();
    WINDOW.saturating_add(u64::from(piece).saturating_mul(bytes))
}

/// Returns the core's error for a refused mapping. Call it before any other invocation: the kernel
/// says which table is missing in message registers 1 and 2 (seL4's
/// `seL4_MappingFailedLookupLevel`), which the next invocation overwrites.
fn mapping_refusal(error: Error) -> KernelError {
    const MISSING_CAPABILITY: u64 = 2;
    match error {
        Error::FailedLookup => sel4_microkit::with_msg_regs(|registers| match registers {
            [_, MISSING_CAPABILITY, 21, ..] => KernelError::TableMissing { span_bits: 21 },
            [_, MISSING_CAPABILITY, 30, ..] => KernelError::TableMissing { span_bits: 30 },
            [_, MISSING_CAPABILITY, 39, ..] => KernelError::TableMissing { span_bits: 39 },
            // How aarch64 says that a lowest table is in the place of a large page.
            [_, MISSING_CAPABILITY, 12, ..] => KernelError::AlreadyMapped,
            _ => KernelError::Refused,
        }),
        Error::DeleteFirst => KernelError::AlreadyMapped,
        other => slots::refusal(other),
    }
}
