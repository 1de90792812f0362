// SPDX-License-Identifier: BSD-2-Clause
//! What always holds between two calls, checked by walking everything: for tests and the simulator.
//!
//! I1, I2 and all else of accounts: `check/accounts.rs`. I3 bound frames are charged frames. I5
//! every mapping stands in the indexes it is found by, through a share that lives, and no lease of
//! another's forbids it.

mod accounts;

use crate::account::Charge;
use crate::frame_table::{PageIndex, PageUse};
use crate::kernel::Kernel;
use crate::objects::{
    Container, ContainersOfAccount, Frame, FrameMarks, Lease, Mapping, Share, Table,
};
use crate::peer::Peer;
use crate::radix::Leaf;
use crate::records::{Ref, link_of};
use crate::server::Server;

/// What pages are used as, counted over the frame table.
#[derive(Default)]
struct Census {
    free: u32,
    frames: u32,
    tables: u32,
    slots: u32,
    records: u32,
    reserved: u32,
}

impl<K: Kernel> Server<K> {
    /// Checks every invariant.
    ///
    /// # Errors
    /// The sentence that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let census = self.census();
        self.check_free_lists(&census)?;
        let mut bound = 0_u32;
        let mut charged = 0_u64;
        let mut mapped = 0_u32;
        for account in self.accounts() {
            let ledger = self.pool.ledger(account);
            for chain in [ledger.containers, ledger.dying] {
                for container in self.pool.chain::<ContainersOfAccount>(chain) {
                    let frames = self.check_container(container, &mut bound, &mut mapped)?;
                    charged = charged.saturating_add(frames);
                }
            }
        }
        ensure(u64::from(bound) <= charged, "I3: bound frames are charged frames")?;
        ensure(bound == census.frames, "I3: every page used as a frame is some frame's")?;
        self.check_vspaces(&census, mapped)?;
        self.check_sums(&census)?;
        self.check_accounts()
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        for page in (0..self.pool.page_count()).map(PageIndex::new) {
            let entry = self.pool.entry(page);
            let counter = if entry.is(PageUse::Frame) {
                &mut census.frames
            } else if entry.is(PageUse::Table) {
                &mut census.tables
            } else if entry.is(PageUse::Slots) {
                &mut census.slots
            } else if entry.is(PageUse::Records) {
                &mut census.records
            } else if entry.is(PageUse::Reserved) {
                &mut census.reserved
            } else {
                &mut census.free
            };
            *counter = counter.saturating_add(1);
        }
        census
    }

    fn check_free_lists(&self, census: &Census) -> Result<(), &'static str> {
        let lists = [
            (PageUse::Untyped, self.pool.untyped),
            (PageUse::Clean, self.pool.clean),
            (PageUse::Dirty, self.pool.dirty),
        ];
        let mut free = 0_u32;
        for (used_as, list) in lists {
            let mut link = list.head;
            for _ in 0..list.count {
                let page = PageIndex::from_link(link).ok_or("a free list is as long as it says")?;
                ensure(self.pool.entry(page).is(used_as), "a free list has pages of its kind")?;
                link = self.pool.entry(page).next;
            }
            ensure(link == 0, "a free list ends where it says")?;
            free = free.saturating_add(list.count);
        }
        ensure(free == census.free, "every free page is in a list")
    }

    fn check_container(
        &self,
        container: Ref<Container>,
        bound: &mut u32,
        mapped: &mut u32,
    ) -> Result<u64, &'static str> {
        let record = self.pool.get(container);
        let mut frames = 0_u64;
        let mut next = self.pool.tree_next::<Frame>(record.frames, 0);
        while let Some(frame) = next {
            if !self.pool.get(frame).has(FrameMarks::DISCARDED) {
                frames = frames.saturating_add(1);
            }
            self.check_frame(container, frame, bound, mapped)?;
            let above = self.pool.get(frame).key().checked_add(1);
            next = above.and_then(|key| self.pool.tree_next::<Frame>(record.frames, key));
        }
        ensure(frames == record.frame_count.into(), "a container has as many frames as it says")?;
        self.check_shares(container)?;
        Ok(frames)
    }

    fn check_frame(
        &self,
        container: Ref<Container>,
        frame: Ref<Frame>,
        bound: &mut u32,
        mapped: &mut u32,
    ) -> Result<(), &'static str> {
        let record = self.pool.get(frame);
        ensure(record.container == container.link(), "a frame is in the container that has it")?;
        ensure(!record.has(FrameMarks::TENTATIVE), "no frame is tentative between calls")?;
        if let Some(page) = record.page() {
            *bound = bound.saturating_add(1);
            let entry = self.pool.entry(page);
            let is_bound = entry.is(PageUse::Frame) && entry.owner == frame.link();
            ensure(is_bound, "I3: a frame's page is bound to it")?;
        }
        let mut link = record.mappings;
        let mut count = 0_u16;
        while let Some(mapping) = Ref::<Mapping>::from_link(link) {
            let mapping_record = self.pool.get(mapping);
            ensure(record.page != 0, "I5: only bound frames are mapped")?;
            ensure(
                mapping_record.frame == frame.link(),
                "I5: a mapping is of the frame that has it",
            )?;
            self.check_mapping(container, record.key(), mapping)?;
            count = count.saturating_add(1);
            link = mapping_record.next_of_frame;
        }
        *mapped = mapped.saturating_add(count.into());
        ensure(count == record.mapping_count, "a frame has as many mappings as it says")
    }

    fn check_mapping(
        &self,
        container: Ref<Container>,
        number: u64,
        mapping: Ref<Mapping>,
    ) -> Result<(), &'static str> {
        let record = self.pool.get(mapping);
        let peer = self.peers.get(usize::from(record.peer())).and_then(Option::as_ref);
        let peer = peer.ok_or("I5: a mapping is some peer's")?;
        let found = self.pool.tree_get::<Mapping>(peer.vspace.mappings, record.vaddr());
        ensure(found == Some(mapping), "I5: a mapping is found by its address")?;
        match Ref::<Share>::from_link(record.share) {
            Some(share) => {
                let share = self.pool.get(share);
                let lives = share.container == container.link() && share.range.contains(number);
                ensure(
                    lives && share.is_for(peer.id),
                    "I5: a weak mapping has a share that lives",
                )?;
            }
            None => {
                let is_owner = self.pool.get(container).is_owned_by(peer.id);
                ensure(is_owner, "I5: a mapping without a share is the owner's")?;
            }
        }
        let mut link = self.pool.get(container).leases;
        let now = self.pool.kernel.now();
        while let Some(lease) = Ref::<Lease>::from_link(link) {
            let lease = self.pool.get(lease);
            let forbids = lease.share != record.share
                && lease.range.contains(number)
                && lease.deadline() > now
                && (lease.is_exclusive() || record.write != 0);
            ensure(!forbids, "I5: no lease of another's forbids a mapping")?;
            link = lease.next;
        }
        Ok(())
    }

    fn check_shares(&self, container: Ref<Container>) -> Result<(), &'static str> {
        let record = self.pool.get(container);
        let (mut link, mut shares) = (record.shares, 0_u16);
        while let Some(share) = Ref::<Share>::from_link(link) {
            let share_record = self.pool.get(share);
            ensure(share_record.container == container.link(), "a share is of its container")?;
            let mut mapping_link = share_record.mappings;
            let mut previous = None;
            while let Some(mapping) = Ref::<Mapping>::from_link(mapping_link) {
                let mapping_record = self.pool.get(mapping);
                let is_linked = mapping_record.share == share.link()
                    && mapping_record.previous_of_share == link_of(previous);
                ensure(is_linked, "I5: a share finds the mappings made through it")?;
                previous = Some(mapping);
                mapping_link = mapping_record.next_of_share;
            }
            shares = shares.saturating_add(1);
            link = share_record.next;
        }
        let (mut link, mut leases) = (record.leases, 0_u16);
        while let Some(lease) = Ref::<Lease>::from_link(link) {
            leases = leases.saturating_add(1);
            link = self.pool.get(lease).next;
        }
        let counts = shares == record.share_count && leases == record.lease_count;
        ensure(counts, "a container has as many shares and leases as it says")
    }

    fn check_vspaces(&self, census: &Census, mapped: u32) -> Result<(), &'static str> {
        let (mut tables, mut mappings) = (0_u32, 0_u32);
        for peer in self.peers.iter().flatten() {
            mappings = mappings.saturating_add(self.count_leaves::<Mapping>(peer.vspace.mappings));
            tables = tables.saturating_add(self.count_tables(peer));
        }
        ensure(tables == census.tables, "I1: every page used as a table is some VSpace's")?;
        ensure(mappings == mapped, "I5: every mapping in a VSpace is some frame's")
    }

    fn count_tables(&self, peer: &Peer) -> u32 {
        let trees = peer.vspace.tables.iter();
        trees.map(|tree| self.count_leaves::<Table>(*tree)).sum()
    }

    fn count_leaves<T: Leaf>(&self, tree: u32) -> u32 {
        let mut count = 0_u32;
        let mut next = self.pool.tree_next::<T>(tree, 0);
        while let Some(leaf) = next {
            count = count.saturating_add(1);
            let above = self.pool.get(leaf).key().checked_add(1);
            next = above.and_then(|key| self.pool.tree_next::<T>(tree, key));
        }
        count
    }

    /// Checks that what the accounts are charged is what the frame table says, kind by kind.
    fn check_sums(&self, census: &Census) -> Result<(), &'static str> {
        let pool = self.pool.get(self.pool_account);
        let overhead = self.pool.kernel.overhead_pages();
        let kinds = [
            (Charge::Tables, census.tables),
            (Charge::Slots, census.slots.saturating_add(overhead)),
            (Charge::Records, census.records.saturating_add(census.reserved)),
        ];
        for (kind, pages) in kinds {
            ensure(pool.charged(kind) == pages, "I1: the pool's account is the sum, kind by kind")?;
        }
        let total = self.pool.page_count().saturating_add(overhead);
        ensure(pool.limit == total, "I1: the pool's limit is all untyped memory")
    }
}

fn ensure(holds: bool, sentence: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(sentence) }
}
