// SPDX-License-Identifier: BSD-2-Clause
//! The page tables that pmserver makes in the VSpaces of peers, and who pays for them (R25).
//!
//! Tables that came with a program image have no record. A table that pmserver made is removed when
//! the last mapping or table that pmserver made below it is removed, so unmapping refunds all that
//! mapping charged.
//!
//! A VSpace is cleared here, too: its regions, its mappings and grants, and then these tables.

use pmserver_api::{Failure, PmError};
use proto::{PeerId, VirtAddr};

use crate::kernel::{FrameCap, Kernel, KernelError, ObjectKind, PageIndex, PageRights, VSpace};
use crate::records::account::{Charge, Shortage};
use crate::records::broken::broken;
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::leaf::{Leaf, Tree};
use crate::records::mapping::Mapping;
use crate::records::page::PageUse;
use crate::records::peer::VSpaceState;
use crate::records::region::Region;
use crate::records::table::Table;
use crate::tables::Tables;

/// The spans of the three levels of page tables below the root, smallest first.
const SPANS: [u8; 3] = [LEAF_SPAN_BITS, 30, 39];

/// The span of the lowest table.
pub(crate) const LEAF_SPAN_BITS: u8 = 21;

impl<K: Kernel> Tables<K> {
    /// Maps a frame capability, and first makes the page tables that are missing.
    pub(super) fn map_with_tables(
        &mut self,
        peer: PeerId,
        cap: FrameCap,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), PmError> {
        let mut result = self.store.kernel.map_frame(cap, VSpace::Peer(peer), vaddr, rights);
        for _ in SPANS {
            let Err(KernelError::TableMissing { span_bits }) = result else { break };
            if let Err(error) = self.install_table(peer, span_bits, vaddr) {
                self.collect_tables(peer, vaddr.get());
                return Err(error);
            }
            result = self.store.kernel.map_frame(cap, VSpace::Peer(peer), vaddr, rights);
        }
        result.map_err(|error| {
            self.collect_tables(peer, vaddr.get());
            map_error(error)
        })
    }

    /// Installs one table and records it. The kernel names the topmost missing level, so the levels
    /// above exist. If it names a table that is there, it contradicts the records: `Kernel`.
    fn install_table(
        &mut self,
        peer: PeerId,
        span_bits: u8,
        vaddr: VirtAddr,
    ) -> Result<(), PmError> {
        let level = level_of(span_bits).ok_or(PmError::Kernel)?;
        let base = base_of(vaddr.get(), level);
        if self.store.tree_get::<Table>(self.table_tree(peer, level), base).is_some() {
            return Err(PmError::Kernel);
        }
        let page = self.take_table_page(peer, span_bits)?;
        let recorded = self.record_table(peer, level, base, page);
        let result = recorded.and_then(|()| {
            let installed = self.store.kernel.map_table(page, span_bits, VSpace::Peer(peer), vaddr);
            installed.map_err(|error| {
                self.forget_table(peer, level, base);
                match error {
                    KernelError::AlreadyMapped => PmError::Kernel,
                    error => map_error(error),
                }
            })
        });
        if result.is_err() {
            self.store.release_object(page);
            self.refund_table(peer);
        }
        result
    }

    fn refund_table(&mut self, peer: PeerId) {
        match self.peer(peer).table_account {
            Some(account) => self.store.refund(account, Charge::Tables),
            None => broken("a table that nobody pays for"),
        }
    }

    fn take_table_page(&mut self, peer: PeerId, span_bits: u8) -> Result<PageIndex, PmError> {
        let account = self.table_account(peer)?;
        self.store.charge(account, Charge::Tables).map_err(Shortage::as_table_quota)?;
        self.store.take(ObjectKind::Table { span_bits }, PageUse::Table).map_err(|error| {
            self.store.refund(account, Charge::Tables);
            Shortage::from(error).as_table_quota()
        })
    }

