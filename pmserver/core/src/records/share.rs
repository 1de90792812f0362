// SPDX-License-Identifier: BSD-2-Clause
//! A share's record, and the access that a handle gives its holder.

use pmserver_api::Rights;
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Ref, Stamp, record};
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::links::{Link, Links, chain};
use crate::records::mapping::Mapping;
use crate::records::range::Range;

/// A range of a container that is lent to a peer (protocol O2).
#[repr(C)]
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
    padding: [u8; 10],
}

record!(Share, Share);

chain!(
    /// The shares of a container.
    SharesOfContainer, Share, of_container
);

impl Share {
    pub(crate) const fn new(
        container: Link<Container>,
        range: Range,
        peer: PeerId,
        rights: Rights,
        lease_max: Micros,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            range,
            lease_max: lease_max.get(),
            container,
            of_container: Links::NONE,
            mappings: Link::NONE,
            lease_count: Count::ZERO,
            rights: rights.bits(),
            peer: peer.get(),
            revoking: 0,
            padding: [0; 10],
        }
    }

    pub(crate) const fn rights(&self) -> Rights {
        Rights::from_bits_truncate(self.rights)
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

    /// Returns the access of a share's weak handle. Write implies read.
    pub(crate) fn through(container: Ref<Container>, link: Ref<Share>, share: &Share) -> Self {
        let mut rights = share.rights();
        rights.set(Rights::READ, rights.intersects(Rights::READ | Rights::WRITE));
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
