// SPDX-License-Identifier: BSD-2-Clause
//! Handles: the numbers by which peers name objects. The server chooses them.

use std::collections::{BTreeMap, BTreeSet};

use pmserver_api::HANDLE_MAKER_SHIFT;
use proto::PeerId;

use super::objects::{AccountId, ContainerId, FaultId, LeaseId, ShareId};

/// Numbers below this one are the accounts that exist from the start.
const SMALL_NUMBERS: u64 = 0x200;

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Object {
    Container(ContainerId),
    Weak(ShareId),
    Share(ShareId),
    Lease(LeaseId),
    Account(AccountId),
    Fault(FaultId),
    /// A range with a handler, by a number of the model's.
    Range(u64),
}

/// The types of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Container,
    Share,
    Lease,
    Account,
    Fault,
    Range,
}

impl Object {
    const fn kind(self) -> Kind {
        match self {
            Self::Container(_) | Self::Weak(_) => Kind::Container,
            Self::Share(_) => Kind::Share,
            Self::Lease(_) => Kind::Lease,
            Self::Account(_) => Kind::Account,
            Self::Fault(_) => Kind::Fault,
            Self::Range(_) => Kind::Range,
        }
    }
}

/// All handles of all peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    objects: BTreeMap<(PeerId, Kind, u64), Object>,
    /// Numbers that ever named something: none may be used again (PM-5).
    used: BTreeSet<(PeerId, Kind, u64)>,
    next: u64,
}

impl Names {
    /// Gives an object a name: the number that the server told, if PM-5 allows it.
    pub(crate) fn give(
        &mut self,
        to: PeerId,
        maker: Option<PeerId>,
        object: Object,
        told: Option<u64>,
    ) -> u64 {
        let kind = object.kind();
        let says = |raw: u64, peer: PeerId| raw >> HANDLE_MAKER_SHIFT & 63 == peer.get().into();
        let fits = |raw: &u64| {
            let is_small = *raw < SMALL_NUMBERS && kind == Kind::Account;
            *raw != 0
                && !is_small
                && !self.used.contains(&(to, kind, *raw))
                && maker.is_none_or(|peer| says(*raw, peer))
        };
        let raw = told.filter(fits).unwrap_or_else(|| {
            self.next += 1;
            (self.next << 34)
                | (maker.map_or(0, |peer| u64::from(peer.get())) << HANDLE_MAKER_SHIFT)
        });
        self.objects.insert((to, kind, raw), object);
        self.used.insert((to, kind, raw));
        raw
    }

    pub(crate) fn find(&self, of: PeerId, kind: Kind, raw: u64) -> Option<Object> {
        self.objects.get(&(of, kind, raw)).copied()
    }

    /// Returns the names of an object.
    pub(crate) fn of(&self, object: Object) -> impl Iterator<Item = (PeerId, u64)> {
        let named = self.objects.iter().filter(move |(_, named)| **named == object);
        named.map(|((peer, _, raw), _)| (*peer, *raw))
    }

    /// Takes all names of an object away.
    pub(crate) fn forget(&mut self, object: Object) {
        self.objects.retain(|_, named| *named != object);
    }

    /// Takes one name of an object away.
    pub(crate) fn forget_name(&mut self, of: PeerId, kind: Kind, raw: u64) {
        self.objects.remove(&(of, kind, raw));
    }

    /// Returns all names: the peer, the type of handle, its number, and the object.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (PeerId, Kind, u64, Object)> {
        self.objects.iter().map(|((peer, kind, raw), object)| (*peer, *kind, *raw, *object))
    }

    /// Returns the numbers that named something once and name nothing now.
    pub(crate) fn stale(&self) -> impl Iterator<Item = u64> {
        let stale = self.used.iter().filter(|name| !self.objects.contains_key(name));
        stale.map(|(_, _, raw)| *raw)
    }
}
