// SPDX-License-Identifier: BSD-2-Clause
//! How frames, shares, containers and accounts go.

use crate::state::{
    AccountId, ContainerId, Frame, Lease, LeaseId, Model, Object, Place, ShareId, Via,
};

impl Model {
    /// Lets nothing more be done with a container (PM-21). Its frames go in steps.
    pub(crate) fn begin_dying(&mut self, id: ContainerId) {
        let container = self.containers.get_mut(&id).expect("it is there");
        container.is_dying = true;
        self.end_lasting_pins(id);
        for peer in self.peers.values_mut() {
            for mapping in peer.mappings.values_mut().filter(|there| there.place.0 == id) {
                mapping.is_doubtful = true;
            }
            for grant in peer.grants.values_mut().filter(|there| there.place.0 == id) {
                grant.is_doubtful = true;
            }
        }
    }

    /// The same for a container to which teardown comes some time (PM-235).
    pub(crate) fn begin_ending(&mut self, id: ContainerId) {
        let container = self.containers.get_mut(&id).expect("it is there");
        container.may_live |= !container.is_dying;
        self.begin_dying(id);
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

    /// Takes away what is left of a container.
    pub(crate) fn purge(&mut self, id: ContainerId) {
        let Some(container) = self.containers.get(&id) else { return };
        for number in container.frames.keys().copied().collect::<Vec<u64>>() {
            self.remove_frame((id, number));
        }
        let shares = self.shares.iter().filter(|(_, share)| share.container == id);
        for share in shares.map(|(share, _)| *share).collect::<Vec<ShareId>>() {
            self.forget_share(share);
        }
        let leases = self.leases.iter().filter(|(_, lease)| lease.container == id);
        let leases =
            leases.filter(|(_, lease)| lease.is_active() || lease.is_take).map(|(lease, _)| *lease);
        for lease in leases.collect::<Vec<LeaseId>>() {
            self.leases.remove(&lease);
            self.names.forget(Object::Lease(lease));
        }
        self.end_waits(|wait| wait.place.0 == id);
        self.containers.remove(&id);
        self.names.forget(Object::Container(id));
    }

    /// Takes away an account and those below it, which pay for nothing any more.
    pub(crate) fn purge_account(&mut self, id: AccountId) {
        for account in self.subtree(id) {
            self.accounts.remove(&account);
            self.left_over.retain(|(_, id)| *id != account);
            self.names.forget(Object::Account(account));
            for peer in self.peers.values_mut() {
                if peer.account == Some(account) {
                    peer.account = None;
                }
                if peer.vspace_account == Some(account) {
                    peer.vspace_account = None;
                    peer.mappings.clear();
                    peer.regions.clear();
                    peer.grants.clear();
                }
            }
        }
    }

    /// Returns whether a frame may be gone without a call that says so.
    pub(crate) fn may_be_gone(&self, place: Place) -> bool {
        let is_dropped = |frame: &Frame| self.may_be_dropped(place, frame);
        self.containers[&place.0].is_dying || self.frame(place).is_some_and(is_dropped)
    }

    /// Returns whether a server that was short may have dropped a frame (PM-260 to PM-263): an
    /// extra one without a lease that is discardable, or was asked back in vain. The owner's own
    /// lease does not keep it for long.
    pub(crate) fn may_be_dropped(&self, place: Place, frame: &Frame) -> bool {
        let is_overdue = self.asked_until.is_some_and(|until| until <= self.now);
        let is_kept = |lease: &Lease| lease.via != Via::Owner || lease.is_pin || !is_overdue;
        let is_free = !self.active_leases().any(|lease| lease.covers(place) && is_kept(lease));
        frame.is_extra.perhaps() && is_free && (frame.is_discardable || is_overdue)
    }
}
