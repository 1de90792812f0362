// SPDX-License-Identifier: BSD-2-Clause
//! Making a container and lending it at once (PM-170).

use pmserver_api::{
    AccountHandle, AccountRights, ContainerHandle, CopyFlags, Created, PmError, Reply, Request,
    Rights, ShareTerms,
};
use proto::PeerId;

use super::copy::{Job, Side};
use crate::answers::{Doubt, Expected};
use crate::rules::{Need, for_records, span_of};
use crate::state::{AccountId, Container, ContainerId, Model, Object, Outcome, Via};

impl Model {
    pub(crate) fn create(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::CreateWith { account, count, terms } => {
                let account = self.account(caller, account, AccountRights::ALLOCATE)?;
                self.check_terms(caller, &terms)?;
                self.afford(account, count.get())?;
                self.check_room(account, count.get() - 1)?;
                let id = self.make(caller, account);
                (0..count.get()).for_each(|number| self.put_frame((id, number), Doubt::No));
                Ok(self.created(caller, id, count.get(), &terms))
            }
            Request::CreateFrom { account, source, terms } => {
                let (from, via) = self.container(caller, source.container)?;
                let range = span_of(&source)?;
                let payer = self.account(caller, account, AccountRights::ALLOCATE)?;
                self.demand(via, range, Rights::READ)?;
                self.check_terms(caller, &terms)?;
                self.afford(payer, source.count.get())?;
                self.check_leases(from, via, range, Need::Read)?;
                let numbers: Vec<u64> = (range.0..=range.1).collect();
                self.create_copies(caller, payer, Side { container: from, via }, &numbers, &terms)
            }
            Request::CreateGather { account, source, ref frames, terms } => {
                self.create_gather(caller, account, source, frames.items(), &terms)
            }
            _ => unreachable!("creates nothing"),
        }
    }

    fn create_gather(
        &mut self,
        caller: PeerId,
        account: AccountHandle,
        source: ContainerHandle,
        frames: &[proto::FrameNumber],
        terms: &ShareTerms,
    ) -> Outcome {
        let (from, via) = self.container(caller, source)?;
        let payer = self.account(caller, account, AccountRights::ALLOCATE)?;
        let numbers: Vec<u64> = frames.iter().map(|number| number.get()).collect();
        for number in &numbers {
            self.demand(via, (*number, *number), Rights::READ)?;
        }
        self.check_terms(caller, terms)?;
        self.afford(payer, numbers.len() as u64)?;
        self.create_copies(caller, payer, Side { container: from, via }, &numbers, terms)
    }

    fn create_copies(
        &mut self,
        caller: PeerId,
        payer: AccountId,
        from: Side,
        numbers: &[u64],
        terms: &ShareTerms,
    ) -> Outcome {
        for number in numbers {
            self.check_leases(from.container, from.via, (*number, *number), Need::Read)?;
        }
        let id = self.make(caller, payer);
        let to = Side { container: id, via: Via::Owner };
        let pairs: Vec<(u64, u64)> = numbers.iter().copied().zip(0..).collect();
        let count = pairs.len();
        let job = Job { caller, from, to, pairs, flags: CopyFlags::NEW | CopyFlags::ATOMIC };
        let checked = self.check_divided(&job);
        let checked = checked.and_then(|()| self.check_copies(caller, payer, from, numbers));
        checked.inspect_err(|_| drop(self.containers.remove(&id)))?;
        self.take(&job, count);
        Ok(self.created(caller, id, count as u64, terms))
    }

    /// Refuses sources that cannot be copied, and what there is surely no room for.
    fn check_copies(
        &mut self,
        caller: PeerId,
        payer: AccountId,
        from: Side,
        numbers: &[u64],
    ) -> Result<(), Expected> {
        for (number, index) in numbers.iter().zip(0..) {
            self.check_source(caller, (from.container, *number))?;
            self.check_room(payer, index)?;
        }
        Ok(())
    }

    /// Refuses a container with so many frames if the server says that it was short.
    fn afford(&mut self, account: AccountId, frames: u64) -> Result<(), Expected> {
        // Also two records and the frames'.
        let pages = frames + for_records(2 * frames + 2);
        match self.shortage(Some(account), pages, PmError::QuotaExceeded) {
            Some(failure) => Err(self.short_of(failure, 0, 0..=frames - 1)),
            None => Ok(()),
        }
    }

    /// Refuses the frame with this number if there is surely no room for it.
    fn check_room(&self, account: AccountId, number: u64) -> Result<(), Expected> {
        let error = PmError::QuotaExceeded;
        let at = 0..=number;
        let is_full = self.room(account).1 <= number;
        if is_full { Err(Expected::Refused { error, done: 0..=0, at }) } else { Ok(()) }
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
    ) -> Expected {
        let told = self.observed.handle();
        let raw = self.names.give(caller, Some(caller), Object::Container(id), told);
        let shared = self.lend(caller, id, (0, count - 1), terms);
        let container = ContainerHandle::from_raw(raw);
        Expected::Exactly(Ok(Reply::Created(Created { container, shared })))
    }
}
