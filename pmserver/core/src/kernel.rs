// SPDX-License-Identifier: BSD-2-Clause
//! What the core needs of a capability kernel: the seam between policy and platform.
//!
//! The platform numbers the *pages* of 4 KiB of its untyped memory from 0. [`BLOCK_PAGES`] pages
//! in a row that are aligned in physical memory are a *block*: whole (one untyped object), cut into
//! its pages, one large frame, or divided into eight *pieces* of [`PIECE_PAGES`] pages. A piece is
//! whole (one untyped object), cut into its pages, or as many frames. A page of a block or piece
//! that is cut, or of none, is an untyped object.
//! What pmserver makes from it (a frame, a page table, a CNode) is exactly one page large, so a
//! page can change its use without leaving a gap, and every charge is a whole number of pages. Each
//! page has two slots in pmserver's CSpace, one for its untyped and one for the object made from
//! it; the object of a block has the slot of its first page. Derived capabilities are in CNodes
//! that are made from pages as well.
//!
//! ```text
//!   page p:  untyped(p) --make--> object(p) --derive--> slots of CNode pages
//!                |                    |                         |
//!                +--- unmake(p) deletes the object and all that was derived from it
//!
//!   block b: whole(b) --cut--> untyped(b) .. untyped(b + 511)
//!               |     --make_large--> object(b), a frame of 2 MiB
//!               |     --divide--> piece(b), piece(b + 64) .. piece(b + 448)
//!               +--- join(b) deletes all that was made and derived
//!
//!   piece p: piece(p) --cut_piece--> untyped(p) .. untyped(p + 63)
//!               |     --make_frames--> object(p) .. object(p + 63), all frames
//!               +--- join_piece(p) deletes all that was made and derived
//! ```
//!
//! Implemented by the PD over the kernel itself (`pmserver/src/kernel.rs`) and by the simulator
//! over its model of the kernel's objects (`support/testing/sim`).

mod objects;

use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

pub use objects::{
    BLOCK_PAGES, CNODE_SLOTS, CapRights, FrameCap, KernelError, ObjectKind, PIECE_PAGES, PageIndex,
    PageRights, RecordPage, SlotAddress, VSpace,
};

/// The kernel's objects as the core uses them. No method waits, each makes a bounded number of
/// kernel invocations, and a method that fails has changed nothing.
pub trait Kernel {
    /// Returns how many pages the pool has.
    fn page_count(&self) -> u32;

    /// Returns how many pages of the untyped memory the platform took for pmserver's own slots.
    fn overhead_pages(&self) -> u32;

    /// Returns whether a block begins at this page. Blocks do not overlap.
    fn is_block(&self, page: PageIndex) -> bool;

    /// Makes the [`BLOCK_PAGES`] untyped pages of a whole block ("Untyped Retype", twice 256). If
    /// the block was joined before, the kernel first clears all of it.
    ///
    /// # Errors
    /// [`KernelError::NotEnoughMemory`] or [`KernelError::Refused`] if the block is not whole. What
    /// the first half made is deleted if the second is refused; if that is refused as well, the
    /// block must be joined before it is used.
    fn cut(&mut self, block: PageIndex) -> Result<(), KernelError>;

    /// Deletes all that was made from a block, its pages or its large frame, and every capability
    /// derived from that, so that the block is whole ("CNode Revoke").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn join(&mut self, block: PageIndex) -> Result<(), KernelError>;

    /// Makes a large frame of 2 MiB from a whole block ("Untyped Retype"). Its memory is clear:
    /// the kernel clears it now if the block was joined before.
    ///
    /// # Errors
    /// [`KernelError::NotEnoughMemory`] or [`KernelError::Refused`] if the block is not whole.
    fn make_large(&mut self, block: PageIndex) -> Result<(), KernelError>;

    /// Makes the eight pieces of a whole block ("Untyped Retype").
    ///
    /// # Errors
    /// [`KernelError::NotEnoughMemory`] or [`KernelError::Refused`] if the block is not whole.
    fn divide(&mut self, block: PageIndex) -> Result<(), KernelError>;

    /// Makes the [`PIECE_PAGES`] untyped pages of a whole piece ("Untyped Retype"). If the piece
    /// was joined before, the kernel first clears all of it.
    ///
    /// # Errors
    /// As for [`Kernel::divide`].
    fn cut_piece(&mut self, piece: PageIndex) -> Result<(), KernelError>;

    /// Makes a whole piece [`PIECE_PAGES`] frames ("Untyped Retype"), all clear, as for
    /// [`Kernel::cut_piece`]. None of them can be unmade alone.
    ///
    /// # Errors
    /// As for [`Kernel::divide`].
    fn make_frames(&mut self, piece: PageIndex) -> Result<(), KernelError>;

