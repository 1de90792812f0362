// SPDX-License-Identifier: BSD-2-Clause
//! The loans of an account: which peers may use it.

use crate::kernel::Kernel;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::loan::{Loan, LoansOfAccount};
use crate::store::Store;

impl<K: Kernel> Store<K> {
    /// Returns the loans of an account.
    pub(crate) fn loans(&self, account: Ref<Account>) -> impl Iterator<Item = &Loan> {
        self.chain::<LoansOfAccount>(self.ledger(account).loans).map(|loan| self.get(loan))
    }

    /// Adds a loan to those of its account.
    pub(crate) fn link_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let loans = self.add_first::<LoansOfAccount>(self.ledger(account).loans, loan);
        self.ledger_mut(account).loans = loans;
    }

    /// Ends all loans of an account.
    pub(crate) fn end_loans(&mut self, account: Ref<Account>) {
        while let Some(loan) = self.ledger(account).loans.target() {
            self.end_loan(account, loan);
        }
    }

    pub(crate) fn end_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let loans = self.remove_from_chain::<LoansOfAccount>(self.ledger(account).loans, loan);
        self.ledger_mut(account).loans = loans;
        self.free(loan);
    }
}
