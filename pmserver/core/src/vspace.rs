// SPDX-License-Identifier: BSD-2-Clause
//! The address spaces of peers: which page tables pmserver brought, and who pays for them (R25).
//!
//! Tables that came with a program image are not pmserver's and have no record. One of pmserver's is
//! taken away when the last mapping or table of pmserver's below it goes, so that unmapping returns
//! the charge to what it was.

use pmserver_api::PmError;
use proto::{PeerId, VirtAddr};

use crate::account::{Account, Charge, Shortage};
use crate::frame_table::{PageIndex, PageUse};
use crate::kernel::{FrameCap, Kernel, KernelError, ObjectKind, PageRights, VSpace};
use crate::objects::Table;
use crate::records::Ref;
use crate::server::Server;

/// The spans of the three levels of page tables below the root, smallest first.
const SPANS: [u8; 3] = [21, 30, 39];

fn level_of(span_bits: u8) -> Option<usize> {
    SPANS.iter().position(|span| *span == span_bits)
}

fn base_of(vaddr: u64, level: usize) -> u64 {
    let span = SPANS.get(level).copied().unwrap_or(0);
    vaddr.checked_shr(span.into()).unwrap_or(0).checked_shl(span.into()).unwrap_or(0)
}

/// Returns the error for a kernel's refusal to map.
pub(crate) fn map_error(error: KernelError) -> PmError {
    match error {
        KernelError::AlreadyMapped => PmError::Occupied,
        KernelError::NotEnoughMemory => PmError::NoMemory,
        // The kernel does not take this address from a user.
        KernelError::Refused => PmError::Invalid,
        KernelError::TableMissing { .. } => PmError::Kernel,
    }
}

impl<K: Kernel> Server<K> {
    /// Maps a frame capability, bringing the page tables that are missing.
    pub(crate) fn map_with_tables(
        &mut self,
        peer: PeerId,
        cap: FrameCap,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), PmError> {
        let mut result = self.pool.kernel.map_frame(cap, VSpace::Peer(peer), vaddr, rights);
        for _ in SPANS {
            let Err(KernelError::TableMissing { span_bits }) = result else { break };
            if let Err(error) = self.install_tables(peer, span_bits, vaddr) {
                self.collect_tables(peer, vaddr.get());
                return Err(error);
            }
            result = self.pool.kernel.map_frame(cap, VSpace::Peer(peer), vaddr, rights);
        }
        result.map_err(|error| {
            self.collect_tables(peer, vaddr.get());
            map_error(error)
        })
    }

    /// Installs the table of one level, after those above it that are missing as well.
    fn install_tables(
        &mut self,
        peer: PeerId,
        span_bits: u8,
        vaddr: VirtAddr,
    ) -> Result<(), PmError> {
        let mut wanted = span_bits;
        for _ in SPANS {
            match self.install_table(peer, wanted, vaddr)? {
                None if wanted == span_bits => return Ok(()),
                None => wanted = span_bits,
                Some(above) => wanted = above,
            }
        }
        match self.install_table(peer, wanted, vaddr)? {
            None => Ok(()),
            Some(_) => Err(PmError::Kernel),
        }
    }

    /// Installs one table; tells which one is missing above it, if that is why it cannot be.
    fn install_table(
        &mut self,
        peer: PeerId,
        span_bits: u8,
        vaddr: VirtAddr,
    ) -> Result<Option<u8>, PmError> {
        let level = level_of(span_bits).ok_or(PmError::Kernel)?;
        let account = self.peer(peer).account;
        let page = self.take_table_page(account, span_bits)?;
        match self.pool.kernel.map_table(page, span_bits, VSpace::Peer(peer), vaddr) {
            Ok(()) => {
                self.record_table(peer, level, base_of(vaddr.get(), level), page).map(|()| None)
            }
            Err(error) => {
                self.pool.release_object(page);
                self.pool.refund(account, Charge::Tables);
                match error {
                    KernelError::TableMissing { span_bits: above } if above > span_bits => {
                        Ok(Some(above))
                    }
                    error => Err(map_error(error)),
                }
            }
        }
    }

    fn take_table_page(
        &mut self,
        account: Ref<Account>,
        span_bits: u8,
    ) -> Result<PageIndex, PmError> {
        self.pool.charge(account, Charge::Tables).map_err(Shortage::as_table_quota)?;
        self.pool.take(ObjectKind::Table { span_bits }, PageUse::Table).map_err(|error| {
            self.pool.refund(account, Charge::Tables);
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
        let account = self.peer(peer).account;
        let table = match self.pool.alloc(account, Table::new(base, page)) {
            Ok(table) => table,
            Err(shortage) => return Err(self.undo_table(account, page, shortage)),
        };
        let tree = self.table_tree(peer, level);
        match self.pool.tree_insert(account, tree, table) {
            Ok(tree) => {
                self.set_table_tree(peer, level, tree);
                self.count_child(peer, level.saturating_add(1), base, true);
                Ok(())
            }
            Err(shortage) => {
                self.pool.free(table);
                Err(self.undo_table(account, page, shortage))
            }
        }
    }

    fn undo_table(
        &mut self,
        account: Ref<Account>,
        page: PageIndex,
        shortage: Shortage,
    ) -> PmError {
        self.pool.release_object(page);
        self.pool.refund(account, Charge::Tables);
        shortage.as_table_quota()
    }

    fn table_tree(&self, peer: PeerId, level: usize) -> u32 {
        self.peer(peer).vspace.tables.get(level).copied().unwrap_or(0)
    }

    fn set_table_tree(&mut self, peer: PeerId, level: usize, tree: u32) {
        if let Some(place) = self.peer_mut(peer).vspace.tables.get_mut(level) {
            *place = tree;
        }
    }

    /// Counts a mapping in (or out of) the lowest table above it.
    pub(crate) fn count_mapping(&mut self, peer: PeerId, vaddr: u64, is_new: bool) {
        self.count_child(peer, 0, vaddr, is_new);
    }

    fn count_child(&mut self, peer: PeerId, level: usize, vaddr: u64, is_new: bool) {
        let tree = self.table_tree(peer, level);
        if let Some(table) = self.pool.tree_get::<Table>(tree, base_of(vaddr, level)) {
            let children = &mut self.pool.get_mut(table).children;
            *children =
                if is_new { children.saturating_add(1) } else { children.saturating_sub(1) };
        }
    }

    /// Takes away the tables above an address under which nothing hangs any more.
    pub(crate) fn collect_tables(&mut self, peer: PeerId, vaddr: u64) {
        for level in 0..SPANS.len() {
            let tree = self.table_tree(peer, level);
            let base = base_of(vaddr, level);
            let Some(table) = self.pool.tree_get::<Table>(tree, base) else { continue };
            let record = *self.pool.get(table);
            if record.children > 0 {
                return;
            }
            let tree = self.pool.tree_remove(tree, base);
            self.set_table_tree(peer, level, tree);
            self.pool.free(table);
            self.count_child(peer, level.saturating_add(1), vaddr, false);
            let account = self.peer(peer).account;
            self.pool.release_object(PageIndex::new(record.page));
            self.pool.refund(account, Charge::Tables);
        }
    }
}
