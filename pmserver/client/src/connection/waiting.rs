// SPDX-License-Identifier: BSD-2-Clause
//! Waiting for a deadline, by asking for the time: never for an answer of another domain.

use proto::limits::{LEASE_MICROS_MAX, WATCH_MICROS_MAX};
use proto::{Micros, Transport};

use super::pm::Pm;
use crate::terms::{Error, Operation};

impl<T: Transport> Pm<T> {
    /// Waits until the deadline is reached, and returns the time then. Calls [`Pm::clock`] in a
    /// loop: the caller uses its own time, and no domain of a lower priority runs meanwhile.
    ///
    /// # Errors
    /// `Invalid` if the deadline is more than ten seconds away: pmserver never names such a one.
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

    /// Runs `action`, and runs it again after each deadline that its error names
    /// ([`Error::deadline`]), for at most one second in all: no lease lasts longer.
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
    ///     once: false,
    /// };
    /// let share = container.share(0..4, terms)?;
    /// // The borrower locks, and never unlocks.
    /// let weak = WeakContainer::from_raw(&fs, share.weak());
    /// weak.lock(0..4, LockMode::Exclusive, Micros::new(5000))?.into_raw();
    ///
    /// assert!(container.deallocate(0..4).is_err());
    /// assert_eq!(pm.retry(|| container.deallocate(0..4))?, 4);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// It begins anew each time. For an action that may stop in the middle of a range there is
    /// [`Pm::retry_from`].
    ///
    /// # Errors
    /// The error of `action`, if it names no deadline, or one that is further away.
    pub fn retry<R>(&self, mut action: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
        let mut patience = Patience::default();
        loop {
            match action() {
                Ok(result) => return Ok(result),
                Err(error) => patience.wait(self, error)?,
            }
        }
    }

    /// Runs `action` as [`Pm::retry`] does, and goes on where it has stopped: `action` is told how
    /// much was done before ([`Error::done`]). Returns how much was done in all.
    ///
    /// ```
    /// # use sim::testbed::Testbed;
    /// # let testbed = Testbed::new();
    /// # let pm = pmserver_client::Pm::new(testbed.channel(1));
    /// let container = pm.account().create_container()?;
    /// container.allocate(0..600)?;
    /// let copy = pm.account().create_container()?;
    /// copy.allocate(0..600)?;
    /// // If a lease is met at frame 256, the first 256 are not copied again after it.
    /// let copied = pm.retry_from(|done| container.copy(done..600, &copy, done))?;
    /// assert_eq!(copied, 600);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Pm::retry`], with what was done in all.
    pub fn retry_from(
        &self,
        mut action: impl FnMut(u64) -> Result<u64, Error>,
    ) -> Result<u64, Error> {
        let mut patience = Patience::default();
        let mut done: u64 = 0;
        loop {
            match action(done) {
                Ok(more) => return Ok(done.saturating_add(more)),
                Err(error) => {
                    let error = error.after(done);
                    done = error.done;
                    patience.wait(self, error)?;
                }
            }
        }
    }
}

/// How long a caller is willing to wait.
#[derive(Default)]
pub(crate) struct Patience {
    end: Option<Micros>,
}

impl Patience {
    /// Waits for the deadline that an error names. Returns the error if it names none, or one that
    /// is too far away.
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
