// SPDX-License-Identifier: BSD-2-Clause
//! Leases: what they forbid, who may take one, and how they end (PM-70 to PM-78).

use pmserver_api::{Frames, LeaseHandle, LockMode, MapFlags, PmError, Reply, Request, Rights};
use proto::limits::{
    CONTAINER_LEASES_MAX, CONTAINER_LEASES_OWNER, LEASE_MICROS_MAX, PEER_LEASES_MAX,
    SHARE_LEASES_MAX,
};
use proto::{Micros, PeerId};

use crate::arguments::containers_of;
use crate::container::{Span, span_of};
use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen};
use crate::names::{Kind, Object};
use crate::objects::{ContainerId, Lease, LeaseId, Via};
use crate::{Model, Outcome};

/// What somebody wants to do with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Read them: an exclusive lease of another forbids it.
    Read,
    /// Write, replace, allocate, renew or free them: any lease of another forbids it.
    Change,
}

/// What a caller asks for.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) mode: LockMode,
    pub(crate) is_pin: bool,
}

/// How a lease comes to an end by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// At its deadline.
    Deadline,
    /// Because its holder is gone.
    HolderGone,
}

impl Model {
    /// Returns the leases that are active on a frame or on one that it is really shared with, and
    /// not the caller's own.
    fn foreign(&self, place: Place, via: Via) -> impl Iterator<Item = &Lease> {
        let members = self.cell(place).map(|cell| self.contents.members(cell).clone());
        let is_on = move |lease: &&Lease| {
            lease.covers(place)
                || members.iter().flatten().any(|member| *member != place && lease.covers(*member))
        };
        let is_own = move |lease: &Lease| lease.container == place.0 && lease.via == via;
        let active = self.leases.values().filter(|lease| lease.is_active());
        active.filter(is_on).filter(move |lease| !is_own(lease))
    }

    /// Whether a lease of one's own covers what a frame is really shared with, and not the frame:
    /// whether it is locked for its holder too is open.
    pub(crate) fn locks_itself(&self, place: Place, via: Via) -> impl Iterator<Item = &Lease> {
        let members = self.cell(place).map(|cell| self.contents.members(cell).clone());
        let own = self.leases.values().filter(move |lease| {
            lease.is_active() && lease.container == place.0 && lease.via == via
        });
        own.filter(move |lease| !lease.covers(place))
            .filter(move |lease| members.iter().flatten().any(|member| lease.covers(*member)))
    }

    /// Returns a refusal for a lease of one's own on what a frame of the request is shared with.
    pub(crate) fn locked_by_itself(
        &self,
        caller: PeerId,
        request: &Request,
        seen: Seen,
    ) -> Option<Expected> {
        let failure = seen.failure().filter(|failure| failure.error == PmError::Locked)?;
        let refusal = Expected::refused(PmError::Locked, 0, failure.at);
        let handles = containers_of(request).into_iter().flatten();
        let named = handles.filter_map(|handle| self.container(caller, handle).ok());
        let is_it = |lease: &Lease| lease.deadline.get() == failure.at;
        let mut places = named.flat_map(|(id, via)| {
            self.containers[&id].frames.keys().map(move |number| ((id, *number), via))
        });
        let is_found = places.any(|(place, via)| self.locks_itself(place, via).any(is_it));
        (is_found && failure.done == 0).then_some(refusal)
    }

    /// Returns the latest deadline of the leases that are in the way in a range, holes included.
    pub(crate) fn obstacle(
        &self,
        id: ContainerId,
        via: Via,
        (start, last): Span,
        want: Want,
    ) -> Option<u64> {
        let forbids = |lease: &&Lease| lease.is_exclusive || want == Want::Change;
        let numbers = self.numbers(id, (start, last));
        let shared = numbers.into_iter().flat_map(|number| self.foreign((id, number), via));
        let direct = self.leases.values().filter(|lease| {
            lease.is_active() && lease.overlaps(id, start, last) && lease.via != via
        });
        direct.chain(shared).filter(forbids).map(|lease| lease.deadline.get()).max()
    }

    /// Returns the latest deadline of the leases of others on the numbers of a range, without those
    /// on frames that its frames are really shared with.
    pub(crate) fn direct_obstacle(
        &self,
        id: ContainerId,
        via: Via,
        (start, last): Span,
    ) -> Option<u64> {
        let direct = self.leases.values().filter(|lease| {
            lease.is_active() && lease.overlaps(id, start, last) && lease.via != via
        });
        direct.map(|lease| lease.deadline.get()).max()
    }

    pub(crate) fn obstacle_at(&self, place: Place, via: Via, want: Want) -> Option<u64> {
        self.obstacle(place.0, via, (place.1, place.1), want)
    }

