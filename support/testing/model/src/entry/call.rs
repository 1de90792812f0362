// SPDX-License-Identifier: BSD-2-Clause
//! From a request to its operation.

use pmserver_api::{AccountHandle, Failure, Identity, PROTOCOL_VERSION, PmError, Reply, Request};
use proto::{Micros, PeerId};

use super::counts::check_count;
use crate::answers::{Answer, Expected, Observed};
use crate::state::{Model, Outcome};

impl Model {
    /// Returns what a server may answer to a request of a peer. Afterwards the model is in the
    /// state that the answer leads to. Without an answer the model itself decides what a client
    /// cannot know.
    pub fn call(
        &mut self,
        caller: PeerId,
        request: &Request,
        now: Micros,
        answer: Option<&Answer>,
    ) -> Expected {
        self.observed = Observed::new(answer);
        self.is_limited.set(false);
        self.set_time(now);
        if let Err(refusal) = check_count(request) {
            return refusal;
        }
        if self.peers.get(&caller).is_none_or(|peer| peer.is_stopped) {
            return PmError::InvalidCap.into();
        }
        self.peers.get_mut(&caller).expect("it calls").restarted = None;
        if let Some(refusal) = self.refused_by_kernel(request) {
            return refusal;
        }
        let before = answer.filter(|answer| self.may_be_in_part(answer)).map(|_| self.clone());
        let expected = self.perform(caller, request).unwrap_or_else(|refusal| refusal);
        let Some((answer, mut before)) = answer.zip(before) else { return expected };
        if expected.allows(answer) {
            return expected;
        }
        let Some(in_part) = before.perform_in_part(caller, request, answer) else {
            return expected;
        };
        *self = before;
        in_part
    }

    /// Returns whether an answer may say that a call has reached its bound, or a pin.
    fn may_be_in_part(&self, answer: &Answer) -> bool {
        match *answer {
            Err(Failure { error: PmError::Pending, at, .. }) => {
                at == 0 || self.is_large_pin_until(at)
            }
            Ok(reply) => matches!(reply, Reply::Mapped(_) | Reply::Granted(_)),
            Err(_) => false,
        }
    }

    pub(crate) fn set_time(&mut self, now: Micros) {
        self.now = now;
        self.end_leases();
    }

    /// Returns the first time after `now` at which something ends by itself, at the latest.
    #[must_use]
    pub fn next_deadline(&self, now: Micros) -> Option<Micros> {
        let leases = self.active_leases().map(|lease| lease.deadline);
        let leases = leases.filter(|deadline| *deadline < Micros::NEVER);
        let peers = || self.peers.values();
        let watches = peers().flat_map(|peer| [peer.watch, peer.restarted]);
        let watches = watches.flatten().map(|(_, until)| until);
        let waits = peers().filter_map(|peer| peer.wait.map(|wait| wait.until));
        let all = leases.chain(watches).chain(waits).chain(self.asked_until);
        all.filter(|deadline| *deadline > now).min()
    }

