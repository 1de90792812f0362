// SPDX-License-Identifier: BSD-2-Clause
//! Memory pressure: reclaiming extra frames when somebody needs memory that was promised (R12, R13,
//! O16).
//!
//! An operation that lacks memory first undoes itself. Then room is made here, and it runs again,
//! so nothing is dropped while an operation uses it. pmserver never waits: the caller is told when
//! to call again.
//!
//! ```text
//!   refused -> a claim -> drop discardable frames -------> enough: run again
//!                            | not enough
//!                            v
//!              a request runs, and the claim is new? -> Pending until its deadline
//!                            | no
//!                            v
//!              drop what was asked for and not given back -> enough: run again
//!                            | not enough
//!                            v
//!              the claim is new? -> ask, notify, Pending until the deadline
//!                            | no
//!                            v
//!              drop any extra frames -----------------------> enough: run again
//!                            | not enough: borrowers and devices hold them
//!                            v
//!              Pending, until their leases have ended
//! ```
//!
//! A claim is served [`PROMISE_MICROS_MAX`] after it began, whatever others do: nobody gets new
//! extra frames in the meantime, and no new lease on one lasts longer (PM-342, PM-343).

use heapless::Vec;
use pmserver_api::Failure;
use proto::limits::{
    ASKED_ACCOUNTS_MAX, EXTRA_MICROS, FORCE_MICROS, PEERS_MAX, PRESSURE_FRAMES_MAX,
    PROMISE_MICROS_MAX,
};
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::leaf::Leaf;
use crate::records::lease::Lease;
use crate::records::ledger::{FrameList, PressedAccounts};
use crate::serve::Service;
use crate::store::claims::Waiting;
use crate::store::extra::Asked;

/// The worst case of dropping a frame: each of its mappings is the last one in three page tables.
const DROP_WORK_MAX: u64 = 150_000;

/// The result of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// There is enough memory now.
    Made,
    /// Extra frames were asked for, until this deadline.
    Asked(Micros),
    /// There is more to drop than one call does.
    More,
    /// There is no extra frame that could be reclaimed.
    Nowhere,
}

impl<K: Kernel> Service<K> {
    /// Makes room for this many pages by dropping extra frames, or asks for them.
    pub(super) fn make_room(&mut self, claimant: PeerId, of: Waiting, pages: u64) -> Room {
        let now = self.store.kernel.now();
        let since = self.store.claims.open(claimant, of, now);
        let age = now.get().saturating_sub(since.get());
        let is_new = age < FORCE_MICROS;
        let mut missing = pages.saturating_sub(self.drop_discardable(pages, age));
        if missing > 0 && self.may_drop().is_err() {
            return Room::More;
        }
        let running = self.store.demand.running(now).filter(|_| is_new && missing > 0);
        let room = running.map_or_else(
            || {
                missing = missing.saturating_sub(self.drop_overdue(missing, age));
                if missing > 0 && !is_new {
                    missing = missing.saturating_sub(self.drop_any(missing, age));
                }
                match missing {
                    0 => Room::Made,
                    _ if self.may_drop().is_err() => Room::More,
                    _ if is_new => self.ask_back(missing, now),
                    _ => self.wait_for_leases(since, now),
                }
            },
            Room::Asked,
        );
        match room {
            Room::Asked(deadline) => self.store.claims.keep(claimant, deadline),
            Room::Nowhere => self.store.claims.close(claimant, of),
            Room::Made | Room::More => {}
        }
        room
    }

    /// Says when what leases hold can be had.
    fn wait_for_leases(&self, since: Micros, now: Micros) -> Room {
        let lists = [FrameList::Extra, FrameList::Discardable];
        if lists.iter().all(|list| self.store.pressed.chain(*list).is_none()) {
            return Room::Nowhere;
        }
        let soon = now.saturating_add(Micros::new(EXTRA_MICROS));
        let due = since.saturating_add(Micros::new(PROMISE_MICROS_MAX));
        Room::Asked(if now < due { soon.min(due) } else { soon })
    }

    /// Refuses to drop another frame if the call has no room for that.
    fn may_drop(&self) -> Result<(), Failure> {
        self.store.meter().check_room(DROP_WORK_MAX, 0)
    }

    /// Drops at most `most` discardable frames; returns how many.
    fn drop_discardable(&mut self, most: u64, age: u64) -> u64 {
        let mut dropped = 0;
        for _ in 0..PRESSURE_FRAMES_MAX {
            let first = self.store.pressed.chain(FrameList::Discardable).target();
            let is_over = dropped >= most || self.may_drop().is_err();
            let Some(ledger) = first.filter(|_| !is_over) else { break };
            let account = self.store.account_of(ledger);
            if self.drop_newest(account, FrameList::Discardable, age) {
                dropped = dropped.saturating_add(1);
            } else {
                self.store.move_account_to_back(ledger);
            }
        }
        dropped
    }

