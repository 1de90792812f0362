// SPDX-License-Identifier: BSD-2-Clause
//! Lending an account: another peer may use it, by a handle of its own (protocol O21).

use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::PeerId;
use proto::limits::ACCOUNT_LOANS_MAX;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::accounts::account::{Account, Shortage};
use crate::kernel::Kernel;
use crate::memory::pool::Pool;
use crate::memory::records::{Ref, Stamp, record};
use crate::server::Server;

/// An account in the hands of a peer that did not split it off. Paid for by the account itself.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Loan {
    stamp: Stamp,
    pub(crate) account: u32,
    /// The account's other loans.
    next: u32,
    rights: u16,
    peer: u8,
    padding: [u8; 45],
}

record!(Loan, Loan);

impl Loan {
    const fn new(account: u32, next: u32, peer: PeerId, rights: AccountRights) -> Self {
        Self {
            stamp: Stamp::UNSET,
            account,
            next,
            rights: rights.bits(),
            peer: peer.get(),
            padding: [0; 45],
        }
    }

    pub(crate) const fn rights(&self) -> AccountRights {
        AccountRights::from_bits_truncate(self.rights)
    }

    pub(crate) const fn is_for(&self, peer: PeerId) -> bool {
        self.peer == peer.get()
    }
}

impl<K: Kernel> Pool<K> {
    /// Returns the loans of an account.
    pub(crate) fn loans(&self, account: Ref<Account>) -> impl Iterator<Item = &Loan> {
        let first = Ref::<Loan>::from_link(self.ledger(account).loans);
        let next = |loan: &Ref<Loan>| Ref::from_link(self.get(*loan).next);
        core::iter::successors(first, next).map(|loan| self.get(loan))
    }

    /// Ends all loans of an account.
    pub(crate) fn end_loans(&mut self, account: Ref<Account>) {
        while let Some(loan) = Ref::<Loan>::from_link(self.ledger(account).loans) {
            self.ledger_mut(account).loans = self.get(loan).next;
            self.free(loan);
        }
    }

    fn end_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let after = self.get(loan).next;
        let mut place = self.ledger(account).loans;
        if place == loan.link() {
            self.ledger_mut(account).loans = after;
        }
        while let Some(other) = Ref::<Loan>::from_link(place) {
            place = self.get(other).next;
            if place == loan.link() {
                self.get_mut(other).next = after;
            }
        }
        self.free(loan);
    }
}

impl<K: Kernel> Server<K> {
    /// Lets a peer use an account that the caller has split off.
    pub(crate) fn account_lend(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        peer: PeerId,
        rights: AccountRights,
    ) -> Result<AccountHandle, Failure> {
        let account = self.account(caller, handle, AccountRights::empty())?;
        if !self.pool.get(account).is_made_by(caller) {
            return Err(PmError::NoRight.into());
        }
        if peer == caller || rights.is_empty() || self.find_peer(peer).is_none_or(|p| p.is_stopped)
        {
            return Err(PmError::Invalid.into());
        }
        if self.pool.loans(account).count() >= ACCOUNT_LOANS_MAX {
            return Err(PmError::TooMany.into());
        }
        let loan = Loan::new(account.link(), self.pool.ledger(account).loans, peer, rights);
        let loan = self.pool.alloc_named(account, caller, loan).map_err(Shortage::as_quota)?;
        self.pool.ledger_mut(account).loans = loan.link();
        Ok(AccountHandle::from_raw(self.pool.handle(loan)))
    }

    /// Ends a loan; what was made by it stays.
    pub(crate) fn account_recall(
        &mut self,
        caller: PeerId,
        lent: AccountHandle,
    ) -> Result<(), Failure> {
        let loan = self.pool.look_up::<Loan>(lent.raw()).ok_or(PmError::InvalidCap)?;
        let account = Ref::<Account>::from_link(self.pool.get(loan).account);
        let account = account.ok_or(PmError::InvalidCap)?;
        if !self.pool.get(account).is_made_by(caller) || self.pool.is_closed(account) {
            return Err(PmError::InvalidCap.into());
        }
        self.pool.end_loan(account, loan);
        Ok(())
    }
}
