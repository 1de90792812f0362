// SPDX-License-Identifier: BSD-2-Clause
//! Mappings of large frames, and the mappings of pages that one becomes when its frame is split.
//!
//! A large mapping is charged for what its parts will need: the cells of their records, four CNodes
//! for their capabilities, and the lowest page table. So splitting it is never refused for want of
//! memory.

use proto::limits::LARGE_FRAMES;
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use heapless::Vec;

use crate::kernel::{
    BLOCK_PAGES, CNODE_SLOTS, Kernel, KernelError, ObjectKind, PageIndex, SlotAddress, VSpace,
};
use crate::records::account::{Account, Charge};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::count::Count;
use crate::records::frame::Frame;
use crate::records::id::CLUSTER;
use crate::records::mapping::Mapping;
use crate::records::page::PageUse;
use crate::records::table::Table;
use crate::tables::Tables;
use crate::tables::page_tables::LEAF_SPAN_BITS;

/// Bytes of a large frame.
pub(crate) const LARGE_BYTES: u64 = LARGE_FRAMES * PAGE_BYTES;

/// CNodes for the capabilities of the parts.
const PART_NODES: u32 = 4;

/// Pages that a large mapping sets aside for these CNodes and a page table.
pub(crate) const PART_OBJECTS: u32 = PART_NODES + 1;

/// Clusters that a large frame is split into.
const PARTS: u32 = BLOCK_PAGES / 8;

/// The cells that a large mapping sets aside: for clusters of mappings and the nodes above them,
/// one node more where the tree forks, the record of their table with a node, and those of the
/// slots of the CNodes.
pub(crate) const MAPPING_CELLS: u32 = PARTS + PARTS / 7 + 3 + PART_NODES;

/// The clusters that a large frame was split into.
#[allow(clippy::as_conversions)] // To a wider type.
pub(crate) type PartFrames = Vec<Ref<Frame>, { PARTS as usize }>;

/// What the parts of a mapping need of the kernel.
pub(crate) struct Parts {
    nodes: [PageIndex; 4],
    table: PageIndex,
}

impl<K: Kernel> Tables<K> {
    /// Makes what the parts of a large mapping need, which is not installed at the moment, and the
    /// pages of so many cells that its account has set aside.
    ///
    /// # Errors
    /// The kernel's error; nothing is left of it then, but pages of cells.
    pub(crate) fn prepare_parts(
        &mut self,
        mapping: Ref<Mapping>,
        cells: u32,
    ) -> Result<Parts, KernelError> {
        let account = self.store.payer_of(mapping);
        self.store.prepare_aside(account, cells)?;
        let mut nodes = [PageIndex::new(0); 4];
        let mut result = Ok(());
        for node in &mut nodes {
            result = result.and_then(|()| {
                *node = self.store.take(ObjectKind::CNode, PageUse::Slots)?;
                Ok(())
            });
        }
        let record = *self.store.get(mapping);
        let table = result.and_then(|()| self.install_part_table(record.peer(), record.vaddr()));
        match table {
            Ok(table) => Ok(Parts { nodes, table }),
            Err(error) => {
                self.release_nodes(&nodes);
                Err(error)
            }
        }
    }

    /// Undoes [`Self::prepare_parts`].
    pub(crate) fn drop_parts(&mut self, parts: &Parts) {
        self.store.release_object(parts.table);
        self.release_nodes(&parts.nodes);
    }

    fn release_nodes(&mut self, nodes: &[PageIndex; 4]) {
        for node in nodes.iter().filter(|node| node.get() != 0) {
            self.store.release_empty_node(*node);
        }
    }

    fn install_part_table(&mut self, peer: PeerId, vaddr: u64) -> Result<PageIndex, KernelError> {
        let span_bits = LEAF_SPAN_BITS;
        let vaddr = VirtAddr::new(vaddr).ok_or(KernelError::Refused)?;
        let table = self.store.take(ObjectKind::Table { span_bits }, PageUse::Table)?;
        self.store
            .kernel
            .map_table(table, span_bits, VSpace::Peer(peer), vaddr)
            .inspect_err(|_| self.store.release_object(table))?;
        Ok(table)
    }

    /// Replaces a large mapping, which is in no list of a frame or a share any more, by mappings of
    /// clusters. Nothing can fail: all is prepared.
    pub(crate) fn replace_mapping(
        &mut self,
        mapping: Ref<Mapping>,
        parts: &Parts,
        frames: &PartFrames,
    ) {
        let large = *self.store.get(mapping);
        let (account, peer) = (self.store.payer_of(mapping), large.peer());
        let before = self.aside(account);
        self.store.use_objects(account, Charge::Slots, PART_NODES);
        self.store.use_objects(account, Charge::Tables, 1);
        self.free_record(mapping);
        self.record_part_table(account, peer, (large.vaddr(), parts.table));
        let slots = parts.nodes.iter().flat_map(|node| {
            (0..CNODE_SLOTS).step_by(CLUSTER.into()).map(|index| SlotAddress {
                node: *node,
                index: u8::try_from(index).unwrap_or(u8::MAX),
            })
        });
        let vaddrs = (large.vaddr()..).step_by(1 << 15);
        for ((frame, slot), vaddr) in frames.iter().zip(slots).zip(vaddrs) {
            self.record_part(account, large.part(vaddr, frame.link(), slot));
        }
        for node in parts.nodes {
            self.store.adopt_full_node(account, node);
        }
        let used = before.saturating_sub(self.aside(account));
        self.store.give_back(account, MAPPING_CELLS.saturating_sub(used));
    }

    pub(super) fn aside(&self, account: Ref<Account>) -> u32 {
        self.store.stock(account).map_or(0, |stock| stock.aside.get())
    }

    /// Records a mapping in a cell that was set aside and prepared.
    pub(super) fn record_part(&mut self, account: Ref<Account>, part: Mapping) -> Ref<Mapping> {
        let added = self.store.alloc_set_aside(account, part);
        let Ok(part) = added else { broken("cell that was prepared") };
        self.put_part(account, part)
    }

    /// Puts the record of a mapping into its VSpace and the lists that it belongs to.
    pub(super) fn put_part(&mut self, account: Ref<Account>, part: Ref<Mapping>) -> Ref<Mapping> {
        let record = self.store.get(part);
        let (peer, is_grant) = (record.peer(), record.is_grant());
        let tree = self.peer(peer).vspace.tree(is_grant);
        let Ok(tree) = self.store.tree_insert_aside(account, tree, part) else {
            broken("cell that was prepared")
        };
        *self.peer_mut(peer).vspace.tree_mut(is_grant) = tree;
        self.link_mapping(part);
        part
    }

    /// Records the table that was installed for the parts, in the place of the large mapping.
    fn record_part_table(
        &mut self,
        account: Ref<Account>,
        peer: PeerId,
        (base, page): (u64, PageIndex),
    ) {
        let tree = self.table_tree(peer, 0);
        let children = u32::try_from(LARGE_FRAMES).unwrap_or(u32::MAX);
        let mut table = Table::new(base, page);
        table.children = Count::starting_at(children);
        let added = self.store.alloc_set_aside(account, table);
        match added.and_then(|table| self.store.tree_insert_aside(account, tree, table)) {
            Ok(tree) => self.set_table_tree(peer, 0, tree),
            Err(_) => broken("cell that was prepared"),
        }
        self.peer_mut(peer).vspace.table_count.up();
    }
}
