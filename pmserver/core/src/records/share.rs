// SPDX-License-Identifier: BSD-2-Clause
//! A share's record, and the access that a handle gives its holder.

use pmserver_api::{Rights, ShareTerms};
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::broken::broken;
use crate::records::cell::{Ref, Stamp, record};
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::links::{Link, Links, chain};
use crate::records::mapping::Mapping;
use crate::records::range::Range;

/// A range of a container that is lent to a peer (protocol O2).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Share {
    stamp: Stamp,
    pub(crate) range: Range,
    lease_max: u64,
    pub(crate) container: Link<Container>,
    /// The container's other shares.
    of_container: Links<Share>,
    /// The mappings that were made through it.
    pub(crate) mappings: Link<Mapping>,
    pub(crate) lease_count: Count<u16>,
    rights: u16,
    peer: u8,
    /// 1 once the owner has asked to unshare it: it allows no new lease (O3).
    pub(crate) revoking: u8,
    /// 1 if its borrower can only take it (PM-430).
    once: u8,
    /// 1 if its borrower may take it now.
    armed: u8,
    padding: [u8; 8],
}

record!(Share, Share);

chain!(
    /// The shares of a container.
    SharesOfContainer, Share, of_container
);

impl Share {
    pub(crate) fn new(container: Link<Container>, range: Range, terms: &ShareTerms) -> Self {
        Self {
            stamp: Stamp::UNSET,
            range,
            lease_max: terms.lease_max.get(),
            container,
            of_container: Links::NONE,
            mappings: Link::NONE,
            lease_count: Count::ZERO,
            rights: terms.rights.bits(),
            peer: terms.peer.get(),
            revoking: 0,
            once: terms.once.into(),
            armed: 0,
            padding: [0; 8],
        }
    }

    pub(crate) const fn rights(&self) -> Rights {
        Rights::from_bits_truncate(self.rights)
    }

    /// Returns the peer that it is lent to.
    pub(crate) fn peer(&self) -> PeerId {
        match PeerId::new(self.peer.into()) {
            Some(peer) => peer,
            None => broken("share for nobody"),
        }
    }

    pub(crate) const fn is_for(&self, peer: PeerId) -> bool {
        self.peer == peer.get()
    }

    pub(crate) const fn lease_max(&self) -> Micros {
        Micros::new(self.lease_max)
    }

    pub(crate) const fn is_revoking(&self) -> bool {
        self.revoking != 0
    }

    pub(crate) const fn is_once(&self) -> bool {
        self.once != 0
    }

    pub(crate) const fn is_armed(&self) -> bool {
        self.armed != 0
    }

    /// Arms or disarms it; returns whether it was armed.
    pub(crate) fn set_armed(&mut self, armed: bool) -> bool {
        core::mem::replace(&mut self.armed, armed.into()) != 0
    }
}

/// The access to a container that a handle gives its holder.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) container: Ref<Container>,
    /// The share, for a weak handle.
    pub(crate) share: Option<Ref<Share>>,
    pub(crate) rights: Rights,
    pub(crate) range: Range,
}

impl Access {
    /// Returns the access of a strong handle.
    pub(crate) const fn strong(container: Ref<Container>) -> Self {
        Self { container, share: None, rights: Rights::all(), range: Range::ALL }
    }

    /// Returns the access of a share's weak handle. Write implies read, and what can only be taken
    /// can be locked.
    pub(crate) fn through(container: Ref<Container>, link: Ref<Share>, share: &Share) -> Self {
        let mut rights = share.rights();
        rights.set(Rights::READ, rights.intersects(Rights::READ | Rights::WRITE));
        rights.set(Rights::LOCK, rights.contains(Rights::LOCK) || share.is_once());
        Self { container, share: Some(link), rights, range: share.range }
    }

    pub(crate) const fn is_strong(&self) -> bool {
        self.share.is_none()
    }

    /// Returns whether the handle gives these rights in the range.
    pub(crate) const fn allows(&self, range: Range, rights: Rights) -> bool {
        self.range.covers(range) && self.rights.contains(rights)
    }
}
