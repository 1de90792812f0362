// SPDX-License-Identifier: BSD-2-Clause
//! Absent frames: frames that a handler supplies when they are first accessed (R27, S48).
//!
//! A program that accesses an absent frame waits: its access is retried on its own time, while the
//! handler, which has a higher priority, is notified and answers. pmserver blocks nobody and calls
//! nobody. It keeps one [`Wait`] for each peer, which ends when the frame is supplied, when the
//! handler refuses or is gone, or after one second.
//!
//! ```text
//!   touched --> Wait { asked } --> next_fault: { told } --> supply: over, frame there
//!                  ^                     |              \-> refuse: { refused }, a fault
//!                  +--- touched again ---+              \-> one second: over, a fault
//! ```

use pmserver_api::{AccessKind, Failure, PmError};
use proto::limits::HANDLER_MICROS_MAX;
use proto::{Micros, PeerId};

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::at_frame;
use crate::records::handler::{Handler, HandlersOfContainer, Wait};
use crate::records::id::FrameId;
use crate::records::range::Range;

impl<K: Kernel> FrameManager<K> {
    pub(crate) fn handlers(
        &self,
        container: Ref<Container>,
    ) -> impl Iterator<Item = (Ref<Handler>, &Handler)> {
        let handlers = self.store.get(container).handlers;
        let handlers = self.store.chain::<HandlersOfContainer>(handlers);
        handlers.map(|handler| (handler, self.store.get(handler)))
    }

    /// Returns the handler that must supply a frame before it can be used.
    pub(crate) fn awaited_handler(&self, frame: FrameId) -> Option<(Ref<Handler>, &Handler)> {
        if self.store.page_of(frame).is_none() { self.handler_of(frame) } else { None }
    }

    /// Returns the handler of the range that a frame is in.
    pub(super) fn handler_of(&self, frame: FrameId) -> Option<(Ref<Handler>, &Handler)> {
        let container = self.store.get(frame.record).container.target()?;
        self.handler_at(container, self.store.number_of(frame))
    }

    /// Returns the handler of the range that a number is in.
    pub(crate) fn handler_at(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Option<(Ref<Handler>, &Handler)> {
        self.handlers(container).find(|(_, handler)| handler.range.contains(number))
    }

    /// Returns whether a number of a range has a handler.
    pub(crate) fn has_handler_in(&self, container: Ref<Container>, range: Range) -> bool {
        self.handlers(container).any(|(_, handler)| handler.range.overlaps(range))
    }

    /// Refuses a frame that its handler has not supplied yet, and asks the handler for it.
    ///
    /// # Errors
    /// `Absent`.
    pub(crate) fn check_supplied(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        access: AccessKind,
    ) -> Result<(), Failure> {
        self.check_contents(peer, frame, access, false)
    }

    /// The same in a call that does as many frames as it can: it asks only if it is refused, at its
    /// first frame (PM-285).
    ///
    /// # Errors
    /// `Absent`.
    pub(crate) fn check_supplied_in_turn(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        access: AccessKind,
        is_first: bool,
    ) -> Result<(), Failure> {
        if !is_first && self.awaited_handler(frame).is_some() {
            return Err(at_frame(PmError::Absent, self.store.number_of(frame)));
        }
        self.check_supplied(peer, frame, access)
    }

    /// The same for an access, which stops waiting if it was refused or its time is over.
    pub(crate) fn check_touched(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        access: AccessKind,
    ) -> Result<(), Failure> {
        self.check_contents(peer, frame, access, true)
    }

    fn check_contents(
        &mut self,
        peer: PeerId,
        frame: FrameId,
        access: AccessKind,
        by_access: bool,
    ) -> Result<(), Failure> {
        let number = self.store.number_of(frame);
        let container = self.store.handle(self.store.container_of(frame.record));
        let Some((range, handler)) = self.awaited_handler(frame) else {
            let is_for_it = |wait: Wait| (wait.container, wait.number) == (container, number);
            if self.peer(peer).wait.is_some_and(is_for_it) {
                self.peer_mut(peer).wait = None;
            }
            return Ok(());
        };
        let (asked, cookie, range) = (handler.peer(), handler.cookie, self.store.handle(range));
        self.ask(peer, asked, |handler, until| Wait {
            id: 0,
            handler,
            container,
            range,
            cookie,
            number,
            access,
            until,
            by_access,
            is_told: false,
            is_refused: false,
        });
        Err(at_frame(PmError::Absent, number))
    }

    /// Records that a peer waits, and notifies the handler; ends the wait if nobody can answer.
    fn ask(
        &mut self,
        peer: PeerId,
        handler: Option<PeerId>,
        new: impl FnOnce(PeerId, Micros) -> Wait,
    ) {
        let alive = |peer: &PeerId| self.find_peer(*peer).is_some_and(|peer| !peer.is_stopped);
        let Some(handler) = handler.filter(|handler| *handler != peer).filter(alive) else {
            self.peer_mut(peer).wait = None;
            return;
        };
        let now = self.store.kernel.now();
        let until = now.saturating_add(Micros::new(HANDLER_MICROS_MAX));
        let mut wait = new(handler, until);
        let same = self.peer(peer).wait.filter(|old| {
            (old.range, old.container, old.number) == (wait.range, wait.container, wait.number)
        });
        match same {
            Some(old) if old.is_refused || old.until <= now => {
                self.peer_mut(peer).wait = None;
                if wait.by_access && old.by_access {
                    return;
                }
            }
            // Report it again: the handler may have been restarted in the meantime.
            Some(old) => {
                let until = if old.by_access == wait.by_access { old.until } else { until };
                let Wait { access, by_access, .. } = wait;
                wait = Wait { is_told: false, access, by_access, until, ..old };
            }
            None => {}
        }
        self.peer_mut(peer).wait = Some(wait);
        self.store.kernel.notify(handler);
    }

    /// Returns whether a peer waits for a handler that may still answer.
    pub(crate) fn is_waiting(&self, peer: PeerId) -> bool {
        self.peer(peer).wait.is_some()
    }
}