    /// Deletes all that was made from a piece, and every capability derived from that, so that the
    /// piece is whole ("CNode Revoke").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn join_piece(&mut self, piece: PageIndex) -> Result<(), KernelError>;

    /// Makes an object from an untyped page ("Untyped Retype"). The kernel clears its memory.
    ///
    /// # Errors
    /// [`KernelError::NotEnoughMemory`] if there is no room; [`KernelError::AlreadyMapped`] or
    /// [`KernelError::Refused`] if the page is an object already, or in a block that is not cut.
    fn make(&mut self, page: PageIndex, kind: ObjectKind) -> Result<(), KernelError>;

    /// Deletes the object made from a page and every capability derived from it, so that the page
    /// is untyped again ("CNode Revoke").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn unmake(&mut self, page: PageIndex) -> Result<(), KernelError>;

    /// Copies the original capability of a frame into an empty slot ("CNode Copy"), with all rights
    /// or for loads only.
    ///
    /// # Errors
    /// [`KernelError::Refused`] if the slot is taken or the frame is gone.
    fn derive(
        &mut self,
        frame: PageIndex,
        to: SlotAddress,
        rights: CapRights,
    ) -> Result<(), KernelError>;

    /// Deletes the capability in a slot and unmaps what was mapped with it ("CNode Delete").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn delete(&mut self, slot: SlotAddress) -> Result<(), KernelError>;

    /// Maps a frame ("Page Map"), a large one at a multiple of 2 MiB.
    ///
    /// # Errors
    /// [`KernelError::TableMissing`] names the table to install first: for a large frame one that
    /// spans 2^30 bytes or more. Where a large page is mapped, a small one misses a table of 2^21,
    /// which cannot be installed. [`KernelError::AlreadyMapped`] if the page is occupied, or
    /// the place of a large one by a table; [`KernelError::Refused`] if the capability is mapped
    /// elsewhere or the address is not a user address.
    fn map_frame(
        &mut self,
        frame: FrameCap,
        vspace: VSpace,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), KernelError>;

    /// Unmaps a frame capability ("Page Unmap").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn unmap_frame(&mut self, frame: FrameCap) -> Result<(), KernelError>;

    /// Installs a page that is a table ("Page Table Map" or the like).
    ///
    /// # Errors
    /// As for [`Kernel::map_frame`].
    fn map_table(
        &mut self,
        table: PageIndex,
        span_bits: u8,
        vspace: VSpace,
        vaddr: VirtAddr,
    ) -> Result<(), KernelError>;

    /// Returns the page's contents, which pmserver has mapped at its place in the pool window.
    ///
    /// # Panics
    /// If the page is not mapped there. The core calls this only for its own records.
    fn record_page(&self, page: PageIndex) -> &RecordPage;

    /// Returns the page's contents for writing; see [`Kernel::record_page`].
    ///
    /// # Panics
    /// As [`Kernel::record_page`].
    fn record_page_mut(&mut self, page: PageIndex) -> &mut RecordPage;

    /// Returns a piece of a page's contents; see [`Kernel::record_page`]. Pieces have `N` bytes,
    /// which divide a page, and are counted from the first page of the pool on. A kernel that knows
    /// where the pool window is need not find the page first.
    ///
    /// # Panics
    /// As [`Kernel::record_page`].
    #[allow(clippy::indexing_slicing)] // In its page, as there are so many in each.
    fn record_piece<const N: usize>(&self, piece: u32) -> &[u8; N] {
        let (page, place) = place_of_piece(piece, N);
        &self.record_page(page).0.as_chunks().0[place]
    }

    /// Returns a piece of a page's contents for writing; see [`Kernel::record_piece`].
    ///
    /// # Panics
    /// As [`Kernel::record_page`].
    #[allow(clippy::indexing_slicing)] // As above.
    fn record_piece_mut<const N: usize>(&mut self, piece: u32) -> &mut [u8; N] {
        let (page, place) = place_of_piece(piece, N);
        let (pieces, _) = self.record_page_mut(page).0.as_chunks_mut();
        &mut pieces[place]
    }

    /// Returns the address of a page in the pool window, a range of pmserver's own address space as
    /// large as the pool.
    fn window_address(&self, page: PageIndex) -> VirtAddr;

    /// Makes a peer continue at `entry` with the stack `stack_top` when it next runs ("TCB Write
    /// Registers", without resuming it).
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn redirect(
        &mut self,
        peer: PeerId,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), KernelError>;

