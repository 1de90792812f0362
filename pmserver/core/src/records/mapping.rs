// SPDX-License-Identifier: BSD-2-Clause
//! A mapping's or grant's record.

use pmserver_api::MapFlags;
use proto::{PAGE_BYTES, PeerId, VirtAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{FrameCap, PageIndex, PageRights, SlotAddress};
use crate::records::broken::broken;
use crate::records::cell::{Stamp, record};
use crate::records::frame::{Frame, LARGE_ORDER};
use crate::records::leaf::Leaf;
use crate::records::links::{Link, Links, chain};
use crate::records::share::Share;

/// How a mapping is installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Installed {
    /// Not installed: an access faults.
    No = 0,
    /// For loads.
    ReadOnly = 1,
    /// For loads and stores.
    ReadWrite = 2,
}

/// A frame that is mapped at a page of a VSpace, or granted; for a grant, `vaddr` is its index.
///
/// The flags that were asked for never change. What is installed may be less at the moment; it is
/// restored when the page is accessed (`ops/repair.rs`).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Mapping {
    stamp: Stamp,
    vaddr: u64,
    pub(crate) frame: Link<Frame>,
    /// The page that it has a capability to; 0 while it has none.
    pub(crate) page: u32,
    /// The CNode of its slot.
    slot_page: u32,
    /// The frame's other mappings.
    of_frame: Links<Mapping>,
    /// The share through which it was made; 0 for the owner.
    pub(crate) share: Link<Share>,
    /// The share's other mappings.
    of_share: Links<Mapping>,
    /// The flags that it was asked for with.
    asked: u16,
    slot_index: u8,
    peer: u8,
    installed: u8,
    is_grant: u8,
    is_original: u8,
    /// 0, or 9 for the mapping of a large frame.
    order: u8,
    /// Whether a large mapping is counted in the table above it.
    is_counted: u8,
    padding: [u8; 7],
}

record!(Mapping, Mapping);

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
        frame: Link<Frame>,
        share: Link<Share>,
        peer: PeerId,
        vaddr: VirtAddr,
        asked: MapFlags,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            vaddr: vaddr.get(),
            frame,
            page: 0,
            slot_page: 0,
            of_frame: Links::NONE,
            share,
            of_share: Links::NONE,
            asked: asked.bits(),
            slot_index: 0,
            peer: peer.get(),
            installed: 0,
            is_grant: 0,
            is_original: 0,
            order: 0,
            is_counted: 0,
            padding: [0; 7],
        }
    }

    /// Returns a grant that fills a slot of the peer's CNode.
    pub(crate) fn new_grant(
        frame: Link<Frame>,
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
            ..Self::new(frame, share, peer, VirtAddr::ZERO, asked)
        }
    }

    /// Returns a mapping of a large frame, at a multiple of its size.
    pub(crate) fn of_large(self) -> Self {
        Self { order: LARGE_ORDER, ..self }
    }

    /// Returns the mapping of a page of a large one, with the same terms, not installed.
    pub(crate) fn part(&self, vaddr: u64, frame: Link<Frame>, slot: SlotAddress) -> Self {
        let mut part = Self { vaddr, frame, order: 0, ..*self };
        part.stamp = Stamp::UNSET;
        (part.of_frame, part.of_share) = (Links::NONE, Links::NONE);
        part.set_slot(slot);
        part.set_cap(PageIndex::new(0), false);
        part.set_installed(Installed::No);
        part
    }

    /// Returns whether a large mapping is counted in the table above it.
    pub(crate) const fn is_counted(&self) -> bool {
        self.is_counted != 0
    }

    /// Says that it is.
    pub(crate) const fn set_counted(&mut self) {
        self.is_counted = 1;
    }

    pub(crate) const fn is_large(&self) -> bool {
        self.order != 0
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

    pub(crate) const fn installed(&self) -> Installed {
        match self.installed {
            0 => Installed::No,
            1 => Installed::ReadOnly,
            _ => Installed::ReadWrite,
        }
    }

    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub(crate) const fn set_installed(&mut self, installed: Installed) {
        self.installed = installed as u8;
    }

    pub(crate) fn page(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.page)
    }

    pub(crate) const fn set_slot(&mut self, slot: SlotAddress) {
        self.slot_page = slot.node.get();
        self.slot_index = slot.index;
    }

    /// Returns its slot for a derived capability.
    pub(crate) const fn slot(&self) -> SlotAddress {
        SlotAddress { node: PageIndex::new(self.slot_page), index: self.slot_index }
    }

    /// Returns whether it uses the original capability of its page, and its slot is empty.
    pub(crate) const fn is_original(&self) -> bool {
        self.is_original != 0
    }

    /// Says which page it has a capability to, and whether that is the page's original one.
    pub(crate) fn set_cap(&mut self, page: PageIndex, is_original: bool) {
        self.page = page.get();
        self.is_original = is_original.into();
    }

    /// Returns its capability to a page.
    pub(crate) const fn cap(&self, page: PageIndex) -> FrameCap {
        if self.is_original() { FrameCap::Original(page) } else { FrameCap::Derived(self.slot()) }
    }

    /// Returns the rights for the kernel.
    pub(crate) fn rights(&self, installed: Installed) -> PageRights {
        PageRights {
            write: installed == Installed::ReadWrite,
            execute: self.asked().contains(MapFlags::EXECUTE),
        }
    }

    /// Returns the address; for a grant its index.
    pub(crate) const fn vaddr(&self) -> u64 {
        self.vaddr
    }
}

impl Leaf for Mapping {
    fn key(&self) -> u64 {
        self.vaddr
    }

    fn last(&self) -> u64 {
        let pages = 1_u64 << self.order;
        self.vaddr.saturating_add(pages.saturating_sub(1).saturating_mul(PAGE_BYTES))
    }
}
