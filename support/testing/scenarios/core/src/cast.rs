// SPDX-License-Identifier: BSD-2-Clause
//! The actors.

/// An actor of the scenarios: a protection domain with an account of its own. In order of rising
/// priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// Runs the scenarios, and is no puppet. P: splits accounts off, and sets the policy.
    Parent,
    /// C: pays for containers and lends them.
    Client,
    /// Has a device: may use DMA.
    Driver,
    /// Holds extra frames.
    Holder,
    /// S: is lent containers. Answers the faults of those below.
    Server,
    /// Dies. Each of the ten dies once.
    Mortal1,
    /// Dies, too.
    Mortal2,
    /// Dies, too.
    Mortal3,
    /// Dies, too.
    Mortal4,
    /// Dies, too.
    Mortal5,
    /// Dies, too.
    Mortal6,
    /// Dies, too.
    Mortal7,
    /// Dies, too.
    Mortal8,
    /// Dies, too.
    Mortal9,
    /// Dies, too.
    Mortal10,
}

/// One of something for every actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cast<T> {
    parent: T,
    client: T,
    driver: T,
    holder: T,
    server: T,
    mortals: [T; 10],
}

impl<T> Cast<T> {
    /// Makes one for each actor, from the channel that leads to it: for the parent channel 0, which
    /// is its own to pmserver, for the others the channels from 4 on.
    pub fn from_channels(mut make: impl FnMut(u8) -> T) -> Self {
        Self {
            parent: make(0),
            client: make(4),
            driver: make(5),
            holder: make(6),
            server: make(7),
            mortals: [8, 9, 10, 11, 12, 13, 14, 15, 16, 17].map(make),
        }
    }

    pub(crate) const fn get(&self, actor: Actor) -> &T {
        let [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = &self.mortals;
        match actor {
            Actor::Parent => &self.parent,
            Actor::Client => &self.client,
            Actor::Driver => &self.driver,
            Actor::Holder => &self.holder,
            Actor::Server => &self.server,
            Actor::Mortal1 => m1,
            Actor::Mortal2 => m2,
            Actor::Mortal3 => m3,
            Actor::Mortal4 => m4,
            Actor::Mortal5 => m5,
            Actor::Mortal6 => m6,
            Actor::Mortal7 => m7,
            Actor::Mortal8 => m8,
            Actor::Mortal9 => m9,
            Actor::Mortal10 => m10,
        }
    }

    pub(crate) const fn get_mut(&mut self, actor: Actor) -> &mut T {
        let [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = &mut self.mortals;
        match actor {
            Actor::Parent => &mut self.parent,
            Actor::Client => &mut self.client,
            Actor::Driver => &mut self.driver,
            Actor::Holder => &mut self.holder,
            Actor::Server => &mut self.server,
            Actor::Mortal1 => m1,
            Actor::Mortal2 => m2,
            Actor::Mortal3 => m3,
            Actor::Mortal4 => m4,
            Actor::Mortal5 => m5,
            Actor::Mortal6 => m6,
            Actor::Mortal7 => m7,
            Actor::Mortal8 => m8,
            Actor::Mortal9 => m9,
            Actor::Mortal10 => m10,
        }
    }

    /// Returns what `make` makes of each, or its first error.
    pub(crate) fn try_map<U, E>(
        &mut self,
        mut make: impl FnMut(&mut T) -> Result<U, E>,
    ) -> Result<Cast<U>, E> {
        let [m1, m2, m3, m4, m5, m6, m7, m8, m9, m10] = &mut self.mortals;
        Ok(Cast {
            parent: make(&mut self.parent)?,
            client: make(&mut self.client)?,
            driver: make(&mut self.driver)?,
            holder: make(&mut self.holder)?,
            server: make(&mut self.server)?,
            mortals: [
                make(m1)?,
                make(m2)?,
                make(m3)?,
                make(m4)?,
                make(m5)?,
                make(m6)?,
                make(m7)?,
                make(m8)?,
                make(m9)?,
                make(m10)?,
            ],
        })
    }
}
