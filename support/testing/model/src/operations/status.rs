// SPDX-License-Identifier: BSD-2-Clause
//! What `status` tells of frames (PM-100), and what the model learns from it.

use pmserver_api::{FrameState, Frames, Reply, Status};
use proto::PeerId;
use proto::limits::STATUS_FRAMES_MAX;

use crate::answers::{Doubt, Expected, StateBounds};
use crate::rules::{Need, span};
use crate::state::{ContainerId, Frame, Model, Outcome, Place, Span};

impl Model {
    pub(crate) fn status(&mut self, caller: PeerId, frames: &Frames) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span(frames.start, frames.count.get().min(STATUS_FRAMES_MAX))?;
        if let Some(status) = self.observed.status() {
            self.learn(id, range, &status);
        }
        let bounds: Vec<StateBounds> =
            (range.0..=range.1).map(|number| self.bounds((id, number))).collect();
        if !self.observed.is_nothing() {
            return Ok(Expected::States(bounds));
        }
        let mut states = [FrameState::empty(); 24];
        for (state, bound) in states.iter_mut().zip(&bounds) {
            *state = bound.surely;
        }
        let status = Status { count: bounds.len() as u64, frames: states };
        Ok(Expected::Exactly(Ok(Reply::Status(status))))
    }

    fn bounds(&self, place: Place) -> StateBounds {
        let none = FrameState::empty();
        let mut bounds = StateBounds { surely: none, perhaps: none };
        let Some(frame) = self.frame(place) else {
            let was_dropped = self.containers[&place.0].discarded.contains(&place.1);
            bounds.set(FrameState::DISCARDED, was_dropped);
            return bounds;
        };
        let is_bound = self.contents.is_bound(frame.cell);
        let may_be_bound = if frame.may_be_bound { Doubt::Perhaps } else { Doubt::No };
        let mapped = self.mappings_of(place).map(Doubt::there).max();
        let is_leased = self.active_leases().any(|lease| lease.covers(place));
        let is_locked = is_leased || self.check_sharers(place, Need::Change).is_err();
        bounds.set(FrameState::PRESENT, true);
        bounds.set(FrameState::BOUND, may_be_bound.max(is_bound.into()));
        bounds.set(FrameState::COW, self.is_cow(frame.cell));
        bounds.set(FrameState::SHARED, self.is_shared(place, frame));
        bounds.set(FrameState::EXTRA, frame.is_extra);
        bounds.set(FrameState::DISCARDABLE, frame.is_discardable);
        bounds.set(FrameState::ABSENT, self.is_absent(place));
        bounds.set(FrameState::TAKEN_OVER, frame.is_taken_over);
        bounds.set(FrameState::LOCKED, is_locked);
        bounds.set(FrameState::PINNED, self.pinned(place, |_| true).is_some());
        bounds.set(FrameState::MAPPED, mapped.unwrap_or_default());
        bounds
    }

    fn is_shared(&self, (id, number): Place, frame: &Frame) -> Doubt {
        let mut shares = self.shares.values().filter(|share| share.container == id);
        if shares.any(|share| share.start <= number && number <= share.last) {
            return Doubt::Yes;
        }
        let members = self.contents.members(frame.cell).iter();
        let others = members.filter(|member| **member != (id, number));
        let doubts = others.map(|other| Doubt::there(self.may_be_gone(*other)));
        doubts.max().unwrap_or_default()
    }

    /// Learns which frames are extra, which were dropped, and which were not made.
    fn learn(&mut self, id: ContainerId, (start, last): Span, status: &Status) {
        for (number, state) in (start..=last).zip(status.frames) {
            let place = (id, number);
            let Some(frame) = self.frame(place) else { continue };
            if state.contains(FrameState::DISCARDED) && self.may_be_dropped(place, frame) {
                self.remove_frame(place);
                let container = self.containers.get_mut(&id).expect("it is owned");
                container.discarded.insert(number);
                continue;
            }
            if frame.may_be_missing && !state.contains(FrameState::PRESENT) {
                self.remove_frame(place);
                continue;
            }
            let is_extra = state.contains(FrameState::EXTRA).into();
            if let Some(frame) = self.frame_mut(place) {
                frame.may_be_missing = false;
            }
            if let Some(frame) = self.frame_mut(place).filter(|frame| frame.is_extra.perhaps()) {
                frame.is_extra = is_extra;
            }
        }
    }
}
