// SPDX-License-Identifier: BSD-2-Clause
//! The invariants that hold between two calls, checked by walking everything; for tests and the
//! simulator.
//!
//! I1: an object of the account exists for every charge; the sum over accounts plus free memory is
//! the pool. I3: bound frames are charged. I5: every mapping is in all its indexes, was made
//! through a share that exists, and is not forbidden by another holder's lease.

mod accounts;
mod memory;
mod pieces;

use crate::kernel::{Kernel, PageIndex};
use crate::records::account::Charge;
use crate::records::cell::Ref;
use crate::records::container::{Container, ContainersOfAccount};
use crate::records::frame::{Frame, FrameMarks};
use crate::records::handler::HandlersOfContainer;
use crate::records::id::{CLUSTER, Id, MappingId, indices};
use crate::records::leaf::{Leaf, Tree};
use crate::records::lease::{LeasesOfContainer, LeasesOfHolder};
use crate::records::links::{Chain, Link};
use crate::records::mapping::{Installed, Mapping, MappingsOfFrame, MappingsOfShare};
use crate::records::page::PageUse;
use crate::records::peer::Peer;
use crate::records::share::SharesOfContainer;
use crate::records::stock::Stock;
use crate::records::table::Table;
use crate::serve::Service;

/// The uses of pages that virtual frames are on, or will be when a large frame is split.
const BOUND: [PageUse; 5] =
    [PageUse::Frame, PageUse::Run, PageUse::InRun, PageUse::Large, PageUse::Copied];

/// How many pages have each use, by the frame table.
#[derive(Default)]
struct Census {
    free: u32,
    frames: u32,
    tables: u32,
    slots: u32,
    records: u32,
    reserved: u32,
    quarantine: u32,
}

