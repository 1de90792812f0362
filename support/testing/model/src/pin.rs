// SPDX-License-Identifier: BSD-2-Clause
//! Pins: leases under which frames keep their memory (PM-270 to PM-274), without an IOMMU and
//! without devices.

use pmserver_api::{BusRun, Frames, LeaseHandle, LockMode, Pinned, PmError, Reply, Rights};
use proto::{Micros, PeerId};

use crate::container::span_of;
use crate::contents::Doubt;
use crate::expected::{Expected, Seen};
use crate::lease::Asked;
use crate::names::{Kind, Object};
use crate::objects::Via;
use crate::{Model, Outcome};

const PIN_FRAMES_MAX: u64 = 64;

impl Model {
    pub(crate) fn pin(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        mode: LockMode,
        ttl: Micros,
        seen: Seen,
    ) -> Outcome {
        let asked = Asked { mode, is_pin: true };
        let is_exclusive = mode == LockMode::Exclusive;
        let (id, via) = self.container(caller, frames.container)?;
        let (start, count) = (frames.start.get(), frames.count.get());
        let is_too_long = count > PIN_FRAMES_MAX;
        let too_many: Expected = PmError::TooMany.into();
        if is_too_long && seen.0.is_some_and(|seen| too_many.allows(seen)) {
            // Where in the order of errors that is, is not said.
            return Err(too_many);
        }
        self.demand(via, start, count, Rights::LOCK)?;
        if !self.setup(caller).has_dma {
            return Err(PmError::NoRight.into());
        }
        self.may_write(via, (start, count), is_exclusive, seen)?;
        let range = span_of(frames)?;
        let ttl = self.lease_ttl(via, ttl)?;
        // Whether a second pin of one's own is in the way of the first is not said.
        let says = |until: &u64| {
            let locked = Expected::refused(PmError::Locked, 0, *until);
            seen.0.is_some_and(|seen| locked.allows(seen))
        };
        if let Some(until) = self.pinned(id, range, |_| true).filter(says) {
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        self.lockable(id, via, range, asked)?;
        if is_too_long {
            return Err(too_many);
        }
        self.few_leases(caller, id, via, seen)?;
        for number in range.0..=range.1 {
            self.pinnable((id, number), seen)?;
        }
        self.pay_for_pin(caller, count, range, seen)?;
        let (lease, deadline) = self.take_lease(caller, (id, via), range, (asked, ttl), seen);
        for number in range.0..=range.1 {
            let cell = self.cell((id, number)).expect("it is there");
            if is_exclusive {
                self.contents.bind_alone(cell);
            }
            self.contents.bind(cell);
            self.contents.blur(cell);
            if let Some(frame) = self.frame_mut((id, number)) {
                frame.is_taken_over = Doubt::No;
            }
        }
        let lease = pmserver_api::Lease { lease, deadline };
        let bus = bus_run(seen, count);
        Ok(Expected::Exactly(Ok(Reply::Pinned(Pinned { lease, bus }))))
    }

    /// That a device may write is more than a lock is; whether a share has to allow it is not said.
    fn may_write(
        &self,
        via: Via,
        (start, count): (u64, u64),
        is_exclusive: bool,
        seen: Seen,
    ) -> Result<(), Expected> {
        let needed = if is_exclusive { Rights::WRITE } else { Rights::READ };
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::NoRight);
        let is_allowed = self.allows(via, start, count, needed);
        if says_so && !is_allowed { Err(PmError::NoRight.into()) } else { Ok(()) }
    }

    fn pinnable(&mut self, place: crate::contents::Place, seen: Seen) -> Result<(), Expected> {
        if self.frame(place).is_none() {
            let missing = self.missing(place);
            return Err(Expected::refused(missing, 0, place.1));
        }
        self.supplied(place, 0, seen)
    }

    fn pay_for_pin(
        &mut self,
        caller: PeerId,
        count: u64,
        range: crate::container::Span,
        seen: Seen,
    ) -> Result<(), Expected> {
        let Some(payer) = self.peers[&caller].account else {
            return Err(PmError::QuotaExceeded.into());
        };
        let numbers = range.0..=range.1;
        if let Some(failure) = self.shortage(seen, Some(payer), count, PmError::QuotaExceeded) {
            return Err(self.short_of(failure, 0, numbers));
        }
        if self.room(payer).1 < count {
            let error = PmError::QuotaExceeded;
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        Ok(())
    }

    pub(crate) fn bus_address(
        &mut self,
        caller: PeerId,
        handle: LeaseHandle,
        number: u64,
        seen: Seen,
    ) -> Outcome {
        let lease = match self.names.find(caller, Kind::Lease, handle.raw()) {
            Some(Object::Lease(id)) => &self.leases[&id],
            _ => return Err(PmError::InvalidCap.into()),
        };
        if !lease.is_active() || !lease.is_pin {
            return Err(PmError::InvalidCap.into());
        }
        if number < lease.start || lease.last < number {
            let no = |error| Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX };
            let errors = [PmError::Invalid, PmError::NotFound, PmError::NoRight];
            return Err(Expected::OneOf(errors.map(no).to_vec()));
        }
        let run = bus_run(seen, lease.last - number + 1);
        Ok(Expected::Exactly(Ok(Reply::BusRun(run))))
    }
}

/// Returns where a device finds frames: that is for the server to say.
fn bus_run(seen: Seen, most: u64) -> BusRun {
    let run = match seen.reply() {
        Some(Reply::Pinned(pinned)) => Some(pinned.bus),
        Some(Reply::BusRun(run)) => Some(*run),
        _ => None,
    };
    let fits = |run: &BusRun| {
        run.address.is_multiple_of(proto::PAGE_BYTES) && (1..=most).contains(&run.frames)
    };
    run.filter(fits).unwrap_or(BusRun { address: 0, frames: 1 })
}
