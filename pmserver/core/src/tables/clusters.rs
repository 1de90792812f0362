// SPDX-License-Identifier: BSD-2-Clause
//! Clusters of mappings (decision 0040): up to eight pages in a row that show the frames of a
//! cluster in the same order, in one record. Clusters of grants are the same, at indices in a row.
//!
//! When something else is mapped among its pages, each of its mappings gets a record of its own.
//! Its account is charged for those then, by the call that does that: nothing else splits a
//! cluster.

use pmserver_api::PmError;
use proto::PeerId;

use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::id::indices;
use crate::records::leaf::Leaf;
use crate::records::mapping::Mapping;
use crate::records::places::RECORDS_PER_PAGE;
use crate::tables::Tables;
use crate::tables::large::{MAPPING_CELLS, PART_OBJECTS};
use crate::tables::run_mappings::RUN_CELLS;

/// Returns the cells that splitting a cluster of so many mappings takes: for all of their own
/// records but one, the node above them, and one node more where the tree forks.
const fn cluster_cells(places: u8) -> u32 {
    #[allow(clippy::as_conversions)] // To a wider type.
    (places as u32).saturating_add(1)
}

/// Returns what a record of mappings sets aside: cells, and pages for other objects.
pub(crate) fn aside_of(mapping: &Mapping) -> (u32, u32) {
    if mapping.is_large() {
        (MAPPING_CELLS, PART_OBJECTS)
    } else if mapping.is_run() {
        (RUN_CELLS, 0)
    } else {
        (0, 0)
    }
}

/// Pages that clusters may take more than single mappings: one for cells that were set aside, one
/// for other records, and one for slots.
const PAGES_BESIDE: u64 = 3;

/// Mappings for which a call takes one page of slots.
const SLOTS_MAPPED: u64 = 64;

/// Page tables above the pages of one call.
const TABLES_MAX: u64 = 6;

impl<K: Kernel> Tables<K> {
    /// Returns the account that pays for so many mappings of a peer if some of them are in
    /// clusters; none if it has less room, with which single ones may fit (PM-15), or is one that
    /// sets nothing aside.
    pub(crate) fn payer_of_clusters(&self, peer: PeerId, mappings: u64) -> Option<Ref<Account>> {
        let records = mappings.saturating_mul(2).div_ceil(RECORDS_PER_PAGE.into());
        let slots = mappings.div_ceil(SLOTS_MAPPED);
        let beside = PAGES_BESIDE.saturating_add(TABLES_MAX);
        let pages = records.saturating_add(slots).saturating_add(beside);
        self.setting_aside(peer).filter(|account| self.store.has_room(*account, pages))
    }

    /// Returns the account that pays for mappings of a peer if it sets something aside: one that a
    /// peer has split off does not.
    pub(crate) fn setting_aside(&self, peer: PeerId) -> Option<Ref<Account>> {
        let account = self.table_account(peer).ok()?;
        self.store.get(account).maker().is_none().then_some(account)
    }

    /// Returns the cluster in the place of a mapping if it belongs to that: it has the same terms.
    /// Splits one that has other terms, so that there is room for the mapping.
    ///
    /// # Errors
    /// As [`Self::split_mappings`].
    pub(crate) fn cluster_for(
        &mut self,
        mapping: &Mapping,
        there: Option<Ref<Mapping>>,
    ) -> Result<Option<Ref<Mapping>>, PmError> {
        let Some(there) = there else { return Ok(None) };
        if self.drop_if_kept(there).map_err(|_: KernelError| PmError::Kernel)? {
            return Ok(None);
        }
        let cluster = self.store.get(there);
        let is_its_frame = cluster.frame(cluster.index_at(mapping.vaddr())) == mapping.frame(0);
        if cluster.may_have(mapping) && is_its_frame {
            return Ok(Some(there));
        }
        self.split_mappings(there)?;
        Ok(None)
    }

    /// Makes the record of a cluster for so many frames, of which this mapping is of the first,
    /// without mappings. The pages are in one group of eight. None if something is mapped there.
    ///
    /// # Errors
    /// `NoTableQuota`; then each may have a record of its own.
    #[inline(always)]
    pub(crate) fn new_cluster(
        &mut self,
        account: Ref<Account>,
        first: Mapping,
        frames: u8,
    ) -> Result<Option<Ref<Mapping>>, PmError> {
        let mapping = first.of_cluster(frames);
        let peer = mapping.peer();
        let tree = self.peer(peer).vspace.tree(mapping.is_grant());
        let there = self.store.tree_next::<Mapping>(tree, mapping.key());
        if there.is_some_and(|there| self.store.get(there).key() <= mapping.last()) {
            return Ok(None);
        }
        self.add_record(account, mapping).map(Some)
    }

