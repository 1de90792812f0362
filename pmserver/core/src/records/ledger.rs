// SPDX-License-Identifier: BSD-2-Clause
//! The second record of an account: the heads of all its lists.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Stamp, record};
use crate::records::frame::{Frame, FrameMarks};
use crate::records::links::{Links, chain};

/// The lists that the frames of an account are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameList {
    /// Within the limit.
    Guaranteed,
    /// Extra.
    Extra,
    /// Extra, and its owner can do without.
    Discardable,
}

impl FrameList {
    pub(crate) const ALL: [Self; 3] = [Self::Guaranteed, Self::Extra, Self::Discardable];

    pub(crate) fn of(frame: &Frame) -> Self {
        match (frame.has(FrameMarks::EXTRA), frame.has(FrameMarks::DISCARDABLE)) {
            (false, _) => Self::Guaranteed,
            (true, false) => Self::Extra,
            (true, true) => Self::Discardable,
        }
    }
}

/// The lists of an account.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Ledger {
    stamp: Stamp,
    pub(crate) account: u32,
    /// Its pages of records, those with a free cell first.
    pub(crate) record_pages: u32,
    /// Its CNodes, those with a free slot first.
    pub(crate) slot_pages: u32,
    /// Its containers.
    pub(crate) containers: u32,
    /// Those of them that are being destroyed, first come first.
    pub(crate) dying: u32,
    /// To whom it is lent.
    pub(crate) loans: u32,
    /// The frames within its limit, newest first, as in the next two.
    frames: u32,
    /// The extra frames without the mark DISCARDABLE.
    extra: u32,
    /// Those with it.
    discardable: u32,
    /// The others with something to tear down.
    work: Links,
    /// The others with extra frames.
    pressed: Links,
    padding: u32,
}

record!(Ledger, Ledger);

chain!(
    /// The accounts in which there is something to tear down, first come first.
    Work, Ledger, work
);

chain!(
    /// The accounts that have extra frames.
    PressedAccounts, Ledger, pressed
);

impl Ledger {
    pub(crate) const fn new(account: u32) -> Self {
        Self {
            stamp: Stamp::UNSET,
            account,
            record_pages: 0,
            slot_pages: 0,
            containers: 0,
            dying: 0,
            loans: 0,
            frames: 0,
            extra: 0,
            discardable: 0,
            work: Links::NONE,
            pressed: Links::NONE,
            padding: 0,
        }
    }

    /// Returns the first frame of a list: the newest.
    pub(crate) const fn list(&self, list: FrameList) -> u32 {
        match list {
            FrameList::Guaranteed => self.frames,
            FrameList::Extra => self.extra,
            FrameList::Discardable => self.discardable,
        }
    }

    /// Returns the last list that has a frame in it: whether it has extra frames, and discardable
    /// ones.
    pub(crate) const fn last_list(&self) -> FrameList {
        if self.discardable != 0 {
            FrameList::Discardable
        } else if self.extra != 0 {
            FrameList::Extra
        } else {
            FrameList::Guaranteed
        }
    }

    /// Returns whether it is in the queue of what is to be torn down.
    pub(crate) const fn is_queued(&self) -> bool {
        !self.work.is_none()
    }

    pub(crate) const fn set_list(&mut self, list: FrameList, first: u32) {
        match list {
            FrameList::Guaranteed => self.frames = first,
            FrameList::Extra => self.extra = first,
            FrameList::Discardable => self.discardable = first,
        }
    }
}
