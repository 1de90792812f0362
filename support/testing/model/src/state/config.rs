// SPDX-License-Identifier: BSD-2-Clause
//! A server's configuration: its peers and their privileges.

use std::collections::BTreeSet;

use proto::PeerId;

/// A server's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pages of the pool.
    pub pool_pages: u64,
    /// Its peers.
    pub peers: Vec<PeerSetup>,
    /// Who calls whom.
    pub calls: BTreeSet<(PeerId, PeerId)>,
}

/// One peer and its privileges.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools)] // Each is a right of its own.
pub struct PeerSetup {
    /// Its number.
    pub peer: PeerId,
    /// The limit of its own account.
    pub limit_pages: u64,
    /// May read all accounts that have small numbers.
    pub reads_accounts: bool,
    /// Sets policy.
    pub sets_policy: bool,
    /// May rescue, and say that a device was reset.
    pub is_supervisor: bool,
    /// Has the privilege `dma`.
    pub has_dma: bool,
    /// May disturb.
    pub may_disturb: bool,
    /// May read the books.
    pub may_inspect: bool,
    /// Its account may have extra frames.
    pub may_have_extra: bool,
}
