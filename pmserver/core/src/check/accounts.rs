// SPDX-License-Identifier: BSD-2-Clause
//! Invariants of accounts.
//!
//! I1: an object of the account exists for every charge; a charge to an account is also charged to
//! all accounts above it; the sum over accounts plus free memory is the pool. I2: what an account
//! uses and has promised is within its limit, so the sum of all limits is within the pool.

use super::ensure;
use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags, Charge, Children};
use crate::records::cell::Ref;
use crate::records::container::{Container, ContainersOfAccount, ContainersOfOwner};
use crate::records::frame::{Frame, FrameMarks, FramesOfAccount};
use crate::records::lease::LeasesOfHolder;
use crate::records::ledger::{FrameList, PressedAccounts, Work};
use crate::records::links::Link;
use crate::records::page::PageUse;
use crate::records::peer::Peer;
use crate::records::places::{PagesOfAccount, Places, RECORDS_PER_PAGE};
use crate::serve::Service;
use crate::tables::clusters::aside_of;

const KINDS: [Charge; 5] =
    [Charge::Frames, Charge::Tables, Charge::Slots, Charge::Records, Charge::Extra];

/// Pages that are charged to an account itself, in the order of [`KINDS`].
type Charges = [u32; 5];

fn add(to: &mut Charges, other: Charges) {
    for (sum, one) in to.iter_mut().zip(other) {
        *sum = sum.saturating_add(one);
    }
}

impl<K: Kernel> Service<K> {
    /// Returns all accounts, removed ones included, parents before children.
    pub(super) fn accounts(&self) -> impl Iterator<Item = Ref<Account>> {
        core::iter::successors(Some(self.store.pool()), |account| {
            let child = self.store.get(*account).children.target();
            child.or_else(|| self.next_branch(*account))
        })
    }

    fn next_branch(&self, mut account: Ref<Account>) -> Option<Ref<Account>> {
        loop {
            let parent = self.store.get(account).parent.target()?;
            let children = self.store.get(parent).children;
            if let Some(sibling) = self.store.next_of::<Children>(children, account) {
                return Some(sibling);
            }
            account = parent;
        }
    }

