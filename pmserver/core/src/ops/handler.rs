// SPDX-License-Identifier: BSD-2-Clause
//! set_handler, next_fault, supply, refuse: memory that another peer supplies (R27, S48).

use pmserver_api::{
    ContainerHandle, Failure, FaultHandle, PendingFault, PmError, RangeHandle, Rights,
};
use proto::limits::{CONTAINER_HANDLERS_MAX, FRAME_WORK_MAX};
use proto::{FrameNumber, PeerId};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::at_frame;
use crate::records::handler::{Handler, HandlersOfContainer, Wait};
use crate::records::lease::Need;
use crate::records::mapping::Installed;
use crate::records::range::Range;

impl<K: Kernel> Operations<K> {
    /// Sets the peer that supplies a range, or removes it.
    #[inline(never)]
    pub(crate) fn set_handler(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        (start, count): (FrameNumber, u64),
        handler: Option<PeerId>,
        cookie: u32,
    ) -> Result<RangeHandle, Failure> {
        let container = self.owned(caller, container)?.container;
        let range = Range::new(start, count).ok_or(PmError::Invalid)?;
        let Some(peer) = handler else { return self.remove_handler(container, range) };
        if self.find_peer(peer).is_none_or(|peer| peer.is_stopped) {
            return Err(PmError::Invalid.into());
        }
        let mut others = self.handlers(container);
        if let Some((reference, other)) = others.find(|(_, other)| other.range.overlaps(range)) {
            let first = other.range.first;
            let is_same = (other.range, other.peer(), other.cookie) == (range, handler, cookie);
            if is_same && other.is_ready == 0 {
                drop(others);
                return self.stop_showing(container, reference);
            }
            return Err(at_frame(PmError::Exists, first));
        }
        drop(others);
        if self.handlers(container).count() >= CONTAINER_HANDLERS_MAX.into() {
            return Err(PmError::TooMany.into());
        }
        let handler = Handler::new(range, peer, cookie);
        let payer = self.charged(container).map_err(Shortage::as_quota)?;
        let handler = self.store.alloc_named(payer, caller, handler).map_err(Shortage::as_quota)?;
        let first = self.store.get(container).handlers;
        let first = self.store.add_first::<HandlersOfContainer>(first, handler);
        self.store.get_mut(container).handlers = first;
        self.stop_showing(container, handler).inspect_err(|failure| {
            if failure.error != PmError::Pending {
                self.unlink_handler(container, handler);
            }
        })
    }

    /// Suspends the mappings of absent frames that show zeros, so that the next touch asks.
    ///
    /// # Errors
    /// `Pending` if there are more than one call does: the next call goes on.
    fn stop_showing(
        &mut self,
        container: Ref<Container>,
        handler: Ref<Handler>,
    ) -> Result<RangeHandle, Failure> {
        let record = self.store.get(handler);
        let mut rest = Some(Range { first: record.shown_from, ..record.range });
        while let Some((frame, number)) = self.take_each(container, &mut rest) {
            self.store.get_mut(handler).shown_from = number;
            self.store.meter().begin_frame(0)?;
            if self.store.page_of(frame).is_none() {
                self.limit_mappings(frame.record, frame.bit(), Installed::No, |_| true)
                    .map_err(|_: KernelError| at_frame(PmError::Kernel, number))?;
            }
        }
        self.store.get_mut(handler).is_ready = 1;
        Ok(RangeHandle::from_raw(self.store.handle(handler)))
    }

    fn remove_handler(
        &mut self,
        container: Ref<Container>,
        range: Range,
    ) -> Result<RangeHandle, Failure> {
        let first = self.store.get(container).handlers;
        let handler = self
            .store
            .chain::<HandlersOfContainer>(first)
            .find(|handler| self.store.get(*handler).range.first == range.first);
        let handler = handler.ok_or(at_frame(PmError::NotFound, range.first))?;
        let ended = RangeHandle::from_raw(self.store.handle(handler));
        self.unlink_handler(container, handler);
        Ok(ended)
    }

