// SPDX-License-Identifier: BSD-2-Clause
//! The methods of [`Kernel`], each implemented by the invocations that pmserver's PD also makes.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    BLOCK_PAGES, CapRights as DerivedRights, FrameCap, Kernel, KernelError, ObjectKind,
    PIECE_PAGES, PageRights, RecordPage, SlotAddress, VSpace,
};
use proto::{Micros, PeerId, VirtAddr};
use zerocopy::FromBytes;

use super::home::{
    Home, LEAF_OBJECTS, LEAF_UNTYPEDS, PAGE_BITS, PAGE_NODE_BITS, PIECE_BITS, WINDOW,
};
use super::{InvocationKind, SimKernel, mapping_refusal, refusal, vspace_address};
use crate::loader::{
    LEAF_CNODE, LEAF_NOTIFICATIONS, LEAF_THREADS, ROOT_BITS, ROOT_SHIFT, SLOT_GRANTS, table_kind,
};
use crate::machine::{
    Access, CapRights, Error, Invocation, ObjectType, PAGE_BYTES, Place, Transfer,
};

/// The slot for a peer's grants in its root CNode.
const GRANTS: Place = Place { index: SLOT_GRANTS, depth: ROOT_BITS };
/// A guard of zeros between the two CNodes, so that an address ends with the slot number.
const GRANTS_GUARD_BITS: u64 = ROOT_SHIFT - PAGE_NODE_BITS;

impl SimKernel {
    /// Makes half of the pages of a block, as many as one Retype can make.
    fn cut_half(&mut self, block: PageIndex, first: u32) -> Result<(), Error> {
        let to = Home::untyped_destination(block.get() + first, u64::from(BLOCK_PAGES / 2));
        let retype =
            Invocation::Retype { object_type: ObjectType::Untyped, size_bits: PAGE_BITS, to };
        self.invoke(InvocationKind::Retype, self.home.block(block), &retype)
    }
}

impl Kernel for SimKernel {
    fn page_count(&self) -> u32 {
        self.home.pages
    }

    fn overhead_pages(&self) -> u32 {
        self.home.overhead_pages
    }

    fn make(&mut self, page: PageIndex, kind: ObjectKind) -> Result<(), KernelError> {
        let architecture = self.machine.architecture();
        let (object_type, size_bits) = match kind {
            ObjectKind::Frame => (ObjectType::Frame, 0),
            ObjectKind::Table { span_bits } => {
                (ObjectType::Table(table_kind(architecture, span_bits.into())), 0)
            }
            ObjectKind::CNode => (ObjectType::CapTable, PAGE_NODE_BITS),
        };
        let to = Home::object_destination(page, 1);
        let retype = Invocation::Retype { object_type, size_bits, to };
        self.invoke(InvocationKind::Retype, self.home.untyped(page), &retype).map_err(|error| {
            match error {
                // The slot is occupied: the page is already an object.
                Error::DeleteFirst => KernelError::NotEnoughMemory,
                other => refusal(other),
            }
        })
    }

    fn unmake(&mut self, page: PageIndex) -> Result<(), KernelError> {
        let place = self.home.untyped_slot(page);
        let revoke = Invocation::Revoke(place);
        self.invoke(InvocationKind::Revoke, LEAF_UNTYPEDS, &revoke).map_err(refusal)?;
        self.copies.forget(page);
        Ok(())
    }

    fn is_block(&self, page: PageIndex) -> bool {
        self.home.is_block(page)
    }

    fn cut(&mut self, block: PageIndex) -> Result<(), KernelError> {
        self.cut_half(block, 0).map_err(refusal)?;
        self.cut_half(block, BLOCK_PAGES / 2).map_err(|error| {
            // If that is refused as well, half of the block is cut until it is joined.
            let _ = self.join(block);
            refusal(error)
        })
    }

    fn join(&mut self, block: PageIndex) -> Result<(), KernelError> {
        let revoke = Invocation::Revoke(self.home.block_slot(block));
        self.invoke(InvocationKind::Revoke, LEAF_CNODE, &revoke).map_err(refusal)?;
        self.copies.forget_all(block, BLOCK_PAGES);
        Ok(())
    }