    /// Removes a peer's fault handler, so that its next fault stops it for good. The reply to the
    /// current fault returns its scheduling context; then it faults again and stops ("TCB Set Sched
    /// Params").
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn retire(&mut self, peer: PeerId) -> Result<(), KernelError>;

    /// Copies the contents of one frame to another, whose original capability maps nothing.
    /// pmserver maps both: the one by the original, which maps nothing again afterwards, the other
    /// by a copy that stays for the next time, as long as there is a place for it and the frame is
    /// not gone.
    ///
    /// # Errors
    /// [`KernelError::Refused`]; the original may map the destination in pmserver then, until it is
    /// gone, or [`Kernel::end_copies`].
    fn copy_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError>;

    /// Maps a frame in pmserver by a copy of its capability, so that nothing need be mapped when it
    /// is copied to, as long as there is a place for it and the frame is not gone.
    ///
    /// # Errors
    /// [`KernelError::Refused`]; it is then copied to as any other.
    fn prepare_copy(&mut self, to: PageIndex) -> Result<(), KernelError>;

    /// Copies the contents of one frame to another that may be mapped, by copies of both
    /// capabilities.
    ///
    /// # Errors
    /// [`KernelError::Refused`]; the destination is then as it was. Done or refused, capabilities
    /// for copying may be left ([`Kernel::end_copies`]).
    fn overwrite_page(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError>;

    /// Copies one page of a large frame to a frame of 4 KiB, whose original capability maps
    /// nothing; `part` is below [`BLOCK_PAGES`]. The large frame stays mapped in pmserver for the
    /// next part, through a copy of its capability, until another copy needs the place, or
    /// [`Kernel::end_copies`].
    ///
    /// # Errors
    /// As for [`Kernel::copy_page`].
    fn copy_part(&mut self, large: PageIndex, part: u16, to: PageIndex) -> Result<(), KernelError>;

    /// Clears `count` pages of a large frame, from page `first` on, by stores of pmserver's own, so
    /// that it can be done in slices. The frame stays mapped as for [`Kernel::copy_part`].
    ///
    /// # Errors
    /// As for [`Kernel::overwrite_page`]; also if the pages do not lie in the frame.
    fn clear_large(&mut self, large: PageIndex, first: u16, count: u16) -> Result<(), KernelError>;

    /// Takes back what copies have left, but for frames of 4 KiB that were copied from or prepared;
    /// without any makes no invocation.
    ///
    /// # Errors
    /// [`KernelError::Refused`]; they are then still left.
    fn end_copies(&mut self) -> Result<(), KernelError>;

    /// Returns the physical address of a page, whatever it is used as.
    fn physical_address(&self, page: PageIndex) -> u64;

    /// Notifies a peer on its channel; never waits ("Send" on a notification).
    fn notify(&mut self, peer: PeerId);

    /// Puts a CNode page into the CSpace of a peer, at [`Kernel::grant_address`].
    ///
    /// # Errors
    /// [`KernelError::Refused`], also if pmserver has no authority over the peer's CSpace.
    fn install_grants(&mut self, peer: PeerId, node: PageIndex) -> Result<(), KernelError>;

    /// Takes the CNode that is there out of the CSpace of a peer.
    ///
    /// # Errors
    /// [`KernelError::Refused`]; it is still there then.
    fn uninstall_grants(&mut self, peer: PeerId) -> Result<(), KernelError>;

    /// Returns the capability address of a slot of the CNode for grants in a peer's CSpace.
    fn grant_address(&self, index: u8) -> u64;

    /// Returns whether an IOMMU is between a peer's device and memory.
    fn confines(&self, peer: PeerId) -> bool;

    /// Maps a frame into the address space of a peer's device, at its physical address, with
    /// exactly these rights.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn bus_map(
        &mut self,
        peer: PeerId,
        page: PageIndex,
        rights: CapRights,
    ) -> Result<(), KernelError>;

    /// Unmaps a frame from the address space of a peer's device.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    fn bus_unmap(&mut self, peer: PeerId, page: PageIndex) -> Result<(), KernelError>;

    /// Returns the time on a monotonic clock.
    fn now(&self) -> Micros;
}

/// Returns the page that a piece of so many bytes is in, and which one it is there.
fn place_of_piece(piece: u32, bytes: usize) -> (PageIndex, usize) {
    let start = u64::from(piece).saturating_mul(u64::try_from(bytes).unwrap_or(u64::MAX));
    let page = u32::try_from(start / PAGE_BYTES).unwrap_or(u32::MAX);
    let place = usize::try_from(start % PAGE_BYTES).ok().and_then(|at| at.checked_div(bytes));
    (PageIndex::new(page), place.unwrap_or(usize::MAX))
}
