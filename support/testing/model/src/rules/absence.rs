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
        self.ask(peer, place, access, (false, false));
        Err(Expected::refused(PmError::Absent, 0, place.1))
    }

    /// The same in a call that does as many frames as it can: only its first frame's refusal is
    /// told, and so asks (PM-285).
    pub(crate) fn supplied_in_turn(
        &mut self,
        peer: PeerId,
        place: Place,
        access: AccessKind,
        index: u64,
    ) -> Result<(), Expected> {
        if index > 0 && self.is_absent(place) == Doubt::Yes {
            return Err(Expected::refused(PmError::Absent, 0, place.1));
        }
        self.supplied(peer, place, access)
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
    /// ends; so does one for a handler that cannot answer. Whether an access was seen to wait tells
    /// of a wait that may have begun anew.
    pub(crate) fn ask(
        &mut self,
        peer: PeerId,
        place: Place,
        access: AccessKind,
        (by_access, is_seen): (bool, bool),
    ) {
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
            may_be_new: false,
        };
        let old = self.peers[&peer].wait;
        if let Some(old) = old.filter(|old| old.place == place && old.range == range) {
            let may_be_new = old.may_be_new || old.may_be_over;
            if old.is_refused || old.until <= self.now {
                if by_access && old.by_access && !(may_be_new && is_seen) {
                    return self.set_wait(peer, None);
                }
            } else {
                let is_same = old.by_access == by_access;
                let until = if is_same { old.until } else { wait.until };
                let (is_told, may_be_over) = (false, false);
                wait = Wait { access, by_access, until, is_told, may_be_over, may_be_new, ..old };
            }
        }
        self.set_wait(peer, Some(wait));
    }

    /// Notes whether a wait that may have begun anew is the one that has this number. If not, its
    /// number is not known yet.
    pub(crate) fn settle_wait(&mut self, peer: PeerId, is_it: bool) {
        let id = FaultId(self.fresh());
        let wait = self.peers.get_mut(&peer).and_then(|peer| peer.wait.as_mut());
        let Some(wait) = wait.filter(|wait| wait.may_be_new) else { return };
        wait.may_be_new = false;
        if !is_it {
            let old = std::mem::replace(&mut wait.id, id);
            self.names.forget(Object::Fault(old));
        }
    }
}
