// SPDX-License-Identifier: BSD-2-Clause
//! Which container a handle names, what it allows, and the frames in a container.

use pmserver_api::{AccessKind, ContainerHandle, Frames, PmError, Rights};
use proto::{FrameNumber, PeerId};

use crate::answers::{Doubt, Expected};
use crate::state::{
    CellId, ContainerId, Frame, Grant, Kind, Mapping, Model, Object, Place, Span, Via,
};

/// Returns the first and the last number of a range.
///
/// # Errors
/// `Invalid` if it has no frame or runs beyond the last number (PM-7).
pub(crate) fn span(start: FrameNumber, count: u64) -> Result<Span, Expected> {
    let last = start.get().checked_add(count.wrapping_sub(1)).filter(|_| count > 0);
    last.map(|last| (start.get(), last)).ok_or(PmError::Invalid.into())
}

pub(crate) fn span_of(frames: &Frames) -> Result<Span, Expected> {
    span(frames.start, frames.count.get())
}

impl Model {
    /// Returns the container that a handle names, and the kind of the handle (PM-5, PM-6).
    pub(crate) fn container(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(ContainerId, Via), Expected> {
        let (id, via) = self.named_container(caller, handle)?;
        if self.is_once(via) {
            return Err(PmError::NoRight.into());
        }
        self.take_over(id);
        Ok((id, via))
    }

    pub(crate) fn named_container(
        &self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(ContainerId, Via), Expected> {
        let (id, via) = match self.names.find(caller, Kind::Container, handle.raw()) {
            Some(Object::Container(id)) => (id, Via::Owner),
            Some(Object::Weak(share)) => (self.shares[&share].container, Via::Share(share)),
            _ => return Err(PmError::InvalidCap.into()),
        };
        if self.is_gone(id) { Err(PmError::InvalidCap.into()) } else { Ok((id, via)) }
    }

    /// Returns whether the handles of a container name nothing any more (PM-21). Of one that
    /// teardown may not have come to the server's answer tells (PM-235).
    pub(crate) fn is_gone(&self, id: ContainerId) -> bool {
        let container = &self.containers[&id];
        let may_live = container.may_live && !self.observed.is_nothing();
        let is_told = self.observed.refusal(PmError::InvalidCap).is_some();
        container.is_dying && (is_told || !may_live)
    }

    /// Returns whether frames can only be taken by this (PM-431).
    fn is_once(&self, via: Via) -> bool {
        matches!(via, Via::Share(share) if self.shares.get(&share).is_some_and(|share| share.once))
    }

    /// Returns the container if the handle is strong.
    pub(crate) fn owned(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<ContainerId, Expected> {
        match self.container(caller, handle)? {
            (id, Via::Owner) => Ok(id),
            (_, Via::Share(_)) => Err(PmError::NoRight.into()),
        }
    }

    /// Returns whether a handle gives these rights in a range.
    pub(crate) fn allows(&self, via: Via, (start, last): Span, rights: Rights) -> bool {
        let Via::Share(share) = via else { return true };
        let Some(share) = self.shares.get(&share) else { return false };
        share.start <= start && last <= share.last && share.rights.contains(rights)
    }

    pub(crate) fn demand(&self, via: Via, range: Span, rights: Rights) -> Result<(), Expected> {
        if self.allows(via, range, rights) { Ok(()) } else { Err(PmError::NoRight.into()) }
    }

    /// Refuses new mappings through a share that is being revoked and has no lease (PM-61).
    pub(crate) fn check_revoking(&self, via: Via) -> Result<(), Expected> {
        let Via::Share(share) = via else { return Ok(()) };
        let is_leased = self.leases.values().any(|lease| lease.is_active() && lease.via == via);
        let is_refused = self.shares[&share].is_revoking && !is_leased;
        if is_refused { Err(PmError::Revoking.into()) } else { Ok(()) }
    }

    /// Returns whether a handle that named something still does; `is_seen` says that something was
    /// seen that needs it.
    pub(crate) fn is_valid(&self, id: ContainerId, via: Via, is_seen: bool) -> bool {
        let container = self.containers.get(&id);
        let is_there = container.is_some_and(|it| !it.is_dying || it.may_live && is_seen);
        match via {
            Via::Owner => is_there,
            Via::Share(share) => is_there && self.shares.contains_key(&share),
        }
    }

    pub(crate) fn frame(&self, (container, number): Place) -> Option<&Frame> {
        self.containers.get(&container)?.frames.get(&number)
    }

    pub(crate) fn frame_mut(&mut self, (container, number): Place) -> Option<&mut Frame> {
        self.containers.get_mut(&container)?.frames.get_mut(&number)
    }

    pub(crate) fn cell(&self, place: Place) -> Option<CellId> {
        self.frame(place).map(|frame| frame.cell)
    }

    /// Returns a frame and all that it is really shared with.
    pub(crate) fn members(&self, place: Place) -> Vec<Place> {
        let members = self.cell(place).map(|cell| self.contents.members(cell));
        members.into_iter().flatten().copied().collect()
    }

    /// Returns the numbers of the frames in a range.
    pub(crate) fn numbers(&self, id: ContainerId, (start, last): Span) -> Vec<u64> {
        self.containers[&id].frames.range(start..=last).map(|(number, _)| *number).collect()
    }

    /// Returns the error for a missing frame: it was dropped, or was never there.
    pub(crate) fn missing(&self, (id, number): Place) -> PmError {
        let was_dropped = self.containers[&id].discarded.contains(&number);
        if was_dropped { PmError::Discarded } else { PmError::NotFound }
    }

    /// Returns the cell of a frame. One that this call may have dropped to make room is not there
    /// if the server says so.
    pub(crate) fn present(&self, place: Place) -> Result<CellId, Expected> {
        let told = self.observed.refusal(PmError::Discarded).filter(|told| told.at == place.1);
        let frame = self.frame(place).filter(|_| told.is_some());
        if frame.is_some_and(|frame| self.may_be_dropped(place, frame)) {
            return Err(Expected::refused(PmError::Discarded, 0, place.1));
        }
        self.cell(place).ok_or_else(|| Expected::refused(self.missing(place), 0, place.1))
    }

    /// Takes away those mappings and grants of a frame for which the tests say so.
    pub(crate) fn strip(
        &mut self,
        of: Place,
        mapping: impl Fn(&Mapping) -> bool,
        grant: impl Fn(&Grant) -> bool,
    ) {
        for peer in self.peers.values_mut() {
            peer.mappings.retain(|_, there| there.place != of || !mapping(there));
            peer.grants.retain(|_, there| there.place != of || !grant(there));
        }
    }

    pub(crate) fn strip_all(&mut self, of: Place) {
        self.strip(of, |_| true, |_| true);
    }

    /// Takes the grants of frames away.
    pub(crate) fn strip_grants(&mut self, of: &[Place]) {
        of.iter().for_each(|place| self.strip(*place, |_| false, |_| true));
    }

    /// Takes a frame out of its container.
    pub(crate) fn remove_frame(&mut self, place: Place) -> Option<Frame> {
        self.strip_all(place);
        let frame = self.containers.get_mut(&place.0)?.frames.remove(&place.1)?;
        self.contents.leave(frame.cell, place);
        Some(frame)
    }

    /// Puts a frame without contents into a container; a frame that it replaces leaves its charge
    /// and its marks to it.
    pub(crate) fn put_frame(&mut self, place: Place, is_extra: Doubt) {
        let old = self.remove_frame(place);
        let cell = self.contents.make(Some(place));
        let frame = Frame {
            cell,
            is_extra: old.as_ref().map_or(is_extra, |old| old.is_extra),
            is_discardable: old.is_some_and(|old| old.is_discardable),
            is_contiguous: false,
            is_taken_over: Doubt::No,
            may_be_bound: false,
            may_be_missing: false,
        };
        let container = self.containers.get_mut(&place.0).expect("it was looked up");
        container.discarded.remove(&place.1);
        container.highest = container.highest.max(Some(place.1));
        container.frames.insert(place.1, frame);
    }

    /// Refuses a source frame that is missing, absent, or pinned for writing.
    pub(crate) fn check_source(&mut self, caller: PeerId, from: Place) -> Result<(), Expected> {
        self.present(from)?;
        self.supplied(caller, from, AccessKind::Read)?;
        self.take_over_frame(from);
        match self.pinned(from, |lease| lease.is_exclusive) {
            Some(until) => Err(Expected::refused(PmError::Locked, 0, until)),
            None => Ok(()),
        }
    }
}
