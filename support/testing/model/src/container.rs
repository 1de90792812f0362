// SPDX-License-Identifier: BSD-2-Clause
//! Containers: which one a handle names, and what takes frames or contents out of one.

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, DeallocateFlags, Frames, Marks, PmError, Reply,
    Rights,
};
use proto::{FrameNumber, PeerId};

use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::names::{Kind, Object};
use crate::objects::{AccountId, CellId, Container, ContainerId, Frame, Grant, Mapping, Via};
use crate::{Model, Outcome};

/// The first and the last number of a range.
pub(crate) type Span = (u64, u64);

/// Returns the first and the last number of a range, which has to end where numbers end (PM-7).
pub(crate) fn span(start: FrameNumber, count: u64) -> Result<Span, Expected> {
    let last = start.get().checked_add(count.wrapping_sub(1)).filter(|_| count > 0);
    last.map(|last| (start.get(), last)).ok_or(PmError::Invalid.into())
}

pub(crate) fn span_of(frames: &Frames) -> Result<Span, Expected> {
    span(frames.start, frames.count.get())
}

impl Container {
    pub(crate) const fn new(owner: PeerId, account: AccountId) -> Self {
        Self {
            owner,
            account,
            frames: std::collections::BTreeMap::new(),
            discarded: std::collections::BTreeSet::new(),
            handlers: Vec::new(),
            is_dying: false,
            gone: 0,
            is_reclaimed: false,
        }
    }
}

