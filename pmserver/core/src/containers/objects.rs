// SPDX-License-Identifier: BSD-2-Clause
//! The records of the container protocol, and how they hang together.
//!
//! ```text
//!   Account --< Container --< Share   (to one peer; a weak handle is a Share seen by that peer)
//!                   |   \---< Lease   (held by the owner or through a share)
//!                   v
//!                 Frame ----< Mapping >---- VSpace of a peer
//!                   |            |  \-----< Share, when mapped through one
//!                   v            v
//!                 page         slot of a CNode, or the page's original capability
//! ```
//!
//! Every link is the number of a cell, 0 for none.

use bitflags::bitflags;
use pmserver_api::{FrameState, LockMode, Rights};
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::broken;
use crate::containers::lease::Need;
use crate::containers::range::Range;
use crate::memory::chain::{Links, chain};
use crate::memory::frame_table::PageIndex;
use crate::memory::radix::Leaf;
use crate::memory::records::{Ref, Stamp, record};

/// A container (protocol R1).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Container {
    stamp: Stamp,
    /// Where the search for numbers that are free begins: above all that were ever used.
    pub(crate) unused_from: u64,
    /// How many frames it has, discarded ones not counted.
    pub(crate) frame_count: u32,
    /// The account that pays.
    pub(crate) account: u32,
    /// The tree of its frames.
    pub(crate) frames: u32,
    pub(crate) shares: u32,
    pub(crate) leases: u32,
    /// The ranges that others supply.
    pub(crate) handlers: u32,
    /// The account's other containers.
    of_account: Links,
    /// The owner's other containers.
    of_owner: Links,
    pub(crate) share_count: u16,
    pub(crate) lease_count: u16,
    pub(crate) handler_count: u16,
    /// The peer that made it, for which its handle is strong.
    owner: u8,
    /// 1 once it is being destroyed: nothing but that can be done with it any more.
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
    pub(crate) const fn new(account: u32, owner: PeerId) -> Self {
        Self {
            stamp: Stamp::UNSET,
            unused_from: 0,
            frame_count: 0,
            account,
            frames: 0,
            shares: 0,
            leases: 0,
            handlers: 0,
            of_account: Links::NONE,
            of_owner: Links::NONE,
            share_count: 0,
            lease_count: 0,
            handler_count: 0,
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
            None => broken("container of nobody's"),
        }
    }
}

bitflags! {
    /// What is to be known of a virtual frame beside where it is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct FrameMarks: u16 {
        /// The call that allocates it can still fail.
        const TENTATIVE = 1 << 0;
        /// It is charged above the limit.
        const EXTRA = 1 << 1;
        /// Its owner can do without it.
        const DISCARDABLE = 1 << 2;
        /// It was dropped under pressure: uncharged, and there only to say so.
        const DISCARDED = 1 << 3;
        /// A pin on it ran out: it has a copy of what it had.
        const TAKEN_OVER = 1 << 4;
        /// Its memory was asked for by its place: it stays there.
        const CONTIGUOUS = 1 << 5;
        /// Nobody pays for it: it takes over the charge of a frame that is being moved to its
        /// place, or has given its own to one.
        const UNCHARGED = 1 << 6;
    }
}

/// A virtual frame.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Frame {
    stamp: Stamp,
    number: u64,
    pub(crate) container: u32,
    /// The page that it is bound to; 0 while it has none.
    pub(crate) page: u32,
    /// The other frames that are bound to the page.
    pub(crate) next_of_page: u32,
    pub(crate) previous_of_page: u32,
    /// The ring of frames that are really shared; 0 while it is alone.
    pub(crate) next_shared: u32,
    pub(crate) mappings: u32,
    /// The account's other frames of its kind (`extra.rs`).
    of_account: Links,
    pub(crate) mapping_count: u16,
    marks: u16,
    padding: [u32; 3],
}

record!(Frame, Frame);
chain!(
    /// The frames of an account in one of its lists.
    FramesOfAccount, Frame, of_account
);

impl Frame {
    /// Returns a frame that has no memory yet, tentative.
    pub(crate) const fn new(container: u32, number: u64) -> Self {
        Self {
            stamp: Stamp::UNSET,
            number,
            container,
            page: 0,
            next_of_page: 0,
            previous_of_page: 0,
            next_shared: 0,
            mappings: 0,
            of_account: Links::NONE,
            mapping_count: 0,
            marks: FrameMarks::TENTATIVE.bits(),
            padding: [0; 3],
        }
    }

