// SPDX-License-Identifier: BSD-2-Clause
//! Shares that are used once at a time (PM-430 to PM-437).

use pmserver_api::{ContainerHandle, Frames, LockMode, MapFlags, PmError, Reply, ShareHandle};
use proto::limits::LEASE_MICROS_MAX;
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

use crate::answers::Expected;
use crate::rules::{
    Asked, check_user_space, for_mappings, for_records, locked_until, rights_for, span_of,
};
use crate::state::{ContainerId, Mapping, Model, Outcome, ShareId, Span, Via};

/// So many pages can be unmapped again in the same call after others.
const SURELY_UNDONE: u64 = 100;

impl Model {
    pub(crate) fn arm(&mut self, caller: PeerId, handle: ShareHandle) -> Outcome {
        let id = self.given_back(caller, handle)?;
        let share = self.shares.get_mut(&id).expect("it has a name");
        if share.is_revoking {
            return Err(PmError::Revoking.into());
        }
        share.is_armed = true;
        Ok(Expected::done())
    }

    pub(crate) fn disarm(&mut self, caller: PeerId, handle: ShareHandle) -> Outcome {
        let id = self.given_back(caller, handle)?;
        let share = self.shares.get_mut(&id).expect("it has a name");
        let was_armed = std::mem::take(&mut share.is_armed);
        Ok(Expected::Exactly(Ok(Reply::Number(was_armed.into()))))
    }

    /// Returns a share of the caller's that can be armed and is not taken.
    fn given_back(&mut self, caller: PeerId, handle: ShareHandle) -> Result<ShareId, Expected> {
        let id = self.own_share(caller, handle)?;
        if !self.shares[&id].once {
            return Err(PmError::Invalid.into());
        }
        let through = self.active_leases().filter(|lease| lease.via == Via::Share(id));
        locked_until(through.map(|lease| lease.deadline.get()).max())?;
        Ok(id)
    }

    pub(crate) fn take_frames(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Outcome {
        let (id, share) = self.container_once(caller, frames.container)?;
        let via = Via::Share(share);
        let range = span_of(frames)?;
        self.demand(via, range, rights_for(flags))?;
        if flags.is_empty() || !(MapFlags::READ | MapFlags::WRITE).contains(flags) {
            return Err(PmError::Invalid.into());
        }
        check_user_space(vaddr, frames.count.get())?;
        if !self.shares[&share].is_armed {
            return Err(PmError::NotArmed.into());
        }
        let is_written = flags.contains(MapFlags::WRITE);
        let mode = if is_written { LockMode::Exclusive } else { LockMode::Read };
        let longest = Micros::new(LEASE_MICROS_MAX);
        let ttl = self.check_lease(caller, (id, via), range, mode, longest)?;
        let payer = self.peers[&caller].account;
        self.pay(payer, for_records(1), PmError::QuotaExceeded)?;
        self.pay_for_pages(caller, id, range)?;
        let forced = if is_written { MapFlags::FORCE_WRITE } else { MapFlags::FORCE_READ };
        let flags = if is_written { MapFlags::WRITE } else { MapFlags::READ } | forced;
        self.map_taken(caller, (id, via), range, (vaddr, flags))?;
        self.shares.get_mut(&share).expect("it has a name").is_armed = false;
        let asked = Asked { mode, is_pin: false, is_take: true };
        let lease = self.take_lease(caller, (id, via), range, (asked, ttl));
        Ok(Expected::Exactly(Ok(Reply::Lease(lease))))
    }

    /// Returns the container and the share of a handle by which frames can be taken.
    fn container_once(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(ContainerId, ShareId), Expected> {
        match self.named_container(caller, handle)? {
            (id, Via::Share(share)) if self.shares[&share].once => {
                self.take_over(id);
                Ok((id, share))
            }
            _ => Err(PmError::NoRight.into()),
        }
    }

    /// Refuses a take if the server says that it was short of memory or of room for mappings.
    fn pay_for_pages(
        &mut self,
        caller: PeerId,
        id: ContainerId,
        range: Span,
    ) -> Result<(), Expected> {
        let error = PmError::NoTableQuota;
        let payer = self.vspace_payer(caller);
        let pages = for_mappings(range.1 - range.0 + 1) + (range.1 - range.0 + 1);
        if self.is_kernel_unsure && self.observed.refusal(PmError::Invalid).is_some() {
            let at = range.0..=range.1;
            self.doubt_memory(id, range);
            return Err(Expected::Refused { error: PmError::Invalid, done: 0..=0, at });
        }
        // One call may have too much work (PM-320). Then the deadline is not told yet.
        let more = self.observed.refusal(PmError::Pending);
        if let Some(more) = more.filter(|more| more.at == 0 && 0 < more.done) {
            self.is_lost = true;
            return Err(Expected::refused(PmError::Pending, more.done, 0));
        }
        match self.shortage(payer, pages, error) {
            Some(failure) => {
                self.doubt_memory(id, range);
                Err(self.short_of(failure, 0, range.0..=range.1))
            }
            None => Ok(()),
        }
    }

    /// Notes that frames may have got memory, of their own.
    fn doubt_memory(&mut self, id: ContainerId, range: Span) {
        for place in self.numbers(id, range).into_iter().map(|number| (id, number)) {
            let cell = self.cell(place).expect("it is there");
            let members = self.members(place);
            self.frame_mut(place).expect("it is there").may_be_bound = true;
            self.contents.blur(cell);
            self.doubt_grants(&members);
        }
    }

    fn map_taken(
        &mut self,
        caller: PeerId,
        (id, via): (ContainerId, Via),
        range: Span,
        (vaddr, flags): (VirtAddr, MapFlags),
    ) -> Result<(), Expected> {
        let pages = for_mappings(range.1 - range.0 + 1);
        let mut mapped = Vec::new();
        for (place, index) in (range.0..=range.1).map(|number| (id, number)).zip(0..) {
            let page = vaddr.get() + index * PAGE_BYTES;
            let one = self.map_one(caller, (place, via), page, flags, (0, pages));
            one.inspect_err(|_| self.is_lost |= index > SURELY_UNDONE)?;
            mapped.push((page, Mapping { place, via, flags, is_doubtful: false }));
        }
        for (page, mapping) in mapped {
            self.keep(caller, page, mapping);
        }
        Ok(())
    }
}
