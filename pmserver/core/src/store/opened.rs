// SPDX-License-Identifier: BSD-2-Clause
//! Opened clusters: eight frames at aligned numbers, each with a record of its own beside that of
//! the cluster (decision 0043).
//!
//! A cluster is *opened* when something happens to one of its frames that a record of eight has no
//! room for. Its own record stays in the container's tree, and names those of its frames in place
//! of pages. So mappings of several of them in one record stay as they are, whoever pays for them.
//!
//! ```text
//!   tree --> cluster: pages 0-7     --->    tree --> cluster, opened: frames 0-7
//!               |                                       |        | | | | | | | |
//!            mappings of several                mappings of     each with its page, ring,
//!            and of single ones                 several         marks, and single mappings
//! ```

use crate::kernel::Kernel;
use crate::records::account::{Account, Shortage};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FramesOfAccount};
use crate::records::id::{CLUSTER, FrameId, Id, place_in_cluster};
use crate::records::leaf::Leaf;
use crate::store::Store;

impl<K: Kernel> Store<K> {
    /// Returns the frame with this name in an opened cluster, in its own record.
    #[cold]
    pub(crate) fn opened(&self, frame: FrameId) -> FrameId {
        match self.get(frame.record).opened(frame.index) {
            Some(single) => Id::first(single),
            None => broken("frame of an opened cluster that is gone"),
        }
    }

    /// Returns the name of a frame in the opened cluster that it is of.
    pub(crate) fn name_in_cluster(&self, frame: Ref<Frame>) -> Option<FrameId> {
        self.get(frame).name_in_cluster()
    }

    /// Returns the names that the mappings of a frame have for it.
    pub(crate) fn names(&self, frame: FrameId) -> impl Iterator<Item = FrameId> {
        core::iter::once(frame).chain(self.name_in_cluster(frame.record))
    }

    /// Returns the record of a frame with a number that a cluster covers.
    #[cold]
    pub(crate) fn record_in(&self, cluster: Ref<Frame>, number: u64) -> Option<Ref<Frame>> {
        self.part_of(cluster, place_in_cluster(number))
    }

    fn part_of(&self, cluster: Ref<Frame>, place: u8) -> Option<Ref<Frame>> {
        let record = self.get(cluster);
        if record.is_open() {
            record.opened(place)
        } else {
            (record.all() >> place & 1 != 0).then_some(cluster)
        }
    }

    /// Returns the first record of a frame that a cluster covers, from a number on, and the number.
    #[cold]
    pub(crate) fn next_in(&self, cluster: Ref<Frame>, number: u64) -> Option<(Ref<Frame>, u64)> {
        let mut places = place_in_cluster(number)..CLUSTER;
        let number = |place| self.get(cluster).number(place);
        places.find_map(|place| Some((self.part_of(cluster, place)?, number(place))))
    }

    /// Gives each frame of a cluster a record of its own.
    ///
    /// # Errors
    /// If the account cannot pay for them, unless it has set that aside, or if the kernel refuses a
    /// page for them; the cluster is then as it was.
    pub(crate) fn open_cluster(&mut self, cluster: Ref<Frame>) -> Result<(), Shortage> {
        let record = *self.get(cluster);
        let account = self.payer_of_container(self.container_of(cluster));
        self.pay_for_singles(account, record.frames())?;
        let mut frames = [0; 8];
        for (place, cell) in (0..CLUSTER).zip(&mut frames) {
            if record.all() >> place & 1 == 0 {
                continue;
            }
            match self.alloc_set_aside(account, record.individual(place, cluster)) {
                Ok(frame) => *cell = frame.cell(),
                Err(error) => {
                    self.close_again(account, &frames);
                    self.refund_singles(account, record.frames());
                    return Err(error.into());
                }
            }
        }
        for (place, cell) in (0..CLUSTER).zip(frames) {
            let Some(frame) = Ref::from_cell(cell) else { continue };
            // The list is newest first, as if they had been allocated one after the other.
            self.add_behind::<FramesOfAccount>(cluster, frame);
            if let Some(page) = record.page(place) {
                self.replace_holder(page, Id::new(cluster, place), Id::first(frame));
            }
        }
        self.remove_from_list(account, cluster);
        self.get_mut(cluster).open(frames);
        Ok(())
    }

    /// Frees the records that were made when making the others was refused.
    fn close_again(&mut self, account: Ref<Account>, frames: &[u32; 8]) {
        for frame in frames.iter().filter_map(|cell| Ref::<Frame>::from_cell(*cell)) {
            self.empty_aside(account, frame);
        }
    }

    /// Takes a frame out of its container's tree or the opened cluster that it is of, and that with
    /// its last frame.
    #[inline(always)]
    pub(crate) fn take_out_of_tree(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        match self.name_in_cluster(frame) {
            None => self.take_leaf_out(container, frame),
            Some(name) => self.take_out_of_cluster(container, name),
        }
    }

    #[cold]
    fn take_out_of_cluster(&mut self, container: Ref<Container>, name: FrameId) {
        let cluster = name.record;
        if !self.get_mut(cluster).set_opened(name.index, None) {
            self.take_leaf_out(container, cluster);
            self.free(cluster);
        }
    }

    #[inline(always)]
    fn take_leaf_out(&mut self, container: Ref<Container>, leaf: Ref<Frame>) {
        let tree = self.get(container).frames;
        self.get_mut(container).frames = self.tree_remove(tree, leaf);
    }

    /// Takes frames without contents out of a cluster, and the cluster out of its container with
    /// the last one; refunds them, and ends that cells are set aside for them.
    pub(crate) fn remove_part(&mut self, cluster: Ref<Frame>, frames: u8) {
        let container = self.container_of(cluster);
        let account = self.payer_of_container(container);
        let count = (self.get(cluster).all() & frames).count_ones();
        self.refund_guaranteed(account, count);
        self.get_mut(container).frame_count.subtract(count);
        self.leave_stock(account, count, 0);
        if self.get_mut(cluster).remove(frames) {
            self.remove_from_list(account, cluster);
            self.take_leaf_out(container, cluster);
            self.free(cluster);
        }
    }

    /// Puts a frame into an opened cluster that has none with its number.
    pub(crate) fn put_into_cluster(&mut self, cluster: Ref<Frame>, frame: Ref<Frame>) {
        let place = place_in_cluster(self.get(frame).key());
        self.get_mut(frame).set_home(cluster);
        self.get_mut(cluster).set_opened(place, Some(frame));
    }
}