impl<K: Kernel> Service<K> {
    /// Checks every invariant.
    ///
    /// # Errors
    /// The sentence that does not hold.
    pub(crate) fn check_invariants(&self) -> Result<(), &'static str> {
        let census = self.census();
        self.check_free_lists(&census)?;
        let mut charged = 0_u64;
        let (mut mapped, mut held) = (0_u32, 0_u32);
        for account in self.accounts() {
            let ledger = self.store.ledger(account);
            for chain in [ledger.containers, ledger.dying] {
                for container in self.store.chain::<ContainersOfAccount>(chain) {
                    let frames = self.check_container(container, (&mut mapped, &mut held))?;
                    charged = charged.saturating_add(frames);
                }
            }
        }
        ensure(charged == self.listed_frames(), "I1: every frame is in its account's lists")?;
        for peer in self.peers.iter().flatten() {
            charged = charged.saturating_add(self.check_pins(peer)?);
        }
        // What a large frame is copied to is promised to nobody until it has replaced it.
        let copies = self.store.splitting.map_or(0, |now| now.copied.into());
        let bound = census.frames.saturating_sub(copies).saturating_add(census.quarantine);
        ensure(u64::from(bound) <= charged, "I3: bound frames are charged frames")?;
        self.check_bindings(held)?;
        self.check_vspaces(&census, mapped)?;
        self.check_sums(&census)?;
        self.check_accounts()
    }

    fn census(&self) -> Census {
        let mut census = Census::default();
        for page in (0..self.store.page_count()).map(PageIndex::new) {
            let entry = self.store.entry(page);
            let is_bound = BOUND.iter().any(|used| entry.is(*used));
            let counter = if is_bound {
                &mut census.frames
            } else if entry.is(PageUse::Table) {
                &mut census.tables
            } else if entry.is(PageUse::Slots) {
                &mut census.slots
            } else if entry.is(PageUse::Records) {
                &mut census.records
            } else if entry.is(PageUse::Reserved) {
                &mut census.reserved
            } else if entry.is_one_of(&[PageUse::Quarantine, PageUse::LargeQuarantine]) {
                &mut census.quarantine
            } else {
                &mut census.free
            };
            *counter = counter.saturating_add(entry.pages());
        }
        census
    }

    fn check_free_lists(&self, census: &Census) -> Result<(), &'static str> {
        let lists = [
            (PageUse::Untyped, self.store.untyped),
            (PageUse::Clean, self.store.clean),
            (PageUse::Dirty, self.store.dirty),
            (PageUse::EmptyNode, self.store.empty_nodes),
            (PageUse::Block, self.store.blocks),
            (PageUse::LargeDirty, self.store.large_dirty),
            (PageUse::Piece, self.store.pieces),
            (PageUse::PieceDirty, self.store.pieces_dirty),
        ];
        // The free frames of pieces that are used one by one are in no list.
        let mut free = self.check_pieces()?;
        for (used_as, list) in lists {
            let mut link = list.head;
            for _ in 0..list.count.get() {
                let page = PageIndex::from_link(link).ok_or("a free list is as long as it says")?;
                let entry = self.store.entry(page);
                ensure(entry.is(used_as), "a free list has pages of its kind")?;
                free = free.saturating_add(entry.pages());
                link = entry.next();
            }
            ensure(link == 0, "a free list ends where it says")?;
        }
        ensure(free == census.free, "every free page is in a list")
    }

    fn check_container(
        &self,
        container: Ref<Container>,
        (mapped, held): (&mut u32, &mut u32),
    ) -> Result<u64, &'static str> {
        let record = self.store.get(container);
        let (mut frames, mut ties) = (0_u64, 0_u32);
        let mut next = self.store.tree_next::<Frame>(record.frames, 0);
        while let Some(frame) = next {
            let opened = (0..CLUSTER).filter_map(|place| self.opened(frame, place));
            for frame in core::iter::once(frame).chain(opened) {
                let of_frame = self.store.get(frame);
                if !of_frame.is_discarded() {
                    frames = frames.saturating_add(of_frame.frames().into());
                }
                self.check_record(container, frame, mapped)?;
                *held = held.saturating_add(self.check_memory(frame)?);
                let is_shared = !of_frame.next_shared().is_none();
                let own = u32::from(of_frame.mapping_count.get()).saturating_add(is_shared.into());
                ties = ties.saturating_add(own);
            }
            let above = self.store.get(frame).last().checked_add(1);
            next = above.and_then(|key| self.store.tree_next::<Frame>(record.frames, key));
        }
        ensure(
            frames == record.frame_count.get().into(),
            "a container has as many frames as it says",
        )?;
        ensure(ties == record.ties.get(), "a container has as many ties as it says")?;
        self.check_shares(container)?;
        Ok(frames)
    }

    /// Returns the record of a frame of an opened cluster.
    fn opened(&self, cluster: Ref<Frame>, place: u8) -> Option<Ref<Frame>> {
        let record = self.store.get(cluster);
        record.opened(place).filter(|_| record.is_open())
    }

    fn check_record(
        &self,
        container: Ref<Container>,
        frame: Ref<Frame>,
        mapped: &mut u32,
    ) -> Result<(), &'static str> {
        let record = self.store.get(frame);
        ensure(record.container == container.link(), "a frame is in the container that has it")?;
        let is_settled = !record.has(FrameMarks::TENTATIVE) && !record.has(FrameMarks::UNCHARGED);
        ensure(is_settled, "no frame is tentative, or nobody's, between calls")?;
        let is_sound = !record.is_above_cluster() || record.is_blank() || record.is_whole();
        ensure(is_sound, "a run has no memory, mapping or sharer, or is bound as a whole")?;
        if let Some(of) = self.store.name_in_cluster(frame) {
            let is_its_own = self.opened(of.record, of.index) == Some(frame);
            ensure(is_its_own, "an opened cluster has the records of its frames")?;
        }
        self.check_chain::<MappingsOfFrame>(record.mappings)?;
        let mut count = 0_u16;
        for mapping in self.store.chain::<MappingsOfFrame>(record.mappings) {
            let of = self.store.get(mapping);
            let is_its_own = of.frame == frame.link();
            ensure(is_its_own, "I5: a mapping is of the frame that has it")?;
            ensure(of.fits(record), "a mapping is as large as its frame")?;
            let knows = of.is_opened() == record.is_open();
            ensure(knows, "a mapping knows whether its frames have records of their own")?;
            let is_within = of.present() & !of.all() == 0;
            let has_one = of.present() != 0 || of.is_kept() && of.above(Installed::No) == 0;
            ensure(has_one && is_within, "a record of mappings has one, and none beyond its ends")?;
            let is_last = of.is_kept() && of.share.is_none();
            let is_found = is_last == (self.kept() == Some(mapping));
            ensure(is_found, "what is kept of what was unmapped is found")?;
            for index in indices(of.present()) {
                let frame = of.frame(index);
                let is_there = record.all() >> frame.index & 1 != 0
                    || self.opened(frame.record, frame.index).is_some();
                ensure(is_there, "I5: a mapping is of a frame of the record that it is of")?;
                self.check_mapping(
                    container,
                    self.store.number_of(frame),
                    Id::new(mapping, index),
                )?;
            }
            count = count.saturating_add(1);
        }
        *mapped = mapped.saturating_add(count.into());
        ensure(count == record.mapping_count.get(), "a frame has as many mappings as it says")
    }

    fn check_mapping(
        &self,
        container: Ref<Container>,
        number: u64,
        mapping: MappingId,
    ) -> Result<(), &'static str> {
        let record = self.store.get(mapping.record);
        let peer = self.find_peer(record.peer()).ok_or("I5: a mapping is some peer's")?;
        let tree = peer.vspace.tree(record.is_grant());
        let found = self.store.tree_get::<Mapping>(tree, record.vaddr_of(mapping.index));
        ensure(found == Some(mapping.record), "I5: a mapping is found by its address")?;
        match record.share.target() {
            Some(share) => {
                let share = self.store.get(share);
                let lives = share.container == container.link() && share.range.contains(number);
                ensure(
                    lives && share.is_for(peer.id),
                    "I5: a weak mapping has a share that lives",
                )?;
            }
            None => {
                let is_owner = self.store.get(container).is_owned_by(peer.id);
                ensure(is_owner, "I5: a mapping without a share is the owner's")?;
            }
        }
        self.check_installed(mapping)?;
        let installed = record.installed(mapping.index);
        let now = self.store.kernel.now();
        for lease in self.leases(container) {
            let forbids = lease.share != record.share
                && !lease.is_taken()
                && lease.range.contains(number)
                && lease.deadline() > now
                && installed != Installed::No
                && (lease.is_exclusive() || installed == Installed::ReadWrite);
            ensure(!forbids, "I5: no lease of another's forbids a mapping")?;
        }
        Ok(())
    }

    /// Returns how many frames a peer pins.
    fn check_pins(&self, peer: &Peer) -> Result<u64, &'static str> {
        let mut pinned = 0_u64;
        self.check_chain::<LeasesOfHolder>(peer.leases)?;
        for lease in self.store.chain::<LeasesOfHolder>(peer.leases) {
            let record = self.store.get(lease);
            pinned = pinned.saturating_add(record.pinned.get().into());
            let is_in_place = record.container.is_none() == record.is_over();
            ensure(is_in_place, "a lease is in a container until it is over")?;
        }
        Ok(pinned)
    }

    fn check_shares(&self, container: Ref<Container>) -> Result<(), &'static str> {
        let record = self.store.get(container);
        self.check_chain::<SharesOfContainer>(record.shares)?;
        self.check_chain::<LeasesOfContainer>(record.leases)?;
        self.check_chain::<HandlersOfContainer>(record.handlers)?;
        let mut shares = 0_u8;
        for share in self.store.chain::<SharesOfContainer>(record.shares) {
            let of_share = self.store.get(share);
            self.check_chain::<MappingsOfShare>(of_share.mappings)?;
            ensure(of_share.container == container.link(), "a share is of its container")?;
            let is_through = |mapping: Ref<Mapping>| self.store.get(mapping).share == share.link();
            let mut mappings = self.store.chain::<MappingsOfShare>(of_share.mappings);
            let all_are = mappings.all(is_through);
            ensure(all_are, "I5: a share finds the mappings made through it")?;
            let is_taken = !of_share.lease_count.is_zero();
            let mut mappings = self.store.chain::<MappingsOfShare>(of_share.mappings);
            let is_unused = mappings.all(|mapping| self.store.get(mapping).is_kept() != is_taken);
            ensure(!of_share.is_once() || is_unused, "PM-436: what was given back is unmapped")?;
            ensure(!(is_taken && of_share.is_armed()), "PM-434: a take uses the arming up")?;
            shares = shares.saturating_add(1);
        }
        let leases = u8::try_from(self.leases(container).count()).unwrap_or(u8::MAX);
        let counts = shares == record.share_count.get() && leases == record.lease_count.get();
        ensure(counts, "a container has as many shares and leases as it says")
    }

    /// Checks that every record of a chain is the next one of its previous one.
    fn check_chain<C: Chain>(&self, chain: Link<C::Item>) -> Result<(), &'static str> {
        let next = |record: Ref<C::Item>| C::links(self.store.get(record)).next();
        for record in self.store.chain::<C>(chain) {
            let previous = C::links(self.store.get(record)).previous().target();
            let is_linked = previous.is_some_and(|previous| next(previous) == record.link());
            ensure(is_linked, "a record of a chain is linked both ways")?;
        }
        Ok(())
    }

    fn check_vspaces(&self, census: &Census, mapped: u32) -> Result<(), &'static str> {
        let (mut tables, mut mappings) = (0_u32, 0_u32);
        for peer in self.peers.iter().flatten() {
            for tree in [peer.vspace.mappings, peer.vspace.grants] {
                mappings = mappings.saturating_add(self.count_leaves::<Mapping>(tree));
            }
            tables = tables.saturating_add(self.count_tables(peer));
        }
        ensure(tables == census.tables, "I1: every page used as a table is some VSpace's")?;
        ensure(mappings == mapped, "I5: every mapping in a VSpace is some frame's")
    }

    fn count_tables(&self, peer: &Peer) -> u32 {
        let trees = peer.vspace.tables.iter();
        trees.map(|tree| self.count_leaves::<Table>(*tree)).sum()
    }

    /// Adds up something of each record of mappings and grants of a peer.
    fn sum_of_mappings(&self, peer: &Peer, of: impl Fn(&Mapping) -> u32) -> u32 {
        let trees = [peer.vspace.mappings, peer.vspace.grants].into_iter();
        trees.map(|tree| self.sum_of_leaves::<Mapping>(tree, &of)).sum()
    }

    fn count_leaves<T: Leaf>(&self, tree: Tree<T>) -> u32 {
        self.sum_of_leaves(tree, |_| 1)
    }

    fn sum_of_leaves<T: Leaf>(&self, tree: Tree<T>, of: impl Fn(&T) -> u32) -> u32 {
        let mut count = 0_u32;
        let mut next = self.store.tree_next::<T>(tree, 0);
        while let Some(leaf) = next {
            let record = self.store.get(leaf);
            count = count.saturating_add(of(record));
            let above = record.last().checked_add(1);
            next = above.and_then(|key| self.store.tree_next::<T>(tree, key));
        }
        count
    }

    /// Checks that the charges of the accounts match the frame table, kind by kind.
    fn check_sums(&self, census: &Census) -> Result<(), &'static str> {
        let pool = self.store.get(self.store.pool());
        let overhead = self.store.kernel.overhead_pages();
        let charged = self.accounts().filter_map(|account| self.store.stock(account));
        let charged = charged.map(Stock::untaken).sum();
        let kinds = [
            (Charge::Tables, census.tables),
            (Charge::Slots, census.slots.saturating_add(overhead)),
            (
                Charge::Records,
                [census.reserved, charged, self.store.kept()]
                    .into_iter()
                    .fold(census.records, u32::saturating_add),
            ),
        ];
        for (kind, pages) in kinds {
            ensure(pool.charged(kind) == pages, "I1: the pool's account is the sum, kind by kind")?;
        }
        let total = self.store.page_count().saturating_add(overhead);
        ensure(pool.limit == total, "I1: the pool's limit is all untyped memory")
    }
}

fn ensure(holds: bool, sentence: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(sentence) }
}
