// SPDX-License-Identifier: BSD-2-Clause
//! Regions whose faults the server answers (PM-200 to PM-202).

use pmserver_api::{PmError, Request};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::container::span;
use crate::expected::{Expected, Seen};
use crate::mapping::{in_user_space, rights_for, sensible};
use crate::objects::Region;
use crate::{Model, Outcome};

const REGIONS_MAX: usize = 16;

impl Model {
    pub(crate) fn attach(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        let Request::Attach { container, start, vaddr, count, flags } = *request else {
            unreachable!("is no attachment");
        };
        let pages = u64::from(count);
        let (id, via) = self.container(caller, container)?;
        let range = span(start, pages);
        if pages > 0 {
            self.demand(via, start.get(), pages, rights_for(flags))?;
        }
        range?;
        sensible(flags)?;
        in_user_space(vaddr, pages)?;
        let from = vaddr.get();
        let end = from + pages * PAGE_BYTES;
        let regions = &self.peers[&caller].regions;
        let overlaps =
            |(at, region): (&u64, &Region)| *at < end && from < at + region.pages * PAGE_BYTES;
        if regions.iter().any(overlaps) {
            let error = PmError::Occupied;
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        if regions.len() >= REGIONS_MAX {
            return Err(PmError::TooMany.into());
        }
        let payer = self.vspace_payer(caller);
        self.pay(seen, payer, PmError::NoTableQuota)?;
        let region = Region { container: id, via, start: start.get(), pages, flags };
        self.peers.get_mut(&caller).expect("it calls").regions.insert(from, region);
        Ok(Expected::done())
    }

    pub(crate) fn detach(&mut self, caller: PeerId, vaddr: VirtAddr, seen: Seen) -> Outcome {
        let peer = self.peers.get_mut(&caller).expect("it calls");
        let from = vaddr.get();
        let Some(region) = peer.regions.get(&from).copied() else {
            let error = PmError::NotFound;
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        };
        let end = from + region.pages * PAGE_BYTES;
        let more = Expected::Refused { error: PmError::Pending, done: 1..=256, at: 0..=0 };
        let mapped = peer.mappings.range_mut(from..end);
        if mapped.count() > 256 && seen.0.is_some_and(|seen| more.allows(seen)) {
            for (_, mapping) in peer.mappings.range_mut(from..end) {
                mapping.is_doubtful = true;
            }
            return Err(more);
        }
        peer.regions.remove(&from);
        peer.mappings.retain(|page, _| !(from..end).contains(page));
        Ok(Expected::done())
    }
}
