// SPDX-License-Identifier: BSD-2-Clause
//! A container's record.

use proto::PeerId;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::{Stamp, record};
use crate::records::count::Count;
use crate::records::frame::Frame;
use crate::records::handler::Handler;
use crate::records::leaf::Tree;
use crate::records::lease::Lease;
use crate::records::links::{Link, Links, chain};
use crate::records::share::Share;

/// A container (protocol R1).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Container {
    stamp: Stamp,
    /// The first number above all numbers that were ever used: where a search for free ones begins.
    pub(crate) unused_from: u64,
    /// How many frames it has, without discarded ones.
    pub(crate) frame_count: Count<u32>,
    /// The account that pays.
    pub(crate) account: Link<Account>,
    /// The tree of its frames.
    pub(crate) frames: Tree<Frame>,
    pub(crate) shares: Link<Share>,
    pub(crate) leases: Link<Lease>,
    /// The ranges that handlers supply.
    pub(crate) handlers: Link<Handler>,
    /// The account's other containers.
    of_account: Links<Container>,
    /// The owner's other containers.
    of_owner: Links<Container>,
    /// How many mappings and grants its frames have, and how many of them are really shared: if
    /// none, nobody has to be kept from them.
    pub(crate) ties: Count<u32>,
    pub(crate) share_count: Count<u8>,
    pub(crate) lease_count: Count<u8>,
    /// The peer that made it and holds the strong handle.
    owner: u8,
    /// 1 while it is being destroyed: no other operation accepts it then.
    pub(crate) dying: u8,
}

record!(Container, Container);

chain!(
    /// The containers of an account: the live ones, or those that are being destroyed.
    ContainersOfAccount, Container, of_account
);

chain!(
    /// The live containers that a peer made.
    ContainersOfOwner, Container, of_owner
);

impl Container {
    pub(crate) const fn new(account: Link<Account>, owner: PeerId) -> Self {
        Self {
            stamp: Stamp::UNSET,
            unused_from: 0,
            frame_count: Count::ZERO,
            account,
            frames: Tree::EMPTY,
            shares: Link::NONE,
            leases: Link::NONE,
            handlers: Link::NONE,
            of_account: Links::NONE,
            of_owner: Links::NONE,
            ties: Count::ZERO,
            share_count: Count::ZERO,
            lease_count: Count::ZERO,
            owner: owner.get(),
            dying: 0,
        }
    }

    pub(crate) const fn is_dying(&self) -> bool {
        self.dying != 0
    }

    pub(crate) const fn is_owned_by(&self, peer: PeerId) -> bool {
        self.owner == peer.get()
    }

    pub(crate) fn owner(&self) -> PeerId {
        match PeerId::new(self.owner.into()) {
            Some(owner) => owner,
            None => broken("container without an owner"),
        }
    }
}