impl Model {
    /// Returns what a container handle names, and which kind of handle it is (PM-5, PM-6).
    pub(crate) fn container(
        &self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(ContainerId, Via), Expected> {
        let (id, via) = match self.names.find(caller, Kind::Container, handle.raw()) {
            Some(Object::Container(id)) => (id, Via::Owner),
            Some(Object::Weak(share)) => (self.shares[&share].container, Via::Share(share)),
            _ => return Err(PmError::InvalidCap.into()),
        };
        if self.containers[&id].is_dying { Err(PmError::InvalidCap.into()) } else { Ok((id, via)) }
    }

    /// Returns the container, where the handle is strong.
    pub(crate) fn owned(
        &self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<ContainerId, Expected> {
        match self.container(caller, handle)? {
            (id, Via::Owner) => Ok(id),
            (_, Via::Share(_)) => Err(PmError::NoRight.into()),
        }
    }

    /// Whether a handle allows something in a range.
    pub(crate) fn allows(&self, via: Via, start: u64, count: u64, rights: Rights) -> bool {
        let Via::Share(share) = via else { return true };
        let Some(share) = self.shares.get(&share) else { return false };
        let last = start.checked_add(count - 1);
        let is_within = last.is_some_and(|last| share.start <= start && last <= share.last);
        is_within && share.rights.contains(rights)
    }

    pub(crate) fn demand(
        &self,
        via: Via,
        start: u64,
        count: u64,
        rights: Rights,
    ) -> Result<(), Expected> {
        let is_allowed = self.allows(via, start, count, rights);
        if is_allowed { Ok(()) } else { Err(PmError::NoRight.into()) }
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

    pub(crate) fn numbers(&self, id: ContainerId, (start, last): Span) -> Vec<u64> {
        self.containers[&id].frames.range(start..=last).map(|(number, _)| *number).collect()
    }

    /// Returns what is told where a frame is missing: that it was dropped, or never there.
    pub(crate) fn missing(&self, (id, number): Place) -> PmError {
        let was_dropped = self.containers[&id].discarded.contains(&number);
        if was_dropped { PmError::Discarded } else { PmError::NotFound }
    }

    /// Takes away the mappings and grants of a frame that the tests name.
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

    /// Takes a frame out of its container.
    pub(crate) fn remove_frame(&mut self, place: Place) -> Option<Frame> {
        self.strip_all(place);
        let frame = self.containers.get_mut(&place.0)?.frames.remove(&place.1)?;
        self.contents.leave(frame.cell, place);
        Some(frame)
    }

    /// Puts a frame without contents into a container, in the place of what is there.
    pub(crate) fn put_frame(&mut self, place: Place, is_extra: Doubt) {
        let old = self.remove_frame(place);
        let cell = self.contents.make(Some(place));
        let (is_extra, is_discardable) = match old {
            Some(old) if old.is_discardable.perhaps() => (old.is_extra, Doubt::Perhaps),
            Some(old) => (old.is_extra, Doubt::No),
            None => (is_extra, Doubt::No),
        };
        let frame = Frame {
            cell,
            is_extra,
            is_discardable,
            is_contiguous: false,
            is_taken_over: Doubt::No,
            may_be_bound: false,
        };
        let container = self.containers.get_mut(&place.0).expect("it was looked up");
        container.discarded.remove(&place.1);
        container.frames.insert(place.1, frame);
    }

    pub(crate) fn container_create(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        seen: Seen,
    ) -> Outcome {
        let account = self.account(caller, account, AccountRights::ALLOCATE)?;
        self.pay(seen, Some(account), PmError::QuotaExceeded)?;
        let raw = match seen.reply() {
            Some(Reply::Container(handle)) => Some(handle.raw()),
            _ => None,
        };
        let id = ContainerId(self.fresh());
        self.containers.insert(id, Container::new(caller, account));
        let raw = self.names.give(caller, Some(caller), Object::Container(id), raw);
        Ok(Expected::Exactly(Ok(Reply::Container(ContainerHandle::from_raw(raw)))))
    }

    /// Returns the refusal where frames of a range may not be freed or renewed (PM-42).
    fn hold(&self, id: ContainerId, via: Via, range: Span, seen: Seen) -> Result<(), Expected> {
        let foreign = self.obstacle(id, via, range, Want::Change);
        let pinned = self.pinned(id, range, |_| true);
        let Some(deadline) = foreign.max(pinned) else { return Ok(()) };
        let locked = Expected::refused(PmError::Locked, 0, deadline);
        let is_direct = self.direct_obstacle(id, via, range).max(pinned).is_some();
        // Whether a lease on what a frame is really shared with keeps the frame, too, is open: what
        // is leased stays as it is.
        let says_so = seen.0.is_none_or(|seen| locked.allows(seen));
        if is_direct || says_so { Err(locked) } else { Ok(()) }
    }

    pub(crate) fn deallocate(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        flags: DeallocateFlags,
        seen: Seen,
    ) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span_of(frames)?;
        self.hold(id, Via::Owner, range, seen)?;
        let there = self.numbers(id, range);
        let missing = (range.0..=range.1).find(|number| !there.contains(number));
        if let Some(number) = missing.filter(|_| flags.contains(DeallocateFlags::STRICT)) {
            return Err(Expected::refused(PmError::NotFound, 0, number));
        }
        for number in &there {
            self.remove_frame((id, *number));
        }
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }

    pub(crate) fn renew(&mut self, caller: PeerId, frames: &Frames, seen: Seen) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span_of(frames)?;
        self.hold(id, Via::Owner, range, seen)?;
        let there = self.numbers(id, range);
        for number in &there {
            let place = (id, *number);
            self.strip_all(place);
            let cell = self.contents.make(Some(place));
            let frame = self.frame_mut(place).expect("it is there");
            let old = std::mem::replace(&mut frame.cell, cell);
            frame.is_taken_over = Doubt::No;
            let keeps_memory = frame.is_contiguous || frame.may_be_bound;
            frame.may_be_bound = keeps_memory;
            self.contents.leave(old, place);
        }
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }

    pub(crate) fn mark(&mut self, caller: PeerId, frames: &Frames, marks: Marks) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let there = self.numbers(id, span_of(frames)?);
        let is_discardable =
            if marks.contains(Marks::DISCARDABLE) { Doubt::Yes } else { Doubt::No };
        for number in &there {
            if let Some(frame) = self.frame_mut((id, *number)) {
                frame.is_discardable = is_discardable;
            }
        }
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }
}