    fn record_table(
        &mut self,
        peer: PeerId,
        level: usize,
        base: u64,
        page: PageIndex,
    ) -> Result<(), PmError> {
        let account = self.table_account(peer)?;
        let table = Table::new(base, page);
        let table = self.store.alloc(account, table).map_err(Shortage::as_table_quota)?;
        match self.store.tree_insert(account, self.table_tree(peer, level), table) {
            Ok(tree) => {
                self.set_table_tree(peer, level, tree);
                self.peer_mut(peer).vspace.table_count.up();
                self.count_children(peer, level.saturating_add(1), base, (1, true));
                Ok(())
            }
            Err(shortage) => {
                self.store.free(table);
                Err(shortage.as_table_quota())
            }
        }
    }

    fn forget_table(&mut self, peer: PeerId, level: usize, base: u64) {
        let tree = self.table_tree(peer, level);
        if let Some(table) = self.store.tree_get::<Table>(tree, base) {
            let tree = self.store.tree_remove(tree, table);
            self.set_table_tree(peer, level, tree);
            self.store.free(table);
            self.peer_mut(peer).vspace.table_count.down();
            self.count_children(peer, level.saturating_add(1), base, (1, false));
        }
    }

    pub(super) fn table_tree(&self, peer: PeerId, level: usize) -> Tree<Table> {
        self.peer(peer).vspace.tables.get(level).copied().unwrap_or_default()
    }

    pub(super) fn set_table_tree(&mut self, peer: PeerId, level: usize, tree: Tree<Table>) {
        if let Some(place) = self.peer_mut(peer).vspace.tables.get_mut(level) {
            *place = tree;
        }
    }

