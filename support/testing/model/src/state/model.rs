// SPDX-License-Identifier: BSD-2-Clause
//! The model's state as a whole.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proto::{Micros, PeerId};

use super::config::{Config, PeerSetup};
use super::contents::Contents;
use super::names::Names;
use super::objects::{
    Account, AccountId, Container, ContainerId, Lease, LeaseId, Peer, Share, ShareId,
};
use crate::answers::{Expected, Observed};

/// What the protocol lets a server answer; an error if it is a refusal.
pub(crate) type Outcome = Result<Expected, Expected>;

/// All that the protocol speaks of.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) config: Config,
    pub(crate) now: Micros,
    /// The answer to the call that is being predicted.
    pub(crate) observed: Observed,
    pub(crate) peers: BTreeMap<PeerId, Peer>,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) pool: AccountId,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    pub(crate) contents: Contents,
    pub(crate) shares: BTreeMap<ShareId, Share>,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) names: Names,
    /// Free pages of the pool, as the server last told them.
    pub(crate) free: u64,
    /// Until when a server that is short of memory waits for frames that it asked back.
    pub(crate) asked_until: Option<Micros>,
    /// Peers that have something left of a removed account, and the account above it.
    pub(crate) left_over: BTreeSet<(PeerId, AccountId)>,
    /// Set by a charge that depends on how much is left.
    pub(crate) is_limited: Cell<bool>,
    /// Whether the kernel may refuse.
    pub(crate) is_kernel_unsure: bool,
    /// Whether the kernel refused in the middle of a teardown, so that the state is unknown.
    pub(crate) is_lost: bool,
    /// Whether an access needs nothing of the server.
    pub(crate) is_direct: bool,
    next: u64,
}

impl Model {
    /// Returns the protocol's state when a server has started.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let pool = AccountId(0);
        let mut model = Self {
            now: Micros::default(),
            observed: Observed::default(),
            peers: BTreeMap::new(),
            accounts: BTreeMap::new(),
            pool,
            containers: BTreeMap::new(),
            contents: Contents::default(),
            shares: BTreeMap::new(),
            leases: BTreeMap::new(),
            names: Names::default(),
            free: u64::MAX,
            asked_until: None,
            left_over: BTreeSet::new(),
            is_limited: Cell::new(false),
            is_kernel_unsure: false,
            is_lost: false,
            is_direct: false,
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

    /// Returns a number that no object of the model has.
    pub(crate) fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub(crate) fn setup(&self, peer: PeerId) -> PeerSetup {
        let setup = self.config.peers.iter().find(|setup| setup.peer == peer);
        *setup.expect("who calls is configured")
    }
}
