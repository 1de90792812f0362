// SPDX-License-Identifier: BSD-2-Clause
//! The record of mappings and grants.

mod parts;
mod state;

use pmserver_api::MapFlags;
use proto::{PAGE_BYTES, PeerId, VirtAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{PageRights, SlotAddress};
use crate::records::broken::broken;
use crate::records::cell::record;
use crate::records::frame::{Frame, LARGE_ORDER, RUN_ORDER};
use crate::records::id::{CLUSTER, CLUSTER_ORDER, FrameId, Id, indices};
use crate::records::leaf::Leaf;
use crate::records::links::{Link, Links, chain};
use crate::records::share::Share;

/// How a mapping is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Installed {
    /// Not installed: an access faults.
    No,
    /// For loads.
    ReadOnly,
    /// For loads and stores.
    ReadWrite,
}

/// A frame that is mapped at a page of a VSpace, or granted; for a grant, `vaddr` is its index.
/// Or a *cluster*: the frames of a cluster, those that are `present`, at pages, or at indices, in
/// the same order. Or a large frame, or a bound run, whose pages are mapped and unmapped together:
/// then the first bit of each mask speaks for all of them.
///
/// The flags that were asked for never change. What is installed may be less at the moment; it is
/// restored when the page is accessed (`ops/repair.rs`). A capability is to the page of the frame,
/// or to the page of zeros as long as the frame has none.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Mapping {
    kind: u8,
    /// 0, 3, 6 or 9.
    order: u8,
    /// The flags that it was asked for with.
    asked: u16,
    is_grant: u8,
    /// Whether a large mapping is counted in the table above it.
    is_counted: u8,
    /// Which frame of a cluster a single mapping is of.
    frame_index: u8,
    /// A mask of the mappings that are there: a bit for each mapping of a cluster, and the first
    /// one for a single mapping.
    present: u8,
    /// Its address, or that of the first frame of a cluster, which need not be mapped.
    vaddr: u64,
    pub(crate) frame: Link<Frame>,
    /// The share through which it was made; 0 for the owner.
    pub(crate) share: Link<Share>,
    /// Such masks: which have a capability,
    caps: u8,
    /// have the original capability of their page, while their slot is empty,
    originals: u8,
    /// are installed,
    readable: u8,
    /// and for stores.
    writable: u8,
    /// The first and the last frame of a cluster that may be mapped: their pages are in one group
    /// of eight.
    ends: [u8; 2],
    /// The first of its slots, in a CNode.
    slot_index: u8,
    peer: u8,
    // What is 0 at first stands together from here on: compilers clear it inline then.
    /// The other mappings of the frame's record.
    of_frame: Links<Mapping>,
    /// The share's other mappings.
    of_share: Links<Mapping>,
    /// The CNode of its slot, or of those of a cluster.
    slot_page: u32,
    /// Whether the kernel has refused a part of what the masks say of a bound run: some pages of it
    /// may not be installed, or have no capability.
    is_partial: u8,
    /// Whether the cluster that its frames are of was opened: they are in other records.
    is_opened: u8,
    padding: [u8; 10],
}

record!(unnamed Mapping, Mapping);

chain!(
    /// The mappings and grants of a frame.
    MappingsOfFrame, Mapping, of_frame
);

chain!(
    /// The mappings and grants that were made through a share.
    MappingsOfShare, Mapping, of_share
);

impl Mapping {
    pub(crate) fn new(
        frame: FrameId,
        share: Link<Share>,
        peer: PeerId,
        vaddr: VirtAddr,
        asked: MapFlags,
    ) -> Self {
        Self {
            kind: 0,
            order: 0,
            asked: asked.bits(),
            peer: peer.get(),
            is_grant: 0,
            frame_index: frame.index,
            is_counted: 0,
            vaddr: vaddr.get(),
            frame: frame.record.link(),
            share,
            of_frame: Links::NONE,
            of_share: Links::NONE,
            slot_page: 0,
            slot_index: 0,
            present: 1,
            caps: 0,
            originals: 0,
            readable: 0,
            writable: 0,
            ends: [0; 2],
            is_partial: 0,
            is_opened: 0,
            padding: [0; 10],
        }
    }

