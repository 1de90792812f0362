// SPDX-License-Identifier: BSD-2-Clause
//! Frames that a peer supplies when they are touched (PM-280 to PM-284).

use pmserver_api::{
    AccessKind, ContainerHandle, FaultHandle, PendingFault, PmError, Reply, Request, Rights,
};
use proto::{FrameNumber, PeerId};

use crate::container::span;
use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::names::{Kind, Object};
use crate::objects::{ContainerId, Fault, FaultId, Handler, Via};
use crate::{Model, Outcome};

const HANDLERS_MAX: usize = 4;

impl Model {
    fn handler_of(&self, (id, number): Place) -> Option<&Handler> {
        let mut all = self.containers[&id].handlers.iter();
        all.find(|handler| handler.start <= number && number <= handler.last)
    }

    /// Whether whoever touches a frame has to wait for its handler.
    pub(crate) fn is_absent(&self, place: Place) -> Doubt {
        let Some(frame) = self.frame(place) else { return Doubt::No };
        let members = self.contents.members(frame.cell);
        let handled = members.iter().filter(|member| self.handler_of(**member).is_some()).count();
        let is_settled = self.contents.is_blank(frame.cell).surely();
        if self.contents.is_bound(frame.cell) || is_settled || handled == 0 {
            return Doubt::No;
        }
        // A frame of a group, of which not all have a handler, or the same; one that a frame
        // without contents was copied to; one that may have had contents from the start.
        let is_vague = members.len() > 1 || frame.may_be_bound;
        let is_blank = self.contents.is_blank(frame.cell).perhaps();
        if is_vague || is_blank { Doubt::Perhaps } else { Doubt::Yes }
    }

    /// Asks the handler of a frame for it: by an access of one of these kinds, or of any.
    pub(crate) fn ask(&mut self, place: Place, kinds: &[AccessKind]) -> Option<FaultId> {
        let there = self.faults.iter_mut().find(|(_, fault)| fault.place == place);
        if let Some((id, fault)) = there {
            let is_any = fault.kinds.is_empty() || kinds.is_empty();
            fault.kinds = if is_any { Vec::new() } else { [&fault.kinds, kinds].concat() };
            return Some(*id);
        }
        let handler = self.handler_of(place)?;
        let (peer, cookie) = (handler.peer, handler.cookie);
        let id = FaultId(self.fresh());
        let fault = Fault {
            handler: peer,
            place,
            cookie,
            asked: self.now,
            is_told: false,
            waiters: std::collections::BTreeMap::new(),
            kinds: kinds.to_vec(),
        };
        self.faults.insert(id, fault);
        Some(id)
    }

    /// Returns the refusal where a frame is absent, which asks for it.
    pub(crate) fn supplied(&mut self, place: Place, done: u64, seen: Seen) -> Result<(), Expected> {
        let says_so = seen
            .failure()
            .is_some_and(|failure| failure.error == PmError::Absent && failure.at == place.1);
        match self.is_absent(place) {
            Doubt::No => return Ok(()),
            Doubt::Perhaps if !says_so => return Ok(()),
            _ => {}
        }
        self.ask(place, &[]);
        Err(Expected::refused(PmError::Absent, done, place.1))
    }

    pub(crate) fn set_handler(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        let Request::SetHandler { container, start, count, handler, cookie } = *request else {
            unreachable!("names no handler");
        };
        let id = self.owned(caller, container)?;
        let Some(peer) = handler else { return self.end_handler(id, start.get(), count, seen) };
        let (start, last) = span(start, count)?;
        if self.peers.get(&peer).is_none_or(|peer| peer.is_stopped) {
            return Err(PmError::Invalid.into());
        }
        // Who touches a frame that it is to supply itself faults: naming oneself may be refused.
        let is_own = peer == caller;
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Invalid);
        if is_own && says_so {
            return Err(PmError::Invalid.into());
        }
        let handlers = &self.containers[&id].handlers;
        if handlers.iter().any(|there| there.start <= last && start <= there.last) {
            let error = PmError::Exists;
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        if handlers.len() >= HANDLERS_MAX {
            return Err(PmError::TooMany.into());
        }
        let payer = self.containers[&id].account;
        self.pay(seen, Some(payer), PmError::QuotaExceeded)?;
        let handler = Handler { start, last, peer, cookie };
        self.containers.get_mut(&id).expect("it is owned").handlers.push(handler);
        Ok(Expected::done())
    }

