// SPDX-License-Identifier: BSD-2-Clause
//! Copying whole clusters and bound runs (decisions 0040, 0041): eight frames, or 64, with one look
//! at what they have in common.
//!
//! Whatever is unusual ends it before the cluster that it concerns, without an error: the frames of
//! that one are copied one by one (`ops/copy.rs`).

use pmserver_api::CopyFlags;
use proto::PeerId;

use crate::frames::FrameManager;
use crate::frames::copying::Copying;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, RUN_PAGES};
use crate::records::id::{CLUSTER, FrameId, Id, LAST_IN_CLUSTER, indices};
use crate::records::range::Range;

impl<K: Kernel> FrameManager<K> {
    /// Copies runs and clusters at the beginning of a range to such. Returns how many frames. The
    /// caller has checked handles and leases.
    pub(crate) fn copy_together(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> u64 {
        // What is not to be divided is checked as a whole first.
        let is_whole = copying.flags.contains(CopyFlags::ATOMIC) || copying.is_within();
        if !copying.is_logical() || copying.makes_new() || is_whole {
            return 0;
        }
        let mut done: u64 = 0;
        while let Some((from, to)) = from.run_after(done).zip(to.run_after(done))
            && self.copy_whole(caller, copying, from, to) == Ok(true)
        {
            done = done.saturating_add(RUN_PAGES.into());
        }
        let rest = from.after(done).zip(to.after(done));
        let clusters = rest.map_or(0, |(from, to)| self.copy_clusters(copying, from, to));
        done.saturating_add(clusters)
    }

    fn copy_clusters(&mut self, copying: &Copying, from: Range, to: Range) -> u64 {
        let mut done: u64 = 0;
        let step = usize::from(CLUSTER);
        let pairs = (from.first..=from.last).step_by(step).zip((to.first..=to.last).step_by(step));
        for (from_first, to_first) in pairs {
            let last = from_first | LAST_IN_CLUSTER;
            let is_whole = from_first.is_multiple_of(CLUSTER.into()) && last <= from.last;
            if !is_whole || self.store.meter().begin_frame(0).is_err() {
                break;
            }
            let source = self.usual_cluster(copying.from.container, from_first);
            let destination = self.usual_cluster(copying.to.container, to_first);
            let Some((source, destination)) = source.zip(destination) else { break };
            self.link_cluster(source, destination);
            done = done.saturating_add(CLUSTER.into());
        }
        done
    }

    /// Returns the cluster that begins at a number, if its frames are not mapped, no handler
    /// supplies them, and no device uses their pages.
    fn usual_cluster(&mut self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        let frame = self.clustered(container, number).ok()??.record;
        let record = self.store.get(frame);
        let is_unmapped = record.is_cluster() && record.mappings.is_none();
        let is_usual = is_unmapped && record.is_full() && record.is_settled();
        if !is_usual || record.range().first != number {
            return None;
        }
        let mut pages = (0..CLUSTER).filter_map(|index| record.page(index));
        let are_free = pages.all(|page| !self.store.is_kept_apart(page));
        (are_free && !self.has_handler_in(container, record.range())).then_some(frame)
    }

    /// Gives the frames of a cluster, which nothing maps, the memory of those of another.
    fn link_cluster(&mut self, source: Ref<Frame>, destination: Ref<Frame>) {
        let (from, to) = (*self.store.get(source), *self.store.get(destination));
        for index in indices(u8::MAX) {
            let (page, old) = (from.page(index), to.page(index));
            let frame: FrameId = Id::new(destination, index);
            if page == old {
                continue;
            }
            self.store.get_mut(destination).set_page(index, page);
            if let Some(page) = page {
                self.store.add_holder(page, frame);
            }
            if let Some(old) = old {
                self.store.remove_holder(old, frame);
            }
        }
    }
}
