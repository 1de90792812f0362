// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol as a naive model: a second opinion on what pmserver answers.
//!
//! Written from `support/docs/pm-protocol.md` alone, with maps and lists and no thought of cost. It
//! holds what the protocol speaks of, as data, and says to each request what may be answered to it,
//! and to each access of a program what comes of it. Where the protocol leaves something to the
//! server (the numbers of handles, the exact deadline, how much memory records take), the model
//! looks at the answer, checks that it is one that may be given, and goes on from there.
//!
//! It does not know how many pages tables, slots and records take: it learns that from
//! `account_info`, and believes an account to be short that is near its limit. Frames it counts
//! exactly. Devices and capabilities that programs map themselves are outside of it.
#![forbid(unsafe_code)]
// It serves nobody: a stop is what a test looks for.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod account;
mod account_tree;
mod allocate;
mod arguments;
mod config;
mod container;
mod contents;
mod copy;
mod create;
mod expected;
mod grant;
mod handler;
mod kernel;
mod lease;
mod mapping;
mod names;
mod objects;
mod peer;
mod pin;
mod region;
mod share;
mod status;
mod teardown;
mod touch;
mod view;

use std::collections::BTreeMap;

use pmserver_api::{Identity, PROTOCOL_VERSION, PmError, Reply, Request};
use proto::{Micros, PeerId};

use crate::contents::Contents;
use crate::expected::Seen;
use crate::names::Names;
use crate::objects::{
    Account, AccountId, Container, ContainerId, Fault, FaultId, Lease, LeaseId, Peer, Share,
    ShareId, Via,
};

pub use config::{Config, PeerSetup};
pub use expected::{Answer, CountBounds, Expected, StateBounds};
pub use peer::Fate;
pub use touch::{Access, Touch};
pub use view::Handles;

/// What the protocol lets a server answer; an error where it is a refusal.
type Outcome = Result<Expected, Expected>;

/// How long a call may take on the server's clock: a deadline that it grants may lie that much
/// later. No lease ends while a call is under way: whoever calls sees to that.
pub const CALL_MICROS_MAX: u64 = 20_000;

/// All that the protocol speaks of.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    now: Micros,
    peers: BTreeMap<PeerId, Peer>,
    accounts: BTreeMap<AccountId, Account>,
    pool: AccountId,
    containers: BTreeMap<ContainerId, Container>,
    contents: Contents,
    shares: BTreeMap<ShareId, Share>,
    leases: BTreeMap<LeaseId, Lease>,
    faults: BTreeMap<FaultId, Fault>,
    names: Names,
    /// Free pages of the pool, as the server last told them.
    free: u64,
    /// When a server that is short of memory may drop what it has asked for.
    asked_until: Option<Micros>,
    /// Whether the kernel may refuse.
    is_kernel_unsure: bool,
    /// Whether it did so half-way through something, so that only the server knows how things are.
    is_lost: bool,
    next: u64,
}

impl Model {
    /// Returns the protocol's state when a server has started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let pool = AccountId(0);
        let mut model = Self {
            now: Micros::default(),
            peers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            pool,
            containers: BTreeMap::new(),
            contents: Contents::default(),
            shares: BTreeMap::new(),
            leases: BTreeMap::new(),
            faults: BTreeMap::new(),
            names: Names::default(),
            free: u64::MAX,
            asked_until: None,
            is_kernel_unsure: false,
            is_lost: false,
            next: 0,
            config,
        };
        model.accounts.insert(pool, Account::new(None, model.config.pool_pages, true));
        for setup in model.config.peers.clone() {
            let id = AccountId(model.fresh());
            let account = Account::new(Some(pool), setup.limit_pages, setup.may_have_extra);
            model.accounts.insert(id, account);
            model.peers.insert(setup.peer, Peer::new(id));
        }
        model
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Returns what a server may answer to a request of a peer, after which the model is in the
    /// state that the answer says. Without an answer the model decides what is left to the server.
    pub fn call(
        &mut self,
        caller: PeerId,
        request: &Request,
        now: Micros,
        seen: Option<&Answer>,
    ) -> Expected {
        self.at(now);
        if self.peers.get(&caller).is_none_or(|peer| peer.is_stopped) {
            return PmError::InvalidCap.into();
        }
        self.doubt_waiter(caller);
        let is_invalid = self.is_invalid(caller, request);
        if let Some(refusal) = self.refused_by_kernel(request, Seen(seen)) {
            return refusal;
        }
        let open = self.revoking(caller, request, seen);
        let open = open.or_else(|| self.locked_by_itself(caller, request, Seen(seen)));
        if let Some(refusal) = open {
            return refusal;
        }
        match self.perform(caller, request, Seen(seen)) {
            Ok(expected) => expected,
            Err(refusal) if is_invalid => Expected::OneOf(vec![refusal, PmError::Invalid.into()]),
            Err(refusal) => refusal,
        }
    }