    fn end_handler(&mut self, id: ContainerId, start: u64, count: u64, seen: Seen) -> Outcome {
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Invalid);
        if span(FrameNumber::new(start), count).is_err() && says_so {
            return Err(PmError::Invalid.into());
        }
        let handlers = &mut self.containers.get_mut(&id).expect("it is owned").handlers;
        let Some(index) = handlers.iter().position(|there| there.start == start) else {
            return Err(Expected::refused(PmError::NotFound, 0, start));
        };
        let ended = handlers.remove(index);
        let is_of = |place: Place| place.0 == id && ended.start <= place.1 && place.1 <= ended.last;
        let gone: Vec<FaultId> =
            self.faults.iter().filter(|(_, fault)| is_of(fault.place)).map(|(id, _)| *id).collect();
        for fault in gone {
            self.forget_fault(fault);
        }
        Ok(Expected::done())
    }

    pub(crate) fn forget_fault(&mut self, id: FaultId) {
        self.faults.remove(&id);
        self.names.forget(Object::Fault(id));
    }

    pub(crate) fn next_fault(&mut self, caller: PeerId, seen: Seen) -> Expected {
        let asked = self.faults.iter().filter(|(_, fault)| fault.handler == caller);
        let asked: Vec<FaultId> = asked.map(|(id, _)| *id).collect();
        let is_due = |id: &FaultId| {
            let fault = &self.faults[id];
            let is_wanted = fault.waiters.values().any(|waiter| !waiter.is_doubtful);
            is_wanted && !fault.is_told && self.is_absent(fault.place).surely()
        };
        let due = asked.iter().copied().find(is_due);
        let told = match seen.reply() {
            Some(Reply::Fault(Some(told))) => Some(*told),
            Some(Reply::Fault(None)) if due.is_none() => {
                return Expected::Exactly(Ok(Reply::Fault(None)));
            }
            _ => None,
        };
        let fits = |id: &FaultId, told: &PendingFault| {
            let fault = &self.faults[id];
            let is_kind = fault.kinds.is_empty() || fault.kinds.contains(&told.access);
            fault.place.1 == told.number.get() && fault.cookie == told.cookie && is_kind
        };
        let matching = told.and_then(|told| asked.iter().copied().find(|id| fits(id, &told)));
        let Some(id) = matching.or(due) else {
            return Expected::Exactly(Ok(Reply::Fault(None)));
        };
        let raw = told.map(|told| told.fault.raw());
        let known = raw.and_then(|raw| self.names.find(caller, Kind::Fault, raw));
        let raw = match (known, raw) {
            (Some(Object::Fault(known)), Some(raw)) if known == id => raw,
            _ => self.names.give(caller, None, Object::Fault(id), raw),
        };
        let fault = self.faults.get_mut(&id).expect("it was found");
        fault.is_told = true;
        let access = told.map(|told| told.access).filter(|kind| fault.kinds.contains(kind));
        let first = fault.kinds.first().copied().unwrap_or(AccessKind::Read);
        Expected::Exactly(Ok(Reply::Fault(Some(PendingFault {
            fault: FaultHandle::from_raw(raw),
            cookie: fault.cookie,
            number: FrameNumber::new(fault.place.1),
            access: access.unwrap_or(told.map_or(first, |told| told.access)),
        }))))
    }

    fn fault_of(&self, caller: PeerId, handle: FaultHandle) -> Result<FaultId, Expected> {
        match self.names.find(caller, Kind::Fault, handle.raw()) {
            Some(Object::Fault(id)) => Ok(id),
            _ => Err(PmError::InvalidCap.into()),
        }
    }

    pub(crate) fn supply(
        &mut self,
        caller: PeerId,
        handle: FaultHandle,
        container: ContainerHandle,
        number: FrameNumber,
        seen: Seen,
    ) -> Outcome {
        let id = self.fault_of(caller, handle)?;
        self.forgettable(id, seen)?;
        let (source, via) = self.container(caller, container)?;
        let from = (source, number.get());
        self.demand(via, from.1, 1, Rights::READ)?;
        let to = self.faults[&id].place;
        if !self.is_absent(to).perhaps() {
            // It was freed, or got its contents in another way: nobody waits any more.
            self.forget_fault(id);
            let no = |error| Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX };
            let errors = [PmError::InvalidCap, PmError::NotFound, PmError::Exists].map(no);
            let outcomes = errors.into_iter().chain([Expected::done()]);
            return Ok(Expected::OneOf(outcomes.collect()));
        }
        let locked = self.obstacle_at(from, via, Want::Read);
        let pinned = self.pinned(source, (from.1, from.1), |lease| lease.is_exclusive);
        if let Some(until) = locked.max(pinned) {
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        let Some(from_cell) = self.cell(from) else {
            return Err(Expected::refused(self.missing(from), 0, from.1));
        };
        self.supplied(from, 0, seen)?;
        let says_locked = seen.failure().is_some_and(|failure| failure.error == PmError::Locked);
        if let Some(until) = self.any_lease_at(to).filter(|_| says_locked) {
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        let to_cell = self.cell(to).expect("it is absent");
        self.contents.copy(from_cell, to_cell);
        self.contents.settle(to_cell);
        self.forget_fault(id);
        Ok(Expected::done())
    }

    /// Returns the refusal where a server has forgotten a fault: it may forget what was asked by a
    /// call, as nobody waits for it.
    fn forgettable(&mut self, id: FaultId, seen: Seen) -> Result<(), Expected> {
        let invalid: Expected = PmError::InvalidCap.into();
        let is_forgotten = seen.0.is_some_and(|seen| invalid.allows(seen));
        let waiters = self.faults[&id].waiters.values();
        if is_forgotten && waiters.filter(|waiter| !waiter.is_doubtful).count() == 0 {
            self.forget_fault(id);
            return Err(invalid);
        }
        Ok(())
    }

    pub(crate) fn refuse(&mut self, caller: PeerId, handle: FaultHandle, seen: Seen) -> Outcome {
        let id = self.fault_of(caller, handle)?;
        self.forgettable(id, seen)?;
        let fault = self.faults[&id].clone();
        for (peer, waiter) in fault.waiters {
            let doubt = if waiter.is_doubtful { Doubt::Perhaps } else { Doubt::Yes };
            if let Some(peer) = self.peers.get_mut(&peer) {
                peer.refused = Some((fault.place, doubt));
            }
        }
        self.forget_fault(id);
        Ok(Expected::done())
    }

    /// Notes that a peer does something else than wait for a frame.
    pub(crate) fn doubt_waiter(&mut self, peer: PeerId) {
        for fault in self.faults.values_mut() {
            if let Some(waiter) = fault.waiters.get_mut(&peer) {
                waiter.is_doubtful = true;
            }
        }
        if let Some((_, doubt)) = self.peers.get_mut(&peer).and_then(|peer| peer.refused.as_mut()) {
            *doubt = Doubt::Perhaps;
        }
    }

    /// Whether a handle of a region is still good for a frame.
    pub(crate) fn is_valid(&self, id: ContainerId, via: Via) -> bool {
        let is_there = self.containers.get(&id).is_some_and(|container| !container.is_dying);
        match via {
            Via::Owner => is_there,
            Via::Share(share) => is_there && self.shares.contains_key(&share),
        }
    }
}
