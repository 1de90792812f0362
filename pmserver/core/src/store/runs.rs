// SPDX-License-Identifier: BSD-2-Clause
//! Runs: frames that nothing has happened to since they were allocated, 64 or 512 in one record.
//!
//! A run is *split* when something happens to one of its frames: into eight parts, which are
//! clusters of eight in the end (`store/opened.rs` has what becomes of those). A split fills the
//! run's own place in the tree. The cells for the clusters and for the nodes above them are *set
//! aside* when the run is made (`store/stock.rs`): they are charged then, so a split is never
//! refused for want of memory.
//!
//! ```text
//!   node of 512                    node of 512
//!     |      \                       |      \
//!   run 0-63  run 64-127    -->    run 0-63  node of 64
//!                                             | | | | | | | \
//!                                         64-71 72-79 ...    120-127
//! ```

use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, AccountFlags, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FramesOfAccount, LARGE_ORDER};
use crate::records::id::{CLUSTER, CLUSTER_ORDER};
use crate::records::leaf::Leaf;
use crate::records::places::RECORDS_PER_PAGE;
use crate::store::Store;
use crate::store::extra::Age;
use crate::store::radix::{FANOUT, Near, Node};

/// Pages that runs may take more than single frames: one for cells that were set aside, and one for
/// other records.
const PAGES_BESIDE: u64 = 2;

/// The room that an account has left if a few frames become a cluster: one with less counts pages.
const ROOM_FOR_FEW: u64 = 256;

/// The orders of runs that nothing has been split off, the larger one first.
pub(crate) const RUN_ORDERS: [u8; 3] = [LARGE_ORDER, 6, CLUSTER_ORDER];

/// The frames of the smallest run.
pub(crate) const RUN_FRAMES_MIN: u64 = 1 << CLUSTER_ORDER;

/// Returns how many cells a run needs beside its own when it is split into clusters: for the other
/// clusters, and the nodes above them.
pub(crate) const fn cells_aside(order: u8) -> u32 {
    let others = (1_u32 << order >> CLUSTER_ORDER).saturating_sub(1);
    others.saturating_add(others / 7)
}

impl<K: Kernel> Store<K> {
    /// Returns whether an account can pay for so many frames and their records if some of these are
    /// set aside, and so in pages of their own. With less room, single frames may fit (PM-15).
    pub(crate) fn has_room_beside(&self, account: Ref<Account>, frames: u64, order: u8) -> bool {
        let records = frames.saturating_mul(2).div_ceil(RECORDS_PER_PAGE.into());
        let beside = if order == CLUSTER_ORDER { ROOM_FOR_FEW } else { PAGES_BESIDE };
        self.has_room(account, frames.saturating_add(records).saturating_add(beside))
    }

    /// Returns whether an account can pay for so many pages now.
    pub(crate) fn has_room(&self, account: Ref<Account>, pages: u64) -> bool {
        [self.get(account).room(), self.unused()].iter().all(|room| u64::from(*room) >= pages)
    }

    /// Returns how many cells an account sets aside for a record of frames. One that may have extra
    /// frames does so for single frames, too: its newest frame may become one at any time, and that
    /// is not to be refused (PM-241).
    pub(crate) fn cells_aside_for(&self, account: Ref<Account>, frame: &Frame) -> u32 {
        let singles = frame.is_run() && self.sets_singles_aside(account);
        cells_aside(frame.order()).saturating_add(if singles { frame.frames() } else { 0 })
    }

    /// Charges so many runs and inserts them near a node; no record stands for their numbers.
    /// Returns how many were inserted: less than all if the account or the kernel refuses
    /// something.
    ///
    /// # Errors
    /// If the account cannot pay for all of them; it pays for none then.
    pub(crate) fn add_runs(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        first: u64,
        (runs, order): (u32, u8),
        mut near: Near,
    ) -> Result<u32, Shortage> {
        let all = |cells: u32| cells.saturating_mul(runs);
        let pages = 1_u32 << order;
        let singles = if self.get(account).has(AccountFlags::EXTRA) { pages } else { 0 };
        let own = cells_aside(order).saturating_add(1);
        let cells = own.saturating_add(singles);
        let stock = self.set_aside(account, all(cells))?;
        self.charge_pages(account, Charge::Frames, all(pages))
            .inspect_err(|_| self.give_back(account, all(cells)))?;
        self.get_mut(stock).joint.add(all(pages));
        for (done, number) in (0..runs).zip((first..).step_by(1 << order)) {
            let run = Frame::new_run(container.link(), number, order);
            if self.insert_run(account, container, run, &mut near).is_err() {
                let rest = runs.saturating_sub(done);
                self.refund_pages(account, Charge::Frames, rest.saturating_mul(pages));
                self.leave_stock(account, rest.saturating_mul(pages), rest.saturating_mul(own));
                return Ok(done);
            }
        }
        Ok(runs)
    }

