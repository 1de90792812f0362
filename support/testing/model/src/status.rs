// SPDX-License-Identifier: BSD-2-Clause
//! What `status` tells of frames (PM-100), and what the model learns from it.

use pmserver_api::{FrameState, Frames, PmError, Reply, Status};
use proto::PeerId;
use proto::limits::STATUS_FRAMES_MAX;

use crate::container::{Span, span, span_of};
use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen, StateBounds};
use crate::objects::{ContainerId, Frame};
use crate::{Model, Outcome};

impl StateBounds {
    fn set(&mut self, bit: FrameState, doubt: Doubt) {
        self.surely.set(bit, doubt.surely());
        self.perhaps.set(bit, doubt.perhaps());
    }

    fn may(&mut self, bits: FrameState) {
        self.perhaps |= bits;
    }
}

impl From<bool> for Doubt {
    fn from(is_so: bool) -> Self {
        if is_so { Self::Yes } else { Self::No }
    }
}

impl Model {
    pub(crate) fn status(&mut self, caller: PeerId, frames: &Frames, seen: Seen) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span(frames.start, frames.count.get().min(STATUS_FRAMES_MAX))?;
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Invalid);
        if says_so && span_of(frames).is_err() {
            return Err(PmError::Invalid.into());
        }
        if let Some(Reply::Status(status)) = seen.reply() {
            self.learn(id, range, status);
        }
        let bounds = (range.0..=range.1).map(|number| self.bounds((id, number)));
        let bounds: Vec<StateBounds> = bounds.collect();
        if seen.0.is_some() {
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
            bounds.set(FrameState::DISCARDED, was_dropped.into());
            // Whether what is said of ranges is said of numbers without a frame, too, is open.
            bounds.may(FrameState::LOCKED | FrameState::SHARED | FrameState::PINNED);
            bounds.may(FrameState::DISCARDABLE | FrameState::EXTRA);
            return bounds;
        };
        bounds.set(FrameState::PRESENT, Doubt::Yes);
        bounds.set(FrameState::BOUND, self.has_memory(frame));
        bounds.set(FrameState::COW, self.is_cow(frame.cell));
        bounds.set(FrameState::SHARED, self.is_shared(place, frame));
        bounds.set(FrameState::EXTRA, frame.is_extra);
        bounds.set(FrameState::DISCARDABLE, frame.is_discardable);
        bounds.set(FrameState::ABSENT, self.is_absent(place));
        bounds.set(FrameState::TAKEN_OVER, frame.is_taken_over);
        self.set_leased(&mut bounds, place, frame);
        let mut mapped = Doubt::No;
        for (_, is_doubtful) in self.mappings_of(place) {
            mapped = mapped.max(if is_doubtful { Doubt::Perhaps } else { Doubt::Yes });
        }
        bounds.set(FrameState::MAPPED, mapped);
        bounds
    }

    fn has_memory(&self, frame: &Frame) -> Doubt {
        if self.contents.is_bound(frame.cell) {
            return Doubt::Yes;
        }
        let may_have = frame.is_contiguous || frame.may_be_bound;
        let is_blank = self.contents.is_blank(frame.cell).perhaps();
        if may_have || is_blank { Doubt::Perhaps } else { Doubt::No }
    }

    fn is_shared(&self, (id, number): Place, frame: &Frame) -> Doubt {
        let mut shares = self.shares.values().filter(|share| share.container == id);
        if shares.any(|share| share.start <= number && number <= share.last) {
            return Doubt::Yes;
        }
        let members = self.contents.members(frame.cell).iter();
        let mut others = members.filter(|member| **member != (id, number)).peekable();
        if others.peek().is_none() {
            return Doubt::No;
        }
        let is_certain = others.any(|(other, _)| !self.containers[other].is_dying);
        if is_certain { Doubt::Yes } else { Doubt::Perhaps }
    }

    /// A lease on a frame that is really shared with this one covers it in a way, and a pin.
    fn set_leased(&self, bounds: &mut StateBounds, place: Place, frame: &Frame) {
        let mut locked = Doubt::No;
        let mut pinned = Doubt::No;
        for lease in self.leases.values().filter(|lease| lease.is_active()) {
            let members = self.contents.members(frame.cell);
            let doubt = if lease.covers(place) {
                Doubt::Yes
            } else if members.iter().any(|member| lease.covers(*member)) {
                Doubt::Perhaps
            } else {
                Doubt::No
            };
            locked = locked.max(doubt);
            pinned = pinned.max(if lease.is_pin { doubt } else { Doubt::No });
        }
        bounds.set(FrameState::LOCKED, locked);
        bounds.set(FrameState::PINNED, pinned);
    }

    /// Takes over what only the server can know: which frames are extra, and which were dropped.
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
            let is_extra = state.contains(FrameState::EXTRA).into();
            if let Some(frame) = self.frame_mut(place).filter(|frame| frame.is_extra.perhaps()) {
                frame.is_extra = is_extra;
            }
        }
    }

    /// Whether the server may have dropped a frame (PM-260 to PM-263): an extra one that nobody
    /// has a lease on, that was given up or asked back in vain, when it was short.
    fn may_be_dropped(&self, place: Place, frame: &Frame) -> bool {
        let is_given_up = frame.is_discardable.perhaps();
        let is_overdue = self.asked_until.is_some_and(|until| until <= self.now);
        let is_free = self.any_lease_at(place).is_none();
        frame.is_extra.perhaps() && is_free && (is_given_up || is_overdue)
    }
}
