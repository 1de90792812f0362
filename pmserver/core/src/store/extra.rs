// SPDX-License-Identifier: BSD-2-Clause
//! Which frames of an account are within its limit, and which are extra (protocol R12, R16).
//!
//! A frame is extra if it was allocated above the limit, or if the limit was lowered below the use
//! of the account: then the newest frames become extra. A frame stays extra until it is freed, so
//! that its owner knows what can be asked back. Only frames can be extra: if the record of an extra
//! frame needs a page, the newest frame within the limit is *demoted* to an extra one to make room.
//!
//! ```text
//!   within the limit ---- demote ----> extra ---- dropped (`serve/pressure.rs`) ----> discarded:
//!                                          its record remains, uncharged, and reports the loss
//! ```
//!
//! By age, the extra frames of an account are its newest ones, unless frames were freed in between.
//!
//! There is at most one request for extra frames, to a few accounts (O16); the next request asks
//! for what is still missing. An account answers by having fewer extra frames: every one that it
//! frees counts.

use heapless::Vec;
use pmserver_api::Failure;
use proto::Micros;
use proto::limits::ASKED_ACCOUNTS_MAX;

use crate::kernel::Kernel;
use crate::records::account::{Account, Charge, Shortage};
use crate::records::cell::Ref;
use crate::records::frame::{Frame, FrameMarks, FramesOfAccount};
use crate::records::ledger::{FrameList, Ledger, PressedAccounts};
use crate::records::links::Link;
use crate::store::Store;

/// The largest number of record pages that one call's frames and their tree nodes can need.
const RECORD_PAGES_MAX: usize = 16;

/// The lists of the frames that a call has demoted. If the call fails, they are promoted again in
/// reverse order.
pub(crate) type Demoted = Vec<FrameList, RECORD_PAGES_MAX>;

/// The accounts that have extra frames, in two chains: accounts with discardable frames are only in
/// the second.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pressed {
    extra: Link<Ledger>,
    discardable: Link<Ledger>,
}

impl Pressed {
    /// Returns the chain for accounts whose last list that is not empty is this one.
    pub(crate) const fn chain(&self, list: FrameList) -> Link<Ledger> {
        match list {
            FrameList::Guaranteed => Link::NONE,
            FrameList::Extra => self.extra,
            FrameList::Discardable => self.discardable,
        }
    }

    /// Returns whether no account has extra frames.
    pub(crate) const fn is_empty(&self) -> bool {
        self.extra.is_none() && self.discardable.is_none()
    }

    const fn set_chain(&mut self, list: FrameList, first: Link<Ledger>) {
        match list {
            FrameList::Guaranteed => {}
            FrameList::Extra => self.extra = first,
            FrameList::Discardable => self.discardable = first,
        }
    }
}

/// What one account is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) account: Ref<Account>,
    /// How many extra frames are still to be given back.
    pub(crate) count: u32,
}

/// A request for extra frames.
#[derive(Clone, Copy)]
pub(crate) struct Demand {
    asked: [Option<Asked>; ASKED_ACCOUNTS_MAX],
    pub(crate) deadline: Micros,
    /// Increases with every request.
    pub(crate) sequence: u64,
}

impl Demand {
    /// The state before the first request.
    pub(crate) const NONE: Self =
        Self { asked: [None; ASKED_ACCOUNTS_MAX], deadline: Micros::new(0), sequence: 0 };

    /// Begins a request.
    pub(crate) fn begin(&mut self, asked: [Option<Asked>; ASKED_ACCOUNTS_MAX], deadline: Micros) {
        *self = Self { asked, deadline, sequence: self.sequence.saturating_add(1) };
    }

    /// Returns the parts that have not been answered.
    pub(crate) fn open(&self) -> impl Iterator<Item = Asked> {
        self.asked.into_iter().flatten()
    }

    /// Returns the deadline if it has not passed and something is unanswered.
    pub(crate) fn running(&self, now: Micros) -> Option<Micros> {
        (now < self.deadline && self.open().next().is_some()).then_some(self.deadline)
    }

    /// Counts one extra frame that an account has freed.
    #[cold]
    fn answer(&mut self, account: Ref<Account>) {
        let Some(place) = self.place(account) else { return };
        *place = place
            .map(|asked| Asked { count: asked.count.saturating_sub(1), ..asked })
            .filter(|asked| asked.count > 0);
    }

    /// Drops an account from the request: it is gone, or has nothing that could be taken.
    pub(crate) fn forget(&mut self, account: Ref<Account>) {
        if let Some(place) = self.place(account) {
            *place = None;
        }
    }

