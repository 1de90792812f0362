// SPDX-License-Identifier: BSD-2-Clause
//! Lending ranges of containers (PM-50 to PM-63).

use pmserver_api::{ContainerHandle, PmError, Reply, Rights, ShareHandle, ShareTerms, Shared};
use proto::limits::CONTAINER_SHARES_MAX;
use proto::{FrameNumber, PeerId};

use crate::container::{Span, span};
use crate::expected::{Expected, Seen};
use crate::names::{Kind, Object};
use crate::objects::{ContainerId, Share, ShareId, Via};
use crate::{Model, Outcome};

impl Model {
    pub(crate) fn share(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        terms: &ShareTerms,
        seen: Seen,
    ) -> Outcome {
        let id = self.owned(caller, container)?;
        let range = span(start, count)?;
        self.acceptable(caller, terms)?;
        let shares = self.shares.values().filter(|share| share.container == id).count();
        if shares >= usize::from(CONTAINER_SHARES_MAX) {
            return Err(PmError::TooMany.into());
        }
        let payer = self.containers[&id].account;
        self.pay(seen, Some(payer), PmError::QuotaExceeded)?;
        let shared = match seen.reply() {
            Some(Reply::Shared(shared)) => Some(*shared),
            _ => None,
        };
        let shared = self.lend(caller, id, range, terms, shared);
        Ok(Expected::Exactly(Ok(Reply::Shared(shared))))
    }

    /// Returns the refusal where nobody can be lent anything on these terms (PM-51).
    pub(crate) fn acceptable(&self, caller: PeerId, terms: &ShareTerms) -> Result<(), Expected> {
        let is_there = self.peers.get(&terms.peer).is_some_and(|peer| !peer.is_stopped);
        let is_sensible = terms.peer != caller && !terms.rights.is_empty();
        if is_there && is_sensible { Ok(()) } else { Err(PmError::Invalid.into()) }
    }

    pub(crate) fn lend(
        &mut self,
        owner: PeerId,
        container: ContainerId,
        (start, last): Span,
        terms: &ShareTerms,
        seen: Option<Shared>,
    ) -> Shared {
        let mut rights = terms.rights;
        if rights.contains(Rights::WRITE) {
            rights |= Rights::READ;
        }
        let id = ShareId(self.fresh());
        let share = Share {
            container,
            start,
            last,
            peer: terms.peer,
            rights,
            lease_max: terms.lease_max.get(),
            is_revoking: false,
        };
        self.shares.insert(id, share);
        let maker = Some(owner);
        let share = seen.map(|seen| seen.share.raw());
        let weak = seen.map(|seen| seen.weak.raw());
        let share = self.names.give(owner, maker, Object::Share(id), share);
        let weak = self.names.give(terms.peer, maker, Object::Weak(id), weak);
        Shared { share: ShareHandle::from_raw(share), weak: ContainerHandle::from_raw(weak) }
    }

    pub(crate) fn unshare(&mut self, caller: PeerId, handle: ShareHandle, seen: Seen) -> Outcome {
        let Some(Object::Share(id)) = self.names.find(caller, Kind::Share, handle.raw()) else {
            return Err(PmError::InvalidCap.into());
        };
        if self.containers[&self.shares[&id].container].is_dying {
            // Nothing can be done with the container any more; what becomes of its shares is told
            // of the weak handles alone (PM-21).
            let outcomes = [Expected::done(), PmError::InvalidCap.into()].into_iter();
            let leases = self.leases.values().filter(|lease| lease.via == Via::Share(id));
            let locked =
                leases.map(|lease| Expected::refused(PmError::Locked, 0, lease.deadline.get()));
            return Ok(Expected::OneOf(outcomes.chain(locked).collect()));
        }
        let share = self.shares.get_mut(&id).expect("it has a name");
        let leases = self.leases.values();
        let through = leases.filter(|lease| lease.is_active() && lease.via == Via::Share(id));
        if let Some(until) = through.map(|lease| lease.deadline.get()).max() {
            share.is_revoking = true;
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        let peer = self.peers.get_mut(&share.peer).expect("it was lent to");
        let is_through = |via: Via| via == Via::Share(id);
        let mappings = peer.mappings.values().filter(|there| is_through(there.via)).count();
        let grants = peer.grants.values().filter(|there| is_through(there.via)).count();
        let more = Expected::Refused { error: PmError::Pending, done: 1..=256, at: 0..=0 };
        if mappings + grants > 256 && seen.0.is_some_and(|seen| more.allows(seen)) {
            share.is_revoking = true;
            for there in peer.mappings.values_mut().filter(|there| is_through(there.via)) {
                there.is_doubtful = true;
            }
            for there in peer.grants.values_mut().filter(|there| is_through(there.via)) {
                there.is_doubtful = true;
            }
            return Err(more);
        }
        self.forget_share(id);
        Ok(Expected::done())
    }

    /// Takes a share away, with all access through it.
    pub(crate) fn forget_share(&mut self, id: ShareId) {
        let is_through = |via: Via| via == Via::Share(id);
        for peer in self.peers.values_mut() {
            peer.mappings.retain(|_, there| !is_through(there.via));
            peer.grants.retain(|_, there| !is_through(there.via));
        }
        self.shares.remove(&id);
        self.names.forget(Object::Share(id));
        self.names.forget(Object::Weak(id));
    }
}
