// SPDX-License-Identifier: BSD-2-Clause
//! What borrowers of a removed account may still have charged to the account above it (PM-341).
//!
//! An account that is removed leaves its borrowers what was left of its limit, in equal parts. A
//! part is spent page by page and never grows again, so what is charged for a borrower stays within
//! the limit that was lent. It is not promised: the account above may use the memory first.

use heapless::Vec;
use proto::PeerId;
use proto::limits::{PEER_ALLOWANCES_MAX, PEERS_MAX};

use crate::records::account::{Account, Change};
use crate::records::cell::Ref;

/// How many more pages an account may be charged for a peer.
#[derive(Clone, Copy)]
struct Allowance {
    account: Ref<Account>,
    pages: u32,
    /// What it was when the running call began: a refund that undoes a charge restores up to this.
    most: u32,
}

/// The allowances of all peers.
#[derive(Clone)]
pub(crate) struct Allowances {
    of_peer: [Vec<Allowance, PEER_ALLOWANCES_MAX>; PEERS_MAX],
    /// The peer whose call or fault is served.
    served: usize,
}

impl Allowances {
    /// Nobody has any.
    pub(crate) const NONE: Self = Self { of_peer: [const { Vec::new() }; PEERS_MAX], served: 0 };

    /// Begins a call or fault of a peer: what is charged from now on is charged for it.
    pub(crate) fn serve(&mut self, peer: PeerId) {
        self.served = peer.get().into();
        for allowance in self.of_peer.get_mut(self.served).into_iter().flatten() {
            allowance.most = allowance.pages;
        }
    }

    /// Returns whether a peer may have something charged to an account.
    pub(crate) fn has(&self, peer: PeerId, account: Ref<Account>) -> bool {
        self.get(peer.get().into(), account).is_some_and(|allowance| allowance.pages > 0)
    }

    /// Returns whether the account has been charged for the served peer as much as is allowed.
    pub(super) fn is_spent(&self, account: Ref<Account>) -> bool {
        self.get(self.served, account).is_some_and(|allowance| allowance.pages == 0)
    }

    /// Counts a page that is charged to an account or refunded.
    pub(super) fn count(&mut self, account: Ref<Account>, change: Change) {
        let all = self.of_peer.get_mut(self.served).into_iter().flatten();
        for allowance in all.filter(|allowance| allowance.account == account) {
            allowance.pages = match change {
                Change::Up => allowance.pages.saturating_sub(1),
                Change::Down => allowance.pages.saturating_add(1).min(allowance.most),
            };
        }
    }

    /// Allows a peer so many more pages. If it has as many allowances as it may, the smallest goes.
    pub(crate) fn give(&mut self, peer: PeerId, account: Ref<Account>, pages: u32) {
        let Some(all) = self.of_peer.get_mut(usize::from(peer.get())) else { return };
        if let Some(there) = all.iter_mut().find(|allowance| allowance.account == account) {
            there.pages = there.pages.saturating_add(pages);
            return;
        }
        let smallest = all.iter().enumerate().min_by_key(|(_, allowance)| allowance.pages);
        if all.is_full()
            && let Some((place, _)) = smallest
        {
            all.swap_remove(place);
        }
        let _ = all.push(Allowance { account, pages, most: pages });
    }

    /// Takes what a peer is allowed of an account.
    pub(crate) fn take(&mut self, peer: PeerId, account: Ref<Account>) -> Option<u32> {
        let all = self.of_peer.get_mut(usize::from(peer.get()))?;
        let place = all.iter().position(|allowance| allowance.account == account)?;
        Some(all.swap_remove(place).pages)
    }

    /// Forgets an account that is gone.
    pub(super) fn forget(&mut self, account: Ref<Account>) {
        for all in &mut self.of_peer {
            all.retain(|allowance| allowance.account != account);
        }
    }

    fn get(&self, peer: usize, account: Ref<Account>) -> Option<&Allowance> {
        self.of_peer.get(peer)?.iter().find(|allowance| allowance.account == account)
    }
}