    /// Records mappings, with their slots and what they set aside: all that they will ever need.
    ///
    /// # Errors
    /// `NoTableQuota`, and nothing has changed.
    #[inline]
    pub(crate) fn add_record(
        &mut self,
        account: Ref<Account>,
        mut mapping: Mapping,
    ) -> Result<Ref<Mapping>, PmError> {
        let (cells, objects) = aside_of(&mapping);
        if cells > 0 {
            self.store.set_aside_with(account, cells, objects).map_err(Shortage::as_table_quota)?;
        }
        let slots = if mapping.is_grant() { 0 } else { mapping.slots() };
        let slot = if slots == 0 {
            Ok(mapping.first_slot())
        } else {
            self.store.alloc_slots(account, slots)
        };
        let recorded = slot.and_then(|slot| {
            mapping.set_slot(slot);
            self.insert_record(account, &mapping).inspect_err(|_| {
                if slots != 0 {
                    self.store.free_slots(slot, slots);
                }
            })
        });
        let mapping = recorded.map_err(|shortage| {
            if cells > 0 {
                self.store.give_back_with(account, cells, objects);
            }
            shortage.as_table_quota()
        })?;
        self.link_mapping(mapping);
        Ok(mapping)
    }

    /// Puts the record of mappings into the VSpace of a peer, or that of grants.
    fn insert_record(
        &mut self,
        account: Ref<Account>,
        mapping: &Mapping,
    ) -> Result<Ref<Mapping>, Shortage> {
        let (peer, is_grant) = (mapping.peer(), mapping.is_grant());
        let mapping = self.store.alloc(account, *mapping)?;
        let tree = self.peer(peer).vspace.tree(is_grant);
        let tree = self
            .store
            .tree_insert(account, tree, mapping)
            .inspect_err(|_| self.store.free(mapping))?;
        *self.peer_mut(peer).vspace.tree_mut(is_grant) = tree;
        Ok(mapping)
    }

    /// Gives each mapping of a cluster a record of its own. They stay as they are.
    ///
    /// # Errors
    /// `NoTableQuota` if its account cannot pay for them, `Kernel` if the kernel refuses a page for
    /// them; nothing has changed then.
    pub(crate) fn split_mappings(&mut self, mapping: Ref<Mapping>) -> Result<(), PmError> {
        let record = self.store.get(mapping);
        if !record.is_cluster() {
            return Ok(());
        }
        let cells = cluster_cells(record.places());
        let before = self.store.meter().spent();
        let account = self.store.payer_of(mapping);
        self.store.set_aside(account, cells).map_err(Shortage::as_table_quota)?;
        let prepared = self.store.prepare_aside(account, cells);
        let given_back = if prepared.is_ok() { self.split_prepared(mapping) } else { cells };
        self.store.give_back(account, given_back);
        self.store.release_unfilled(account);
        self.store.meter().count_split(before);
        prepared.map_err(|_: KernelError| PmError::Kernel)
    }

    /// The same when the pages are prepared. Returns how many cells were not needed.
    fn split_prepared(&mut self, mapping: Ref<Mapping>) -> u32 {
        let record = *self.store.get(mapping);
        let account = self.store.payer_of(mapping);
        let before = self.aside(account);
        self.unlink_mapping(mapping);
        self.take_out_of_tree(mapping);
        let [first, ..] = [record.present().trailing_zeros()];
        for index in indices(record.present()) {
            let mut single = record.single(index);
            if record.is_opened() {
                single.set_frame(self.store.opened(record.frame(index)).record.link());
            }
            // The record becomes that of the first one.
            if u32::from(index) == first {
                self.become_part(account, mapping, single);
            } else {
                self.record_part(account, single);
            }
        }
        let unused = if record.is_grant() { 0 } else { record.all() & !record.present() };
        for index in indices(unused) {
            self.store.free_slots(record.slot(index), 1);
        }
        let used = before.saturating_sub(self.aside(account));
        cluster_cells(record.places()).saturating_sub(used)
    }

    /// Makes the record of several mappings that of one of its parts.
    pub(super) fn become_part(
        &mut self,
        account: Ref<Account>,
        mapping: Ref<Mapping>,
        part: Mapping,
    ) -> Ref<Mapping> {
        *self.store.get_mut(mapping) = part;
        self.put_part(account, mapping)
    }
}
