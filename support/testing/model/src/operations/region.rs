// SPDX-License-Identifier: BSD-2-Clause
//! Regions: pages that are mapped when they are touched (PM-200 to PM-203).

use pmserver_api::{PmError, Request};
use proto::limits::{CALL_FRAMES_MAX, MAP_AHEAD_MAX, VSPACE_REGIONS_MAX};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::answers::Expected;
use crate::rules::{
    check_flags, check_user_space, for_records, most_mappings, need_of, rights_for, span,
};
use crate::state::{Frame, Mapping, Model, Outcome, Place, Region};

impl Model {
    pub(crate) fn attach(&mut self, caller: PeerId, request: &Request) -> Outcome {
        let Request::Attach { container, start, vaddr, count, flags } = *request else {
            unreachable!("is no attachment");
        };
        let pages = u64::from(count);
        let (id, via) = self.container(caller, container)?;
        self.demand(via, span(start, pages)?, rights_for(flags))?;
        check_flags(flags)?;
        check_user_space(vaddr, pages)?;
        self.check_revoking(via)?;
        let from = vaddr.get();
        let end = from + pages * PAGE_BYTES;
        let regions = &self.peers[&caller].regions;
        let overlaps =
            |(at, region): &(&u64, &Region)| **at < end && from < **at + region.pages * PAGE_BYTES;
        if let Some((first, _)) = regions.iter().find(overlaps) {
            return Err(Expected::refused(PmError::Occupied, 0, *first));
        }
        if regions.len() >= VSPACE_REGIONS_MAX.into() {
            return Err(PmError::TooMany.into());
        }
        let payer = self.vspace_payer(caller);
        self.pay(payer, for_records(2), PmError::NoTableQuota)?;
        let region = Region { container: id, via, start: start.get(), pages, flags };
        self.peers.get_mut(&caller).expect("it calls").regions.insert(from, region);
        Ok(Expected::done())
    }

    pub(crate) fn detach(&mut self, caller: PeerId, vaddr: VirtAddr) -> Outcome {
        let from = vaddr.get();
        let missing = Expected::refused(PmError::NotFound, 0, from);
        // The account that pays for it is being destroyed, and may have come so far (PM-235).
        let is_going = self.vspace_account_of(caller).is_none();
        let peer = self.peers.get_mut(&caller).expect("it calls");
        if is_going && self.observed.refusal(PmError::NotFound).is_some() {
            peer.regions.remove(&from);
        }
        let region = peer.regions.get(&from).copied().ok_or(missing)?;
        let end = from + region.pages * PAGE_BYTES;
        let mapped: Vec<u64> = peer.mappings.range(from..end).map(|(page, _)| *page).collect();
        // One call may have too much work with fewer, too (PM-320).
        let more = self
            .observed
            .refusal(PmError::Pending)
            .filter(|more| more.done < mapped.len() as u64 && more.done <= CALL_FRAMES_MAX);
        if let Some(more) = more {
            let all = || from..end;
            if peer.mappings.range(all()).any(|(_, there)| there.is_doubtful) {
                // Which of them went does not show.
                peer.mappings.range_mut(all()).for_each(|(_, there)| there.is_doubtful = true);
            } else {
                for page in mapped.iter().take(more.done as usize) {
                    peer.mappings.remove(page);
                }
            }
            return Err(Expected::refused(PmError::Pending, more.done, 0));
        }
        peer.regions.remove(&from);
        peer.mappings.retain(|page, _| !(from..end).contains(page));
        Ok(Expected::done())
    }

    /// Returns the frame that a region has at a page.
    pub(crate) fn in_region(&self, peer: PeerId, page: u64) -> Option<(Place, Region)> {
        let (at, region) = self.peers.get(&peer)?.regions.range(..=page).next_back()?;
        let index = (page - at) / PAGE_BYTES;
        let number = region.start.checked_add(index).filter(|_| index < region.pages)?;
        Some(((region.container, number), *region))
    }

    /// Notes the pages around an accessed one that may be mapped with it (PM-203): those behind it,
    /// and those before it that are of the same 64 frames, if these are at an aligned address.
    pub(crate) fn map_ahead(&mut self, peer: PeerId, page: u64) {
        for index in 0..MAP_AHEAD_MAX {
            if !self.may_map_with(peer, page + index * PAGE_BYTES, index == 0) {
                break;
            }
        }
        let Some(((_, number), _)) = self.in_region(peer, page) else { return };
        let before = number % MAP_AHEAD_MAX;
        let first = page.checked_sub(before * PAGE_BYTES);
        if first.is_some_and(|first| first.is_multiple_of(MAP_AHEAD_MAX * PAGE_BYTES)) {
            let all = (1..=before).map(|index| page - index * PAGE_BYTES);
            let _ = all.take_while(|each| self.may_map_with(peer, *each, false)).count();
        }
    }

    /// Notes that a page may be mapped with an accessed one, if nothing is in the way. Returns
    /// whether the next one may be, too.
    fn may_map_with(&mut self, peer: PeerId, page: u64, is_accessed: bool) -> bool {
        let Some((place, region)) = self.in_region(peer, page) else { return false };
        let (via, flags) = (region.via, region.mapped_flags());
        let has_memory = |it: &Frame| self.contents.is_bound(it.cell) || it.may_be_bound;
        let is_bound = self.frame(place).is_some_and(has_memory);
        let mapped = self.mappings_of(place).filter(|is_doubtful| !is_doubtful).count();
        let leases = self.check_leases(place.0, via, (place.1, place.1), need_of(flags));
        let leaves_room = is_accessed || mapped + 1 < most_mappings(via);
        if !is_bound || !leaves_room || leases.is_err() {
            return false;
        }
        match self.peers[&peer].mappings.get(&page) {
            Some(there) if !is_accessed && !there.is_doubtful => return false,
            Some(_) => {}
            None => self.keep(peer, page, Mapping { place, via, flags, is_doubtful: true }),
        }
        true
    }
}