    fn place(&mut self, account: Ref<Account>) -> Option<&mut Option<Asked>> {
        self.asked.iter_mut().find(|place| place.is_some_and(|asked| asked.account == account))
    }
}

impl<K: Kernel> Store<K> {
    /// Charges a frame: within the limit if there is room, else as an extra one if allowed. The
    /// account was not removed.
    #[inline(always)]
    pub(crate) fn charge_frame(
        &mut self,
        payer: Ref<Account>,
        frame: Ref<Frame>,
        may_be_extra: bool,
    ) -> Result<(), Shortage> {
        let list = match self.charge_guaranteed(payer) {
            Ok(()) => FrameList::Guaranteed,
            Err(Shortage::Account) if may_be_extra => {
                self.charge(payer, Charge::Extra)?;
                self.get_mut(frame).set(FrameMarks::EXTRA, true);
                FrameList::Extra
            }
            Err(shortage) => return Err(shortage),
        };
        self.add_to(list, payer, frame, Age::Newest);
        Ok(())
    }

    /// Refunds the frames of a record that is in a list, and is to be removed or discarded.
    #[inline(always)]
    pub(crate) fn refund_frames(
        &mut self,
        payer: Ref<Account>,
        (frame, frames): (Ref<Frame>, u32),
        list: FrameList,
    ) {
        self.remove_from(list, payer, frame);
        if list == FrameList::Guaranteed {
            self.refund_guaranteed(payer, frames);
        } else {
            self.refund(payer, Charge::Extra);
            self.demand.answer(payer);
        }
    }

    /// Transfers the charge of a frame to an uncharged frame of the same account.
    pub(crate) fn move_charge(&mut self, account: Ref<Account>, from: Ref<Frame>, to: Ref<Frame>) {
        self.remove_from_list(account, from);
        for mark in [FrameMarks::EXTRA, FrameMarks::DISCARDABLE] {
            let has_it = self.get(from).has(mark);
            self.get_mut(to).set(mark, has_it);
        }
        self.get_mut(from).set(FrameMarks::UNCHARGED, true);
        self.get_mut(to).set(FrameMarks::UNCHARGED, false);
        self.add_to_list(account, to, Age::Newest);
    }

    /// Moves the newest frames within an account's limit behind the others as long as a pin without
    /// a deadline is on them.
    ///
    /// # Errors
    /// `Pending` if the call has no room for more: the next one goes on.
    pub(crate) fn pass_kept(&mut self, account: Ref<Account>) -> Result<(), Failure> {
        let mut first = None;
        while let Some(frame) = self.newest(account)
            && self.get(frame).has(FrameMarks::KEPT)
            && first != Some(frame)
        {
            self.meter().begin_frame(0)?;
            self.move_to_back(account, frame);
            first.get_or_insert(frame);
        }
        Ok(())
    }

    fn newest(&self, account: Ref<Account>) -> Option<Ref<Frame>> {
        self.ledger(account).list(FrameList::Guaranteed).target()
    }

    /// Demotes the newest frame within an account's limit to an extra one. Returns the list whose
    /// last frame it is now, or `None` if the account has no frame that may become one.
    pub(crate) fn demote(&mut self, account: Ref<Account>) -> Option<FrameList> {
        let mut frame = self.newest(account)?;
        while self.get(frame).is_run() {
            self.split_run(frame).ok()?;
            frame = self.newest(account)?;
        }
        if self.get(frame).has(FrameMarks::KEPT) {
            return None;
        }
        self.change_list(account, frame, Charge::Frames, Charge::Extra);
        Some(FrameList::of(self.get(frame)))
    }

    /// Undoes the last [`Self::demote`] that was not undone yet.
    pub(crate) fn undo_demote(&mut self, account: Ref<Account>, list: FrameList) {
        if let Some(frame) = self.last_of::<FramesOfAccount>(self.ledger(account).list(list)) {
            self.change_list(account, frame, Charge::Extra, Charge::Frames);
        }
    }

    fn change_list(&mut self, account: Ref<Account>, frame: Ref<Frame>, from: Charge, to: Charge) {
        self.remove_from_list(account, frame);
        self.get_mut(frame).set(FrameMarks::EXTRA, to == Charge::Extra);
        // A demoted frame is older than all extra frames; a promoted one is newer than all others.
        let age = if to == Charge::Extra { Age::Oldest } else { Age::Newest };
        self.add_to_list(account, frame, age);
        self.convert(account, from, to);
    }

    /// Returns how many frames an account has within its limit that may become extra ones, counting
    /// up to `most`.
    pub(crate) fn count_guaranteed(&self, account: Ref<Account>, most: u64) -> u64 {
        let chain = self.ledger(account).list(FrameList::Guaranteed);
        let mut count: u64 = 0;
        for frame in self.chain::<FramesOfAccount>(chain) {
            if count >= most {
                break;
            }
            let frame = self.get(frame);
            if !frame.has(FrameMarks::KEPT) {
                count = count.saturating_add(frame.frames().into());
            }
        }
        count.min(most)
    }

