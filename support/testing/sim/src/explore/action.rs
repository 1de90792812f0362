// SPDX-License-Identifier: BSD-2-Clause
//! What the peers of a small system can do next, and the small systems: each has a few of these
//! actions, and all of their orders are tried.

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
}

/// The small systems, by name, with their actions.
pub(super) fn systems() -> Vec<(&'static str, Vec<Action>)> {
    use Action::{
        Allocate, Copy, Create, Deallocate, Destroy, DeviceReset, Grant, Load, Lock, Map, Move,
        NextFault, Pin, Reclaim, Refuse, Renew, SetHandler, Share, Stop, Store, Supply, Ungrant,
        Unlock, Unmap, Unshare, Wait,
    };
    use Who::{A, B, Server};
    let lend = vec![
        Create(0),
        Destroy(0),
        Share { of: 0, write: true },
        Share { of: 0, write: false },
        Unshare(0),
        Map(A, 0),
        Map(Server, 0),
        Unmap(Server, 0),
        Store(A, 0, 0),
        Store(Server, 0, 0),
        Load(A, 0, 0),
        Load(Server, 0, 0),
    ];
    let with = |base: &[Action], more: &[Action]| [base, more].concat();
    let lease = with(
        &lend,
        &[
            Lock(0, LockMode::Read),
            Lock(0, LockMode::Exclusive),
            Unlock(0),
            Wait,
            Stop(Server),
            Stop(A),
            Reclaim,
        ],
    );
    let copies = vec![
        Create(0),
        Create(1),
        Destroy(0),
        Share { of: 0, write: false },
        Share { of: 1, write: true },
        Unshare(0),
        Map(A, 0),
        Map(B, 1),
        Map(Server, 1),
        Store(A, 0, 0),
        Store(B, 1, 0),
        Store(Server, 1, 0),
        Load(A, 0, 1),
        Load(B, 1, 0),
        Copy(Server, (0, 0), (1, 0)),
        Copy(A, (0, 0), (0, 1)),
        Copy(B, (1, 0), (1, 1)),
        Renew(0, 0),
        Deallocate(1, 0),
        Allocate(1, 0),
        Stop(A),
        Stop(Server),
        Reclaim,
    ];
    let handler = with(
        &lend,
        &[
            Load(A, 0, 2),
            Store(A, 0, 2),
            Store(Server, 0, 2),
            SetHandler(0, true),
            SetHandler(0, false),
            NextFault,
            Create(1),
            Share { of: 1, write: false },
            Supply(1),
            Refuse,
            Renew(0, 2),
            Wait,
            Stop(Server),
        ],
    );
    let pin = with(
        &lend,
        &[
            Pin(0),
            Unlock(0),
            Copy(A, (0, 0), (0, 1)),
            Copy(A, (0, 1), (0, 0)),
            Renew(0, 0),
            Deallocate(0, 0),
            Allocate(0, 0),
            DeviceReset,
            Move,
            Wait,
            Stop(Server),
            Reclaim,
        ],
    );
    let grant = with(
        &lease,
        &[Grant(A, 0), Grant(Server, 0), Ungrant(A), Ungrant(Server), Copy(A, (0, 0), (0, 1))],
    );
    let mut all = Vec::new();
    for action in [&lease, &copies, &handler, &pin, &grant].into_iter().flatten() {
        if !all.contains(action) {
            all.push(*action);
        }
    }
    vec![
        ("lease", lease),
        ("copies", copies),
        ("handler", handler),
        ("pin", pin),
        ("grant", grant),
        ("all", all),
    ]
}
