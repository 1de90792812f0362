// SPDX-License-Identifier: BSD-2-Clause
//! Peers that supply frames when they are touched (PM-280 to PM-284).

use pmserver_api::{
    ContainerHandle, CopyFlags, FaultHandle, PendingFault, PmError, RangeHandle, Reply, Request,
    Rights,
};
use proto::limits::CONTAINER_HANDLERS_MAX;
use proto::{FrameNumber, PeerId};

use super::copy::{Job, Side};
use crate::answers::Expected;
use crate::rules::{Need, for_records, span};
use crate::state::{Handler, Kind, Model, Object, Outcome, Via, Wait};

impl Model {
    pub(crate) fn set_handler(&mut self, caller: PeerId, request: &Request) -> Outcome {
        let Request::SetHandler { container, start, count, handler, cookie } = *request else {
            unreachable!("names no handler");
        };
        // A call that ends pins first says the same before it has done anything (PM-325).
        let is_late = self.has_late_pins(caller, container);
        let is_ready = self.observed.refusal(PmError::Pending).is_none() || is_late;
        let id = self.owned(caller, container)?;
        let (start, last) = span(start, count)?;
        let handlers = &mut self.containers.get_mut(&id).expect("it is owned").handlers;
        let Some(peer) = handler else {
            let index = handlers.iter().position(|there| there.start == start);
            let index = index.ok_or(Expected::refused(PmError::NotFound, 0, start))?;
            let range = handlers.remove(index).range;
            self.end_waits(|wait| wait.range == range);
            return Ok(told(range));
        };
        if self.peers.get(&peer).is_none_or(|peer| peer.is_stopped) {
            return Err(PmError::Invalid.into());
        }
        let is_same = |there: &Handler| {
            (there.start, there.last, there.peer, there.cookie) == (start, last, peer, cookie)
        };
        if let Some(handler) = handlers.iter_mut().find(|it| is_same(it) && !it.is_ready) {
            handler.is_ready = is_ready;
            return if handler.is_ready { Ok(told(handler.range)) } else { Err(go_on()) };
        }
        let exists = |there: &Handler| Expected::refused(PmError::Exists, 0, there.start);
        let in_the_way = handlers.iter().filter(|there| there.start <= last && start <= there.last);
        let refusals: Vec<Expected> = in_the_way.map(exists).collect();
        if !refusals.is_empty() {
            return Err(Expected::OneOf(refusals));
        }
        if handlers.len() >= CONTAINER_HANDLERS_MAX.into() {
            return Err(PmError::TooMany.into());
        }
        let payer = self.charged(id);
        self.pay(payer, for_records(1), PmError::QuotaExceeded)?;
        let name = Object::Range(self.fresh());
        let range = self.names.give(caller, Some(caller), name, self.observed.handle());
        let handler = Handler { start, last, peer, cookie, range, is_ready };
        self.containers.get_mut(&id).expect("it is owned").handlers.push(handler);
        if is_ready { Ok(told(range)) } else { Err(go_on()) }
    }

    pub(crate) fn next_fault(&mut self, caller: PeerId) -> Expected {
        self.forget_ended_waits(caller);
        let next = |peer: &&PeerId| self.peers[peer].wait.is_some_and(|it| it.is_next_for(caller));
        let Some(peer) = self.peers.keys().find(next).copied() else {
            return Expected::Exactly(Ok(Reply::Fault(None)));
        };
        let names = |wait: Wait| self.names.of(Object::Fault(wait.id)).next();
        if let Some((_, raw)) = self.peers[&peer].wait.and_then(names) {
            self.settle_wait(peer, self.observed.handle() == Some(raw));
        }
        let wait = self.peers.get_mut(&peer).and_then(|peer| peer.wait.as_mut());
        let wait = wait.expect("it was found");
        wait.is_told = true;
        let wait = *wait;
        let known = self.names.of(Object::Fault(wait.id)).next();
        let raw = match known {
            Some((_, raw)) => raw,
            None => self.names.give(caller, None, Object::Fault(wait.id), self.observed.handle()),
        };
        Expected::Exactly(Ok(Reply::Fault(Some(PendingFault {
            fault: FaultHandle::from_raw(raw),
            range: RangeHandle::from_raw(wait.range),
            cookie: wait.cookie,
            number: FrameNumber::new(wait.place.1),
            access: wait.access,
        }))))
    }

