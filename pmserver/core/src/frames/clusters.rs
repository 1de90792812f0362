// SPDX-License-Identifier: BSD-2-Clause
//! Clusters of frames (decision 0040): eight frames at aligned numbers in one record, each with a
//! page of its own or without. What is usual happens to them there: memory, mappings, copies, and
//! that copies are broken. What is not (real sharing, a move, a pin, extra frames) happens to a
//! frame that is alone in its record: then the cluster is *opened* (`store/opened.rs`).

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::Frame;
use crate::records::id::Id;
use crate::records::leaf::Leaf;
use crate::records::range::Range;

impl<K: Kernel> FrameManager<K> {
    /// Returns the first frames of `rest` that one step can be about, as a record, a mask in that,
    /// and the first number, and advances `rest` behind them.
    pub(crate) fn take_step(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(Ref<Frame>, u8, u64)> {
        let range = (*rest)?;
        let (frame, number) = self.next_frame(container, range)?;
        let record = self.store.get(frame);
        let (frames, last) = if record.is_crowded() {
            (Id::new(frame, record.index_of(number)).bit(), number)
        } else {
            (record.within(range), record.last())
        };
        *rest = range.behind(last);
        Some((frame, frames, number))
    }

    /// Gives each frame of a cluster a record of its own. They keep their memory and mappings.
    ///
    /// # Errors
    /// As [`crate::store::Store::open_cluster`]; nothing has changed then.
    pub(super) fn split_cluster(&mut self, cluster: Ref<Frame>) -> Result<(), Shortage> {
        let before = self.store.meter().spent();
        let opened = self.store.open_cluster(cluster);
        if opened.is_ok() {
            self.divide_mappings(cluster);
        }
        self.store.meter().count_split(before);
        opened
    }

    /// Moves the mappings of a cluster that was opened, each in its own record, to the frames.
    fn divide_mappings(&mut self, cluster: Ref<Frame>) {
        let mut next = self.store.get(cluster).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(cluster, mapping);
            let record = self.store.get_mut(mapping);
            if record.is_cluster() {
                record.set_opened();
                continue;
            }
            let name = record.frame(0);
            let frame = self.store.opened(name).record;
            self.unlink_from_frame(mapping);
            self.store.get_mut(mapping).set_frame(frame.link());
            self.link_to_frame(mapping);
        }
    }
}
