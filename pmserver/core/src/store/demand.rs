// SPDX-License-Identifier: BSD-2-Clause
//! The running request for extra frames, if there is one (O16).
//!
//! There is at most one request, to a few accounts; the next request asks for what is still
//! missing. An account answers by having fewer extra frames: every one that it frees counts.

use proto::Micros;
use proto::limits::ASKED_ACCOUNTS_MAX;

use crate::records::account::Account;
use crate::records::cell::Ref;

/// What one account is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) account: Ref<Account>,
    /// How many extra frames are still to be given back.
    pub(crate) count: u32,
}

/// A request for extra frames.
#[derive(Clone, Copy)]
pub(crate) struct Demand {
    asked: [Option<Asked>; ASKED_ACCOUNTS_MAX],
    pub(crate) deadline: Micros,
    /// Increases with every request.
    pub(crate) sequence: u64,
}

impl Demand {
    /// The state before the first request.
    pub(crate) const NONE: Self =
        Self { asked: [None; ASKED_ACCOUNTS_MAX], deadline: Micros::new(0), sequence: 0 };

    /// Begins a request.
    pub(crate) fn begin(&mut self, asked: [Option<Asked>; ASKED_ACCOUNTS_MAX], deadline: Micros) {
        *self = Self { asked, deadline, sequence: self.sequence.saturating_add(1) };
    }

    /// Returns the parts that have not been answered.
    pub(crate) fn open(&self) -> impl Iterator<Item = Asked> {
        self.asked.into_iter().flatten()
    }

    /// Returns the deadline if it has not passed and something is unanswered.
    pub(crate) fn running(&self, now: Micros) -> Option<Micros> {
        (now < self.deadline && self.open().next().is_some()).then_some(self.deadline)
    }

    /// Counts one extra frame that an account has freed.
    pub(super) fn answer(&mut self, account: Ref<Account>) {
        let Some(place) = self.place(account) else { return };
        *place = place
            .map(|asked| Asked { count: asked.count.saturating_sub(1), ..asked })
            .filter(|asked| asked.count > 0);
    }

    /// Drops an account from the request: it is gone, or has nothing that could be taken.
    pub(crate) fn forget(&mut self, account: Ref<Account>) {
        if let Some(place) = self.place(account) {
            *place = None;
        }
    }

    fn place(&mut self, account: Ref<Account>) -> Option<&mut Option<Asked>> {
        self.asked.iter_mut().find(|place| place.is_some_and(|asked| asked.account == account))
    }
}
