// SPDX-License-Identifier: BSD-2-Clause
//! What mappings have at the moment: how they are installed, their capabilities and slots.

use super::{Installed, Mapping};
use crate::kernel::{FrameCap, PageIndex, SlotAddress};
use crate::records::id::row;

impl Mapping {
    /// Returns whether a large mapping is counted in the table above it.
    pub(crate) const fn is_counted(&self) -> bool {
        self.is_counted != 0
    }

    /// Says that it is.
    pub(crate) const fn set_counted(&mut self) {
        self.is_counted = 1;
    }

    pub(crate) const fn installed(&self, index: u8) -> Installed {
        let bit = 1 << index;
        if self.writable & bit != 0 {
            Installed::ReadWrite
        } else if self.readable & bit != 0 {
            Installed::ReadOnly
        } else {
            Installed::No
        }
    }

    /// Says how the mappings of a mask are installed.
    pub(crate) fn set_installed(&mut self, mask: u8, installed: Installed) {
        self.readable &= !mask;
        self.writable &= !mask;
        if installed >= Installed::ReadOnly {
            self.readable |= mask;
        }
        if installed == Installed::ReadWrite {
            self.writable |= mask;
        }
    }

    /// Returns the mask of the mappings that are installed with more than these rights.
    pub(crate) const fn above(&self, most: Installed) -> u8 {
        match most {
            Installed::No => self.readable,
            Installed::ReadOnly => self.writable,
            Installed::ReadWrite => 0,
        }
    }

    /// Returns the mask of the mappings that have a capability.
    pub(crate) const fn caps(&self) -> u8 {
        self.caps
    }

    pub(crate) const fn has_cap(&self, index: u8) -> bool {
        self.caps >> index & 1 != 0
    }

    /// Says that those of a mask have a capability, and which of them their page's original one.
    pub(crate) const fn set_caps(&mut self, mask: u8, originals: u8) {
        self.caps |= mask;
        self.originals |= originals;
    }

    /// Says that those of a mask have no capability any more.
    pub(crate) const fn clear_caps(&mut self, mask: u8) {
        let others = !mask;
        self.caps &= others;
        self.originals &= others;
        self.readable &= others;
        self.writable &= others;
    }

    /// Adds the grants of a mask, whose capabilities have these rights.
    pub(crate) fn add_grants(&mut self, mask: u8, rights: Installed) {
        self.add(mask);
        self.set_caps(mask, 0);
        self.set_installed(mask, rights);
    }

    /// Adds the mappings of a mask.
    pub(crate) const fn add(&mut self, mask: u8) {
        self.present |= mask;
    }

    /// Returns the mask of the mappings that use the original capability of their page.
    pub(crate) const fn originals(&self) -> u8 {
        self.originals
    }

    /// Returns whether one uses the original capability of its page, and its slot is empty.
    pub(crate) const fn is_original(&self, index: u8) -> bool {
        self.originals >> index & 1 != 0
    }

    pub(crate) const fn set_slot(&mut self, slot: SlotAddress) {
        self.slot_page = slot.node.get();
        self.slot_index = slot.index;
    }

    /// Returns the slot of one, or of one page of a bound run, for a derived capability.
    pub(crate) const fn slot(&self, index: u8) -> SlotAddress {
        let [first, _] = self.ends;
        let index = self.slot_index.wrapping_add(index).wrapping_sub(first);
        SlotAddress { node: PageIndex::new(self.slot_page), index }
    }

    /// Returns the capability of one page of a bound run.
    pub(crate) const fn run_cap(&self, index: u8, page: PageIndex) -> FrameCap {
        if self.is_original(0) {
            FrameCap::Original(page)
        } else {
            FrameCap::Derived(self.slot(index))
        }
    }

    /// Returns the mask of its slots, from the first one on.
    pub(crate) fn slots(&self) -> u64 {
        if self.is_run() { u64::MAX } else { row(0, self.places()).into() }
    }

    /// Returns the first of its slots.
    pub(crate) const fn first_slot(&self) -> SlotAddress {
        SlotAddress { node: PageIndex::new(self.slot_page), index: self.slot_index }
    }

    /// Returns how many mappings it may have.
    pub(crate) const fn places(&self) -> u8 {
        let [first, last] = self.ends;
        last.wrapping_sub(first).wrapping_add(1)
    }

    /// Returns the mask of the frames that it may have mappings of.
    pub(crate) fn all(&self) -> u8 {
        let [first, _] = self.ends;
        row(first, self.places())
    }

    /// Returns the capability of one to a page.
    pub(crate) const fn cap(&self, index: u8, page: PageIndex) -> FrameCap {
        if self.is_original(index) {
            FrameCap::Original(page)
        } else {
            FrameCap::Derived(self.slot(index))
        }
    }
}
