// SPDX-License-Identifier: BSD-2-Clause
//! Ranges of containers whose frames somebody else supplies (protocol R27, S48).
//!
//! Who touches an absent frame waits: its access is tried again and again, on its own time, while
//! the handler, which has a higher priority, is notified and answers. Nobody is blocked by
//! pmserver, which calls nobody and keeps nothing but one [`Wait`] for each peer: a wait ends
//! when the frame is supplied, when the handler refuses or is gone, or with its time.
//!
//! ```text
//!   touched --> Wait { asked } --> next_fault: { told } --> supply: over, frame there
//!                  ^                     |              \-> refuse: { refused }, a fault
//!                  +--- touched again ---+              \-> one second: over, a fault
//! ```

use pmserver_api::{AccessKind, ContainerHandle, Failure, FaultHandle, PendingFault, PmError};
use proto::limits::{CONTAINER_HANDLERS_MAX, HANDLER_MICROS_MAX};
use proto::{FrameNumber, Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::accounts::account::Shortage;
use crate::broken;
use crate::containers::lease::Need;
use crate::containers::objects::{Container, Frame};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::mappings::mapping::at_frame;
use crate::memory::radix::Leaf;
use crate::memory::records::{Ref, Stamp, record};
use crate::server::Server;

/// A range of a container whose frames somebody else supplies (protocol R27).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Handler {
    stamp: Stamp,
    pub(crate) range: Range,
    /// The container's other handlers.
    pub(crate) next: u32,
    pub(crate) cookie: u32,
    peer: u8,
    padding: [u8; 31],
}

record!(Handler, Handler);

impl Handler {
    pub(crate) const fn new(next: u32, range: Range, peer: PeerId, cookie: u32) -> Self {
        let peer = peer.get();
        Self { stamp: Stamp::UNSET, range, next, cookie, peer, padding: [0; 31] }
    }

    pub(crate) fn peer(&self) -> Option<PeerId> {
        PeerId::new(self.peer.into())
    }
}

/// What a peer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The number by which the handler answers.
    id: u64,
    handler: PeerId,
    /// The handle of the container, which may be gone before the answer comes.
    container: u64,
    cookie: u32,
    number: u64,
    access: AccessKind,
    until: Micros,
    /// Whether an access waits, or the caller of an operation that asks by calling again.
    by_access: bool,
    is_told: bool,
    is_refused: bool,
}

impl<K: Kernel> Server<K> {
    /// Names the peer that supplies a range, or none.
    pub(crate) fn set_handler(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        (start, count): (FrameNumber, u64),
        handler: Option<PeerId>,
        cookie: u32,
    ) -> Result<(), Failure> {
        let container = self.owned(caller, container)?.container;
        let range = Range::new(start, count).ok_or(PmError::Invalid)?;
        let Some(peer) = handler else { return self.remove_handler(container, range) };
        if self.find_peer(peer).is_none_or(|peer| peer.is_stopped) {
            return Err(PmError::Invalid.into());
        }
        if let Some(other) = self.handlers(container).find(|other| other.range.overlaps(range)) {
            return Err(at_frame(PmError::Exists, other.range.first));
        }
        let record = self.pool.get(container);
        if record.handler_count >= CONTAINER_HANDLERS_MAX {
            return Err(PmError::TooMany.into());
        }
        let handler = Handler::new(record.handlers, range, peer, cookie);
        let payer = self.payer(container);
        let handler = self.pool.alloc(payer, handler).map_err(Shortage::as_quota)?;
        let record = self.pool.get_mut(container);
        record.handlers = handler.link();
        record.handler_count = record.handler_count.saturating_add(1);
        Ok(())
    }

    fn remove_handler(&mut self, container: Ref<Container>, range: Range) -> Result<(), Failure> {
        let mut previous = None;
        let mut link = self.pool.get(container).handlers;
        while let Some(handler) = Ref::<Handler>::from_link(link) {
            let record = self.pool.get(handler);
            link = record.next;
            if record.range.first == range.first {
                self.unlink_handler(container, previous, handler);
                return Ok(());
            }
            previous = Some(handler);
        }
        Err(at_frame(PmError::NotFound, range.first))
    }

    fn unlink_handler(
        &mut self,
        container: Ref<Container>,
        previous: Option<Ref<Handler>>,
        handler: Ref<Handler>,
    ) {
        let next = self.pool.get(handler).next;
        match previous {
            Some(previous) => self.pool.get_mut(previous).next = next,
            None => self.pool.get_mut(container).handlers = next,
        }
        let count = &mut self.pool.get_mut(container).handler_count;
        *count = count.saturating_sub(1);
        self.pool.free(handler);
    }

    /// Forgets who supplies a container that is being freed.
    pub(crate) fn remove_handlers(&mut self, container: Ref<Container>) {
        while let Some(handler) = Ref::from_link(self.pool.get(container).handlers) {
            self.unlink_handler(container, None, handler);
        }
    }

    fn handlers(&self, container: Ref<Container>) -> impl Iterator<Item = &Handler> {
        let mut link = self.pool.get(container).handlers;
        core::iter::from_fn(move || {
            let handler = self.pool.get(Ref::<Handler>::from_link(link)?);
            link = handler.next;
            Some(handler)
        })
    }

    /// Returns who has to supply a frame before it can be used.
    pub(crate) fn awaited_handler(&self, frame: Ref<Frame>) -> Option<&Handler> {
        let record = self.pool.get(frame);
        if record.page != 0 {
            return None;
        }
        let container = Ref::from_link(record.container)?;
        self.handlers(container).find(|handler| handler.range.contains(record.key()))
    }

