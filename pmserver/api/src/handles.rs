// SPDX-License-Identifier: BSD-2-Clause
//! Handles: names of pmserver's objects, valid for one protection domain only.

use proto::PeerId;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// An index with a generation into the caller's own table, which only the channel that a call
        /// comes in on selects (protocol O2). Holding one proves nothing: pmserver looks it up at
        /// every call and answers `InvalidCap` where it names nothing that the caller holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Returns the handle with this number, as another domain told it.
            #[must_use]
            pub const fn from_raw(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number, to tell it to another domain or to send it.
            #[must_use]
            pub const fn raw(self) -> u64 {
                self.0
            }
        }
    };
}

handle!(
    /// A container: strong where the caller owns it, weak where it was shared to the caller.
    ContainerHandle
);
handle!(
    /// A share, in the hands of the container's owner.
    ShareHandle
);
handle!(
    /// A lease, in the hands of whoever locked.
    LeaseHandle
);
handle!(
    /// An account. Number 0 always names the caller's own.
    AccountHandle
);

impl AccountHandle {
    /// The caller's own account.
    pub const OWN: Self = Self(0);
    /// pmserver's own account: what it needs to manage the pool, and the pool's free memory.
    pub const POOL: Self = Self(1);
    const FIRST_PEER: u64 = 0x100;

    /// Returns the name of a peer's account; reading it takes the right to.
    #[must_use]
    pub fn of_peer(peer: PeerId) -> Self {
        Self(Self::FIRST_PEER.saturating_add(peer.get().into()))
    }

    /// Returns the peer whose account this names, where it names one that way.
    #[must_use]
    pub fn peer(self) -> Option<PeerId> {
        self.0.checked_sub(Self::FIRST_PEER).and_then(PeerId::new)
    }
}