    /// Returns how many extra frames an account has, counting up to `most`.
    pub(crate) fn count_extra(&self, account: Ref<Account>, most: u64) -> u32 {
        let lists = [FrameList::Extra, FrameList::Discardable];
        let frames = lists
            .iter()
            .flat_map(|list| self.chain::<FramesOfAccount>(self.ledger(account).list(*list)));
        let count = frames.take(usize::try_from(most).unwrap_or(usize::MAX)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Sets or clears the mark DISCARDABLE of a frame.
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
            self.remove_from_list(account, frame);
            self.get_mut(frame).set(FrameMarks::DISCARDABLE, value);
            self.add_to_list(account, frame, Age::Newest);
        }
    }

    /// Moves a frame to the end of its list.
    pub(crate) fn move_to_back(&mut self, account: Ref<Account>, frame: Ref<Frame>) {
        self.remove_from_list(account, frame);
        self.add_to_list(account, frame, Age::Oldest);
    }

    /// Transfers the frames of a removed account to the end of another account's lists.
    pub(crate) fn transfer_frames(&mut self, from: Ref<Account>, to: Ref<Account>) {
        for list in FrameList::ALL {
            let (from, to) = (self.ledger_ref(from), self.ledger_ref(to));
            let first = self.get(from).list(list);
            self.set_list(from, list, Link::NONE);
            let joined = self.join::<FramesOfAccount>(self.get(to).list(list), first);
            self.set_list(to, list, joined);
        }
    }

    #[inline(always)]
    pub(super) fn add_to_list(&mut self, account: Ref<Account>, frame: Ref<Frame>, age: Age) {
        self.add_to(FrameList::of(self.get(frame)), account, frame, age);
    }

    #[inline(always)]
    fn add_to(&mut self, list: FrameList, account: Ref<Account>, frame: Ref<Frame>, age: Age) {
        let ledger = self.ledger_ref(account);
        let first = self.get(ledger).list(list);
        let first = match age {
            Age::Newest => self.add_first::<FramesOfAccount>(first, frame),
            Age::Oldest => self.add_last::<FramesOfAccount>(first, frame),
        };
        self.set_list(ledger, list, first);
    }

    pub(super) fn remove_from_list(&mut self, account: Ref<Account>, frame: Ref<Frame>) {
        self.remove_from(FrameList::of(self.get(frame)), account, frame);
    }

    #[inline(always)]
    fn remove_from(&mut self, list: FrameList, account: Ref<Account>, frame: Ref<Frame>) {
        let ledger = self.ledger_ref(account);
        let first = self.get(ledger).list(list);
        let first = self.remove_from_chain::<FramesOfAccount>(first, frame);
        self.set_list(ledger, list, first);
    }

    /// Sets a list, and moves the account to the chain that now fits it.
    #[inline(always)]
    fn set_list(&mut self, ledger: Ref<Ledger>, list: FrameList, first: Link<Frame>) {
        if list == FrameList::Guaranteed {
            self.get_mut(ledger).set_list(list, first);
        } else {
            self.set_list_of_extra(ledger, list, first);
        }
    }

    #[cold]
    fn set_list_of_extra(&mut self, ledger: Ref<Ledger>, list: FrameList, first: Link<Frame>) {
        let before = self.get(ledger).last_list();
        self.get_mut(ledger).set_list(list, first);
        let after = self.get(ledger).last_list();
        if before == after {
            return;
        }
        if before != FrameList::Guaranteed {
            let chain =
                self.remove_from_chain::<PressedAccounts>(self.pressed.chain(before), ledger);
            self.pressed.set_chain(before, chain);
        }
        if after != FrameList::Guaranteed {
            let chain = self.add_last::<PressedAccounts>(self.pressed.chain(after), ledger);
            self.pressed.set_chain(after, chain);
        }
    }

    /// Moves an account to the end of its chain.
    pub(crate) fn move_account_to_back(&mut self, ledger: Ref<Ledger>) {
        let list = self.get(ledger).last_list();
        if list != FrameList::Guaranteed {
            let rest = self.remove_from_chain::<PressedAccounts>(self.pressed.chain(list), ledger);
            let chain = self.add_last::<PressedAccounts>(rest, ledger);
            self.pressed.set_chain(list, chain);
        }
    }
}

/// The end of a list at which a frame is added.
#[derive(Clone, Copy)]
pub(super) enum Age {
    Newest,
    Oldest,
}
