// SPDX-License-Identifier: BSD-2-Clause
//! Waiting for a deadline, never for anybody: by asking what time it is.

use proto::limits::{LEASE_MICROS_MAX, WATCH_MICROS_MAX};
use proto::{Micros, Transport};

use super::pm::Pm;
use crate::terms::{Error, Operation};

impl<T: Transport> Pm<T> {
    /// Returns when the deadline is reached, with the time then: calls [`Pm::clock`] until it is.
    ///
    /// The caller spends its own time, and no domain of a lower priority runs meanwhile.
    ///
    /// # Errors
    /// `Invalid` where the deadline is more than ten seconds away: pmserver gives none like that.
    pub fn wait_until(&self, deadline: Micros) -> Result<Micros, Error> {
        let mut now = self.clock()?;
        if deadline > now.saturating_add(Micros::new(WATCH_MICROS_MAX)) {
            return Err(Error::invalid(Operation::Clock));
        }
        while now < deadline {
            now = self.clock()?;
        }
        Ok(now)
    }

    /// Does something, and does it again after each deadline that its refusal names
    /// ([`Error::deadline`]), for at most one second in all: as long as a lease lasts at most.
    ///
    /// ```
    /// # use sim::testbed::Testbed;
    /// # let testbed = Testbed::new();
    /// # let (owner, server) = (testbed.channel(1), testbed.channel(2));
    /// # use pmserver_client::{LockMode, Micros, PeerId, Pm, Rights, ShareTerms, WeakContainer};
    /// # let (pm, fs) = (Pm::new(owner), Pm::new(server));
    /// let container = pm.account().create_container()?;
    /// container.allocate(0..4)?;
    /// let terms = ShareTerms {
    ///     peer: fs.whoami()?.peer,
    ///     rights: Rights::READ | Rights::LOCK,
    ///     lease_max: Micros::new(5000),
    /// };
    /// let share = container.share(0..4, terms)?;
    /// // The borrower locks, and is not heard of again.
    /// let weak = WeakContainer::from_raw(&fs, share.weak());
    /// weak.lock(0..4, LockMode::Exclusive, Micros::new(5000))?.into_raw();
    ///
    /// assert!(container.deallocate(0..4).is_err());
    /// assert_eq!(pm.retry(|| container.deallocate(0..4))?, 4);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// The refusal, where it names no deadline, or one that is further away.
    pub fn retry<R>(&self, mut action: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
        let mut patience = Patience::default();
        loop {
            match action() {
                Ok(result) => return Ok(result),
                Err(error) => patience.wait(self, error)?,
            }
        }
    }
}

/// How long somebody goes on waiting.
#[derive(Default)]
pub(crate) struct Patience {
    end: Option<Micros>,
}

impl Patience {
    /// Waits for the deadline of a refusal, or returns the refusal.
    pub(crate) fn wait<T: Transport>(&mut self, pm: &Pm<T>, error: Error) -> Result<(), Error> {
        let Some(deadline) = error.deadline() else { return Err(error) };
        let now = pm.clock()?;
        let end = *self.end.get_or_insert(now.saturating_add(Micros::new(LEASE_MICROS_MAX)));
        if now >= end || deadline > end {
            return Err(error);
        }
        pm.wait_until(deadline).map(drop)
    }
}
