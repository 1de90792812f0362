// SPDX-License-Identifier: BSD-2-Clause
//! Lending ranges of containers, and taking them back (PM-50 to PM-63).

use pmserver_api::{ContainerHandle, PmError, Reply, Rights, ShareHandle, ShareTerms, Shared};
use proto::limits::{CALL_FRAMES_MAX, CONTAINER_SHARES_MAX};
use proto::{FrameNumber, PeerId};

use crate::answers::Expected;
use crate::rules::{for_records, span};
use crate::state::{ContainerId, Kind, Model, Object, Outcome, Share, ShareId, Span, Via};

impl Model {
    pub(crate) fn share(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        terms: &ShareTerms,
    ) -> Outcome {
        let id = self.owned(caller, container)?;
        let range = span(start, count)?;
        self.check_terms(caller, terms)?;
        let shares = self.shares.values().filter(|share| share.container == id).count();
        if shares >= usize::from(CONTAINER_SHARES_MAX) {
            return Err(PmError::TooMany.into());
        }
        let payer = self.charged(id);
        self.pay(payer, for_records(1), PmError::QuotaExceeded)?;
        let shared = self.lend(caller, id, range, terms);
        Ok(Expected::Exactly(Ok(Reply::Shared(shared))))
    }

    /// Refuses terms on which nothing can be lent (PM-51).
    pub(crate) fn check_terms(&self, caller: PeerId, terms: &ShareTerms) -> Result<(), Expected> {
        let is_there = self.peers.get(&terms.peer).is_some_and(|peer| !peer.is_stopped);
        let is_taken_for_no_time = terms.once && terms.lease_max.get() == 0;
        let is_sensible = terms.peer != caller && !terms.rights.is_empty() && !is_taken_for_no_time;
        if is_there && is_sensible { Ok(()) } else { Err(PmError::Invalid.into()) }
    }

    pub(crate) fn lend(
        &mut self,
        owner: PeerId,
        container: ContainerId,
        (start, last): Span,
        terms: &ShareTerms,
    ) -> Shared {
        let mut rights = terms.rights;
        if rights.contains(Rights::WRITE) {
            rights |= Rights::READ;
        }
        if terms.once {
            rights |= Rights::LOCK;
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
            once: terms.once,
            is_armed: false,
        };
        self.shares.insert(id, share);
        let told = self.observed.shared();
        let (share, weak) = (told.map(|told| told.share.raw()), told.map(|told| told.weak.raw()));
        let share = self.names.give(owner, Some(owner), Object::Share(id), share);
        let weak = self.names.give(terms.peer, Some(owner), Object::Weak(id), weak);
        Shared { share: ShareHandle::from_raw(share), weak: ContainerHandle::from_raw(weak) }
    }

    pub(crate) fn unshare(&mut self, caller: PeerId, handle: ShareHandle) -> Outcome {
        let id = self.own_share(caller, handle)?;
        let share = self.shares.get_mut(&id).expect("it has a name");
        share.is_revoking = true;
        let peer = share.peer;
        let through = self.active_leases().filter(|lease| lease.via == Via::Share(id));
        if let Some(until) = through.map(|lease| lease.deadline.get()).max() {
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        let peer = &self.peers[&peer];
        let is_through = |via: Via| via == Via::Share(id);
        let mappings = peer.mappings.values().filter(|there| is_through(there.via)).count();
        let grants = peer.grants.values().filter(|there| is_through(there.via)).count();
        let all = (mappings + grants) as u64;
        // One call may have too much work with fewer, too (PM-320).
        let more = self.observed.refusal(PmError::Pending);
        if let Some(more) = more.filter(|more| more.done < all && more.done <= CALL_FRAMES_MAX) {
            // Which of them went first does not show.
            self.doubt_mappings(Via::Share(id));
            return Err(Expected::refused(PmError::Pending, more.done, 0));
        }
        self.forget_share(id);
        Ok(Expected::done())
    }

    /// Returns a share of the caller's.
    pub(crate) fn own_share(
        &mut self,
        caller: PeerId,
        handle: ShareHandle,
    ) -> Result<ShareId, Expected> {
        let Some(Object::Share(id)) = self.names.find(caller, Kind::Share, handle.raw()) else {
            return Err(PmError::InvalidCap.into());
        };
        let container = self.shares[&id].container;
        let may_be_gone = self.containers[&container].is_reclaimed;
        if may_be_gone && self.observed.refusal(PmError::InvalidCap).is_some() {
            return Err(PmError::InvalidCap.into());
        }
        self.take_over(container);
        Ok(id)
    }
}