    pub(super) fn perform(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::Version => Ok(Expected::Exactly(Ok(Reply::Number(PROTOCOL_VERSION)))),
            Request::WhoAmI => {
                let account = AccountHandle::OWN;
                Ok(Expected::Exactly(Ok(Reply::Identity(Identity { peer: caller, account }))))
            }
            Request::Clock => Ok(Expected::Time(self.within_call(0))),
            Request::AccountInfo { .. }
            | Request::AccountSplit { .. }
            | Request::AccountDestroy { .. }
            | Request::AccountRemove { .. }
            | Request::AccountSetLimits { .. }
            | Request::AccountLend { .. }
            | Request::AccountRecall { .. }
            | Request::VspaceAccount { .. }
            | Request::ExtraRequest => self.perform_on_account(caller, request),
            Request::Map { .. }
            | Request::Unmap { .. }
            | Request::Remap { .. }
            | Request::Attach { .. }
            | Request::Detach { .. }
            | Request::Grant { .. }
            | Request::Ungrant { .. }
            | Request::EnsureTables { .. } => self.perform_on_vspace(caller, request),
            Request::RegisterRecovery { .. }
            | Request::Watch { .. }
            | Request::Rescue
            | Request::Reclaim
            | Request::DeviceReset { .. }
            | Request::NextFault
            | Request::Supply { .. }
            | Request::Refuse { .. }
            | Request::Disturb { .. }
            | Request::Inspect { .. } => self.perform_on_peer(caller, request),
            Request::ContainerCreate { .. }
            | Request::ContainerDestroy { .. }
            | Request::Allocate { .. }
            | Request::AllocateAnywhere { .. }
            | Request::AllocateContiguous { .. }
            | Request::Deallocate { .. }
            | Request::Renew { .. }
            | Request::Mark { .. }
            | Request::Status { .. }
            | Request::Share { .. }
            | Request::Unshare { .. }
            | Request::Lock { .. }
            | Request::Unlock { .. }
            | Request::Arm { .. }
            | Request::Disarm { .. }
            | Request::Take { .. }
            | Request::Pin { .. }
            | Request::BusAddress { .. }
            | Request::Copy { .. }
            | Request::CopyList { .. }
            | Request::CreateWith { .. }
            | Request::CreateFrom { .. }
            | Request::CreateGather { .. }
            | Request::SetHandler { .. } => self.perform_on_container(caller, request),
        }
    }

    fn perform_on_account(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::AccountInfo { account } => self.account_info(caller, account),
            Request::AccountSplit { account, limit_pages, flags } => {
                self.account_split(caller, account, limit_pages.into(), flags)
            }
            Request::AccountDestroy { account } => self.account_destroy(caller, account),
            Request::AccountRemove { account } => self.account_remove(caller, account),
            Request::AccountSetLimits { account, limit_pages, flags } => {
                self.account_set_limits(caller, account, limit_pages.into(), flags)
            }
            Request::AccountLend { account, peer, rights } => {
                self.account_lend(caller, account, peer, rights)
            }
            Request::AccountRecall { lent } => self.account_recall(caller, lent),
            Request::VspaceAccount { account } => self.vspace_account(caller, account),
            Request::ExtraRequest => Ok(self.extra_request()),
            _ => unreachable!("is no operation on an account"),
        }
    }

    fn perform_on_vspace(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::Map { frames, vaddr, flags } => self.map(caller, &frames, vaddr, flags),
            Request::Unmap { vaddr, count } => self.unmap(caller, vaddr, count.get()),
            Request::Remap { vaddr, count, flags } => self.remap(caller, vaddr, count, flags),
            Request::Attach { .. } => self.attach(caller, request),
            Request::Detach { vaddr } => self.detach(caller, vaddr),
            Request::Grant { frames, rights } => self.grant(caller, &frames, rights),
            Request::Ungrant { address, count } => Ok(self.ungrant(caller, address, count)),
            Request::EnsureTables { vaddr, count } => self.ensure_tables(caller, vaddr, count),
            _ => unreachable!("is no operation on a VSpace"),
        }
    }

    fn perform_on_peer(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::RegisterRecovery { .. } => Ok(self.register_recovery(caller)),
            Request::Watch { peer, ttl } => self.watch(caller, peer, ttl),
            Request::Rescue => self.rescue(caller),
            Request::Reclaim => Ok(self.reclaim()),
            Request::DeviceReset { peer } => self.device_reset(caller, peer),
            Request::NextFault => Ok(self.next_fault(caller)),
            Request::Supply { fault, container, number } => {
                self.supply(caller, fault, container, number)
            }
            Request::Refuse { fault } => self.refuse(caller, fault),
            Request::Disturb { .. } => self.disturb(caller),
            Request::Inspect { .. } => self.inspect(caller),
            _ => unreachable!("is no operation on a peer"),
        }
    }

    fn perform_on_container(&mut self, caller: PeerId, request: &Request) -> Outcome {
        match *request {
            Request::ContainerCreate { account } => self.container_create(caller, account),
            Request::ContainerDestroy { container } => self.container_destroy(caller, container),
            Request::Allocate { frames, flags } => self.allocate(caller, &frames, flags),
            Request::AllocateAnywhere { container, count, flags } => {
                self.allocate_anywhere(caller, container, count, flags)
            }
            Request::AllocateContiguous { frames, .. } => self.allocate_contiguous(caller, &frames),
            Request::Deallocate { frames, flags } => self.deallocate(caller, &frames, flags),
            Request::Renew { frames } => self.renew(caller, &frames),
            Request::Mark { frames, marks } => self.mark(caller, &frames, marks),
            Request::Status { frames } => self.status(caller, &frames),
            Request::Share { container, start, count, terms } => {
                self.share(caller, container, start, count, &terms)
            }
            Request::Unshare { share, .. } => self.unshare(caller, share),
            Request::Lock { frames, mode, ttl } => self.lock(caller, &frames, mode, ttl),
            Request::Unlock { lease } => self.unlock(caller, lease),
            Request::Arm { share } => self.arm(caller, share),
            Request::Disarm { share } => self.disarm(caller, share),
            Request::Take { frames, vaddr, flags } => {
                self.take_frames(caller, &frames, vaddr, flags)
            }
            Request::Pin { frames, mode, ttl } => self.pin(caller, &frames, mode, ttl),
            Request::BusAddress { lease, number } => self.bus_address(caller, lease, number.get()),
            Request::Copy { .. } | Request::CopyList { .. } => self.copy(caller, request),
            Request::CreateWith { .. }
            | Request::CreateFrom { .. }
            | Request::CreateGather { .. } => self.create(caller, request),
            Request::SetHandler { .. } => self.set_handler(caller, request),
            _ => unreachable!("is an operation on something else"),
        }
    }
}
