// SPDX-License-Identifier: BSD-2-Clause
//! The small systems: each has a few of the actions, and all of their orders are tried.

use pmserver_api::LockMode;

use super::action::Action::{
    self, Allocate, Answer, Copy, CopyAll, Create, Deallocate, Destroy, DeviceReset, Extra,
    ExtraLock, Grant, Load, Lock, Map, Move, NextFault, Pin, Promise, Reclaim, Refuse, Renew,
    SetHandler, Share, Stop, Store, Supply, Ungrant, Unlock, Unmap, Unshare, Wait,
};
use super::action::Who::{A, B, Server};
use super::world::Shape;

/// The small systems, by name, with their actions.
pub(super) fn systems() -> Vec<(&'static str, Shape, Vec<Action>)> {
    let single = [
        ("lease", lease()),
        ("copies", copies()),
        ("handler", handler()),
        ("pin", pin()),
        ("grant", grant()),
        ("promised", promised()),
    ];
    let mut all = Vec::new();
    for action in single.iter().flat_map(|(_, actions)| actions) {
        if !all.contains(action) {
            all.push(*action);
        }
    }
    let with_shape = |(name, actions)| (name, Shape::SINGLE, actions);
    let mut systems: Vec<_> = single.into_iter().map(with_shape).collect();
    systems.push(("all", Shape::SINGLE, all));
    systems.push(("cluster", Shape::CLUSTER, cluster()));
    systems.push(("large", Shape::LARGE, large()));
    systems
}

fn with(base: &[Action], more: &[Action]) -> Vec<Action> {
    [base, more].concat()
}

/// Lending and taking back.
fn lend() -> Vec<Action> {
    vec![
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
    ]
}

/// With leases and deaths.
fn lease() -> Vec<Action> {
    with(
        &lend(),
        &[
            Lock(0, LockMode::Read),
            Lock(0, LockMode::Exclusive),
            Unlock(0),
            Wait,
            Stop(Server),
            Stop(A),
            Reclaim,
        ],
    )
}

/// Copies on write between two owners.
fn copies() -> Vec<Action> {
    vec![
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
    ]
}

/// A handler that supplies the last frame.
fn handler() -> Vec<Action> {
    with(
        &lend(),
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
    )
}

/// Pins, and memory that is moved.
fn pin() -> Vec<Action> {
    with(
        &lend(),
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
    )
}

/// Capabilities that are granted.
fn grant() -> Vec<Action> {
    with(
        &lease(),
        &[Grant(A, 0), Grant(Server, 0), Ungrant(A), Ungrant(Server), Copy(A, (0, 0), (0, 1))],
    )
}

/// Memory that was promised.
fn promised() -> Vec<Action> {
    vec![
        Create(0),
        Destroy(0),
        Map(A, 0),
        Store(A, 0, 0),
        Promise,
        Extra,
        ExtraLock(B),
        ExtraLock(Server),
        Answer,
        Stop(B),
        Wait,
        Reclaim,
    ]
}

/// Eight frames in one record, and what is done with all of them or with one.
fn cluster() -> Vec<Action> {
    vec![
        Create(0),
        Create(1),
        Share { of: 0, write: true },
        Share { of: 1, write: true },
        Unshare(0),
        Map(A, 0),
        Map(B, 1),
        Map(Server, 0),
        Unmap(A, 0),
        Unmap(B, 1),
        Store(A, 0, 0),
        Store(B, 1, 7),
        Load(B, 1, 0),
        Lock(0, LockMode::Read),
        Lock(1, LockMode::Exclusive),
        Unlock(0),
        Unlock(1),
        CopyAll(0, 1),
        Copy(A, (0, 0), (0, 7)),
        Deallocate(0, 7),
        Destroy(1),
        Wait,
        Stop(Server),
    ]
}

/// 512 frames in one block, and what splits them.
fn large() -> Vec<Action> {
    vec![
        Create(0),
        Create(1),
        Share { of: 0, write: true },
        Share { of: 1, write: true },
        Map(A, 0),
        Map(B, 1),
        Unmap(A, 0),
        Store(A, 0, 1),
        Store(B, 1, 0),
        Lock(0, LockMode::Read),
        Unlock(0),
        CopyAll(0, 1),
        Renew(0, 1),
        Destroy(0),
    ]
}