    /// Returns a grant that fills a slot of the peer's CNode.
    pub(crate) fn new_grant(
        frame: FrameId,
        share: Link<Share>,
        peer: PeerId,
        slot: SlotAddress,
        asked: MapFlags,
    ) -> Self {
        Self {
            vaddr: slot.index.into(),
            slot_page: slot.node.get(),
            slot_index: slot.index,
            is_grant: 1,
            caps: 1,
            ..Self::new(frame, share, peer, VirtAddr::ZERO, asked)
        }
    }

    /// Returns a mapping of a large frame, at a multiple of its size.
    pub(crate) fn of_large(self) -> Self {
        Self { order: LARGE_ORDER, ..self }
    }

    /// Returns a mapping of a bound run, at a multiple of its size.
    pub(crate) fn of_run(self) -> Self {
        Self { order: RUN_ORDER, ..self }
    }

    /// Returns a cluster in which nothing is yet, with the same terms, for so many frames of which
    /// this is the first.
    pub(crate) fn of_cluster(self, frames: u8) -> Self {
        let before = u64::from(self.frame_index).saturating_mul(self.step());
        let ends = [self.frame_index, self.frame_index.saturating_add(frames).saturating_sub(1)];
        let vaddr = self.vaddr.wrapping_sub(before);
        Self { order: CLUSTER_ORDER, present: 0, caps: 0, frame_index: 0, vaddr, ends, ..self }
    }

    /// Returns whether it is a cluster that a mapping may belong to: of the same frames, through
    /// the same share, with the same flags.
    pub(crate) fn may_have(&self, mapping: &Self) -> bool {
        let terms = |mapping: &Self| (mapping.frame, mapping.share, mapping.asked, mapping.peer);
        self.is_cluster() && terms(self) == terms(mapping)
    }

    /// Moves it to a frame alone in its record.
    pub(crate) const fn set_frame(&mut self, frame: Link<Frame>) {
        self.frame = frame;
        self.frame_index = 0;
    }

    /// Returns whether it is of the size of such a frame's record, or of one frame of a cluster.
    pub(crate) const fn fits(&self, frame: &Frame) -> bool {
        match self.order {
            0 => !frame.is_above_cluster(),
            order => order == frame.order(),
        }
    }

    pub(crate) const fn is_large(&self) -> bool {
        self.order == LARGE_ORDER
    }

    /// Returns whether it is of a bound run.
    pub(crate) const fn is_run(&self) -> bool {
        self.order == RUN_ORDER
    }

    /// Returns whether it is of more frames than a cluster has.
    pub(crate) const fn is_whole(&self) -> bool {
        self.order > CLUSTER_ORDER
    }

    /// Returns how many pages those of its mappings have that are in a mask.
    pub(crate) const fn pages_of(&self, mask: u8) -> u32 {
        let mappings = (self.present & mask).count_ones();
        if self.is_whole() { mappings << self.order } else { mappings }
    }

    /// Returns whether its frames have records of their own.
    pub(crate) const fn is_opened(&self) -> bool {
        self.is_opened != 0
    }

    /// Says that they have.
    pub(crate) const fn set_opened(&mut self) {
        self.is_opened = 1;
    }

    /// Returns whether the kernel has refused a part of what the masks say.
    pub(crate) const fn is_partial(&self) -> bool {
        self.is_partial != 0
    }

    /// Says whether it has.
    pub(crate) fn set_partial(&mut self, is_partial: bool) {
        self.is_partial = is_partial.into();
    }

    /// Returns whether it is a large one that was given back: only the record is left.
    pub(crate) const fn is_kept(&self) -> bool {
        self.present == 0 && self.is_large()
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        self.order == CLUSTER_ORDER
    }

