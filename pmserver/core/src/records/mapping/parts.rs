// SPDX-License-Identifier: BSD-2-Clause
//! What records of several mappings are split into.

use super::Mapping;
use crate::kernel::SlotAddress;
use crate::records::frame::Frame;
use crate::records::id::{CLUSTER, CLUSTER_ORDER};
use crate::records::links::{Link, Links};

impl Mapping {
    /// Returns a cluster of mappings of pages of a large one, with the same terms, not installed.
    pub(crate) fn part(&self, vaddr: u64, frame: Link<Frame>, slot: SlotAddress) -> Self {
        let mut part = Self { vaddr, caps: 0, readable: 0, writable: 0, ..self.eighth(0, frame) };
        part.is_counted = 0;
        part.originals = 0;
        part.set_slot(slot);
        part
    }

    /// Returns a mapping of a cluster in a record of its own, as it is.
    pub(crate) fn single(&self, index: u8) -> Self {
        let bit = |mask: u8| mask >> index & 1;
        let mut single = Self {
            order: 0,
            is_opened: 0,
            frame_index: index,
            vaddr: self.vaddr_of(index),
            ends: [0; 2],
            present: 1,
            caps: bit(self.caps),
            originals: bit(self.originals),
            readable: bit(self.readable),
            writable: bit(self.writable),
            of_frame: Links::NONE,
            of_share: Links::NONE,
            ..*self
        };
        single.set_slot(self.slot(index));
        single
    }

    /// Returns the eighth part of a mapping of a bound run: a cluster that is as that was.
    pub(crate) fn eighth(&self, place: u8, frame: Link<Frame>) -> Self {
        let all = |mask: u8| if mask & 1 == 0 { 0 } else { u8::MAX };
        let first = place.saturating_mul(CLUSTER);
        let mut part = Self {
            order: CLUSTER_ORDER,
            vaddr: self.vaddr_of(first),
            frame,
            ends: [0, CLUSTER - 1],
            present: u8::MAX,
            caps: all(self.caps),
            originals: all(self.originals),
            readable: all(self.readable),
            writable: all(self.writable),
            of_frame: Links::NONE,
            of_share: Links::NONE,
            is_partial: 0,
            ..*self
        };
        part.set_slot(self.slot(first));
        part
    }
}
