// SPDX-License-Identifier: BSD-2-Clause
//! What the peers of a small system can do next.

use pmserver_api::LockMode;

/// A peer: two clients and a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Owns the first container.
    A,
    /// Owns the second one.
    B,
    /// Is lent both.
    Server,
}

/// All peers.
pub(super) const ALL: [Who; 3] = [Who::A, Who::B, Who::Server];

/// The container of A or that of B, by number.
pub(super) type Box = usize;
/// The number of a frame.
pub(super) type Frame = usize;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is named after its operation; the owner does it if nobody is named.
pub(super) enum Action {
    Create(Box),
    Destroy(Box),
    Share {
        of: Box,
        write: bool,
    },
    Unshare(Box),
    Map(Who, Box),
    Unmap(Who, Box),
    Store(Who, Box, Frame),
    Load(Who, Box, Frame),
    /// By the server.
    Lock(Box, LockMode),
    Unlock(Box),
    Pin(Box),
    Copy(Who, (Box, Frame), (Box, Frame)),
    /// By the server, all frames.
    CopyAll(Box, Box),
    Renew(Box, Frame),
    Deallocate(Box, Frame),
    Allocate(Box, Frame),
    /// Makes the server supply the last frame, or ends that.
    SetHandler(Box, bool),
    NextFault,
    Supply(Box),
    Refuse,
    Grant(Who, Box),
    Ungrant(Who),
    DeviceReset,
    Move,
    Stop(Who),
    /// To the next deadline.
    Wait,
    Reclaim,
    /// A asks for memory that was promised to it.
    Promise,
    /// B takes all free memory beyond its limit.
    Extra,
    /// B or the server locks that.
    ExtraLock(Who),
    /// B gives back of it what it is asked for.
    Answer,
}
