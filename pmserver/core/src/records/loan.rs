// SPDX-License-Identifier: BSD-2-Clause
//! The record of a loan: a peer may use an account that another peer split off (O21).

use pmserver_api::AccountRights;
use proto::PeerId;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::account::Account;
use crate::records::cell::{Stamp, record};
use crate::records::links::{Link, Links, chain};

/// A peer's right to use an account that it did not split off. The account pays for the record.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Loan {
    stamp: Stamp,
    pub(crate) account: Link<Account>,
    /// The account's other loans.
    of_account: Links<Loan>,
    rights: u16,
    peer: u8,
    padding: [u8; 41],
}

record!(Loan, Loan);

chain!(
    /// The loans of an account.
    LoansOfAccount, Loan, of_account
);

impl Loan {
    pub(crate) const fn new(account: Link<Account>, peer: PeerId, rights: AccountRights) -> Self {
        Self {
            stamp: Stamp::UNSET,
            account,
            of_account: Links::NONE,
            rights: rights.bits(),
            peer: peer.get(),
            padding: [0; 41],
        }
    }

    pub(crate) const fn rights(&self) -> AccountRights {
        AccountRights::from_bits_truncate(self.rights)
    }

    pub(crate) const fn is_for(&self, peer: PeerId) -> bool {
        self.peer == peer.get()
    }
}
