// SPDX-License-Identifier: BSD-2-Clause
//! Capabilities to frames in the caller's CSpace (PM-210 to PM-212). What a program maps with them
//! is outside the model.

use pmserver_api::{AccessKind, Frames, Granted, MapFlags, PmError, Reply};
use proto::limits::PEER_GRANTS_MAX;
use proto::{FrameCount, PeerId};

use crate::answers::Expected;
use crate::rules::{check_flags, for_mappings, need_of, rights_for, span_of};
use crate::state::{Grant, Model, Outcome, Place, Via};

const GRANTS_MAX: u64 = PEER_GRANTS_MAX as u64;
/// The first address of all, if the model decides that itself.
const FIRST_ADDRESS: u64 = 0x1000;

impl Model {
    pub(crate) fn grant(&mut self, caller: PeerId, frames: &Frames, flags: MapFlags) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let range = span_of(frames)?;
        self.demand(via, range, rights_for(flags))?;
        check_flags(flags)?;
        if flags.contains(MapFlags::EXECUTE) {
            return Err(PmError::Invalid.into());
        }
        self.check_revoking(via)?;
        let too_many = Expected::refused(PmError::TooMany, 0, range.0);
        let count = frames.count.get();
        let address = self.grant_address(caller, count).ok_or(too_many)?;
        let mut granted = Granted { address, count: 0, rights: MapFlags::empty() };
        for (place, index) in (range.0..=range.1).map(|number| (id, number)).zip(0..) {
            let expected = (index > 0).then_some(granted.rights);
            let at = (address + index, index, count);
            match self.grant_one(caller, place, via, at, (flags, expected)) {
                Ok(rights) => granted.rights = rights,
                Err(refusal) if index == 0 => return Err(refusal),
                Err(_) => break,
            }
            granted.count += 1;
        }
        Ok(Expected::Exactly(Ok(Reply::Granted(granted))))
    }

    fn grant_one(
        &mut self,
        caller: PeerId,
        place: Place,
        via: Via,
        (address, index, count): (u64, u64, u64),
        (flags, expected): (MapFlags, Option<MapFlags>),
    ) -> Result<MapFlags, Expected> {
        self.check_leases(place.0, via, (place.1, place.1), need_of(flags))?;
        let cell = self.present(place)?;
        self.check_sharers(place, need_of(flags))?;
        self.check_mapping_count(place, via)?;
        self.supplied_in_turn(caller, place, AccessKind::Read, index)?;
        let peer = &self.peers[&caller];
        let base = peer.grant_base.or(self.observed.is_nothing().then_some(FIRST_ADDRESS));
        let is_beyond = base.is_some_and(|base| address >= base + GRANTS_MAX);
        let is_taken = match peer.grants.get(&address) {
            Some(grant) if grant.is_doubtful && index == 0 => {
                self.observed.refusal(PmError::TooMany).is_some()
            }
            Some(grant) if grant.is_doubtful => self.observed.stopped_after() == Some(index),
            grant => grant.is_some(),
        };
        let is_doubtful = peer.grants.get(&address).is_some_and(|grant| grant.is_doubtful);
        if is_taken || is_beyond {
            // If that grant is gone, the frame has memory now, and other rights than the first.
            let containers = self.containers.values_mut().filter(|_| is_doubtful);
            let frames = containers.flat_map(|container| container.frames.values_mut());
            frames.filter(|frame| frame.cell == cell).for_each(|frame| frame.may_be_bound = true);
            return Err(Expected::refused(PmError::TooMany, 0, place.1));
        }
        let is_ended =
            flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) && self.contents.is_bound(cell);
        if let Some(short) = self.short_at(caller, for_mappings(count), place.1, index) {
            if is_ended {
                self.doubt_relation(place);
            }
            // What the kernel refused may have stayed (PM-381).
            let members = if self.is_kernel_unsure { self.members(place) } else { Vec::new() };
            for member in members {
                self.frame_mut(member).expect("it is there").may_be_bound = true;
            }
            return Err(short);
        }
        if is_ended {
            self.make_writable(cell);
        }
        let rights = self.granted(cell, flags, index);
        if expected.is_some_and(|expected| expected != rights) {
            return Err(Expected::refused(PmError::NoRight, 0, place.1));
        }
        self.contents.bind(cell);
        let grant = Grant { place, via, rights, is_doubtful: false };
        self.peers.get_mut(&caller).expect("it calls").grants.insert(address, grant);
        Ok(rights)
    }

    /// Returns where the capabilities go: to the lowest numbers that have room for all, else to the
    /// lowest that is free. Only the server knows the first number of all.
    fn grant_address(&mut self, caller: PeerId, count: u64) -> Option<u64> {
        let told = self.observed.grant_address();
        let peer = self.peers.get_mut(&caller).expect("it calls");
        if peer.grants.is_empty() && peer.grant_base.is_none() {
            peer.grant_base = Some(told.unwrap_or(FIRST_ADDRESS)).filter(|_| told.is_some());
        }
        let base = peer.grant_base.or(told).unwrap_or(FIRST_ADDRESS);
        let all = base..base + GRANTS_MAX;
        let is_exact = peer.grants.values().all(|grant| !grant.is_doubtful);
        if let Some(told) = told.filter(|told| !is_exact && all.contains(told)) {
            return Some(told);
        }
        let is_free = |at: &u64| !peer.grants.contains_key(at);
        let fits = |start: &u64| {
            *start + count <= all.end && (*start..*start + count).all(|at| is_free(&at))
        };
        // One that may be gone has made room if the server does not say otherwise.
        let is_told = self.observed.refusal(PmError::TooMany).is_some();
        let may_be_free =
            |at: &u64| !is_told && peer.grants.get(at).is_some_and(|grant| grant.is_doubtful);
        let free = all.clone().find(fits).or_else(|| all.clone().find(is_free));
        free.or_else(|| all.clone().find(may_be_free))
    }

    pub(crate) fn ungrant(&mut self, caller: PeerId, address: u64, count: FrameCount) -> Expected {
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let end = address.saturating_add(count.get());
        let surely =
            peer.grants.range(address..end).filter(|(_, grant)| !grant.is_doubtful).count() as u64;
        let perhaps = peer.grants.range(address..end).count() as u64;
        peer.grants.retain(|at, _| !(address..end).contains(at));
        let number = self.observed.count(surely..=perhaps);
        Expected::Exactly(Ok(Reply::Number(number)))
    }
}
