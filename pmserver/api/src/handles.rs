// SPDX-License-Identifier: BSD-2-Clause
//! Handles: names of pmserver's objects, valid for one protection domain only.

use proto::PeerId;

/// Where a handle says who made what it names.
pub const HANDLE_MAKER_SHIFT: u32 = 28;
/// Bits that it says so in.
pub const HANDLE_MAKER_BITS: u32 = 6;
/// Those bits, shifted down.
pub const HANDLE_MAKER_MASK: u64 = (1 << HANDLE_MAKER_BITS) - 1;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Valid for the peer that it was made for, which only the channel that a call comes in on
        /// tells (protocol O2). Holding one proves nothing: pmserver looks it up at every call and
        /// answers `InvalidCap` where it names nothing that the caller holds.
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
    /// An account: split off by the caller, or lent to it. Small numbers name those that are there
    /// from the start; 0 is always the caller's own.
    AccountHandle
);
handle!(
    /// A fault that a handler was asked to answer (protocol R27).
    FaultHandle
);

impl ContainerHandle {
    /// Returns the peer whose container this names, as the number alleges: pmserver answers
    /// `InvalidCap` to a handle that alleges another than the true one. A server that is told a
    /// number by its client compares, so that no client can have it work on a container that
    /// another client has lent.
    #[must_use]
    pub fn owner(self) -> Option<PeerId> {
        PeerId::new(self.0 >> HANDLE_MAKER_SHIFT & HANDLE_MAKER_MASK)
    }
}

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