    /// Ends a range, and the waits for its frames: who still wants them touches them again.
    fn unlink_handler(&mut self, container: Ref<Container>, handler: Ref<Handler>) {
        let ended = self.store.handle(handler);
        for peer in self.peers.iter_mut().flatten() {
            peer.wait = peer.wait.filter(|wait| wait.range != ended);
        }
        let first = self.store.get(container).handlers;
        let first = self.store.remove_from_chain::<HandlersOfContainer>(first, handler);
        self.store.get_mut(container).handlers = first;
        self.store.free(handler);
    }

    /// Removes the handlers of a container that is being freed.
    pub(super) fn remove_handlers(&mut self, container: Ref<Container>) {
        while let Some(handler) = self.store.get(container).handlers.target() {
            self.unlink_handler(container, handler);
        }
    }

    /// Returns the next fault that the caller should answer.
    #[inline(never)]
    pub(crate) fn next_fault(&mut self, caller: PeerId) -> Option<PendingFault> {
        let fault_id = self.next_fault_id;
        let wait = self.peers.iter_mut().flatten().find_map(|peer| {
            peer.wait
                .as_mut()
                .filter(|wait| wait.handler == caller && !wait.is_told && !wait.is_refused)
        })?;
        wait.is_told = true;
        let is_first = wait.id == 0;
        if is_first {
            wait.id = fault_id;
        }
        let wait = *wait;
        if is_first {
            self.next_fault_id = fault_id.wrapping_add(1).max(1);
        }
        Some(PendingFault {
            fault: FaultHandle::from_raw(wait.id),
            range: RangeHandle::from_raw(wait.range),
            cookie: wait.cookie,
            number: FrameNumber::new(wait.number),
            access: wait.access,
        })
    }

    /// Returns the wait that a handler's answer belongs to.
    fn answered(
        &mut self,
        caller: PeerId,
        fault: FaultHandle,
    ) -> Result<&mut Option<Wait>, Failure> {
        let is_it = |wait: &Wait| {
            wait.id != 0 && wait.id == fault.raw() && wait.handler == caller && !wait.is_refused
        };
        self.peers
            .iter_mut()
            .flatten()
            .map(|peer| &mut peer.wait)
            .find(|wait| wait.as_ref().is_some_and(is_it))
            .ok_or(PmError::InvalidCap.into())
    }

    /// Answers a fault with the contents of a frame that the caller may read.
    #[inline(never)]
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
        self.store.meter().check_room(FRAME_WORK_MAX.saturating_mul(2), 0)?;
        let range = Range { first: number.get(), last: number.get() };
        if !from.allows(range, Rights::READ) {
            return Err(PmError::NoRight.into());
        }
        self.check_leases(&from, range, Need::Read)?;
        let source = self.present(from.container, number.get())?;
        self.check_copied_from(caller, source)?;
        let frame = self
            .store
            .look_up::<Container>(wait.container)
            .filter(|container| self.lives(*container))
            .map_or(Ok(None), |container| self.clustered(container, wait.number))?;
        let Some(frame) = frame else {
            *self.answered(caller, fault)? = None;
            return Err(PmError::InvalidCap.into());
        };
        // An answer to another peer may have supplied it already.
        if self.awaited_handler(frame).is_some() {
            // Where the same memory is not absent, it would change for who holds a lease on it.
            self.check_sharers(frame, Need::Change)?;
            self.link_copy(source, frame).map_err(|_: KernelError| PmError::Kernel)?;
        }
        *self.answered(caller, fault)? = None;
        Ok(())
    }

    /// Answers a fault by refusing: the access fails.
    #[inline(never)]
    pub(crate) fn refuse(&mut self, caller: PeerId, fault: FaultHandle) -> Result<(), Failure> {
        if let Some(wait) = self.answered(caller, fault)? {
            wait.is_refused = true;
        }
        Ok(())
    }
}