    /// Inserts a run, whose cell is set aside. If that is refused, the cell is set aside again.
    fn insert_run(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        new: Frame,
        near: &mut Near,
    ) -> Result<(), Shortage> {
        let run = self.alloc_set_aside(account, new)?;
        let tree = self.get(container).frames;
        let tree = self.tree_insert_near(account, tree, run, near);
        let tree = tree.inspect_err(|_| {
            self.empty_aside(account, run);
        })?;
        self.add_to_list(account, run, Age::Newest);
        let record = self.get_mut(container);
        record.frames = tree;
        record.frame_count.add(new.frames());
        record.unused_from = record.unused_from.max(new.last().saturating_add(1));
        Ok(())
    }

    /// Splits a run, or a cluster without single mappings, into eight parts. The record of a run
    /// becomes that of the last part.
    ///
    /// # Errors
    /// The kernel's error if it refuses a page for records; the run is then as it was.
    pub(crate) fn split_run(&mut self, run: Ref<Frame>) -> Result<(), Shortage> {
        if self.get(run).is_cluster() {
            return self.open_cluster(run);
        }
        let before = self.meter().spent();
        let record = *self.get(run);
        let container = self.container_of(run);
        let account = self.payer_of_container(container);
        let mut children = [run.cell(); FANOUT];
        let node = self
            .alloc_parts(account, &record, &mut children)
            .inspect_err(|_| self.free_parts(account, run, &children))?;
        let tree = self.get(container).frames;
        self.get_mut(container).frames = self.tree_replace(tree, record.key(), node);
        self.get_mut(run).become_part(CLUSTER - 1);
        let parts = children.iter().filter_map(|cell| Ref::from_cell(*cell));
        for part in parts.filter(|part| *part != run) {
            // The list is newest first, as if they had been allocated one after the other.
            self.add_behind::<FramesOfAccount>(run, part);
        }
        self.meter().count_split(before);
        Ok(())
    }

    /// Returns the container of a frame or run.
    pub(crate) fn container_of(&self, frame: Ref<Frame>) -> Ref<Container> {
        match self.get(frame).container.target() {
            Some(container) => container,
            None => broken("frame without a container"),
        }
    }

    /// Makes the records of all parts of a run but the last, and the node above them.
    fn alloc_parts(
        &mut self,
        account: Ref<Account>,
        run: &Frame,
        children: &mut [u32; FANOUT],
    ) -> Result<Ref<Node>, KernelError> {
        for (place, child) in (0..CLUSTER - 1).zip(children.iter_mut()) {
            *child = self.alloc_set_aside(account, run.part(place))?.cell();
        }
        let shift = u32::from(run.order().saturating_sub(3));
        self.alloc_set_aside(account, Node::full(run.key(), shift, *children))
    }

    /// Frees the parts that were made when making the others was refused.
    fn free_parts(&mut self, account: Ref<Account>, run: Ref<Frame>, children: &[u32; FANOUT]) {
        let parts = children.iter().filter(|cell| **cell != run.cell());
        for part in parts.filter_map(|cell| Ref::<Frame>::from_cell(*cell)) {
            self.empty_aside(account, part);
        }
    }

    /// Frees the record of a frame or run that is in no tree and no list.
    #[inline(always)]
    pub(crate) fn free_frame(&mut self, frame: Ref<Frame>, order: u8) {
        if order > 0 {
            let account = self.owner_of(frame);
            let frames = self.get(frame).frames();
            self.leave_stock(account, frames, cells_aside(order));
        }
        self.free(frame);
    }
}
