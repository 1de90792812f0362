// SPDX-License-Identifier: BSD-2-Clause
//! The record of a region that `attach` makes.

use pmserver_api::{ContainerHandle, MapFlags};
use proto::{FrameNumber, PAGE_BYTES};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Stamp, record};
use crate::records::leaf::Leaf;

/// A run of pages of a VSpace that pmserver maps as they are touched (protocol O18).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Region {
    stamp: Stamp,
    pub(crate) first_page: u64,
    /// The address of the last page, by which regions are found.
    last_page: u64,
    /// The frame number at the first page.
    pub(crate) start: u64,
    /// The container handle, which is looked up at every fault.
    container: u64,
    flags: u16,
    padding: [u16; 11],
}

record!(Region, Region);

impl Region {
    pub(crate) const fn new(
        (first_page, last_page): (u64, u64),
        container: ContainerHandle,
        start: FrameNumber,
        flags: MapFlags,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            first_page,
            last_page,
            start: start.get(),
            container: container.raw(),
            flags: flags.bits(),
            padding: [0; 11],
        }
    }

    /// Returns the number of the frame that belongs at a page of the region.
    pub(crate) fn frame_at(&self, page: u64) -> Option<u64> {
        let index = page.checked_sub(self.first_page)? / PAGE_BYTES;
        self.start.checked_add(index)
    }

    pub(crate) const fn container(&self) -> ContainerHandle {
        ContainerHandle::from_raw(self.container)
    }

    pub(crate) const fn flags(&self) -> MapFlags {
        MapFlags::from_bits_truncate(self.flags)
    }

    pub(crate) const fn last_page(&self) -> u64 {
        self.last_page
    }
}

impl Leaf for Region {
    fn key(&self) -> u64 {
        self.last_page
    }
}
