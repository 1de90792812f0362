// SPDX-License-Identifier: BSD-2-Clause
//! Insertion of virtual frames: their records, their place in the container, their charge.

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks, LARGE_ORDER};
use crate::records::leaf::{Leaf, Tree};
use crate::records::ledger::FrameList;
use crate::records::range::Range;
use crate::store::Store;
use crate::store::extra::Demoted;
use crate::store::runs::{RUN_FRAMES_MIN, RUN_ORDERS};

impl<K: Kernel> FrameManager<K> {
    /// Charges a frame with these marks and inserts it. A discarded one of its number that is there
    /// becomes a tentative one. If extra frames are allowed, records in `demoted` which frames were
    /// made extra to pay for its record.
    #[inline(always)]
    pub(crate) fn insert_frame(
        &mut self,
        (account, container, there): (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        (number, marks): (u64, FrameMarks),
        mut demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let new = Frame::new(container.link(), number, marks);
        let frame = self.insert_record((account, container, there), new, demoted.as_deref_mut())?;
        // After the record, which may have needed the last room.
        self.store.charge_frame(account, frame, demoted.is_some()).inspect_err(|_| {
            self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
            self.take_out(container, frame);
        })?;
        Ok(frame)
    }

    /// Charges a tentative frame within the limit and inserts it, as [`Self::insert_frame`].
    pub(crate) fn insert_tentative(
        &mut self,
        at: (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        number: u64,
    ) -> Result<(), Shortage> {
        self.insert_frame(at, (number, FrameMarks::TENTATIVE), None).map(drop)
    }

    /// Inserts a tentative frame that will get the charge of another.
    pub(crate) fn insert_moved_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let account = self.store.payer_of_container(container);
        let there = self.vacancy(container, number).unwrap_or(None);
        let new = Frame::new(container.link(), number, FrameMarks::TENTATIVE);
        let frame = self.insert_record((account, container, there), new, None)?;
        self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
        Ok(())
    }

    /// Inserts the record of a frame, or reuses the record of a discarded one that is `there`, or
    /// puts it into the cluster that is.
    #[inline(always)]
    fn insert_record(
        &mut self,
        (account, container, there): (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        new: Frame,
        demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let (frame, tree) = match there {
            Some(there) => {
                let frame = self.fill_vacancy(account, there, new, demoted)?;
                (frame, self.store.get(container).frames)
            }
            None => self.new_record(account, container, new, demoted)?,
        };
        let record = self.store.get_mut(container);
        record.frames = tree;
        record.frame_count.up();
        record.unused_from = record.unused_from.max(new.key().saturating_add(1));
        Ok(frame)
    }

    /// Reuses the record of a discarded frame, or puts a new one into a cluster.
    #[cold]
    fn fill_vacancy(
        &mut self,
        account: Ref<Account>,
        there: Ref<Frame>,
        new: Frame,
        demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let record = self.store.get_mut(there);
        if record.is_discarded() {
            record.set(FrameMarks::TENTATIVE, true);
            return Ok(there);
        }
        let is_open = record.is_open();
        let frame = if is_open && demoted.is_some() {
            self.alloc_frame(account, new, demoted)?
        } else {
            // From the page that the other records are in (PM-15).
            self.store.set_aside(account, 1)?;
            let opened = if is_open { Ok(()) } else { self.split_cluster(there) };
            let frame = opened.and_then(|()| Ok(self.store.alloc_set_aside(account, new)?));
            frame.inspect_err(|_| self.store.give_back(account, 1))?
        };
        self.store.put_into_cluster(there, frame);
        Ok(frame)
    }

    #[inline(always)]
    fn alloc_frame(
        &mut self,
        account: Ref<Account>,
        new: Frame,
        demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        self.store.alloc_of_payer(account, new).or_else(move |shortage| {
            self.make_with_demoted(account, (shortage, demoted), move |it| it.alloc(account, new))
        })
    }

    /// Makes a record; returns it and the tree with it.
    #[inline(always)]
    fn new_record(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        new: Frame,
        mut demoted: Option<&mut Demoted>,
    ) -> Result<(Ref<Frame>, Tree<Frame>), Shortage> {
        let frame = self.alloc_frame(account, new, demoted.as_deref_mut())?;
        let tree = self.store.get(container).frames;
        let tree = self.store.tree_insert(account, tree, frame).or_else(|shortage| {
            self.make_with_demoted(account, (shortage, demoted), |it| {
                // Demoting a frame may have split a run of this container.
                it.tree_insert(account, it.get(container).frames, frame)
            })
        });
        let tree = tree.inspect_err(|_| self.store.free(frame))?;
        Ok((frame, tree))
    }

    /// Makes something that needs a page for records, and was refused. If the account is at its
    /// limit and extra frames are allowed, the newest frame within the limit is demoted to make
    /// room.
    #[cold]
    fn make_with_demoted<T>(
        &mut self,
        account: Ref<Account>,
        (shortage, demoted): (Shortage, Option<&mut Demoted>),
        make: impl FnOnce(&mut Store<K>) -> Result<T, Shortage>,
    ) -> Result<T, Shortage> {
        let may_demote =
            |demoted: &&mut Demoted| shortage == Shortage::Account && !demoted.is_full();
        let demoted = demoted.filter(may_demote).ok_or(shortage)?;
        let list = self.demote_for_page(account)?;
        let made = make(&mut self.store);
        if made.is_ok() {
            let _ = demoted.push(list);
        } else {
            self.store.undo_demote(account, list);
        }
        made
    }

    /// Demotes a frame, so that there is room for a page for records.
    #[cold]
    fn demote_for_page(&mut self, account: Ref<Account>) -> Result<FrameList, Shortage> {
        // The demoted frame is a new extra one.
        self.store.check_extra()?;
        self.split_newest(account).map_err(|_| Shortage::Account)?;
        self.store.demote(account).ok_or(Shortage::Account)
    }

    /// Charges frames at the beginning of a range as runs, if it can: if they are of an
    /// account that is never removed, and nothing is at their numbers. Returns how many.
    #[inline(always)]
    pub(crate) fn insert_runs(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        range: Range,
    ) -> Option<u64> {
        if range.others() < RUN_FRAMES_MIN.saturating_sub(1) {
            None
        } else {
            self.insert_some_runs(account, container, range)
        }
    }

    #[inline(never)]
    fn insert_some_runs(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        range: Range,
    ) -> Option<u64> {
        let count = range.others().saturating_add(1);
        let fits = |frames: u64| count >= frames && range.first.is_multiple_of(frames);
        let mut orders = RUN_ORDERS.into_iter().filter(|order| fits(1 << order));
        orders.find_map(|order| self.insert_runs_of(account, container, (range, count), order))
    }

    fn insert_runs_of(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        (range, count): (Range, u64),
        order: u8,
    ) -> Option<u64> {
        let mut near = None;
        let free = match self.next_record_near(container, range, &mut near) {
            Some((_, number)) => number.saturating_sub(range.first),
            None => count,
        };
        let runs = u32::try_from(free >> order).ok().filter(|runs| *runs > 0)?;
        if self.store.get(account).maker().is_some()
            || order < LARGE_ORDER && !self.store.has_room_beside(account, count, order)
        {
            return None;
        }
        let is_starved = self.store.is_starved;
        let added = self.store.add_runs(account, container, range.first, (runs, order), near);
        // If not all of them can be had, some can.
        self.store.is_starved = is_starved;
        let added = added.ok().filter(|added| *added > 0)?;
        Some(u64::from(added) << order)
    }
}
