// SPDX-License-Identifier: BSD-2-Clause
//! What linking a pair of frames will cost at most, so that a copy stops before it, or is refused
//! before anything changed.
//!
//! The estimate is of what is installed now. Mappings that were suspended before cost nothing.

use pmserver_api::CopyFlags;

use crate::frames::FrameManager;
use crate::frames::binding::Sharers;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::copying::Copying;
use crate::records::frame::Frame;
use crate::records::mapping::{Installed, Mapping, MappingsOfFrame};

/// Linking two frames that nothing maps, and removing a destination that was made for it.
const LINK_WORK: u64 = 1_700;

/// Passing a frame of a ring, and a mapping, as often as linking does.
const RING_WORK: u64 = 200;
const PASS_WORK: u64 = 100;

/// Copying a page in place, or to a page that is taken for it.
const BYTES_WORK: u64 = 14_000;
const NEW_PAGE_WORK: u64 = 7_000;

/// Making a mapping read-only; taking its capability; removing it, but for page tables.
const PROTECT_WORK: u64 = 2_300;
const FORGET_WORK: u64 = 1_200;
const REMOVE_WORK: u64 = 5_000;

/// Revoking a grant, which may be the last one in its CNode.
const REVOKE_WORK: u64 = 9_000;

/// Removing the page tables above a mapping, divided among the mappings in the lowest one.
const TABLES_WORK: u64 = 27_000;

impl<K: Kernel> FrameManager<K> {
    /// Returns what linking a pair costs at most. A destination that does not exist yet costs
    /// nothing.
    pub(crate) fn link_work(
        &self,
        copying: &Copying,
        source: Ref<Frame>,
        destination: Option<Ref<Frame>>,
    ) -> u64 {
        let taken = if copying.flags.contains(CopyFlags::SHARED) {
            0
        } else if copying.flags.contains(CopyFlags::MOVE) {
            self.mappings_work(source, |mapping| self.removal_work(mapping))
        } else {
            self.taking_work(source)
        };
        let given = destination.map_or(0, |destination| {
            if copying.is_logical() {
                self.giving_work(destination)
            } else {
                self.mappings_work(destination, forgetting_work)
            }
        });
        LINK_WORK.saturating_add(taken).saturating_add(given)
    }

    /// Returns the work of taking the contents of a frame to share them copy-on-write.
    fn taking_work(&self, source: Ref<Frame>) -> u64 {
        let Some(page) = self.store.get(source).page() else { return 0 };
        if self.store.entry(page).is_pinned() || self.is_in_place(source) {
            return BYTES_WORK.saturating_add(NEW_PAGE_WORK);
        }
        if self.is_cow(source) {
            return 0;
        }
        self.ring_work(&self.sharers(source), |mapping| {
            if mapping.installed() <= Installed::ReadOnly {
                0
            } else if mapping.is_grant() {
                REVOKE_WORK
            } else {
                PROTECT_WORK
            }
        })
    }

    /// Returns the work of giving a frame other contents.
    fn giving_work(&self, destination: Ref<Frame>) -> u64 {
        let ring = self.sharers(destination);
        if self.ring_is_in_place(&ring) {
            return BYTES_WORK;
        }
        let supplied = if self.ring_needs_memory(&ring) { NEW_PAGE_WORK } else { 0 };
        supplied.saturating_add(self.ring_work(&ring, forgetting_work))
    }

    fn removal_work(&self, mapping: &Mapping) -> u64 {
        if mapping.is_grant() {
            return REVOKE_WORK;
        }
        let table = self.lowest_table(mapping.peer(), mapping.vaddr());
        let mappings = table.map_or(0, |table| table.children.get().into());
        REMOVE_WORK.saturating_add(TABLES_WORK.checked_div(mappings).unwrap_or(0))
    }

    fn ring_work(&self, ring: &Sharers, each: impl Fn(&Mapping) -> u64) -> u64 {
        ring.iter().map(|sharer| self.mappings_work(*sharer, &each)).sum()
    }

    fn mappings_work(&self, frame: Ref<Frame>, each: impl Fn(&Mapping) -> u64) -> u64 {
        let mappings = self.store.chain::<MappingsOfFrame>(self.store.get(frame).mappings);
        let all = mappings.map(|mapping| each(self.store.get(mapping)).saturating_add(PASS_WORK));
        all.fold(RING_WORK, u64::saturating_add)
    }
}

fn forgetting_work(mapping: &Mapping) -> u64 {
    if mapping.is_grant() {
        REVOKE_WORK
    } else if mapping.page().is_some() {
        FORGET_WORK
    } else {
        0
    }
}