    /// Returns the latest deadline of a pin on a frame of the range, be it the caller's own.
    pub(crate) fn pinned(
        &self,
        id: ContainerId,
        range: Span,
        test: impl Fn(&Lease) -> bool,
    ) -> Option<u64> {
        let numbers = self.numbers(id, range);
        let pins = self.leases.values().filter(|lease| lease.is_active() && lease.is_pin);
        let covers = |lease: &&Lease| numbers.iter().any(|number| lease.covers((id, *number)));
        pins.filter(covers).filter(|lease| test(lease)).map(|lease| lease.deadline.get()).max()
    }

    /// Returns the latest deadline of any lease in a container that is not the caller's own.
    pub(crate) fn any_lease(&self, id: ContainerId, via: Via) -> Option<u64> {
        self.obstacle(id, via, (0, u64::MAX), Want::Change)
    }

    /// Returns the latest deadline of any lease that covers a frame, or one that it is really
    /// shared with, and the caller's own too.
    pub(crate) fn any_lease_at(&self, place: Place) -> Option<u64> {
        let mut places = vec![place];
        if let Some(cell) = self.cell(place) {
            places.extend(self.contents.members(cell));
        }
        let covers = |lease: &&Lease| places.iter().any(|place| lease.covers(*place));
        let active = self.leases.values().filter(|lease| lease.is_active());
        active.filter(covers).map(|lease| lease.deadline.get()).max()
    }

    pub(crate) fn lock(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        mode: LockMode,
        ttl: Micros,
        seen: Seen,
    ) -> Outcome {
        let asked = Asked { mode, is_pin: false };
        let (id, via) = self.container(caller, frames.container)?;
        self.demand(via, frames.start.get(), frames.count.get(), Rights::LOCK)?;
        let range = span_of(frames)?;
        let ttl = self.lease_ttl(via, ttl)?;
        self.lockable(id, via, range, asked)?;
        self.few_leases(caller, id, via, seen)?;
        let payer = self.peers[&caller].account;
        self.pay(seen, payer, PmError::QuotaExceeded)?;
        let (handle, deadline) = self.take_lease(caller, (id, via), range, (asked, ttl), seen);
        let lease = pmserver_api::Lease { lease: handle, deadline };
        Ok(Expected::Exactly(Ok(Reply::Lease(lease))))
    }

    /// Returns how long a lease may last (PM-70).
    pub(crate) fn lease_ttl(&self, via: Via, asked: Micros) -> Result<u64, Expected> {
        let allowed = match via {
            Via::Owner => LEASE_MICROS_MAX,
            Via::Share(share) => self.shares[&share].lease_max,
        };
        match asked.get().min(allowed).min(LEASE_MICROS_MAX) {
            0 => Err(PmError::Invalid.into()),
            ttl => Ok(ttl),
        }
    }

    /// Returns the refusal where leases, real sharing or a revocation forbid a lease.
    pub(crate) fn lockable(
        &self,
        id: ContainerId,
        via: Via,
        range: Span,
        asked: Asked,
    ) -> Result<(), Expected> {
        let is_exclusive = asked.mode == LockMode::Exclusive;
        let want = if is_exclusive { Want::Change } else { Want::Read };
        let numbers = self.numbers(id, range);
        let shared = numbers.into_iter().find(|number| {
            self.cell((id, *number)).is_some_and(|cell| self.contents.members(cell).len() > 1)
        });
        let shared = shared.filter(|_| is_exclusive);
        let is_shared = shared.map(|number| Expected::refused(PmError::Shared, 0, number));
        let locked = self.obstacle(id, via, range, want);
        let is_locked = locked.map(|until| Expected::refused(PmError::Locked, 0, until));
        match (is_locked, is_shared) {
            // That a shared frame is locked elsewhere is both.
            (Some(locked), Some(shared)) => Err(Expected::OneOf(vec![locked, shared])),
            (Some(refusal), None) | (None, Some(refusal)) => Err(refusal),
            (None, None) => match via {
                Via::Share(share) if self.shares[&share].is_revoking => {
                    Err(PmError::Revoking.into())
                }
                _ => Ok(()),
            },
        }
    }

