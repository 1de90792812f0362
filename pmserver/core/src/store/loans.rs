// SPDX-License-Identifier: BSD-2-Clause
//! The loans of an account: which peers may use it.

use crate::kernel::Kernel;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::loan::Loan;
use crate::store::Store;

impl<K: Kernel> Store<K> {
    /// Returns the loans of an account.
    pub(crate) fn loans(&self, account: Ref<Account>) -> impl Iterator<Item = &Loan> {
        let first = self.ledger(account).loans.target();
        let next = |loan: &Ref<Loan>| self.get(*loan).next.target();
        core::iter::successors(first, next).map(|loan| self.get(loan))
    }

    /// Ends all loans of an account.
    pub(crate) fn end_loans(&mut self, account: Ref<Account>) {
        while let Some(loan) = self.ledger(account).loans.target() {
            self.ledger_mut(account).loans = self.get(loan).next;
            self.free(loan);
        }
    }

    pub(crate) fn end_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let after = self.get(loan).next;
        let mut place = self.ledger(account).loans;
        if place == loan.link() {
            self.ledger_mut(account).loans = after;
        }
        while let Some(other) = place.target() {
            place = self.get(other).next;
            if place == loan.link() {
                self.get_mut(other).next = after;
            }
        }
        self.free(loan);
    }
}