    fn make_large(&mut self, block: PageIndex) -> Result<(), KernelError> {
        let to = Home::object_destination(block, 1);
        let retype = Invocation::Retype { object_type: ObjectType::LargeFrame, size_bits: 0, to };
        let made = self.invoke(InvocationKind::Retype, self.home.block(block), &retype);
        self.large_frames.made += u64::from(made.is_ok());
        made.map_err(refusal)
    }

    fn divide(&mut self, block: PageIndex) -> Result<(), KernelError> {
        let to = Home::pieces_destination(block);
        let retype =
            Invocation::Retype { object_type: ObjectType::Untyped, size_bits: PIECE_BITS, to };
        self.invoke(InvocationKind::Retype, self.home.block(block), &retype).map_err(refusal)
    }

    fn cut_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        let to = Home::untyped_destination(piece.get(), PIECE_PAGES.into());
        let retype =
            Invocation::Retype { object_type: ObjectType::Untyped, size_bits: PAGE_BITS, to };
        self.invoke(InvocationKind::Retype, self.home.piece(piece), &retype).map_err(refusal)
    }

    fn make_frames(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        let to = Home::object_destination(piece, PIECE_PAGES.into());
        let retype = Invocation::Retype { object_type: ObjectType::Frame, size_bits: 0, to };
        self.invoke(InvocationKind::Retype, self.home.piece(piece), &retype).map_err(refusal)
    }

    fn join_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        let revoke = Invocation::Revoke(self.home.piece_slot(piece));
        self.invoke(InvocationKind::Revoke, LEAF_CNODE, &revoke).map_err(refusal)?;
        self.copies.forget_all(piece, PIECE_PAGES);
        Ok(())
    }

    fn derive(
        &mut self,
        frame: PageIndex,
        to: SlotAddress,
        rights: DerivedRights,
    ) -> Result<(), KernelError> {
        let from = self.home.object_source(frame);
        let mask = match rights {
            DerivedRights::All => CapRights::ALL,
            DerivedRights::Read => CapRights::READ,
        };
        let to = self.home.derived_slot(to);
        let copy = Invocation::Transfer { to, from, how: Transfer::Copy(mask) };
        self.invoke(InvocationKind::Copy, LEAF_OBJECTS, &copy).map_err(refusal)
    }

    fn delete(&mut self, slot: SlotAddress) -> Result<(), KernelError> {
        let place = self.home.derived_slot(slot);
        let delete = Invocation::Delete(place);
        self.invoke(InvocationKind::Delete, LEAF_OBJECTS, &delete).map_err(refusal)
    }

    fn map_frame(
        &mut self,
        frame: FrameCap,
        vspace: VSpace,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), KernelError> {
        let map = Invocation::PageMap {
            vspace: vspace_address(vspace),
            vaddr: vaddr.get(),
            rights: CapRights { read: true, write: rights.write },
        };
        self.invoke(InvocationKind::PageMap, self.home.frame(frame), &map).map_err(mapping_refusal)
    }

    fn unmap_frame(&mut self, frame: FrameCap) -> Result<(), KernelError> {
        self.invoke(InvocationKind::PageUnmap, self.home.frame(frame), &Invocation::PageUnmap)
            .map_err(refusal)
    }

    fn map_table(
        &mut self,
        table: PageIndex,
        span_bits: u8,
        vspace: VSpace,
        vaddr: VirtAddr,
    ) -> Result<(), KernelError> {
        let kind = table_kind(self.machine.architecture(), span_bits.into());
        let map = Invocation::TableMap { kind, vspace: vspace_address(vspace), vaddr: vaddr.get() };
        self.invoke(InvocationKind::TableMap, self.home.object(table), &map)
            .map_err(mapping_refusal)
    }

    fn record_page(&self, page: PageIndex) -> &RecordPage {
        let at = self
            .page_at(VSpace::Own, self.window_address(page).get(), Access::Read)
            .expect("a record page is mapped in the pool window");
        RecordPage::ref_from_bytes(&self.machine.page(at).0).expect("pages are aligned")
    }

    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage {
        let at = self
            .page_at(VSpace::Own, self.window_address(page).get(), Access::Write)
            .expect("a record page is mapped in the pool window");
        RecordPage::mut_from_bytes(&mut self.machine.page_mut(at).0).expect("pages are aligned")
    }

    fn window_address(&self, page: PageIndex) -> VirtAddr {
        VirtAddr::new(WINDOW + u64::from(page.get()) * PAGE_BYTES)
            .expect("the window lies in user space")
    }

    fn redirect(
        &mut self,
        peer: PeerId,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), KernelError> {
        let write =
            Invocation::WriteRegisters { resume: false, pc: entry.get(), sp: stack_top.get() };
        let thread = LEAF_THREADS + u64::from(peer.get());
        self.invoke(InvocationKind::WriteRegisters, thread, &write).map_err(refusal)
    }

    fn retire(&mut self, peer: PeerId) -> Result<(), KernelError> {
        let thread = LEAF_THREADS + u64::from(peer.get());
        self.invoke(InvocationKind::SetSchedParams, thread, &Invocation::TakeFaultHandler)
            .map_err(refusal)
    }

    fn copy_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.copy_contents(from, to).map_err(refusal)
    }

    fn prepare_copy(&mut self, to: PageIndex) -> Result<(), KernelError> {
        self.prepare_target(to).map_err(refusal)
    }

    fn overwrite_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        self.overwrite(from, to).map_err(refusal)
    }

    fn copy_part(&mut self, large: PageIndex, part: u16, to: PageIndex) -> Result<(), KernelError> {
        self.copy_from_large(large, part, to).map_err(refusal)?;
        self.large_frames.split += u64::from(u32::from(part) == BLOCK_PAGES - 1);
        Ok(())
    }

    fn clear_large(&mut self, large: PageIndex, first: u16, count: u16) -> Result<(), KernelError> {
        self.clear_slice(large, first, count).map_err(refusal)?;
        self.large_frames.made += u64::from(first == 0);
        Ok(())
    }

    fn end_copies(&mut self) -> Result<(), KernelError> {
        self.end_copying().map_err(refusal)
    }

    fn physical_address(&self, page: PageIndex) -> u64 {
        self.home.physical_address(page)
    }

    /// The kernel cannot refuse a signal. A peer that does not exist is ignored.
    fn notify(&mut self, peer: PeerId) {
        let address = LEAF_NOTIFICATIONS + u64::from(peer.get());
        let _ = self.invoke(InvocationKind::Signal, address, &Invocation::Signal);
        self.signalled.insert(peer);
    }

    fn install_grants(&mut self, peer: PeerId, node: PageIndex) -> Result<(), KernelError> {
        let cspace = LEAF_CNODE + u64::from(peer.get());
        let from = self.home.object_source(node);
        let how = Transfer::Mint(CapRights::ALL, GRANTS_GUARD_BITS);
        let mint = Invocation::Transfer { to: GRANTS, from, how };
        self.invoke(InvocationKind::Mint, cspace, &mint).map_err(refusal)
    }

    fn uninstall_grants(&mut self, peer: PeerId) -> Result<(), KernelError> {
        let cspace = LEAF_CNODE + u64::from(peer.get());
        let delete = Invocation::Delete(GRANTS);
        self.invoke(InvocationKind::Delete, cspace, &delete).map_err(refusal)
    }

    fn grant_address(&self, index: u8) -> u64 {
        SLOT_GRANTS << ROOT_SHIFT | u64::from(index)
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
        self.count_invocation(InvocationKind::BusMap).map_err(refusal)?;
        let is_writable = rights == DerivedRights::All;
        self.devices.map(peer, self.home.physical_address(page), is_writable).map_err(refusal)
    }

    fn bus_unmap(&mut self, peer: PeerId, page: PageIndex) -> Result<(), KernelError> {
        self.count_invocation(InvocationKind::BusUnmap).map_err(refusal)?;
        self.devices.unmap(peer, self.home.physical_address(page)).map_err(refusal)
    }

    fn now(&self) -> Micros {
        self.clock.now()
    }
}
