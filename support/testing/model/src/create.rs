// SPDX-License-Identifier: BSD-2-Clause
//! Making a container and lending it at once (PM-170).

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, CopyFlags, Created, PmError, Reply, Request,
    Rights, ShareTerms,
};
use proto::{FrameNumber, PeerId};

use crate::contents::Place;
use crate::copy::{Job, Side, in_order, numbers_of};
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::names::Object;
use crate::objects::{AccountId, Container, ContainerId, Via};
use crate::{Model, Outcome};

impl Model {
    pub(crate) fn create(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::CreateWith { account, count, terms } => {
                let account = self.account(caller, account, AccountRights::ALLOCATE)?;
                self.acceptable(caller, &terms)?;
                self.afford(account, count.get(), seen)?;
                let id = self.make(caller, account);
                for number in 0..count.get() {
                    self.put_frame((id, number), crate::contents::Doubt::No);
                }
                Ok(self.created(caller, id, count.get(), &terms, seen))
            }
            Request::CreateFrom { account, source, terms } => {
                let numbers = numbers_of(source.start, source.count.get());
                let whole = numbers.map(Iterator::collect);
                self.create_copies(caller, account, source.container, whole, &terms, seen)
            }
            Request::CreateGather { account, source, ref frames, terms } => {
                let numbers = Ok(frames.items().to_vec());
                self.create_copies(caller, account, source, numbers, &terms, seen)
            }
            _ => unreachable!("creates nothing"),
        }
    }

    fn create_copies(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        source: ContainerHandle,
        numbers: Result<Vec<FrameNumber>, Expected>,
        terms: &ShareTerms,
        seen: Seen,
    ) -> Outcome {
        let payer = self.account(caller, account, AccountRights::ALLOCATE);
        let found = self.container(caller, source);
        let invalid: Expected = PmError::InvalidCap.into();
        if payer.as_ref().err() == Some(&invalid) || found.as_ref().err() == Some(&invalid) {
            return Err(invalid);
        }
        let (payer, (from, via)) = (payer?, found?);
        let is_outside = match (&numbers, via) {
            (_, Via::Owner) => false,
            (Err(_), Via::Share(_)) => true,
            (Ok(numbers), _) => {
                !numbers.iter().all(|number| self.allows(via, number.get(), 1, Rights::READ))
            }
        };
        if is_outside {
            return Err(PmError::NoRight.into());
        }
        let numbers = numbers?;
        self.acceptable(caller, terms)?;
        let count = numbers.len() as u64;
        self.copyable((from, via), payer, &numbers, seen)?;
        self.afford(payer, count, seen)?;
        let id = self.make(caller, payer);
        let job = Job {
            from: Side { container: from, via },
            to: Side { container: id, via: Via::Owner },
            pairs: in_order(numbers.into_iter()),
            flags: CopyFlags::NEW,
        };
        self.take(&job, job.pairs.len());
        Ok(self.created(caller, id, count, terms, seen))
    }

    /// Returns the refusal where the sources cannot be copied.
    fn copyable(
        &mut self,
        (from, via): (ContainerId, Via),
        payer: AccountId,
        numbers: &[FrameNumber],
        seen: Seen,
    ) -> Result<(), Expected> {
        let places: Vec<Place> = numbers.iter().map(|number| (from, number.get())).collect();
        let locked = places.iter().filter_map(|place| {
            let range = (place.1, place.1);
            let pinned = self.pinned(from, range, |lease| lease.is_exclusive);
            self.obstacle_at(*place, via, Want::Read).max(pinned)
        });
        let deadlines: Vec<u64> = locked.collect();
        let refused = |until| Expected::refused(PmError::Locked, 0, until);
        let locked: Vec<Expected> = deadlines.into_iter().map(refused).collect();
        // Leases come first, and yet a copy stops at the first problem, as in `copy`.
        let mut other = None;
        // What the container takes itself comes before its frames.
        let count = numbers.len() as u64;
        if let Some(short) = self.shortage(seen, Some(payer), count, PmError::QuotaExceeded) {
            return Err(self.short_of(short, 0, 0..=u64::MAX));
        }
        for place in places {
            if self.frame(place).is_none() {
                other = Some(Expected::refused(self.missing(place), 0, place.1));
                break;
            }
            if let Err(refusal) = self.supplied(place, 0, seen) {
                other = Some(refusal);
                break;
            }
        }
        let all: Vec<Expected> = locked.into_iter().chain(other).collect();
        if all.is_empty() { Ok(()) } else { Err(Expected::OneOf(all)) }
    }

    fn afford(&mut self, account: AccountId, frames: u64, seen: Seen) -> Result<(), Expected> {
        let error = PmError::QuotaExceeded;
        if let Some(failure) = self.shortage(seen, Some(account), frames, error) {
            return Err(self.short_of(failure, 0, 0..=u64::MAX));
        }
        if self.room(account).1 < frames {
            return Err(Expected::Refused { error, done: 0..=0, at: 0..=u64::MAX });
        }
        Ok(())
    }

    fn make(&mut self, caller: PeerId, account: AccountId) -> ContainerId {
        let id = ContainerId(self.fresh());
        self.containers.insert(id, Container::new(caller, account));
        id
    }

    fn created(
        &mut self,
        caller: PeerId,
        id: ContainerId,
        count: u64,
        terms: &ShareTerms,
        seen: Seen,
    ) -> Expected {
        let told = match seen.reply() {
            Some(Reply::Created(created)) => Some(*created),
            _ => None,
        };
        let raw = told.map(|told| told.container.raw());
        let raw = self.names.give(caller, Some(caller), Object::Container(id), raw);
        let range = (0, count - 1);
        let shared = self.lend(caller, id, range, terms, told.map(|told| told.shared));
        let container = ContainerHandle::from_raw(raw);
        Expected::Exactly(Ok(Reply::Created(Created { container, shared })))
    }
}
