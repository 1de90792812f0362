// SPDX-License-Identifier: BSD-2-Clause
//! Pins: leases under which frames keep their memory (PM-270 to PM-274), without an IOMMU and
//! without devices.

use pmserver_api::{AccessKind, Frames, LeaseHandle, LockMode, Pinned, PmError, Reply, Rights};
use proto::limits::{LARGE_FRAMES, MOVE_HOLDERS_MAX, PEER_PINNED_FRAMES_MAX};
use proto::{Micros, PeerId};

use crate::answers::{Doubt, Expected};
use crate::rules::{Asked, for_records, span_of};
use crate::state::{Kind, LeaseId, Model, Object, Outcome, Place, Via};

/// Frames that one call can pin, whatever they are.
const SURELY_PINNED: u64 = 64;

impl Model {
    pub(crate) fn pin(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        mode: LockMode,
        ttl: Micros,
    ) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let range = span_of(frames)?;
        if !self.setup(caller).has_dma {
            return Err(PmError::NoRight.into());
        }
        let is_exclusive = mode == LockMode::Exclusive;
        let access = if is_exclusive { Rights::WRITE } else { Rights::READ };
        self.demand(via, range, Rights::LOCK | access)?;
        let (count, lasts) = (frames.count.get(), ttl == Micros::NEVER);
        if lasts && !is_exclusive {
            return Err(PmError::Invalid.into());
        }
        if lasts && via != Via::Owner {
            return Err(PmError::NoRight.into());
        }
        let pins = self.leases.values().filter(|lease| lease.is_pin && lease.holder == caller);
        let pinned: u64 = pins.map(|lease| lease.frames()).sum();
        if pinned + count > PEER_PINNED_FRAMES_MAX {
            return Err(PmError::TooMany.into());
        }
        let longest = self.check_lease(caller, (id, via), range, mode, ttl)?;
        let ttl = if lasts { ttl.get() } else { longest };
        // Whether they are one large frame does not show, nor how much work they are.
        let is_told = self.observed.refusal(PmError::TooMany).is_some();
        if count == LARGE_FRAMES && lasts || count > SURELY_PINNED && is_told {
            // It may have taken grants back (PM-322).
            self.doubt_all_grants();
            return Err(PmError::TooMany.into());
        }
        for (place, others) in (range.0..=range.1).map(|number| (id, number)).zip(0..) {
            self.present(place)?;
            self.pay_for_single(place, others)?;
            self.supplied(caller, place, AccessKind::Write)?;
            self.take_over_frame(place);
            if let Some(until) = self.pinned(place, |_| true) {
                return Err(Expected::refused(PmError::Locked, 0, until));
            }
            let is_extra = self.frame(place).expect("it is there").is_extra;
            let is_told = self.observed.refusal(PmError::NotEligible).is_some();
            if lasts && (is_extra.surely() || is_extra.perhaps() && is_told) {
                return Err(Expected::refused(PmError::NotEligible, 0, place.1));
            }
        }
        self.pay_for_pin(caller, count, range)?;
        let asked = Asked { mode, is_pin: true, is_take: false };
        for number in range.0..=range.1 {
            let before = (range.0..number).map(|number| (id, number)).collect::<Vec<_>>();
            self.hold((id, number), is_exclusive, &before);
        }
        let lease = self.take_lease(caller, (id, via), range, (asked, ttl));
        let bus = self.observed.bus_run(count);
        Ok(Expected::Exactly(Ok(Reply::Pinned(Pinned { lease, bus }))))
    }

    /// Gives a frame memory that is going to be pinned; of its own if a device may write to it, if
    /// the memory is under a pin already (PM-400), be it this one, or if more frames share the
    /// memory than could be moved off it.
    fn hold(&mut self, place: Place, is_exclusive: bool, before: &[Place]) {
        let cell = self.cell(place).expect("it is there");
        let members = self.members(place);
        let siblings = self.contents.siblings(cell);
        let is_this = Doubt::from(siblings.iter().any(|sibling| before.contains(sibling)));
        let is_this = is_this.min(self.contents.is_shared(cell));
        let is_crowded = self.contents.is_crowded(cell, MOVE_HOLDERS_MAX as usize);
        match self.is_memory_pinned(cell).max(is_this).max(is_crowded) {
            _ if is_exclusive => self.make_writable(cell),
            Doubt::Yes => self.make_writable(cell),
            Doubt::Perhaps => {
                self.contents.blur(cell);
                self.doubt_grants(&members);
            }
            Doubt::No => {}
        }
        self.contents.bind(cell);
        for member in members {
            self.frame_mut(member).expect("it is there").is_taken_over = Doubt::No;
        }
    }

    fn pay_for_pin(
        &mut self,
        caller: PeerId,
        count: u64,
        range: (u64, u64),
    ) -> Result<(), Expected> {
        let error = PmError::QuotaExceeded;
        let payer = self.peers[&caller].account.ok_or(Expected::from(error))?;
        if self.accounts[&payer].is_dying {
            return Err(Expected::refused(error, 0, range.0));
        }
        let pages = count + for_records(1);
        if let Some(failure) = self.shortage(Some(payer), pages, error) {
            // The lease's own record is not a frame's.
            let first = if failure.at == 0 { 0 } else { range.0 };
            return Err(self.short_of(failure, 0, first..=range.1));
        }
        let room = self.room(payer).1;
        // Records that the call no longer needs may make room.
        if room < count && self.observed.refusal(error).is_some() {
            return Err(Expected::refused(error, 0, range.0 + room));
        }
        Ok(())
    }

    pub(crate) fn bus_address(
        &mut self,
        caller: PeerId,
        handle: LeaseHandle,
        number: u64,
    ) -> Outcome {
        let lease = match self.names.find(caller, Kind::Lease, handle.raw()) {
            Some(Object::Lease(id)) => &self.leases[&id],
            _ => return Err(PmError::InvalidCap.into()),
        };
        // Without a deadline it ends when teardown comes to its container.
        let may_last = lease.deadline == Micros::NEVER && lease.is_over == Doubt::Perhaps;
        let is_active = lease.is_active() || may_last && self.observed.reply().is_some();
        if !is_active || !lease.is_pin {
            return Err(PmError::InvalidCap.into());
        }
        if number < lease.start || lease.last < number {
            return Err(PmError::Invalid.into());
        }
        let run = self.observed.bus_run(lease.last - number + 1);
        Ok(Expected::Exactly(Ok(Reply::BusRun(run))))
    }

    pub(crate) fn device_reset(&mut self, caller: PeerId, of: PeerId) -> Outcome {
        if !self.setup(caller).is_supervisor {
            return Err(PmError::NoRight.into());
        }
        if !self.peers.contains_key(&of) {
            return Err(PmError::Invalid.into());
        }
        let pins = self.leases.iter().filter(|(_, lease)| lease.holder == of && lease.is_pin);
        let over: Vec<LeaseId> =
            pins.filter(|(_, lease)| !lease.is_active()).map(|(id, _)| *id).collect();
        for id in over {
            self.leases.remove(&id);
            self.names.forget(Object::Lease(id));
        }
        Ok(Expected::done())
    }
}