    /// Returns the refusal where there are too many leases (PM-74). Whether the owner's two are two
    /// places or the last two is not said.
    pub(crate) fn few_leases(
        &self,
        caller: PeerId,
        id: ContainerId,
        via: Via,
        seen: Seen,
    ) -> Result<(), Expected> {
        let count = |test: &dyn Fn(&Lease) -> bool| {
            let (mut surely, mut perhaps) = (0, 0);
            for lease in self.leases.values().filter(|lease| test(lease)) {
                surely += u16::from(lease.is_active());
                perhaps += 1;
            }
            (surely, perhaps)
        };
        let on_container = count(&|lease| lease.container == id);
        let of_borrowers = count(&|lease| lease.container == id && lease.via != Via::Owner);
        let of_via = count(&|lease| lease.container == id && lease.via == via);
        let of_peer = count(&|lease| lease.holder == caller);
        let is_borrower = via != Via::Owner;
        let for_borrowers = CONTAINER_LEASES_MAX - CONTAINER_LEASES_OWNER;
        let is_full = on_container.0 >= CONTAINER_LEASES_MAX
            || of_peer.0 >= PEER_LEASES_MAX
            || is_borrower && (of_borrowers.0 >= for_borrowers || of_via.0 >= SHARE_LEASES_MAX);
        let may_be_full = on_container.1 >= CONTAINER_LEASES_MAX
            || of_peer.1 >= PEER_LEASES_MAX
            || is_borrower && (on_container.1 >= for_borrowers || of_via.1 >= SHARE_LEASES_MAX);
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::TooMany);
        if is_full || (may_be_full && says_so) { Err(PmError::TooMany.into()) } else { Ok(()) }
    }

    /// Makes a lease, which takes grants of others back.
    pub(crate) fn take_lease(
        &mut self,
        holder: PeerId,
        (container, via): (ContainerId, Via),
        (start, last): Span,
        (asked, ttl): (Asked, u64),
        seen: Seen,
    ) -> (LeaseHandle, Micros) {
        let deadline = seen.deadline(&self.within_call(ttl));
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
            is_over: Doubt::No,
        };
        self.leases.insert(id, lease);
        let raw = match seen.reply() {
            Some(Reply::Lease(lease)) => Some(lease.lease.raw()),
            Some(Reply::Pinned(pinned)) => Some(pinned.lease.lease.raw()),
            _ => None,
        };
        let raw = self.names.give(holder, Some(holder), Object::Lease(id), raw);
        for number in self.numbers(container, (start, last)) {
            let cell = self.cell((container, number)).expect("it is there");
            for member in self.contents.members(cell).clone() {
                self.strip(
                    member,
                    |_| false,
                    |grant| {
                        let is_own = member.0 == container && grant.via == via;
                        !is_own && (is_exclusive || grant.rights.contains(MapFlags::WRITE))
                    },
                );
            }
        }
        (LeaseHandle::from_raw(raw), deadline)
    }

    pub(crate) fn unlock(&mut self, caller: PeerId, handle: LeaseHandle, seen: Seen) -> Outcome {
        let Some(Object::Lease(id)) = self.names.find(caller, Kind::Lease, handle.raw()) else {
            return Err(PmError::InvalidCap.into());
        };
        let is_doubtful = self.leases[&id].is_over == Doubt::Perhaps;
        self.leases.remove(&id);
        self.names.forget(Object::Lease(id));
        let outcomes = [Expected::done(), PmError::InvalidCap.into()];
        let which = if is_doubtful { seen.which(&outcomes) } else { 0 };
        Ok(outcomes[which].clone())
    }

    /// Ends the leases whose deadline has passed.
    pub(crate) fn end_leases(&mut self) {
        let over = |lease: &Lease| lease.is_active() && lease.deadline <= self.now;
        let ended: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| over(lease)).map(|(id, _)| *id).collect();
        for id in ended {
            self.end_lease(id, End::Deadline);
        }
    }

    /// Ends the leases of a peer at once (PM-76).
    pub(crate) fn end_leases_of(&mut self, holder: PeerId) {
        let all = self.leases.iter();
        let ended: Vec<LeaseId> = all
            .filter(|(_, lease)| lease.is_active() && lease.holder == holder)
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            self.end_lease(id, End::HolderGone);
        }
    }

    /// Ends a lease. A pin that was not given back leaves frames that were taken over (PM-273); of
    /// one for reading, or whose holder is gone, the protocol does not say so.
    fn end_lease(&mut self, id: LeaseId, end: End) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if !lease.is_pin {
            self.leases.remove(&id);
            self.names.forget(Object::Lease(id));
            return;
        }
        let is_certain = lease.is_exclusive && end == End::Deadline;
        lease.is_over = if is_certain { Doubt::Yes } else { Doubt::Perhaps };
        let (over, container, range) = (lease.is_over, lease.container, (lease.start, lease.last));
        let frames = self.containers.get_mut(&container);
        for (_, frame) in frames.into_iter().flat_map(|c| c.frames.range_mut(range.0..=range.1)) {
            frame.is_taken_over = frame.is_taken_over.max(over);
        }
        // Grants were to the memory before.
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        for grant in grants.filter(|grant| grant.place.0 == container) {
            grant.is_doubtful = true;
        }
    }
}
