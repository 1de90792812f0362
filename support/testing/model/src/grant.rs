// SPDX-License-Identifier: BSD-2-Clause
//! Capabilities to frames in the caller's own CSpace (PM-210 to PM-212). What a program does with
//! them is outside of the model.

use pmserver_api::{Frames, Granted, MapFlags, PmError, Reply};
use proto::{FrameCount, PeerId};

use crate::container::span_of;
use crate::contents::Doubt;
use crate::expected::{Expected, Seen};
use crate::mapping::{Hurdle, rights_for, sensible, stops_at};
use crate::objects::Grant;
use crate::{Model, Outcome};

const GRANTS_MAX: usize = 128;

impl Model {
    pub(crate) fn grant(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        rights: MapFlags,
        seen: Seen,
    ) -> Outcome {
        let (id, via) = self.container(caller, frames.container)?;
        let count = frames.count.get();
        self.demand(via, frames.start.get(), count, rights_for(rights))?;
        let (start, _) = span_of(frames)?;
        sensible(rights)?;
        if rights.contains(MapFlags::EXECUTE) {
            return Err(PmError::Invalid.into());
        }
        let address = self.grant_address(caller, seen);
        let mut granted = Granted { address, count: 0, rights: MapFlags::empty() };
        for index in 0..count {
            let place = (id, start + index);
            // The numbers that follow have to be free.
            let is_taken = self.peers[&caller].grants.contains_key(&(address + index));
            if index > 0 && is_taken && stops_at(seen, index) {
                break;
            }
            let mut hurdles = self.hurdles(place, via, rights);
            if hurdles.is_empty() {
                hurdles.extend(Hurdle::of(self.is_absent(place), PmError::Absent, place.1));
            }
            self.count_hurdle(&mut hurdles, place, via);
            hurdles.extend(Hurdle::of(self.has_many(caller), PmError::TooMany, place.1));
            match self.map_one(caller, place, hurdles, rights, index, seen) {
                Ok(allowed) if index == 0 || allowed == granted.rights => granted.rights = allowed,
                Err(refusal) => {
                    // The first thing that is done may stay.
                    if let Some(frame) = self.frame_mut(place) {
                        frame.may_be_bound = true;
                    }
                    if index == 0 {
                        return Err(refusal);
                    }
                    break;
                }
                Ok(_) => break,
            }
            granted.count += 1;
            let cell = self.cell(place).expect("it was granted");
            self.contents.bind(cell);
            let rights = granted.rights;
            let grant = Grant { place, via, rights, is_doubtful: false };
            let peer = self.peers.get_mut(&caller).expect("it calls");
            peer.grants.insert(address + index, grant);
            peer.had_tables = true;
        }
        Ok(Expected::Exactly(Ok(Reply::Granted(granted))))
    }

    /// Returns where the capabilities are: at numbers where none are that are surely there.
    fn grant_address(&self, caller: PeerId, seen: Seen) -> u64 {
        let grants = &self.peers[&caller].grants;
        let next = grants.last_key_value().map_or(0x1000, |(last, _)| last + 1);
        let Some(Reply::Granted(granted)) = seen.reply() else { return next };
        let last = granted.address.saturating_add(granted.count);
        let mut there = grants.range(granted.address..last);
        let is_free = there.all(|(_, grant)| grant.is_doubtful);
        if is_free && last != u64::MAX { granted.address } else { next }
    }

    fn has_many(&self, caller: PeerId) -> Doubt {
        let grants = &self.peers[&caller].grants;
        let surely = grants.values().filter(|grant| !grant.is_doubtful).count();
        match grants.len() {
            _ if surely >= GRANTS_MAX => Doubt::Yes,
            GRANTS_MAX.. => Doubt::Perhaps,
            _ => Doubt::No,
        }
    }

    pub(crate) fn ungrant(
        &mut self,
        caller: PeerId,
        address: u64,
        count: FrameCount,
        seen: Seen,
    ) -> Expected {
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let end = address.saturating_add(count.get());
        let there = || peer.grants.range(address..end);
        let surely = there().filter(|(_, grant)| !grant.is_doubtful).count() as u64;
        let perhaps = there().count() as u64;
        peer.grants.retain(|at, _| !(address..end).contains(at));
        let number = match seen.reply() {
            Some(Reply::Number(number)) if (surely..=perhaps).contains(number) => *number,
            _ => surely,
        };
        Expected::Exactly(Ok(Reply::Number(number)))
    }
}
