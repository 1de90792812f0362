// SPDX-License-Identifier: BSD-2-Clause
//! How much work the running call has done, so that it can stop before the next frame.
//!
//! Work is counted in instructions, at the costs that were measured on the slower of the two
//! boards. It is charged where it is done: kernel invocations at the seam to the kernel
//! (`store/metered.rs`), records, nodes and links in the store. So no operation can forget it. A
//! loop over frames asks for room before it begins the next frame; the worst case of one frame is
//! [`FRAME_WORK_MAX`].

use core::cell::Cell;

use pmserver_api::{Failure, PmError};
use proto::limits::{CALL_WORK_MAX, FRAME_WORK_MAX};

/// Looking at a frame: its record and its checks, without what is charged elsewhere.
const LOOK_WORK: u64 = 300;

/// Making or freeing a record.
pub(crate) const RECORD_WORK: u64 = 250;

/// Passing a node of a tree.
pub(crate) const NODE_WORK: u64 = 30;

/// Passing a record of a chain, or an account on the way to the pool.
pub(crate) const LINK_WORK: u64 = 25;

/// The work of the running call.
#[derive(Clone, Default)]
pub(crate) struct Meter {
    spent: Cell<u64>,
    /// The part that splitting runs, large frames and blocks took, and unmapping what a lease takes
    /// from others. A call that is repeated does not do it again.
    split_work: Cell<u64>,
}

impl Meter {
    /// Begins a call.
    pub(crate) fn restart(&self) {
        self.spent.set(0);
        self.split_work.set(0);
    }

    /// Counts work. That of a call is far from filling a word: nothing is checked.
    pub(crate) fn charge(&self, work: u64) {
        self.spent.set(self.spent.get().wrapping_add(work));
    }

    /// Returns how much work the call has done.
    pub(crate) const fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// Counts what was done since the work was `before` as splitting.
    pub(crate) fn count_split(&self, before: u64) {
        let work = self.spent.get().saturating_sub(before);
        self.split_work.set(self.split_work.get().saturating_add(work));
    }

    /// Returns how much of the call's work was splitting.
    pub(crate) const fn split_work(&self) -> u64 {
        self.split_work.get()
    }

    /// Returns how much work the call may still do.
    pub(crate) const fn left(&self) -> u64 {
        CALL_WORK_MAX.saturating_sub(self.spent.get())
    }

    /// Counts the beginning of a frame.
    ///
    /// # Errors
    /// `Pending` with how much was done, and without a deadline, if the call has no room for the
    /// worst case of a frame: the caller calls again at once.
    pub(crate) fn begin_frame(&self, done: u64) -> Result<(), Failure> {
        self.begin_step(FRAME_WORK_MAX, done)
    }

    /// Counts the beginning of what is done to a frame, if the call has this much room.
    ///
    /// # Errors
    /// As [`Self::begin_frame`].
    pub(crate) fn begin_step(&self, room: u64, done: u64) -> Result<(), Failure> {
        self.check_room(room, done)?;
        self.charge(LOOK_WORK);
        Ok(())
    }

    /// Refuses work that cannot be divided if the call has no room for it.
    ///
    /// # Errors
    /// As [`Self::begin_frame`].
    pub(crate) fn check_room(&self, work: u64, done: u64) -> Result<(), Failure> {
        if self.left() < work {
            return Err(Failure { error: PmError::Pending, done, at: 0 });
        }
        Ok(())
    }
}