    /// Refuses a frame that its handler has not supplied yet, and asks for it.
    ///
    /// # Errors
    /// `Absent`.
    pub(crate) fn check_supplied(
        &mut self,
        peer: PeerId,
        frame: Ref<Frame>,
        access: AccessKind,
    ) -> Result<(), Failure> {
        self.check_contents(peer, frame, access, false)
    }

    /// The same for an access: one that is refused, or has waited long enough, waits no more.
    pub(crate) fn check_touched(
        &mut self,
        peer: PeerId,
        frame: Ref<Frame>,
        access: AccessKind,
    ) -> Result<(), Failure> {
        self.check_contents(peer, frame, access, true)
    }

    fn check_contents(
        &mut self,
        peer: PeerId,
        frame: Ref<Frame>,
        access: AccessKind,
        by_access: bool,
    ) -> Result<(), Failure> {
        let number = self.pool.get(frame).key();
        let Some(handler) = self.awaited_handler(frame) else {
            if self.peer(peer).wait.is_some_and(|wait| wait.number == number) {
                self.peer_mut(peer).wait = None;
            }
            return Ok(());
        };
        let (asked, cookie) = (handler.peer(), handler.cookie);
        let Some(container) = Ref::<Container>::from_link(self.pool.get(frame).container) else {
            broken("frame without a container")
        };
        let container = self.pool.handle(container);
        self.ask(peer, asked, |id, handler, until| Wait {
            id,
            handler,
            container,
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

    /// Notes that a peer waits, and notifies whom it waits for; ends a wait that is in vain.
    fn ask(
        &mut self,
        peer: PeerId,
        handler: Option<PeerId>,
        new: impl FnOnce(u64, PeerId, Micros) -> Wait,
    ) {
        let alive = |peer: &PeerId| self.find_peer(*peer).is_some_and(|peer| !peer.is_stopped);
        let Some(handler) = handler.filter(|handler| *handler != peer).filter(alive) else {
            self.peer_mut(peer).wait = None;
            return;
        };
        let now = self.pool.kernel.now();
        let until = now.saturating_add(Micros::new(HANDLER_MICROS_MAX));
        let id = self.next_fault_id;
        let mut wait = new(id, handler, until);
        let same = self.peer(peer).wait.filter(|old| {
            old.container == wait.container
                && old.number == wait.number
                && old.handler == wait.handler
        });
        match same {
            Some(old) if old.is_refused || old.until <= now => {
                self.peer_mut(peer).wait = None;
                if wait.by_access && old.by_access {
                    return;
                }
                self.next_fault_id = id.wrapping_add(1).max(1);
            }
            // Told again: who serves it may have been restarted in the meantime.
            Some(old) => {
                let until = if old.by_access == wait.by_access { old.until } else { until };
                let Wait { access, by_access, .. } = wait;
                wait = Wait { is_told: false, access, by_access, until, ..old };
            }
            None => self.next_fault_id = id.wrapping_add(1).max(1),
        }
        self.peer_mut(peer).wait = Some(wait);
        self.pool.kernel.notify(handler);
    }

    /// Returns whether a peer waits for somebody who may still answer.
    pub(crate) fn is_waiting(&self, peer: PeerId) -> bool {
        self.peer(peer).wait.is_some()
    }

    /// Returns the next fault that the caller is to answer.
    pub(crate) fn next_fault(&mut self, caller: PeerId) -> Option<PendingFault> {
        let wait = self.peers.iter_mut().flatten().find_map(|peer| {
            peer.wait
                .as_mut()
                .filter(|wait| wait.handler == caller && !wait.is_told && !wait.is_refused)
        })?;
        wait.is_told = true;
        Some(PendingFault {
            fault: FaultHandle::from_raw(wait.id),
            cookie: wait.cookie,
            number: FrameNumber::new(wait.number),
            access: wait.access,
        })
    }

    /// Returns the wait that a handler answers.
    fn answered(
        &mut self,
        caller: PeerId,
        fault: FaultHandle,
    ) -> Result<&mut Option<Wait>, Failure> {
        let is_it =
            |wait: &Wait| wait.id == fault.raw() && wait.handler == caller && !wait.is_refused;
        self.peers
            .iter_mut()
            .flatten()
            .map(|peer| &mut peer.wait)
            .find(|wait| wait.as_ref().is_some_and(is_it))
            .ok_or(PmError::InvalidCap.into())
    }

    /// Answers a fault with the contents of a frame that the caller may read.
    pub(crate) fn supply(
        &mut self,
        caller: PeerId,
        fault: FaultHandle,
        container: ContainerHandle,
        number: FrameNumber,
    ) -> Result<(), Failure> {
        let Some(wait) = *self.answered(caller, fault)? else {
            return Err(PmError::InvalidCap.into());
        };
        let from = self.access(caller, container)?;
        let range = Range { first: number.get(), last: number.get() };
        self.check_source(&from, range, Need::Read)?;
        let source = self.present_frame(from.container, number.get())?;
        self.check_copied_from(caller, source)?;
        let frame = self
            .pool
            .look_up::<Container>(wait.container)
            .and_then(|container| self.find_frame(container, wait.number));
        let Some(frame) = frame else {
            *self.answered(caller, fault)? = None;
            return Err(PmError::InvalidCap.into());
        };
        // Somebody else may have been answered with it already.
        if self.awaited_handler(frame).is_some() {
            self.link_copy(source, frame).map_err(|_: KernelError| PmError::Kernel)?;
        }
        *self.answered(caller, fault)? = None;
        Ok(())
    }

    /// Answers a fault with a fault.
    pub(crate) fn refuse(&mut self, caller: PeerId, fault: FaultHandle) -> Result<(), Failure> {
        if let Some(wait) = self.answered(caller, fault)? {
            wait.is_refused = true;
        }
        Ok(())
    }
}