    /// Returns whether something that came with the program covers an address for which pmserver
    /// has made no table: a lowest table, or a large page.
    ///
    /// The kernel maps a page over another one without an error, but never a table over anything: a
    /// table is put there, and taken away again, to see whether it can be. Nobody pays for it. What
    /// came with the program never changes, so the last answers are remembered.
    pub(crate) fn is_of_program(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<bool, PmError> {
        let span = (vaddr.get() >> LEAF_SPAN_BITS).saturating_add(1);
        if self.peer(peer).free_spans.contains(&span) {
            return Ok(false);
        }
        let is_of_program = self.probe_for_program(peer, vaddr)?;
        if !is_of_program {
            let spans = &mut self.peer_mut(peer).free_spans;
            spans.rotate_right(1);
            if let Some(first) = spans.first_mut() {
                *first = span;
            }
        }
        Ok(is_of_program)
    }

    fn probe_for_program(&mut self, peer: PeerId, vaddr: VirtAddr) -> Result<bool, PmError> {
        let span_bits = LEAF_SPAN_BITS;
        let table = self.store.take(ObjectKind::Table { span_bits }, PageUse::Table);
        let table = table.map_err(|error| Shortage::from(error).as_table_quota())?;
        let mapped = self.store.kernel.map_table(table, span_bits, VSpace::Peer(peer), vaddr);
        // Try twice: one refusal by the kernel must not leave it there.
        if self.store.unmake_object(table).is_err() {
            self.store.release_object(table);
        }
        match mapped {
            Err(KernelError::AlreadyMapped) => Ok(true),
            Ok(()) | Err(KernelError::TableMissing { .. }) => Ok(false),
            Err(error) => Err(map_error(error)),
        }
    }

    /// Returns the lowest table at an address if pmserver made it.
    pub(crate) fn lowest_table(&self, peer: PeerId, vaddr: u64) -> Option<&Table> {
        let table = self.store.tree_get::<Table>(self.table_tree(peer, 0), base_of(vaddr, 0));
        table.map(|table| self.store.get(table))
    }

    /// Counts new mappings in the lowest table above them. Returns how many are in it now, if it is
    /// there.
    pub(crate) fn count_mappings(&mut self, peer: PeerId, vaddr: u64, count: u32) -> Option<u32> {
        self.count_children(peer, 0, vaddr, (count, true))
    }

    /// Counts mappings that are gone in the table of a level, and removes the tables above them
    /// that are empty now.
    pub(super) fn count_gone(&mut self, peer: PeerId, vaddr: u64, (level, count): (usize, u32)) {
        if self.count_children(peer, level, vaddr, (count, false)) == Some(0) {
            self.collect_tables(peer, vaddr);
        }
    }

    /// Counts a new large mapping in the table above it.
    pub(crate) fn count_large(&mut self, peer: PeerId, vaddr: u64) {
        self.count_children(peer, 1, vaddr, (1, true));
    }

    /// Counts up or down what is below a table of pmserver's. Returns how many there are now.
    fn count_children(
        &mut self,
        peer: PeerId,
        level: usize,
        vaddr: u64,
        (count, is_new): (u32, bool),
    ) -> Option<u32> {
        let tree = self.table_tree(peer, level);
        let table = self.store.tree_get::<Table>(tree, base_of(vaddr, level))?;
        let children = &mut self.store.get_mut(table).children;
        if is_new {
            children.add(count);
        } else {
            children.subtract(count);
        }
        Some(children.get())
    }

    /// Removes the empty tables above an address. A table that the kernel refuses to remove stays
    /// recorded and charged, and is removed with the next mapping below it.
    pub(crate) fn collect_tables(&mut self, peer: PeerId, vaddr: u64) {
        for level in 0..SPANS.len() {
            let base = base_of(vaddr, level);
            let tree = self.table_tree(peer, level);
            let Some(table) = self.store.tree_get::<Table>(tree, base) else { continue };
            let record = *self.store.get(table);
            let page = PageIndex::new(record.page);
            if !record.children.is_zero() || self.store.unmake_object(page).is_err() {
                return;
            }
            self.forget_table(peer, level, base);
            self.refund_table(peer);
        }
    }

    pub(crate) fn remove_region(&mut self, peer: PeerId, region: Ref<Region>) {
        let tree = self.peer(peer).vspace.regions;
        let tree = self.store.tree_remove(tree, region);
        let vspace = &mut self.peer_mut(peer).vspace;
        vspace.regions = tree;
        vspace.region_count.down();
        self.store.free(region);
    }

    /// Removes all regions of a peer.
    fn remove_regions(&mut self, peer: PeerId) {
        while let Some(region) = self.store.tree_next(self.peer(peer).vspace.regions, 0) {
            self.remove_region(peer, region);
        }
    }

    /// Removes everything that pmserver has put into the VSpace of a peer.
    pub(crate) fn clear_vspace(
        &mut self,
        peer: PeerId,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        // Regions first, so that nothing is mapped again.
        self.remove_regions(peer);
        loop {
            let VSpaceState { mappings, grants, .. } = self.peer(peer).vspace;
            let first = self.store.tree_next::<Mapping>(mappings, 0);
            let next = first.or_else(|| self.store.tree_next(grants, 0));
            let Some(mapping) = next else { break };
            budget.spend(self.store.meter())?;
            self.remove_mappings_in(mapping, u8::MAX)
                .map_err(|_: KernelError| budget.failure(PmError::Kernel, 0))?;
        }
        self.collect_grant_node(peer);
        if self.peer(peer).vspace.grant_node.is_some() {
            return Err(budget.failure(PmError::Kernel, 0));
        }
        self.clear_tables(peer, budget)
    }

    /// Removes the tables of a peer that has no mappings.
    fn clear_tables(&mut self, peer: PeerId, budget: &mut Budget) -> Result<(), Failure> {
        for level in 0..SPANS.len() {
            while let Some(table) = self.store.tree_next::<Table>(self.table_tree(peer, level), 0) {
                budget.spend(self.store.meter())?;
                let base = self.store.get(table).key();
                self.collect_tables(peer, base);
                if self.store.tree_get::<Table>(self.table_tree(peer, level), base).is_some() {
                    return Err(budget.failure(PmError::Kernel, base));
                }
            }
        }
        Ok(())
    }
}

fn level_of(span_bits: u8) -> Option<usize> {
    SPANS.iter().position(|span| *span == span_bits)
}

fn base_of(vaddr: u64, level: usize) -> u64 {
    let span = SPANS.get(level).copied().unwrap_or(0);
    vaddr.checked_shr(span.into()).unwrap_or(0).checked_shl(span.into()).unwrap_or(0)
}

/// Returns the error for the kernel's refusal to map.
fn map_error(error: KernelError) -> PmError {
    match error {
        KernelError::AlreadyMapped => PmError::Occupied,
        KernelError::NotEnoughMemory => PmError::NoMemory,
        // The kernel does not allow user programs to map at this address.
        KernelError::Refused => PmError::Invalid,
        KernelError::TableMissing { .. } => PmError::Kernel,
    }
}
