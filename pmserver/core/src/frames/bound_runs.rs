// SPDX-License-Identifier: BSD-2-Clause
//! Bound runs (decision 0041): 64 frames at aligned numbers that are bound to 64 pages as a whole,
//! in one record and, at aligned addresses, one record of mappings for each VSpace.
//!
//! A bound run is what it is as long as it is used as a whole: mapped, copied, locked, freed. When
//! something is done to a part of it, it is *split* into clusters, and with it everything that is
//! on the same pages. No page moves, unless the run is on a piece that has to stay whole
//! (`moved_runs.rs`).
//!
//! ```text
//!   run a --+--> pages 0-63         clusters a0-7, a8-15, ...  --+--> pages 0-63, each with
//!   run b --+    with one     --->  clusters b0-7, b8-15, ...  --+    holders of its own
//!                list of holders
//! ```

use heapless::Vec;
use pmserver_api::PmError;
use proto::limits::FRAME_WORK_MAX;

use crate::frames::FrameManager;
use crate::frames::large::WHOLE_MAPPINGS_MAX;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::id::{CLUSTER, FrameId, Id};
use crate::records::mapping::{Mapping, MappingsOfFrame};
use crate::records::page::{PageUse, RUN_HOLDERS_MAX};
use crate::store::bound_runs::RunPages;
use crate::tables::run_mappings::{Eighths, RUN_CELLS};

/// All mappings of the runs on the same pages.
#[allow(clippy::as_conversions)] // To a wider type.
const ALL_MAPPINGS_MAX: usize = RUN_HOLDERS_MAX as usize * WHOLE_MAPPINGS_MAX;

/// The accounts that pay for the runs on the same pages, and for their mappings.
#[allow(clippy::as_conversions)] // To a wider type.
type Payers = Vec<Ref<Account>, { ALL_MAPPINGS_MAX + RUN_HOLDERS_MAX as usize }>;

/// The mappings of a run.
pub(super) type OfRun = Vec<Ref<Mapping>, WHOLE_MAPPINGS_MAX>;

/// The work of splitting: four runs, with two mappings of each, paid for by as many accounts.
const SPLIT_WORK: u64 = 250_000;

/// The work of unmapping a run whose pages are not all as its record says.
pub(super) const MAKE_EQUAL_WORK: u64 = 75_000;

/// The work of mapping a run, and of unmapping it if that is refused in the end.
pub(crate) const MAP_RUN_WORK: u64 = 150_000;

/// The work of giving pages to a run: each is cleared, and made a frame.
pub(crate) const BIND_RUN_WORK: u64 = 64 * 6_500;

impl<K: Kernel> FrameManager<K> {
    /// Splits the runs on these pages into clusters, and their mappings into clusters of mappings.
    ///
    /// # Errors
    /// `Pending` if the call has no room for it. `Kernel` if the kernel refuses a page for records,
    /// to unmap what it has mapped in part, or to copy; nothing that could be seen has changed.
    pub(crate) fn split_bound_run(&mut self, run: PageIndex) -> Result<(), PmError> {
        let before = self.store.meter().spent();
        let split = self.split_or_move(run);
        self.store.meter().count_split(before);
        split
    }

    /// Splits the runs on these pages where they are, or else, if that would keep a piece from
    /// becoming anything else, on other ones.
    fn split_or_move(&mut self, run: PageIndex) -> Result<(), PmError> {
        let is_split = !self.store.is_splitting(run) && self.split_in_place(run)?;
        if is_split {
            return Ok(());
        }
        let other = self.move_bound_run(run)?;
        self.split_in_place(other).map(drop)
    }

    /// Splits the runs on these pages. Returns whether it has: nothing is changed if they are on a
    /// piece that nobody pays for.
    fn split_in_place(&mut self, run: PageIndex) -> Result<bool, PmError> {
        let holders = self.store.holders(run);
        let mut payers = Payers::new();
        for holder in &holders {
            let container = self.store.container_of(holder.record);
            let _ = payers.push(self.store.payer_of_container(container));
            for mapping in self.mappings_of_run(holder.record) {
                let _ = payers.push(self.store.payer_of(mapping));
                self.make_equal(mapping)?;
            }
        }
        self.has_room(SPLIT_WORK.saturating_add(FRAME_WORK_MAX))?;
        let all = u32::try_from(payers.len()).unwrap_or(u32::MAX);
        let cells = RUN_CELLS.saturating_mul(all);
        let mut each = payers.iter();
        let prepared = each.try_for_each(|payer| self.store.prepare_aside(*payer, cells));
        let is_of_piece = self.store.entry(run).is_of_piece();
        let is_paid = prepared.is_ok() && (!is_of_piece || self.store.begin_parts(run));
        if is_paid {
            self.replace_runs(run, holders.iter().map(|holder| holder.record));
        }
        payers.iter().for_each(|payer| self.store.release_unfilled(*payer));
        prepared.map_err(|_: KernelError| PmError::Kernel)?;
        Ok(is_paid)
    }

    pub(super) fn mappings_of_run(&self, run: Ref<Frame>) -> OfRun {
        self.store.chain::<MappingsOfFrame>(self.store.get(run).mappings).collect()
    }

    /// Takes the capabilities of a mapping of a run whose pages are not all as its record says.
    fn make_equal(&mut self, mapping: Ref<Mapping>) -> Result<(), PmError> {
        if self.store.get(mapping).is_partial() {
            self.has_room(MAKE_EQUAL_WORK.saturating_add(FRAME_WORK_MAX))?;
            self.forget_caps_of(mapping, 1).map_err(|_: KernelError| PmError::Kernel)?;
        }
        Ok(())
    }

    /// Replaces the runs on some pages. Nothing can fail: all is prepared.
    fn replace_runs(&mut self, run: PageIndex, runs: impl Iterator<Item = Ref<Frame>>) {
        let pages = self.store.pages_of_run(run);
        for page in &pages {
            *self.store.entry_mut(*page) = self.store.entry(*page).reused_as(PageUse::Frame);
        }
        for frame in runs {
            let mappings = self.mappings_of_run(frame);
            for mapping in &mappings {
                self.unlink_mapping(*mapping);
            }
            let frames = self.split_to_clusters(frame, &pages);
            for mapping in &mappings {
                self.replace_run_mapping(*mapping, &frames, &pages);
            }
        }
    }

    /// Splits a run that is not mapped into clusters, and binds them to its pages.
    fn split_to_clusters(&mut self, run: Ref<Frame>, pages: &RunPages) -> Eighths {
        let container = self.store.container_of(run);
        let first = self.store.get(run).range().first;
        if self.store.split_run(run).is_err() {
            broken("cell that was prepared");
        }
        let mut frames = [run; 8];
        let mut pages = pages.iter();
        for (frame, place) in frames.iter_mut().zip(0..) {
            let number = first.saturating_add(u64::from(CLUSTER).saturating_mul(place));
            let Some(cluster) = self.find_frame(container, number) else {
                broken("cluster of a run that was split")
            };
            *frame = cluster;
            for (index, page) in (0..CLUSTER).zip(pages.by_ref()) {
                let id: FrameId = Id::new(cluster, index);
                self.store.get_mut(cluster).set_page(index, Some(*page));
                self.store.add_holder(*page, id);
            }
        }
        frames
    }

    /// Splits the run that a page is in, so that the page can be moved.
    ///
    /// # Errors
    /// As [`Self::split_bound_run`].
    pub(crate) fn take_out_of_run(&mut self, page: PageIndex) -> Result<(), PmError> {
        self.store.run_of(page).map_or(Ok(()), |run| self.split_bound_run(run))
    }
}
