// SPDX-License-Identifier: BSD-2-Clause
//! Watches: how long a caller waits for a server.

use core::fmt;

use proto::{Micros, PeerId, Transport};

use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused};

impl<T: Transport> Pm<T> {
    /// Says that the caller is about to call a server and waits for at most `ttl`, or ten seconds.
    /// After that a peer with the privilege `supervise` may rescue the server (operation 17, watch;
    /// PM-122): the call is answered with what the server says when it has recovered, or with
    /// `Stopped`. The watch ends when the value is dropped.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # use pmserver_client::{Micros, PeerId, Pm};
    /// # let (pm, supervisor) = (Pm::new(testbed.channel(1)), Pm::new(testbed.channel(3)));
    /// # let server = PeerId::new(2).unwrap();
    /// let watch = pm.watch(server, Micros::new(50_000))?;
    /// // … a call to the server …
    /// assert_eq!(supervisor.rescue()?.next_deadline, Some(watch.deadline()));
    /// drop(watch);
    /// assert_eq!(supervisor.rescue()?.next_deadline, None);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Invalid` for a peer that does not exist, for the caller itself, and for a `ttl` of 0;
    /// `NoRight` for a peer that the system file does not let the caller call.
    pub fn watch(&self, server: PeerId, ttl: Micros) -> Result<Watch<'_, T>, Error> {
        if ttl == Micros::new(0) {
            return Err(Error::invalid(Operation::Watch));
        }
        let deadline = self.call(Operation::Watch, |calls| calls.watch(server, ttl))?;
        Ok(Watch::new(self, server, deadline))
    }
}

/// The server that a watch is for.
#[derive(Clone, Copy)]
struct Watched(PeerId);

impl<T: Transport> Release for Named<'_, T, Watched> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let Watched(server) = self.name;
        self.pm.call(Operation::Watch, |calls| calls.watch(server, Micros::new(0))).map(drop)
    }
}

/// A statement of how long the caller waits for a server ([`Pm::watch`]). Dropping it ends the
/// watch.
///
/// A caller has one watch at a time, and the latest counts. If an older value is dropped while a
/// later watch is running, that ends the later one.
#[must_use = "dropping the watch ends it"]
pub struct Watch<'pm, T: Transport> {
    held: Held<Named<'pm, T, Watched>>,
    deadline: Micros,
}

impl<'pm, T: Transport> Watch<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, server: PeerId, deadline: Micros) -> Self {
        Self { held: Held::new(Named { pm, name: Watched(server) }), deadline }
    }

    /// Returns when the server may be rescued.
    #[must_use]
    pub const fn deadline(&self) -> Micros {
        self.deadline
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn end(self) -> Result<(), Refused<Self>> {
        let Self { held, deadline } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, deadline }))
    }
}

impl<T: Transport> fmt::Debug for Watch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Watch", &self.deadline)
    }
}