    /// Drops at most `most` extra frames of accounts that were asked for them and have not freed
    /// them; returns how many.
    fn drop_overdue(&mut self, most: u64, age: u64) -> u64 {
        let mut dropped: u64 = 0;
        let mut looks = PRESSURE_FRAMES_MAX;
        let overdue = self.store.demand;
        for Asked { account, count } in overdue.open() {
            let end = dropped.saturating_add(count.into()).min(most);
            while dropped < end && looks > 0 && self.may_drop().is_ok() {
                looks = looks.saturating_sub(1);
                if self.drop_newest(account, FrameList::Extra, age) {
                    dropped = dropped.saturating_add(1);
                }
            }
        }
        dropped
    }

    /// Drops at most `most` extra frames of any accounts, those that may be discarded first;
    /// returns how many.
    fn drop_any(&mut self, most: u64, age: u64) -> u64 {
        let mut dropped: u64 = 0;
        for chain in [FrameList::Discardable, FrameList::Extra] {
            for _ in 0..PRESSURE_FRAMES_MAX {
                let first = self.store.pressed.chain(chain).target();
                let is_over = dropped >= most || self.may_drop().is_err();
                let Some(ledger) = first.filter(|_| !is_over) else { break };
                let account = self.store.account_of(ledger);
                let lists = [FrameList::Discardable, FrameList::Extra];
                if lists.into_iter().any(|list| self.drop_newest(account, list, age)) {
                    dropped = dropped.saturating_add(1);
                } else {
                    self.store.move_account_to_back(ledger);
                }
            }
        }
        dropped
    }

    /// Drops the newest frame of one of an account's lists of extra frames. If the frame is held
    /// or the kernel refuses, moves it to the end of the list instead. Returns whether it was
    /// dropped.
    fn drop_newest(&mut self, account: Ref<Account>, list: FrameList, age: u64) -> bool {
        let first = self.store.ledger(account).list(list);
        let Some(frame) = first.target() else { return false };
        let number = self.store.get(frame).key();
        let container = self.store.container_of(frame);
        let is_held = self.expire_leases(container).is_err();
        if is_held || self.is_held(container, number, age) || self.drop_contents(frame, 1).is_err()
        {
            self.store.move_to_back(account, frame);
            return false;
        }
        self.discard_frame(container, frame);
        true
    }

    /// Returns whether a lease keeps an extra frame from a claim of this age: a pin does until it
    /// ends, a borrower's lease for as long as it may last, the owner's own until frames are taken
    /// by force.
    fn is_held(&self, container: Ref<Container>, number: u64, age: u64) -> bool {
        let on_frame = |lease: &&Lease| lease.range.contains(number);
        self.leases(container).filter(on_frame).any(|lease| {
            let until = if lease.share.is_none() { FORCE_MICROS } else { PROMISE_MICROS_MAX };
            !lease.pinned.is_zero() || age < until
        })
    }

    /// Asks accounts for this many extra frames, those first whose last request is longest ago.
    fn ask_back(&mut self, frames: u64, now: Micros) -> Room {
        let mut missing = frames;
        let mut asked = [None; ASKED_ACCOUNTS_MAX];
        let lists = [FrameList::Extra, FrameList::Discardable];
        let chains = lists.map(|list| self.store.pressed.chain(list));
        let ledgers = chains.iter().flat_map(|chain| self.store.chain::<PressedAccounts>(*chain));
        for (place, ledger) in asked.iter_mut().zip(ledgers) {
            let account = self.store.account_of(ledger);
            let count = self.store.count_extra(account, missing);
            missing = missing.saturating_sub(count.into());
            *place = (count > 0).then_some(Asked { account, count });
        }
        for Asked { account, .. } in asked.into_iter().flatten() {
            let ledger = self.store.ledger_ref(account);
            self.store.move_account_to_back(ledger);
        }
        if asked.iter().flatten().next().is_none() {
            return Room::Nowhere;
        }
        let deadline = now.saturating_add(Micros::new(EXTRA_MICROS));
        self.store.demand.begin(asked, deadline);
        let peers: Vec<PeerId, PEERS_MAX> =
            self.peers.iter().flatten().map(|peer| peer.id).collect();
        for peer in peers {
            if self.extra_request(peer).count > 0 {
                self.store.kernel.notify(peer);
            }
        }
        Room::Asked(deadline)
    }
}
