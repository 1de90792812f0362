// SPDX-License-Identifier: BSD-2-Clause
//! Watches: how long a caller waits for a server.

use core::fmt;

use proto::{Micros, PeerId, Transport};

use crate::error::{Error, Refused};
use crate::held::{Held, Named, Release, print};
use crate::operation::Operation;
use crate::pm::Pm;

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
        self.pm.call(Operation::Watch, |client| client.watch(server, Micros::new(0))).map(drop)
    }
}

/// A statement of how long the caller waits for a server ([`Pm::watch`]). Dropping it ends the
/// watch.
///
/// A caller has one watch at a time, and the latest counts: one that is dropped while a later one
/// is there ends the later one.
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
