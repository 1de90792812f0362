// SPDX-License-Identifier: BSD-2-Clause
//! Handles: numbers by which a protection domain names pmserver's objects.

use proto::PeerId;

/// The lowest of the bits of a handle that are the peer which made the object.
pub const HANDLE_MAKER_SHIFT: u32 = 28;
/// The number of those bits.
pub const HANDLE_MAKER_BITS: u32 = 6;
/// A mask of that many bits.
pub const HANDLE_MAKER_MASK: u64 = (1 << HANDLE_MAKER_BITS) - 1;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// It is valid for one peer, and a peer is known by the channel of its call (PM-1, PM-5).
        /// Holding one proves nothing: pmserver looks it up at every call, and the call fails with
        /// `InvalidCap` if it names nothing of the caller's.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $name(u64);

        impl $name {
            /// Returns the handle with this number, such as one received from another domain.
            #[must_use]
            pub const fn from_raw(number: u64) -> Self {
                Self(number)
            }

            /// Returns the number, to send it to pmserver or to another domain.
            #[must_use]
            pub const fn raw(self) -> u64 {
                self.0
            }
        }
    };
}

handle!(
    /// A container: *strong* if the caller owns it, *weak* if it was shared with the caller (PM-6).
    ContainerHandle
);
handle!(
    /// A share, for the container's owner.
    ShareHandle
);
handle!(
    /// A lease, for the peer that took it.
    LeaseHandle
);
handle!(
    /// An account: one that the caller has split off or was lent. Small numbers name the accounts
    /// that exist from the start; 0 is always the caller's own.
    AccountHandle
);
handle!(
    /// A fault that its handler has to answer (R27).
    FaultHandle
);

handle!(
    /// A range of a container that another peer supplies. It names the range to its handler, which
    /// calls nothing with it: bits 28 to 33 say who made it, and its number is never used again.
    RangeHandle
);

impl RangeHandle {
    /// Returns the peer that owns the container. From `next_fault`, this is the truth.
    #[must_use]
    pub fn owner(self) -> Option<PeerId> {
        PeerId::new(self.0 >> HANDLE_MAKER_SHIFT & HANDLE_MAKER_MASK)
    }
}

impl ContainerHandle {
    /// Returns the peer whose container this claims to be. If the claim is false, pmserver refuses
    /// the handle with `InvalidCap`. A server compares this with the client that sent the number:
    /// otherwise a client could make it work on a container that another client has shared.
    #[must_use]
    pub fn owner(self) -> Option<PeerId> {
        PeerId::new(self.0 >> HANDLE_MAKER_SHIFT & HANDLE_MAKER_MASK)
    }
}

impl AccountHandle {
    /// The caller's own account.
    pub const OWN: Self = Self(0);
    /// pmserver's own account: what it uses to manage the pool, and the free memory.
    pub const POOL: Self = Self(1);
    const FIRST_PEER: u64 = 0x100;

    /// Returns the handle of a peer's own account. To read it, other peers need the
    /// privilege `read_accounts`.
    #[must_use]
    pub fn of_peer(peer: PeerId) -> Self {
        Self(Self::FIRST_PEER.saturating_add(peer.get().into()))
    }

    /// Returns the peer whose own account this names, if it is such a handle.
    #[must_use]
    pub fn peer(self) -> Option<PeerId> {
        self.0.checked_sub(Self::FIRST_PEER).and_then(PeerId::new)
    }
}