    /// Returns the refusal of a handle whose share is being revoked. That leases are refused then
    /// is said; of what else one may do with it nothing is.
    fn revoking(
        &self,
        caller: PeerId,
        request: &Request,
        seen: Option<&Answer>,
    ) -> Option<Expected> {
        let refusal: Expected = PmError::Revoking.into();
        let says_so = seen.is_some_and(|seen| refusal.allows(seen));
        let handles = arguments::containers_of(request);
        let is_revoked = |handle| match self.container(caller, handle) {
            Ok((_, Via::Share(share))) => self.shares[&share].is_revoking,
            _ => false,
        };
        (says_so && handles.into_iter().flatten().any(is_revoked)).then_some(refusal)
    }

    /// Returns when something next ends by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Micros> {
        let leases = self.leases.values().filter(|lease| lease.is_active());
        let leases = leases.map(|lease| lease.deadline);
        let watches = self.peers.values().filter_map(|peer| peer.watch.map(|(_, until)| until));
        leases.chain(watches).chain(self.asked_until).min()
    }

    fn at(&mut self, now: Micros) {
        self.now = now;
        self.end_leases();
    }

    fn perform(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::Version => Ok(Expected::Exactly(Ok(Reply::Number(PROTOCOL_VERSION)))),
            Request::WhoAmI => {
                let account = pmserver_api::AccountHandle::OWN;
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
            | Request::ExtraRequest => self.perform_on_account(caller, request, seen),
            Request::Map { .. }
            | Request::Unmap { .. }
            | Request::Remap { .. }
            | Request::Attach { .. }
            | Request::Detach { .. }
            | Request::Grant { .. }
            | Request::Ungrant { .. }
            | Request::EnsureTables { .. } => self.perform_on_vspace(caller, request, seen),
            Request::RegisterRecovery { .. }
            | Request::Watch { .. }
            | Request::Rescue
            | Request::Reclaim
            | Request::DeviceReset { .. }
            | Request::NextFault
            | Request::Supply { .. }
            | Request::Refuse { .. }
            | Request::Disturb { .. } => self.perform_on_peer(caller, request, seen),
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
            | Request::Pin { .. }
            | Request::BusAddress { .. }
            | Request::Copy { .. }
            | Request::CopyList { .. }
            | Request::CreateWith { .. }
            | Request::CreateFrom { .. }
            | Request::CreateGather { .. }
            | Request::SetHandler { .. } => self.perform_on_container(caller, request, seen),
        }
    }

    fn perform_on_account(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::AccountInfo { account } => self.account_info(caller, account, seen),
            Request::AccountSplit { account, limit_pages, flags } => {
                self.account_split(caller, account, limit_pages.into(), flags, seen)
            }
            Request::AccountDestroy { account } => self.account_destroy(caller, account, seen),
            Request::AccountRemove { account } => self.account_remove(caller, account, seen),
            Request::AccountSetLimits { account, limit_pages, flags } => {
                self.account_set_limits(caller, account, limit_pages.into(), flags, seen)
            }
            Request::AccountLend { account, peer, rights } => {
                self.account_lend(caller, account, peer, rights, seen)
            }
            Request::AccountRecall { lent } => self.account_recall(caller, lent),
            Request::VspaceAccount { account } => self.vspace_account(caller, account, seen),
            Request::ExtraRequest => Ok(self.extra_request(caller, seen)),
            _ => unreachable!("is no operation on an account"),
        }
    }

    fn perform_on_vspace(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::Map { frames, vaddr, flags } => self.map(caller, &frames, vaddr, flags, seen),
            Request::Unmap { vaddr, count } => self.unmap(caller, vaddr, count, seen),
            Request::Remap { vaddr, count, flags } => self.remap(caller, vaddr, count, flags, seen),
            Request::Attach { .. } => self.attach(caller, request, seen),
            Request::Detach { vaddr } => self.detach(caller, vaddr, seen),
            Request::Grant { frames, rights } => self.grant(caller, &frames, rights, seen),
            Request::Ungrant { address, count } => Ok(self.ungrant(caller, address, count, seen)),
            Request::EnsureTables { vaddr, count } => {
                self.ensure_tables(caller, vaddr, count, seen)
            }
            _ => unreachable!("is no operation on a VSpace"),
        }
    }

    fn perform_on_peer(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::RegisterRecovery { .. } => Ok(self.register_recovery(caller)),
            Request::Watch { peer, ttl } => self.watch(caller, peer, ttl, seen),
            Request::Rescue => self.rescue(caller, seen),
            Request::Reclaim => Ok(self.reclaim(seen)),
            Request::DeviceReset { peer } => self.device_reset(caller, peer),
            Request::NextFault => Ok(self.next_fault(caller, seen)),
            Request::Supply { fault, container, number } => {
                self.supply(caller, fault, container, number, seen)
            }
            Request::Refuse { fault } => self.refuse(caller, fault, seen),
            Request::Disturb { .. } => self.disturb(caller, seen),
            _ => unreachable!("is no operation on a peer"),
        }
    }

    fn perform_on_container(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        match *request {
            Request::ContainerCreate { account } => self.container_create(caller, account, seen),
            Request::ContainerDestroy { container } => {
                self.container_destroy(caller, container, seen)
            }
            Request::Allocate { frames, flags } => self.allocate(caller, &frames, flags, seen),
            Request::AllocateAnywhere { container, count, flags } => {
                self.allocate_anywhere(caller, container, count, flags, seen)
            }
            Request::AllocateContiguous { frames, .. } => {
                self.allocate_contiguous(caller, &frames, seen)
            }
            Request::Deallocate { frames, flags } => self.deallocate(caller, &frames, flags, seen),
            Request::Renew { frames } => self.renew(caller, &frames, seen),
            Request::Mark { frames, marks } => self.mark(caller, &frames, marks),
            Request::Status { frames } => self.status(caller, &frames, seen),
            Request::Share { container, start, count, terms } => {
                self.share(caller, container, start, count, &terms, seen)
            }
            Request::Unshare { share } => self.unshare(caller, share, seen),
            Request::Lock { frames, mode, ttl } => self.lock(caller, &frames, mode, ttl, seen),
            Request::Unlock { lease } => self.unlock(caller, lease, seen),
            Request::Pin { frames, mode, ttl } => self.pin(caller, &frames, mode, ttl, seen),
            Request::BusAddress { lease, number } => {
                self.bus_address(caller, lease, number.get(), seen)
            }
            Request::Copy { .. } | Request::CopyList { .. } => self.copy(caller, request, seen),
            Request::CreateWith { .. }
            | Request::CreateFrom { .. }
            | Request::CreateGather { .. } => self.create(caller, request, seen),
            Request::SetHandler { .. } => self.set_handler(caller, request, seen),
            _ => unreachable!("is an operation on something else"),
        }
    }
}