    pub(super) fn check_accounts(&self) -> Result<(), &'static str> {
        for account in self.accounts() {
            self.check_lists(account)?;
            self.check_stock(account)?;
            if self.is_removed(account) {
                let record = self.store.get(account);
                let counts = [record.limit, record.promised, record.used(), record.below()];
                ensure(counts == [0; 4], "an account that was removed has no charges")?;
            } else {
                self.check_charges(account)?;
                self.check_limits(account)?;
            }
        }
        self.check_queues()
    }

    /// Returns how many frames are in the lists of all accounts.
    pub(super) fn listed_frames(&self) -> u64 {
        let lists = |account| FrameList::ALL.map(|list| self.store.ledger(account).list(list));
        let count = |first| u64::from(self.count_frames(first));
        self.accounts().flat_map(lists).map(count).sum()
    }

    /// Returns the pages that an account has objects for.
    fn listed(&self, account: Ref<Account>) -> Charges {
        let ledger = self.store.ledger(account);
        let [frames, extra, discardable] =
            FrameList::ALL.map(|list| self.count_frames(ledger.list(list)));
        let [slots, records] = [ledger.slot_pages, ledger.record_pages]
            .map(|first| length(self.store.chain::<PagesOfAccount>(first)));
        let records = match self.store.stock(account) {
            Some(stock) => {
                let aside = length(self.store.chain::<PagesOfAccount>(stock.record_pages));
                records.saturating_add(aside).saturating_add(stock.untaken())
            }
            None => records,
        };
        let mut charges = [frames, 0, slots, records, extra.saturating_add(discardable)];
        for peer in self.peers.iter().flatten() {
            if peer.table_account == Some(account) {
                let nodes = u32::from(peer.vspace.grant_node.is_some());
                add(&mut charges, [0, self.count_tables(peer), nodes, 0, 0]);
            }
            add(&mut charges, [self.count_pinned(peer, account), 0, 0, 0, 0]);
        }
        charges
    }

    /// Returns the pages that pmserver has for itself, and those that are promised to nobody.
    fn own_pages(&self) -> u32 {
        self.store.reserved().saturating_add(self.store.kept())
    }

    /// Returns how many frames are in a list.
    fn count_frames(&self, first: Link<Frame>) -> u32 {
        let frames = self.store.chain::<FramesOfAccount>(first);
        frames.map(|frame| self.store.get(frame).frames()).sum()
    }

    /// Checks that an account has as many free cells as it has paid for, and keeps as many as its
    /// runs need.
    fn check_stock(&self, account: Ref<Account>) -> Result<(), &'static str> {
        let is_split_off = self.store.get(account).maker().is_some();
        let sets_aside = self.store.stock(account).is_some();
        ensure(!(is_split_off && sets_aside), "what can be removed sets nothing aside")?;
        let ledger = self.store.ledger(account);
        let frames = self.store.chain::<FramesOfAccount>(ledger.list(FrameList::Guaranteed));
        let needed = frames
            .map(|frame| self.store.cells_aside_for(account, self.store.get(frame)))
            .sum::<u32>();
        let is_payer = |peer: &&Peer| peer.table_account == Some(account);
        let payers = self.peers.iter().flatten().filter(is_payer);
        let (mut needed, mut objects) = (needed, 0_u32);
        for peer in payers {
            needed = needed.saturating_add(self.sum_of_mappings(peer, |of| aside_of(of).0));
            objects = objects.saturating_add(self.sum_of_mappings(peer, |of| aside_of(of).1));
        }
        let Some(stock) = self.store.stock(account) else {
            return ensure(needed == 0, "I2: runs have set aside what they need");
        };
        let free = |page: Ref<Places>| self.store.get(page).free_cells();
        let in_pages =
            self.store.chain::<PagesOfAccount>(stock.record_pages).map(free).sum::<u32>();
        let charged = stock.pages.get().saturating_mul(RECORDS_PER_PAGE);
        let kept = stock.spare.get().saturating_add(stock.aside.get());
        let is_aside = stock.aside.get() == needed && stock.objects.get() == objects;
        ensure(is_aside, "I2: runs have set aside what they need")?;
        ensure(in_pages.saturating_add(charged) == kept, "I1: free cells are counted")
    }

    /// Returns how many pinned frames of a peer an account pays for.
    fn count_pinned(&self, peer: &Peer, account: Ref<Account>) -> u32 {
        let leases = self.store.chain::<LeasesOfHolder>(peer.leases);
        let paid = leases.filter(|lease| self.store.payer_of(*lease) == account);
        paid.map(|lease| u32::from(self.store.get(lease).pinned.get())).sum()
    }

    /// Checks that everything in the lists of an account belongs there.
    fn check_lists(&self, account: Ref<Account>) -> Result<(), &'static str> {
        let ledger = self.store.ledger(account);
        let aside = self.store.stock(account).map_or(Link::NONE, |stock| stock.record_pages);
        for (first, used_as, is_aside) in [
            (ledger.record_pages, PageUse::Records, false),
            (ledger.slot_pages, PageUse::Slots, false),
            (aside, PageUse::Records, true),
        ] {
            let belongs = |page: Ref<Places>| {
                let places = self.store.get(page);
                let is_its_kind = self.store.entry(places.page()).is(used_as);
                is_its_kind && places.is_aside() == is_aside && places.account == account.link()
            };
            let mut pages = self.store.chain::<PagesOfAccount>(first);
            ensure(pages.all(belongs), "I1: an account's pages are its own")?;
        }
        for list in FrameList::ALL {
            let belongs = |frame: Ref<Frame>| {
                let frame = self.store.get(frame);
                let container = frame.container.target();
                FrameList::of(frame) == list
                    && !frame.has(FrameMarks::DISCARDED)
                    && container.is_some_and(|container| {
                        self.store.payer_of_container(container) == account
                    })
            };
            let mut frames = self.store.chain::<FramesOfAccount>(ledger.list(list));
            ensure(frames.all(belongs), "I1: an account's frames are in the list for them")?;
        }
        for (chain, dying) in [(ledger.containers, false), (ledger.dying, true)] {
            let belongs = |container: Ref<Container>| {
                let container = self.store.get(container);
                container.account == account.link() && container.is_dying() == dying
            };
            let mut containers = self.store.chain::<ContainersOfAccount>(chain);
            ensure(containers.all(belongs), "an account's containers are its own")?;
        }
        Ok(())
    }

    /// Checks that an account is charged for exactly what it and the accounts below it have.
    fn check_charges(&self, account: Ref<Account>) -> Result<(), &'static str> {
        let mut own = [0; 5];
        for heir_of in self.accounts().filter(|other| self.store.payer_for(*other) == account) {
            add(&mut own, self.listed(heir_of));
        }
        if account == self.store.pool() {
            // Memory that was used before any account existed, or that was not made from pages.
            add(&mut own, [0, 0, self.store.kernel.overhead_pages(), self.own_pages(), 0]);
        }
        let record = self.store.get(account);
        let [frames, tables, slots, records, _] = own;
        let used = [frames, tables, slots, records].iter().sum::<u32>();
        ensure(record.own() == used, "I1: an account is charged for exactly what it has")?;
        let mut sum = own;
        for child in self.children(account) {
            add(&mut sum, KINDS.map(|kind| self.store.get(child).charged(kind)));
        }
        let charged = KINDS.map(|kind| record.charged(kind));
        ensure(charged == sum, "I1: a charge is counted in every account above it")?;
        let below = self.children(account).map(|child| self.store.get(child).used()).sum::<u32>();
        ensure(record.below() == below, "I1: an account knows what is used below it")
    }

    /// Returns the accounts whose limits an account promises.
    fn children(&self, account: Ref<Account>) -> impl Iterator<Item = Ref<Account>> {
        self.accounts()
            .filter(|other| *other != self.store.pool() && !self.is_removed(*other))
            .filter(move |other| self.store.parent(*other) == account)
    }

    fn check_limits(&self, account: Ref<Account>) -> Result<(), &'static str> {
        let record = self.store.get(account);
        let promised = self.children(account).map(|child| self.store.get(child).limit).sum::<u32>();
        ensure(record.promised == promised, "I2: what is promised is the sum of the limits below")?;
        ensure(record.committed() <= record.limit, "I2: no account is above its limit")?;
        let pool = self.store.get(self.store.pool());
        let total = pool.used().saturating_add(pool.charged(Charge::Extra));
        ensure(total <= pool.limit, "I2: what is charged is there")
    }

    fn is_dying(&self, account: Ref<Account>) -> bool {
        self.store.get(account).has(AccountFlags::DYING)
    }

    /// Checks that the queues contain exactly what belongs there.
    fn check_queues(&self) -> Result<(), &'static str> {
        let mut pressed = [0_u32; 2];
        let (mut queued, mut dying_count) = (0_u32, 0_u64);
        let dying = self.accounts().filter(|account| self.is_dying(*account));
        ensure(length(dying) == self.store.dying_accounts.get(), "what is to go is counted")?;
        for account in self.accounts() {
            let ledger = self.store.ledger(account);
            let [plain, discardable] = &mut pressed;
            match ledger.last_list() {
                FrameList::Guaranteed => {}
                FrameList::Extra => *plain = plain.saturating_add(1),
                FrameList::Discardable => *discardable = discardable.saturating_add(1),
            }
            let record = self.store.get(account);
            let ends = record.has(AccountFlags::DYING) || record.has(AccountFlags::REMOVED);
            let waiting = length(self.store.chain::<ContainersOfAccount>(ledger.dying));
            dying_count =
                dying_count.saturating_add(u64::from(waiting)).saturating_add(ends.into());
            ensure(ledger.is_queued() == (ends || waiting > 0), "what is to go is in the queue")?;
            queued = queued.saturating_add(ledger.is_queued().into());
        }
        ensure(dying_count == self.dying_count.get(), "what is to go is counted")?;
        ensure(length(self.store.chain::<Work>(self.work)) == queued, "the queue has no other")?;
        let chains = [FrameList::Extra, FrameList::Discardable].map(|list| {
            length(self.store.chain::<PressedAccounts>(self.store.pressed.chain(list)))
        });
        ensure(chains == pressed, "accounts with extra frames are found")?;
        for peer in self.peers.iter().flatten() {
            let of_peer = |container: Ref<Container>| {
                let container = self.store.get(container);
                container.is_owned_by(peer.id) && !container.is_dying()
            };
            let mut containers = self.store.chain::<ContainersOfOwner>(peer.containers);
            ensure(containers.all(of_peer), "a peer's containers are its own")?;
        }
        Ok(())
    }
}

fn length(items: impl Iterator) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
