// SPDX-License-Identifier: BSD-2-Clause
//! Containers: making them, freeing, renewing and marking frames (PM-20, PM-40 to PM-42, PM-145).

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, DeallocateFlags, Frames, Marks, PmError, Reply,
};
use proto::PeerId;

use crate::answers::{Doubt, Expected};
use crate::rules::{Need, for_records, span_of};
use crate::state::{Container, ContainerId, Model, Object, Outcome, Place, Via};

impl Model {
    pub(crate) fn container_create(&mut self, caller: PeerId, account: AccountHandle) -> Outcome {
        let account = self.account(caller, account, AccountRights::ALLOCATE)?;
        self.pay(Some(account), for_records(1), PmError::QuotaExceeded)?;
        let id = ContainerId(self.fresh());
        self.containers.insert(id, Container::new(caller, account));
        let told = self.observed.handle();
        let raw = self.names.give(caller, Some(caller), Object::Container(id), told);
        Ok(Expected::Exactly(Ok(Reply::Container(ContainerHandle::from_raw(raw)))))
    }

    pub(crate) fn deallocate(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        flags: DeallocateFlags,
    ) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span_of(frames)?;
        self.check_leases(id, Via::Owner, range, Need::Remove)?;
        let there = self.numbers(id, range);
        let missing = (range.0..=range.1).find(|number| !there.contains(number));
        if let Some(number) = missing.filter(|_| flags.contains(DeallocateFlags::STRICT)) {
            return Err(Expected::refused(PmError::NotFound, 0, number));
        }
        for number in &there {
            self.remove_frame((id, *number));
        }
        let container = self.containers.get_mut(&id).expect("it is owned");
        container.discarded.retain(|number| *number < range.0 || range.1 < *number);
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }

    pub(crate) fn renew(&mut self, caller: PeerId, frames: &Frames) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span_of(frames)?;
        self.check_leases(id, Via::Owner, range, Need::Remove)?;
        let there = self.numbers(id, range);
        there.iter().for_each(|number| self.renew_frame((id, *number)));
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }

    fn renew_frame(&mut self, place: Place) {
        self.strip_all(place);
        let others: Vec<Place> = self.members(place).into_iter().filter(|m| *m != place).collect();
        if self.frame(place).is_some_and(|frame| frame.is_contiguous) {
            // The others get other memory.
            self.strip_grants(&others);
        }
        let cell = self.contents.make(Some(place));
        let frame = self.frame_mut(place).expect("it is there");
        let old = std::mem::replace(&mut frame.cell, cell);
        frame.is_taken_over = Doubt::No;
        frame.may_be_bound = false;
        // Contiguous memory stays and is cleared.
        if frame.is_contiguous {
            self.contents.bind(cell);
        }
        self.contents.leave(old, place);
    }

    pub(crate) fn mark(&mut self, caller: PeerId, frames: &Frames, marks: Marks) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let there = self.numbers(id, span_of(frames)?);
        for number in &there {
            self.pay_for_single((id, *number), 0)?;
        }
        for number in &there {
            let frame = self.frame_mut((id, *number)).expect("it has a number");
            frame.is_discardable = marks.contains(Marks::DISCARDABLE);
        }
        Ok(Expected::Exactly(Ok(Reply::Number(there.len() as u64))))
    }
}