    /// Ends the waits that `next_fault` passes over, if their containers may have ended (PM-351).
    fn forget_ended_waits(&mut self, caller: PeerId) {
        let Some(Reply::Fault(told)) = self.observed.reply() else { return };
        let told = told.map(|fault| fault.range.raw());
        let next = self.peers.iter().filter_map(|(peer, it)| Some((*peer, it.wait?)));
        let next = next.filter(|(_, wait)| wait.is_next_for(caller));
        let passed = next.take_while(|(_, wait)| told != Some(wait.range));
        let ended = passed.filter(|(_, wait)| self.may_have_ended(wait));
        let ended: Vec<PeerId> = ended.map(|(peer, _)| peer).collect();
        ended.into_iter().for_each(|peer| self.set_wait(peer, None));
    }

    /// Returns whether teardown may have come to the range already.
    fn may_have_ended(&self, wait: &Wait) -> bool {
        let container = self.containers.get(&wait.place.0);
        wait.may_be_over || container.is_none_or(|container| container.is_reclaimed)
    }

    /// Returns who waits for the answer to a fault.
    fn answered(&mut self, caller: PeerId, handle: FaultHandle) -> Result<PeerId, Expected> {
        let object = self.names.find(caller, Kind::Fault, handle.raw());
        let is_it = |wait: &Wait| object == Some(Object::Fault(wait.id)) && !wait.is_refused;
        let mut waits = self.peers.iter().filter_map(|(peer, it)| Some((*peer, it.wait?)));
        let unknown = Expected::from(PmError::InvalidCap);
        let (waiter, wait) = waits.find(|(_, wait)| is_it(wait)).ok_or(unknown.clone())?;
        if self.may_have_ended(&wait) && self.observed.refusal(PmError::InvalidCap).is_some() {
            self.set_wait(waiter, None);
            return Err(unknown);
        }
        if wait.may_be_new && self.observed.refusal(PmError::InvalidCap).is_some() {
            return Err(unknown);
        }
        self.settle_wait(waiter, true);
        Ok(waiter)
    }

    pub(crate) fn supply(
        &mut self,
        caller: PeerId,
        handle: FaultHandle,
        container: ContainerHandle,
        number: FrameNumber,
    ) -> Outcome {
        let waiter = self.answered(caller, handle)?;
        let (source, via) = self.container(caller, container)?;
        let from = (source, number.get());
        let range = (from.1, from.1);
        self.demand(via, range, Rights::READ)?;
        self.check_leases(source, via, range, Need::Read)?;
        self.check_source(caller, from)?;
        let Some(to) = self.peers[&waiter].wait.map(|wait| wait.place) else {
            // The handler has just been made to wait itself.
            return Err(PmError::InvalidCap.into());
        };
        let is_gone = self.containers.contains_key(&to.0) && self.is_gone(to.0);
        if is_gone || self.frame(to).is_none() {
            self.set_wait(waiter, None);
            return Err(PmError::InvalidCap.into());
        }
        if self.is_absent(to).perhaps() {
            self.check_sharers(to, Need::Change)?;
            let from = Side { container: from.0, via };
            let side = Side { container: to.0, via: Via::Owner };
            let pairs = vec![(number.get(), to.1)];
            let flags = CopyFlags::empty();
            self.take(&Job { caller, from, to: side, pairs, flags }, 1);
        }
        self.set_wait(waiter, None);
        Ok(Expected::done())
    }

    pub(crate) fn refuse(&mut self, caller: PeerId, handle: FaultHandle) -> Outcome {
        let waiter = self.answered(caller, handle)?;
        let peer = self.peers.get_mut(&waiter).expect("it waits");
        if let Some(wait) = peer.wait.as_mut() {
            wait.is_refused = true;
            self.names.forget(Object::Fault(wait.id));
        }
        Ok(Expected::done())
    }
}

/// The reply that tells a range (PM-350).
fn told(range: u64) -> Expected {
    Expected::Exactly(Ok(Reply::Range(RangeHandle::from_raw(range))))
}

/// The refusal that asks for the same call again (PM-352).
fn go_on() -> Expected {
    Expected::refused(PmError::Pending, 0, 0)
}
