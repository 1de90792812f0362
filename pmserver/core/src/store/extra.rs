// SPDX-License-Identifier: BSD-2-Clause
//! Which frames of an account are within its limit, and which are extra (protocol R12, R16).
//!
//! A frame is extra where it was allocated as one, above the limit, or where the limit was lowered
//! below it: then the newest go first. It stays extra for as long as it is there, so that its owner
//! knows what can be asked back. Only frames can be extra: where the record of an extra frame needs
//! a page, the newest frame within the limit makes room for that and becomes extra instead.
//!
//! ```text
//!   within the limit ---- demote ----> extra ---- dropped (`pressure.rs`) ----> discarded: in its
//!                                                      container to say so, charged to nobody
//! ```
//!
//! In the order of age, the newest first, the frames of an account are its extra ones and then the
//! others, as long as nothing was freed in between.

use heapless::Vec;

use crate::kernel::Kernel;
use crate::records::account::{Account, Charge, Shortage};
use crate::records::cell::Ref;
use crate::records::frame::{Frame, FrameMarks, FramesOfAccount};
use crate::records::ledger::{FrameList, Ledger, PressedAccounts};
use crate::records::links::Link;
use crate::store::Store;

/// Pages for records that the frames of one call take at most, and the nodes of the tree that they
/// are in.
const RECORD_PAGES_MAX: usize = 16;

/// The frames that became extra during a call, by the lists that they are in: to be taken back in
/// the reverse order where the call fails.
pub(crate) type Demoted = Vec<FrameList, RECORD_PAGES_MAX>;

/// The accounts that have extra frames, in two chains: those that have discardable ones are in the
/// chain of these alone.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pressed {
    extra: Link<Ledger>,
    discardable: Link<Ledger>,
}

impl Pressed {
    /// Returns the chain for accounts whose frames are in such a list at best.
    pub(crate) const fn chain(&self, list: FrameList) -> Link<Ledger> {
        match list {
            FrameList::Guaranteed => Link::NONE,
            FrameList::Extra => self.extra,
            FrameList::Discardable => self.discardable,
        }
    }

    const fn set_chain(&mut self, list: FrameList, first: Link<Ledger>) {
        match list {
            FrameList::Guaranteed => {}
            FrameList::Extra => self.extra = first,
            FrameList::Discardable => self.discardable = first,
        }
    }
}

impl<K: Kernel> Store<K> {
    /// Charges a frame: within the limit, or above it where that is allowed.
    pub(crate) fn charge_frame(
        &mut self,
        account: Ref<Account>,
        frame: Ref<Frame>,
        may_be_extra: bool,
    ) -> Result<(), Shortage> {
        let is_extra = match self.charge(account, Charge::Frames) {
            Err(Shortage::Account) if may_be_extra => {
                self.charge(account, Charge::Extra)?;
                true
            }
            result => {
                result?;
                false
            }
        };
        self.get_mut(frame).set(FrameMarks::EXTRA, is_extra);
        self.enlist(account, frame, Age::Newest);
        Ok(())
    }

    /// Takes the charge for a frame back.
    pub(crate) fn refund_frame(&mut self, account: Ref<Account>, frame: Ref<Frame>) {
        let list = self.delist(account, frame);
        self.get_mut(frame).set(FrameMarks::EXTRA, false);
        if list == FrameList::Guaranteed {
            self.refund(account, Charge::Frames);
        } else {
            self.refund(account, Charge::Extra);
            self.demand.answer(account);
        }
    }

    /// Has a frame that nobody pays for take over the charge of another of the same account.
    pub(crate) fn move_charge(&mut self, account: Ref<Account>, from: Ref<Frame>, to: Ref<Frame>) {
        self.delist(account, from);
        for mark in [FrameMarks::EXTRA, FrameMarks::DISCARDABLE] {
            let has_it = self.get(from).has(mark);
            self.get_mut(to).set(mark, has_it);
        }
        self.get_mut(from).set(FrameMarks::UNCHARGED, true);
        self.get_mut(to).set(FrameMarks::UNCHARGED, false);
        self.enlist(account, to, Age::Newest);
    }

    /// Makes the newest frame within an account's limit an extra one; returns the list that it is
    /// the last of now, or `None` where there was no frame.
    pub(crate) fn demote(&mut self, account: Ref<Account>) -> Option<FrameList> {
        let frame = self.ledger(account).list(FrameList::Guaranteed).target()?;
        self.change_list(account, frame, Charge::Frames, Charge::Extra);
        Some(FrameList::of(self.get(frame)))
    }

    /// Takes back what [`Self::demote`] has done last, or before all that was taken back already.
    pub(crate) fn undo_demote(&mut self, account: Ref<Account>, list: FrameList) {
        if let Some(frame) = self.last_of::<FramesOfAccount>(self.ledger(account).list(list)) {
            self.change_list(account, frame, Charge::Extra, Charge::Frames);
        }
    }

