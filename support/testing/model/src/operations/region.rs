// SPDX-License-Identifier: BSD-2-Clause
//! Regions: pages that are mapped when they are touched (PM-200 to PM-202).

use pmserver_api::{PmError, Request};
use proto::limits::{CALL_FRAMES_MAX, VSPACE_REGIONS_MAX};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::answers::Expected;
use crate::rules::{check_flags, check_user_space, for_records, rights_for, span};
use crate::state::{Model, Outcome, Region};

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
            for page in mapped.iter().take(more.done as usize) {
                peer.mappings.remove(page);
            }
            return Err(Expected::refused(PmError::Pending, more.done, 0));
        }
        peer.regions.remove(&from);
        peer.mappings.retain(|page, _| !(from..end).contains(page));
        Ok(Expected::done())
    }
}
