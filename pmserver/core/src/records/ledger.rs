// SPDX-License-Identifier: BSD-2-Clause
//! The second record of an account: the heads of all its lists.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::account::Account;
use crate::records::cell::{Stamp, record};
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::links::{Link, Links, chain};
use crate::records::loan::Loan;
use crate::records::places::Places;
use crate::records::stock::Stock;

/// The lists that the frames of an account are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameList {
    /// Within the limit.
    Guaranteed,
    /// Extra.
    Extra,
    /// Extra, and its owner allows it to be discarded.
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
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Ledger {
    stamp: Stamp,
    pub(crate) account: Link<Account>,
    /// Its pages of records, those with a free cell first.
    pub(crate) record_pages: Link<Places>,
    /// Its CNodes, those with a free slot first.
    pub(crate) slot_pages: Link<Places>,
    /// Its containers.
    pub(crate) containers: Link<Container>,
    /// Its containers that are being destroyed, oldest first.
    pub(crate) dying: Link<Container>,
    /// The peers that may use it.
    pub(crate) loans: Link<Loan>,
    /// The frames within its limit, newest first, as in the next two.
    frames: Link<Frame>,
    /// The extra frames without the mark DISCARDABLE.
    extra: Link<Frame>,
    /// Those with it.
    discardable: Link<Frame>,
    /// Its place in the queue of accounts with something to tear down.
    work: Links<Ledger>,
    /// Its place in the list of accounts with extra frames.
    pressed: Links<Ledger>,
    /// The third record of the account, while it has runs.
    pub(crate) stock: Link<Stock>,
}

record!(Ledger, Ledger);

chain!(
    /// The accounts that have something to tear down, oldest first.
    Work, Ledger, work
);

chain!(
    /// The accounts that have extra frames.
    PressedAccounts, Ledger, pressed
);

impl Ledger {
    pub(crate) const fn new(account: Link<Account>) -> Self {
        Self {
            stamp: Stamp::UNSET,
            account,
            record_pages: Link::NONE,
            slot_pages: Link::NONE,
            containers: Link::NONE,
            dying: Link::NONE,
            loans: Link::NONE,
            frames: Link::NONE,
            extra: Link::NONE,
            discardable: Link::NONE,
            work: Links::NONE,
            pressed: Links::NONE,
            stock: Link::NONE,
        }
    }

    /// Returns the first frame of a list: the newest.
    pub(crate) const fn list(&self, list: FrameList) -> Link<Frame> {
        match list {
            FrameList::Guaranteed => self.frames,
            FrameList::Extra => self.extra,
            FrameList::Discardable => self.discardable,
        }
    }

    /// Returns the last list that is not empty, which says whether the account has extra frames and
    /// whether it has discardable ones.
    pub(crate) const fn last_list(&self) -> FrameList {
        if !self.discardable.is_none() {
            FrameList::Discardable
        } else if !self.extra.is_none() {
            FrameList::Extra
        } else {
            FrameList::Guaranteed
        }
    }

    /// Returns whether it is in the teardown queue.
    pub(crate) const fn is_queued(&self) -> bool {
        !self.work.is_none()
    }

    pub(crate) const fn set_list(&mut self, list: FrameList, first: Link<Frame>) {
        match list {
            FrameList::Guaranteed => self.frames = first,
            FrameList::Extra => self.extra = first,
            FrameList::Discardable => self.discardable = first,
        }
    }
}