    pub(crate) const fn is_grant(&self) -> bool {
        self.is_grant != 0
    }

    /// Returns the peer whose VSpace or CSpace it is in.
    pub(crate) fn peer(&self) -> PeerId {
        match PeerId::new(self.peer.into()) {
            Some(peer) => peer,
            None => broken("mapping of nobody's"),
        }
    }

    pub(crate) const fn asked(&self) -> MapFlags {
        MapFlags::from_bits_truncate(self.asked)
    }

    pub(crate) const fn set_asked(&mut self, flags: MapFlags) {
        self.asked = flags.bits();
    }

    /// Returns the frame of one of its mappings.
    pub(crate) fn frame(&self, index: u8) -> FrameId {
        let Some(record) = self.frame.target() else { broken("mapping without a frame") };
        Id::new(record, self.frame_index(index))
    }

    /// Returns which frame of the record that one is of.
    pub(crate) const fn frame_index(&self, index: u8) -> u8 {
        if self.is_cluster() { index } else { self.frame_index }
    }

    /// Returns the mask of those of its mappings that are of some frames of their record.
    pub(crate) const fn of(&self, frames: u8) -> u8 {
        if self.is_cluster() { self.present & frames } else { frames >> self.frame_index & 1 }
    }

    /// Returns the mask of the mappings that are there.
    pub(crate) const fn present(&self) -> u8 {
        self.present
    }

    /// Returns the mask of the mappings that are there between two addresses, both included.
    pub(crate) fn within(&self, first: u64, last: u64) -> u8 {
        if !self.is_cluster() {
            return self.present;
        }
        if first <= self.vaddr() && self.last() <= last {
            return self.present;
        }
        let is_in = |index: &u8| (first..=last).contains(&self.vaddr_of(*index));
        indices(self.present).filter(is_in).fold(0, |mask, index| mask | 1 << index)
    }

    pub(crate) const fn set_present(&mut self, mask: u8) {
        self.present = mask;
    }

    /// Returns the rights for the kernel.
    pub(crate) fn rights(&self, installed: Installed) -> PageRights {
        PageRights {
            write: installed == Installed::ReadWrite,
            execute: self.asked().contains(MapFlags::EXECUTE),
        }
    }

    /// Returns the first address that it may have a mapping at; for a grant its index.
    pub(crate) fn vaddr(&self) -> u64 {
        let [first, _] = self.ends;
        self.vaddr_of(first)
    }

    /// Returns the address of one.
    pub(crate) fn vaddr_of(&self, index: u8) -> u64 {
        self.vaddr.wrapping_add(u64::from(index).saturating_mul(self.step()))
    }

    /// Returns how far the addresses of two mappings in a row are apart.
    const fn step(&self) -> u64 {
        if self.is_grant() { 1 } else { PAGE_BYTES }
    }

    /// Returns the address of the first one that is there.
    pub(crate) fn first_vaddr(&self) -> u64 {
        indices(self.present).next().map_or(self.vaddr(), |index| self.vaddr_of(index))
    }

    /// Returns whether there is one at an address that the record covers.
    pub(crate) fn has_at(&self, vaddr: u64) -> bool {
        self.present() >> self.index_at(vaddr) & 1 != 0
    }

    /// Returns which one is at an address.
    pub(crate) fn index_at(&self, vaddr: u64) -> u8 {
        if !self.is_cluster() {
            return 0;
        }
        let pages = vaddr.wrapping_sub(self.vaddr).checked_div(self.step());
        pages.and_then(|pages| u8::try_from(pages).ok()).unwrap_or(CLUSTER)
    }
}

impl Leaf for Mapping {
    fn key(&self) -> u64 {
        self.vaddr()
    }

    fn last(&self) -> u64 {
        if self.is_whole() {
            let last = (1_u64 << self.order).saturating_sub(1);
            return self.vaddr.saturating_add(last.saturating_mul(PAGE_BYTES));
        }
        let [_, last] = self.ends;
        self.vaddr_of(last)
    }
}