    pub(crate) fn page(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.page)
    }

    pub(crate) const fn has(&self, marks: FrameMarks) -> bool {
        FrameMarks::from_bits_truncate(self.marks).contains(marks)
    }

    pub(crate) fn set(&mut self, marks: FrameMarks, value: bool) {
        let mut now = FrameMarks::from_bits_truncate(self.marks);
        now.set(marks, value);
        self.marks = now.bits();
    }

    /// Returns whether it is what is left of an extra frame that was dropped. While a call makes it
    /// a frame again it is one already.
    pub(crate) const fn is_discarded(&self) -> bool {
        self.has(FrameMarks::DISCARDED) && !self.has(FrameMarks::TENTATIVE)
    }

    /// Makes it what is left of an extra frame that was dropped.
    pub(crate) const fn discard(&mut self) {
        self.marks = FrameMarks::DISCARDED.bits();
    }

    /// Returns what can be told from the frame alone.
    pub(crate) fn state(&self) -> FrameState {
        let mut state = FrameState::PRESENT;
        state.set(FrameState::BOUND, self.page != 0);
        state.set(FrameState::MAPPED, self.mappings != 0);
        state.set(FrameState::EXTRA, self.has(FrameMarks::EXTRA));
        state.set(FrameState::DISCARDABLE, self.has(FrameMarks::DISCARDABLE));
        state.set(FrameState::TAKEN_OVER, self.has(FrameMarks::TAKEN_OVER));
        state
    }
}

impl Leaf for Frame {
    fn key(&self) -> u64 {
        self.number
    }
}

/// A range of a container that is lent to a peer (protocol O2).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Share {
    stamp: Stamp,
    pub(crate) range: Range,
    lease_max: u64,
    pub(crate) container: u32,
    /// The container's other shares.
    pub(crate) next: u32,
    /// The mappings that were made through it.
    pub(crate) mappings: u32,
    pub(crate) lease_count: u16,
    rights: u16,
    peer: u8,
    /// 1 once the owner wants it back: no new lease (protocol O3).
    pub(crate) revoking: u8,
    padding: [u8; 14],
}

record!(Share, Share);

impl Share {
    pub(crate) const fn new(
        container: u32,
        next: u32,
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
            next,
            mappings: 0,
            lease_count: 0,
            rights: rights.bits(),
            peer: peer.get(),
            revoking: 0,
            padding: [0; 14],
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

/// A lock with a deadline (protocol O13).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Lease {
    stamp: Stamp,
    pub(crate) range: Range,
    deadline: u64,
    pub(crate) container: u32,
    /// The share through which it is held; 0 for the owner.
    pub(crate) share: u32,
    /// The container's other leases.
    pub(crate) next: u32,
    /// The holder's other leases.
    pub(crate) next_of_holder: u32,
    /// The pages that its holder's device may still write to, once it has run out.
    pub(crate) quarantine: u32,
    /// Frames that it pins, each of which its holder is charged for.
    pub(crate) pinned: u16,
    holder: u8,
    exclusive: u8,
    /// 1 once it has run out and is only kept for what is in quarantine.
    pub(crate) is_over: u8,
    padding: [u8; 7],
}

record!(Lease, Lease);

impl Lease {
    pub(crate) fn new(
        container: u32,
        share: u32,
        range: Range,
        holder: PeerId,
        mode: LockMode,
        deadline: Micros,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            range,
            deadline: deadline.get(),
            container,
            share,
            next: 0,
            next_of_holder: 0,
            quarantine: 0,
            pinned: 0,
            holder: holder.get(),
            exclusive: u8::from(mode == LockMode::Exclusive),
            is_over: 0,
            padding: [0; 7],
        }
    }

    pub(crate) const fn deadline(&self) -> Micros {
        Micros::new(self.deadline)
    }

    /// Returns whether it forbids this to the holder of a share, or of none.
    pub(crate) fn forbids(&self, share: u32, need: Need) -> bool {
        let is_others = self.share != share;
        match need {
            Need::Read => is_others && self.is_exclusive(),
            Need::Change => is_others,
            Need::Remove => is_others || self.pinned > 0,
            Need::Alone => true,
        }
    }

    pub(crate) const fn is_exclusive(&self) -> bool {
        self.exclusive != 0
    }

    pub(crate) fn holder(&self) -> PeerId {
        match PeerId::new(self.holder.into()) {
            Some(holder) => holder,
            None => broken("lease without a holder"),
        }
    }
}

/// What a handle gives its holder in a container.
#[derive(Clone, Copy)]
pub(crate) struct Access {
    pub(crate) container: Ref<Container>,
    /// The share, for a weak handle.
    pub(crate) share: Option<Ref<Share>>,
    pub(crate) rights: Rights,
    pub(crate) range: Range,
}

impl Access {
    /// Returns what a strong handle gives.
    pub(crate) const fn strong(container: Ref<Container>) -> Self {
        Self { container, share: None, rights: Rights::all(), range: Range::ALL }
    }

    /// Returns what the weak handle of a share gives. Write implies read.
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
