// SPDX-License-Identifier: BSD-2-Clause
//! disturb, for tests: does at once what pmserver may do at any time (R2).

use pmserver_api::{CURSOR_PEER_SHIFT, Disturbance, Disturbed, Failure, PmError};
use proto::PeerId;
use proto::limits::{CALL_FRAMES_MAX, CONTIGUOUS_LOOK_PAGES, PEERS_MAX};

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::ops::Operations;
use crate::records::id::{indices, lowest};
use crate::records::leaf::Leaf;
use crate::records::mapping::Mapping;
use crate::records::page::PageUse;
use crate::records::peer::VSpaceState;

const CURSOR_ADDRESS_MASK: u64 = (1 << CURSOR_PEER_SHIFT) - 1;

impl<K: Kernel> Operations<K> {
    /// Does one bounded step, from a cursor on.
    #[inline(never)]
    pub(crate) fn disturb(
        &mut self,
        caller: PeerId,
        what: Disturbance,
        cursor: u64,
    ) -> Result<Disturbed, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::DISTURB) {
            return Err(PmError::NoRight.into());
        }
        match what {
            Disturbance::Unmap => self.disturb_mappings(cursor),
            Disturbance::Move => self.disturb_frames(cursor),
        }
    }

    fn disturb_mappings(&mut self, cursor: u64) -> Result<Disturbed, Failure> {
        let mut count: u64 = 0;
        let mut address = cursor & CURSOR_ADDRESS_MASK;
        let first = usize::try_from(cursor >> CURSOR_PEER_SHIFT).unwrap_or(PEERS_MAX);
        for number in first..PEERS_MAX {
            let Some(peer) = PeerId::new(u64::try_from(number).unwrap_or(0)) else { continue };
            if self.find_peer(peer).is_none() {
                continue;
            }
            loop {
                let VSpaceState { mappings, grants, .. } = self.peer(peer).vspace;
                let grant = self.store.tree_next::<Mapping>(grants, 0);
                let mapping = grant.or_else(|| self.store.tree_next(mappings, address));
                let Some(mapping) = mapping else { break };
                let left = CALL_FRAMES_MAX.saturating_sub(count);
                if left == 0 || self.store.meter().begin_frame(count).is_err() {
                    let cursor = u64::from(peer.get()) << CURSOR_PEER_SHIFT | address;
                    return Ok(Disturbed { count, cursor });
                }
                if grant.is_some() {
                    self.remove_grants(mapping, u8::MAX)
                        .map_err(|_: KernelError| PmError::Kernel)?;
                    continue;
                }
                let record = *self.store.get(mapping);
                let mask = lowest(record.within(address, u64::MAX), left);
                self.suspend(mapping, mask).map_err(|_: KernelError| PmError::Kernel)?;
                count = count.saturating_add(mask.count_ones().into());
                address = match indices(mask).last().filter(|_| record.is_cluster()) {
                    Some(index) => record.vaddr_of(index).saturating_add(1),
                    None => record.last().saturating_add(1),
                };
            }
            address = 0;
        }
        Ok(Disturbed { count, cursor: 0 })
    }

    fn disturb_frames(&mut self, cursor: u64) -> Result<Disturbed, Failure> {
        let mut count: u64 = 0;
        let end = self.store.page_count();
        let end = u32::try_from(cursor).ok().filter(|cursor| *cursor > 0).unwrap_or(end).min(end);
        // Downwards, because free pages are taken upwards: a moved page is not met again.
        for (page, looked) in (0..end).rev().zip(0..) {
            let is_over = count == CALL_FRAMES_MAX || looked == CONTIGUOUS_LOOK_PAGES;
            if is_over || self.store.meter().begin_frame(count).is_err() {
                return Ok(Disturbed { count, cursor: u64::from(page).saturating_add(1) });
            }
            let page = PageIndex::new(page);
            let entry = self.store.entry(page);
            if (entry.is(PageUse::Frame) || entry.is_of_run()) && self.is_movable(page) {
                if self.take_out_of_run(page).is_err() {
                    return Ok(Disturbed {
                        count,
                        cursor: u64::from(page.get()).saturating_add(1),
                    });
                }
                if self.store.free_use(page).is_some() {
                    count = count.saturating_add(1);
                    continue;
                }
                match self.relocate(page) {
                    Ok(()) => count = count.saturating_add(1),
                    // No free page is left to move to.
                    Err(KernelError::NotEnoughMemory) => {}
                    Err(_) => return Err(PmError::Kernel.into()),
                }
            }
        }
        Ok(Disturbed { count, cursor: 0 })
    }
}
