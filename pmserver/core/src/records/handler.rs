// SPDX-License-Identifier: BSD-2-Clause
//! The record of a range that a handler supplies, and what a peer waits for.

use pmserver_api::AccessKind;
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Stamp, record};
use crate::records::links::{Links, chain};
use crate::records::range::Range;

/// A range of a container whose frames another peer supplies (R27).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Handler {
    stamp: Stamp,
    pub(crate) range: Range,
    /// The container's other handlers.
    of_container: Links<Handler>,
    /// The first frame that may still show zeros.
    pub(crate) shown_from: u64,
    pub(crate) cookie: u32,
    peer: u8,
    /// Whether no frame of the range shows zeros any more.
    pub(crate) is_ready: u8,
    padding: [u8; 18],
}

record!(Handler, Handler);

chain!(
    /// The handlers of a container.
    HandlersOfContainer, Handler, of_container
);

impl Handler {
    pub(crate) const fn new(range: Range, peer: PeerId, cookie: u32) -> Self {
        let peer = peer.get();
        Self {
            stamp: Stamp::UNSET,
            range,
            of_container: Links::NONE,
            shown_from: range.first,
            cookie,
            peer,
            is_ready: 0,
            padding: [0; 18],
        }
    }

    pub(crate) fn peer(&self) -> Option<PeerId> {
        PeerId::new(self.peer.into())
    }
}

/// A frame that a peer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    /// The number that the handler answers with; 0 until it is told.
    pub(crate) id: u64,
    pub(crate) handler: PeerId,
    /// The handle of the container, which may be gone before the answer comes.
    pub(crate) container: u64,
    /// The handle of the range, which ends its waits.
    pub(crate) range: u64,
    pub(crate) cookie: u32,
    pub(crate) number: u64,
    pub(crate) access: AccessKind,
    pub(crate) until: Micros,
    /// Whether an access waits; otherwise an operation that the caller repeats.
    pub(crate) by_access: bool,
    pub(crate) is_told: bool,
    pub(crate) is_refused: bool,
}
