// SPDX-License-Identifier: BSD-2-Clause
//! Frames for what happens to one of them: out of a run or a large frame, which is split for that,
//! in the record of a cluster or alone.

use pmserver_api::{Failure, PmError};
use proto::limits::FRAME_WORK_MAX;

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::{at_frame, split_failure};
use crate::records::frame::Frame;
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::range::Range;

impl<K: Kernel> FrameManager<K> {
    /// Returns a frame, alone in its record or in that of a cluster.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn clustered(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Option<FrameId>, PmError> {
        while let Some(frame) = self.find_id(container, number) {
            if !self.store.get(frame.record).is_above_cluster() {
                return Ok(Some(frame));
            }
            self.split(frame.record)?;
        }
        Ok(None)
    }

    /// Returns a frame, alone in its record.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn individual(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Option<Ref<Frame>>, PmError> {
        while let Some(frame) = self.find_frame(container, number) {
            if !self.store.get(frame).is_run() {
                return Ok(Some(frame));
            }
            self.split(frame)?;
        }
        Ok(None)
    }

    /// Splits the runs of a range into clusters.
    ///
    /// # Errors
    /// `Pending` if one call cannot split all of them: the next one goes on. `Kernel`.
    pub(crate) fn split_runs(
        &mut self,
        container: Ref<Container>,
        range: Range,
    ) -> Result<(), Failure> {
        let mut rest = Some(range);
        while let Some((frame, number)) = rest.and_then(|rest| self.next_record(container, rest)) {
            let record = self.store.get(frame);
            if !record.is_above_cluster() {
                rest = range.behind(record.last());
                continue;
            }
            self.store.meter().check_room(FRAME_WORK_MAX, 0)?;
            self.split(frame).map_err(|error| split_failure(error, number))?;
        }
        Ok(())
    }

    /// Splits a large frame or a cluster into single ones, or a run into eight parts.
    ///
    /// # Errors
    /// `Pending` if the call cannot split a large frame, or a bound run: the next one goes on.
    /// `QuotaExceeded` if the account cannot pay for records of single frames, unless it has set
    /// that aside. `Kernel` if the kernel refuses a step.
    pub(crate) fn split(&mut self, run: Ref<Frame>) -> Result<(), PmError> {
        let record = *self.store.get(run);
        if let Some(first) = record.page(0).filter(|_| record.is_whole()) {
            let is_large = record.is_large();
            return if is_large {
                self.split_large(run, first)
            } else {
                self.split_bound_run(first)
            };
        }
        let split =
            if record.is_cluster() { self.split_cluster(run) } else { self.store.split_run(run) };
        split.map_err(Shortage::as_quota)
    }

    /// Returns a frame of a container, alone in its record or in that of a cluster.
    ///
    /// # Errors
    /// `NotFound` or `Discarded`, with the number; `Kernel`.
    pub(crate) fn present(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<FrameId, Failure> {
        let frame = self.check_present(container, number)?;
        let record = self.store.get(frame);
        if !record.is_above_cluster() {
            return Ok(Id::new(frame, record.index_of(number)));
        }
        let frame = self.clustered(container, number);
        let frame = frame.map_err(|error| split_failure(error, number))?;
        frame.ok_or(at_frame(PmError::Kernel, number))
    }

    /// Returns a frame of a container, alone in its record.
    ///
    /// # Errors
    /// As [`Self::present`].
    pub(crate) fn present_alone(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<FrameId, Failure> {
        self.check_present(container, number)?;
        let frame = self.individual(container, number);
        let frame = frame.map_err(|error| split_failure(error, number))?;
        frame.map(Id::first).ok_or(at_frame(PmError::Kernel, number))
    }

    /// Returns the record that a frame is in.
    fn check_present(&self, container: Ref<Container>, number: u64) -> Result<Ref<Frame>, Failure> {
        let frame = self.frame_at(container, number).map_err(|error| at_frame(error, number))?;
        if !self.store.get(frame).is_settled() {
            return Err(at_frame(PmError::NotFound, number));
        }
        Ok(frame)
    }
}
