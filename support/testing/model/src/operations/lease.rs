// SPDX-License-Identifier: BSD-2-Clause
//! Taking leases and giving them back (PM-70 to PM-78).

use pmserver_api::Rights;
use pmserver_api::{Frames, Lease as LeaseReply, LeaseHandle, LockMode, MapFlags, PmError, Reply};
use proto::limits::{
    CONTAINER_LEASES_MAX, CONTAINER_LEASES_OWNER, LEASE_MICROS_MAX, PEER_LEASES_MAX,
    SHARE_LEASES_MAX,
};
use proto::{Micros, PeerId};

use crate::answers::{Doubt, Expected};
use crate::rules::{Asked, Need, for_records, span_of};
use crate::state::{ContainerId, Kind, Lease, LeaseId, Model, Object, Outcome, Span, Via};

impl Model {
    pub(crate) fn lock(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        mode: LockMode,
        ttl: Micros,
    ) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let range = span_of(frames)?;
        let ttl = self.check_lease(caller, (id, via), range, mode, ttl)?;
        let payer = self.peers[&caller].account;
        self.pay(payer, for_records(1), PmError::QuotaExceeded)?;
        let asked = Asked { mode, is_pin: false, is_take: false };
        let lease = self.take_lease(caller, (id, via), range, (asked, ttl));
        Ok(Expected::Exactly(Ok(Reply::Lease(lease))))
    }

    /// Refuses a lease that cannot be granted; else returns how long it may last.
    pub(crate) fn check_lease(
        &mut self,
        caller: PeerId,
        (id, via): (ContainerId, Via),
        range: Span,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<u64, Expected> {
        self.demand(via, range, Rights::LOCK)?;
        let (allowed, is_revoking) = match via {
            Via::Owner => (LEASE_MICROS_MAX, false),
            Via::Share(share) => (self.shares[&share].lease_max, self.shares[&share].is_revoking),
        };
        let ttl = ttl.get().min(allowed).min(LEASE_MICROS_MAX);
        if ttl == 0 {
            return Err(PmError::Invalid.into());
        }
        if is_revoking {
            return Err(PmError::Revoking.into());
        }
        let is_exclusive = mode == LockMode::Exclusive;
        let need = if is_exclusive { Need::Change } else { Need::Read };
        self.check_leases(id, via, range, need)?;
        let is_shared = |number: &u64| self.members((id, *number)).len() > 1;
        let shared = self.numbers(id, range).into_iter().find(is_shared);
        if let Some(number) = shared.filter(|_| is_exclusive) {
            return Err(Expected::refused(PmError::Shared, 0, number));
        }
        let is_full = self.has_many_leases(caller, id, via);
        if is_full { Err(PmError::TooMany.into()) } else { Ok(ttl) }
    }

    /// Returns whether a container, a share or a peer has as many leases as it may (PM-74). The
    /// last of a container are for its owner alone.
    fn has_many_leases(&self, caller: PeerId, id: ContainerId, via: Via) -> bool {
        let count = |test: &dyn Fn(&Lease) -> bool| {
            u16::try_from(self.leases.values().filter(|lease| test(lease)).count()).expect("few")
        };
        let on_container = count(&|lease| lease.is_active() && lease.container == id);
        let through = count(&|lease| lease.is_active() && lease.via == via);
        let is_kept = |lease: &Lease| lease.is_active() || lease.is_pin;
        let of_peer = count(&|lease| is_kept(lease) && lease.holder == caller);
        let for_borrowers = CONTAINER_LEASES_MAX - CONTAINER_LEASES_OWNER;
        of_peer >= PEER_LEASES_MAX
            || match via {
                Via::Owner => on_container >= CONTAINER_LEASES_MAX,
                Via::Share(_) => on_container >= for_borrowers || through >= SHARE_LEASES_MAX,
            }
    }

    /// Makes a lease, which takes grants of others back.
    pub(crate) fn take_lease(
        &mut self,
        holder: PeerId,
        (container, via): (ContainerId, Via),
        (start, last): Span,
        (asked, ttl): (Asked, u64),
    ) -> LeaseReply {
        let lasts = ttl == Micros::NEVER.get();
        let mut within = if lasts { ttl..=ttl } else { self.within_call(ttl) };
        let is_extra = |number: &u64| {
            self.frame((container, *number)).is_some_and(|frame| frame.is_extra.perhaps())
        };
        if self.asked_until.is_some() && self.numbers(container, (start, last)).iter().any(is_extra)
        {
            // It ends with the oldest claim to promised memory (PM-343).
            within = self.now.get()..=*within.end();
        }
        let deadline = self.observed.deadline(&within);
        let is_exclusive = asked.mode == LockMode::Exclusive;
        let id = LeaseId(self.fresh());
        let lease = Lease {
            container,
            via,
            holder,
            start,
            last,
            is_exclusive,
            deadline,
            is_pin: asked.is_pin,
            is_take: asked.is_take,
            is_over: Doubt::No,
        };
        self.leases.insert(id, lease);
        let told = self.observed.handle();
        let raw = self.names.give(holder, Some(holder), Object::Lease(id), told);
        if asked.is_take {
            // It is in the way of no mapping or grant (PM-435).
            return LeaseReply { lease: LeaseHandle::from_raw(raw), deadline };
        }
        for place in self.numbers(container, (start, last)).into_iter().map(|n| (container, n)) {
            for member in self.members(place) {
                let is_others = |by: Via| member != place || by != via;
                let is_taken = |rights: MapFlags| is_exclusive || rights.contains(MapFlags::WRITE);
                let is_back = |by: Via, rights| is_others(by) && is_taken(rights);
                self.strip(member, |_| false, |grant| is_back(grant.via, grant.rights));
            }
        }
        LeaseReply { lease: LeaseHandle::from_raw(raw), deadline }
    }

    pub(crate) fn unlock(&mut self, caller: PeerId, handle: LeaseHandle) -> Outcome {
        let Some(Object::Lease(id)) = self.names.find(caller, Kind::Lease, handle.raw()) else {
            return Err(PmError::InvalidCap.into());
        };
        let Lease { via, is_take, .. } = self.leases[&id];
        if is_take && self.observed.refusal(PmError::Pending).is_some() {
            // Which of the pages went first does not show.
            self.doubt_mappings(via);
            return Err(PmError::Pending.into());
        }
        if is_take {
            self.unmap_through(via);
        }
        self.leases.remove(&id);
        self.names.forget(Object::Lease(id));
        Ok(Expected::done())
    }
}