    fn change_list(&mut self, account: Ref<Account>, frame: Ref<Frame>, from: Charge, to: Charge) {
        self.delist(account, frame);
        self.get_mut(frame).set(FrameMarks::EXTRA, to == Charge::Extra);
        // What comes to the extra ones is older than they are, what leaves them is newer.
        let age = if to == Charge::Extra { Age::Oldest } else { Age::Newest };
        self.enlist(account, frame, age);
        self.convert(account, from, to);
    }

    /// Returns how many frames an account has within its limit, counted up to a number.
    pub(crate) fn count_guaranteed(&self, account: Ref<Account>, most: u64) -> u64 {
        let chain = self.ledger(account).list(FrameList::Guaranteed);
        let frames = self.chain::<FramesOfAccount>(chain).zip(0..most);
        u64::try_from(frames.count()).unwrap_or(u64::MAX)
    }

    /// Returns how many extra frames an account has, counted up to a number.
    pub(crate) fn count_extra(&self, account: Ref<Account>, most: u64) -> u32 {
        let lists = [FrameList::Extra, FrameList::Discardable];
        let frames = lists
            .iter()
            .flat_map(|list| self.chain::<FramesOfAccount>(self.ledger(account).list(*list)));
        let count = frames.take(usize::try_from(most).unwrap_or(usize::MAX)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Sets or takes away the mark DISCARDABLE of a frame.
    pub(crate) fn set_discardable(
        &mut self,
        account: Ref<Account>,
        frame: Ref<Frame>,
        value: bool,
    ) {
        let record = self.get(frame);
        if !record.has(FrameMarks::EXTRA) {
            self.get_mut(frame).set(FrameMarks::DISCARDABLE, value);
        } else if record.has(FrameMarks::DISCARDABLE) != value {
            self.delist(account, frame);
            self.get_mut(frame).set(FrameMarks::DISCARDABLE, value);
            self.enlist(account, frame, Age::Newest);
        }
    }

    /// Moves a frame behind the others of its list.
    pub(crate) fn pass_over(&mut self, account: Ref<Account>, frame: Ref<Frame>) {
        self.delist(account, frame);
        self.enlist(account, frame, Age::Oldest);
    }

    /// Puts the frames of an account that was removed behind those of another.
    pub(crate) fn hand_over_frames(&mut self, from: Ref<Account>, to: Ref<Account>) {
        for list in FrameList::ALL {
            let first = self.ledger(from).list(list);
            self.set_list(from, list, Link::NONE);
            let joined = self.join::<FramesOfAccount>(self.ledger(to).list(list), first);
            self.set_list(to, list, joined);
        }
    }

    fn enlist(&mut self, account: Ref<Account>, frame: Ref<Frame>, age: Age) {
        let list = FrameList::of(self.get(frame));
        let first = self.ledger(account).list(list);
        let first = match age {
            Age::Newest => self.add_first::<FramesOfAccount>(first, frame),
            Age::Oldest => self.add_last::<FramesOfAccount>(first, frame),
        };
        self.set_list(account, list, first);
    }

    fn delist(&mut self, account: Ref<Account>, frame: Ref<Frame>) -> FrameList {
        let list = FrameList::of(self.get(frame));
        let first = self.take_out::<FramesOfAccount>(self.ledger(account).list(list), frame);
        self.set_list(account, list, first);
        list
    }

    /// Sets a list, and puts the account where it belongs among those with extra frames.
    fn set_list(&mut self, account: Ref<Account>, list: FrameList, first: Link<Frame>) {
        let ledger = self.ledger_ref(account);
        let before = self.get(ledger).last_list();
        self.get_mut(ledger).set_list(list, first);
        let after = self.get(ledger).last_list();
        if before == after {
            return;
        }
        if before != FrameList::Guaranteed {
            let chain = self.take_out::<PressedAccounts>(self.pressed.chain(before), ledger);
            self.pressed.set_chain(before, chain);
        }
        if after != FrameList::Guaranteed {
            let chain = self.add_last::<PressedAccounts>(self.pressed.chain(after), ledger);
            self.pressed.set_chain(after, chain);
        }
    }

    /// Moves an account behind the others with extra frames.
    pub(crate) fn pass_over_account(&mut self, ledger: Ref<Ledger>) {
        let list = self.get(ledger).last_list();
        if list != FrameList::Guaranteed {
            let rest = self.take_out::<PressedAccounts>(self.pressed.chain(list), ledger);
            let chain = self.add_last::<PressedAccounts>(rest, ledger);
            self.pressed.set_chain(list, chain);
        }
    }
}

/// Where a frame goes in its list.
#[derive(Clone, Copy)]
enum Age {
    Newest,
    Oldest,
}
