// SPDX-License-Identifier: BSD-2-Clause
//! What is in the way of mapping or granting a frame, and with which rights it is (PM-80 to PM-87).

use pmserver_api::{MapFlags, PmError, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use super::leases::Need;
use crate::answers::{Doubt, Expected};
use crate::state::{AccountId, CellId, Model, Place, Via};

/// Returns the rights that flags need of a handle.
pub(crate) const fn rights_for(flags: MapFlags) -> Rights {
    if flags.contains(MapFlags::WRITE) { Rights::WRITE } else { Rights::READ }
}

/// Returns what a mapping with these flags does with a frame.
pub(crate) const fn need_of(flags: MapFlags) -> Need {
    if flags.contains(MapFlags::WRITE) { Need::Store } else { Need::Load }
}

/// Refuses flags that make no sense (PM-81).
pub(crate) fn check_flags(flags: MapFlags) -> Result<(), Expected> {
    let is_both = flags.contains(MapFlags::WRITE | MapFlags::EXECUTE);
    if !flags.is_empty() && !is_both { Ok(()) } else { Err(PmError::Invalid.into()) }
}

/// Refuses a range of pages that leaves user space.
pub(crate) fn check_user_space(vaddr: VirtAddr, pages: u64) -> Result<(), Expected> {
    let last = pages.checked_sub(1).and_then(|more| more.checked_mul(PAGE_BYTES));
    let last = last.and_then(|offset| vaddr.checked_add(offset));
    if last.is_some() { Ok(()) } else { Err(PmError::Invalid.into()) }
}

/// Returns how many mappings and grants a frame may have through a handle (PM-84).
pub(crate) fn most_mappings(via: Via) -> usize {
    let reserved = if via == Via::Owner { 0 } else { FRAME_MAPPINGS_OWNER };
    usize::from(FRAME_MAPPINGS_MAX - reserved)
}

impl Model {
    /// Refuses one more mapping or grant than a frame may have (PM-84). Those that may be gone
    /// count if the server says so.
    pub(crate) fn check_mapping_count(&self, place: Place, via: Via) -> Result<(), Expected> {
        let most = most_mappings(via);
        let doubts: Vec<bool> = self.mappings_of(place).collect();
        let surely = doubts.iter().filter(|is_doubtful| !**is_doubtful).count();
        let is_told =
            self.observed.refusal(PmError::TooMany).is_some_and(|told| told.at == place.1);
        if surely >= most || doubts.len() >= most && is_told {
            return Err(Expected::refused(PmError::TooMany, 0, place.1));
        }
        Ok(())
    }

    /// Returns the mappings and grants of a frame: whether each may be gone.
    pub(crate) fn mappings_of(&self, place: Place) -> impl Iterator<Item = bool> {
        self.peers.values().flat_map(move |peer| {
            let mappings = peer.mappings.values().filter(move |there| there.place == place);
            let grants = peer.grants.values().filter(move |there| there.place == place);
            mappings.map(|there| there.is_doubtful).chain(grants.map(|there| there.is_doubtful))
        })
    }

    /// Returns the account that pays for what a peer has mapped.
    pub(crate) fn vspace_account_of(&self, peer: PeerId) -> Option<AccountId> {
        self.peers[&peer].vspace_account.filter(|id| !self.accounts[id].is_dying)
    }

    /// Returns the account that pays for what a peer maps from now on.
    pub(crate) fn vspace_payer(&self, peer: PeerId) -> Option<AccountId> {
        self.vspace_account_of(peer).filter(|id| self.may_charge(peer, *id))
    }

    /// Returns the rights that the frame at an index is mapped with (PM-86, PM-87).
    pub(crate) fn granted(&self, cell: CellId, flags: MapFlags, index: u64) -> MapFlags {
        let mut rights = MapFlags::READ | flags & MapFlags::EXECUTE;
        let may_be_written = match self.is_cow(cell) {
            Doubt::No => true,
            Doubt::Perhaps => self.observed.is_writable(index),
            Doubt::Yes => false,
        };
        rights.set(MapFlags::WRITE, flags.contains(MapFlags::WRITE) && may_be_written);
        rights
    }

    /// Returns whether a store to a cell has to copy its memory. Frames of containers that are
    /// being destroyed may be gone.
    pub(crate) fn is_cow(&self, cell: CellId) -> Doubt {
        let doubt = self.contents.is_shared(cell);
        let siblings = self.contents.siblings(cell);
        if doubt == Doubt::Yes && siblings.iter().all(|sibling| self.may_be_gone(*sibling)) {
            return Doubt::Perhaps;
        }
        doubt
    }

    /// Gives a cell memory of its own. If that was shared, grants of the frames that move to other
    /// memory are taken back: the cell's own, or if it is pinned the others'.
    pub(crate) fn make_writable(&mut self, cell: CellId) {
        let members: Vec<Place> = self.contents.members(cell).iter().copied().collect();
        let is_pinned = members.iter().any(|member| self.pinned(*member, |_| true).is_some());
        let moved = if is_pinned { self.contents.siblings(cell) } else { members };
        match self.is_cow(cell) {
            Doubt::No => {}
            Doubt::Yes => self.strip_grants(&moved),
            Doubt::Perhaps => self.doubt_grants(&moved),
        }
        self.contents.bind_alone(cell);
    }

    /// Notes that grants of frames may have been taken back.
    pub(crate) fn doubt_grants(&mut self, of: &[Place]) {
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        for grant in grants.filter(|grant| of.contains(&grant.place)) {
            grant.is_doubtful = true;
        }
    }

    /// Notes that any grant may have been taken back.
    pub(crate) fn doubt_all_grants(&mut self) {
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        grants.for_each(|grant| grant.is_doubtful = true);
    }

    /// Notes that what was mapped and granted through a share may be gone.
    pub(crate) fn doubt_mappings(&mut self, via: Via) {
        for peer in self.peers.values_mut() {
            let mappings = peer.mappings.values_mut().filter(|there| there.via == via);
            mappings.for_each(|there| there.is_doubtful = true);
            let grants = peer.grants.values_mut().filter(|there| there.via == via);
            grants.for_each(|there| there.is_doubtful = true);
        }
    }

    /// Unmaps what was mapped through a share.
    pub(crate) fn unmap_through(&mut self, via: Via) {
        for peer in self.peers.values_mut() {
            peer.mappings.retain(|_, there| there.via != via);
        }
    }
}
