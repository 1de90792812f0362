// SPDX-License-Identifier: BSD-2-Clause
//! Frames that a handler has to supply first (PM-280 to PM-284).

use pmserver_api::{AccessKind, PmError};
use proto::limits::HANDLER_MICROS_MAX;
use proto::{Micros, PeerId};

use crate::answers::{CALL_MICROS_MAX, Doubt, Expected};
use crate::state::{FaultId, Handler, Model, Object, Place, Wait};

impl Model {
    pub(crate) fn handler_of(&self, (id, number): Place) -> Option<&Handler> {
        let mut all = self.containers[&id].handlers.iter();
        all.find(|handler| handler.start <= number && number <= handler.last)
    }

    /// Returns whether a frame has to be supplied before it can be used.
    pub(crate) fn is_absent(&self, place: Place) -> Doubt {
        let Some(frame) = self.frame(place) else { return Doubt::No };
        if self.contents.is_bound(frame.cell) || self.handler_of(place).is_none() {
            return Doubt::No;
        }
        Doubt::there(frame.may_be_bound)
    }

    /// Refuses a call to use a frame that is absent, and asks its handler for it.
    pub(crate) fn supplied(
        &mut self,
        peer: PeerId,
        place: Place,
        access: AccessKind,
    ) -> Result<(), Expected> {
        match self.is_absent(place) {
            Doubt::No => {
                self.stop_waiting(peer, place);
                return Ok(());
            }
            Doubt::Perhaps if self.observed.refusal(PmError::Absent).is_none() => return Ok(()),
            _ => {}
        }
        self.ask(peer, place, access, false);
        Err(Expected::refused(PmError::Absent, 0, place.1))
    }

    /// Notes that a peer does not wait for a frame any more.
    pub(crate) fn stop_waiting(&mut self, peer: PeerId, place: Place) {
        if self.peers[&peer].wait.is_some_and(|wait| wait.place == place) {
            self.set_wait(peer, None);
        }
    }

    /// Ends what a peer waited for, and has it wait for something else or for nothing.
    pub(crate) fn set_wait(&mut self, peer: PeerId, wait: Option<Wait>) {
        let peer = self.peers.get_mut(&peer).expect("it waits");
        let old = std::mem::replace(&mut peer.wait, wait);
        if let Some(old) = old.filter(|old| wait.is_none_or(|new| new.id != old.id)) {
            self.names.forget(Object::Fault(old.id));
        }
    }

    /// Ends the waits that a test names (PM-351).
    pub(crate) fn end_waits(&mut self, which: impl Fn(&Wait) -> bool) {
        let waits = |peer: &PeerId| self.peers[peer].wait.is_some_and(|wait| which(&wait));
        let peers: Vec<PeerId> = self.peers.keys().copied().filter(waits).collect();
        peers.into_iter().for_each(|peer| self.set_wait(peer, None));
    }

    /// Asks the handler of an absent frame for it. A wait that was refused or has lasted too long
    /// ends; so does one for a handler that cannot answer.
    pub(crate) fn ask(&mut self, peer: PeerId, place: Place, access: AccessKind, by_access: bool) {
        let handler =
            self.handler_of(place).map(|handler| (handler.peer, handler.range, handler.cookie));
        let Some((handler, range, cookie)) = handler else { return };
        if handler == peer || self.peers[&handler].is_stopped {
            return self.set_wait(peer, None);
        }
        let until = self.now.get() + HANDLER_MICROS_MAX + CALL_MICROS_MAX;
        let mut wait = Wait {
            id: FaultId(self.fresh()),
            handler,
            place,
            range,
            cookie,
            access,
            until: Micros::new(until),
            by_access,
            is_told: false,
            is_refused: false,
            may_be_over: false,
        };
        let old = self.peers[&peer].wait;
        if let Some(old) = old.filter(|old| old.place == place && old.range == range) {
            if old.is_refused || old.until <= self.now {
                if by_access && old.by_access {
                    return self.set_wait(peer, None);
                }
            } else {
                let is_same = old.by_access == by_access;
                let until = if is_same { old.until } else { wait.until };
                wait = Wait { access, by_access, until, is_told: false, may_be_over: false, ..old };
            }
        }
        self.set_wait(peer, Some(wait));
    }
}
