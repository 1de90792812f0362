// SPDX-License-Identifier: BSD-2-Clause
//! grant, ungrant, ensure_tables (O25): frame capabilities that a peer maps itself.
//!
//! ```text
//!   root CNode of the peer            CNode of one page, paid for by the peer's table account
//!     grant_address(0) -----------------> slot i: a derived capability of a frame
//! ```
//!
//! Only pmserver can add capabilities to that CNode or remove them; the peer can only use them. A
//! grant is recorded like a mapping, so everything that removes mappings also revokes grants. A
//! revoked grant does not come back by itself, because pmserver does not know how it was used.

use pmserver_api::{AccessKind, Failure, Frames, Granted, MapFlags, PmError};
use proto::limits::PEER_GRANTS_MAX;
use proto::{FrameCount, PeerId, VirtAddr};

use crate::kernel::{CapRights, Kernel, KernelError, PageIndex, SlotAddress};
use crate::ops::Operations;
use crate::ops::map::{check_flags, installed_for, last_page, pages_from};
use crate::ops::map_cluster::places;
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::failure::at_frame;
use crate::records::id::{FrameId, indices, row};
use crate::records::leaf::Leaf;
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::share::Access;
use crate::tables::page_tables::LEAF_SPAN_BITS;

/// The span of a lowest table.
const LEAF_BYTES: u64 = 1 << LEAF_SPAN_BITS;

/// The flags that were asked for, and the rights that the frames before have.
type Terms = (MapFlags, Option<MapFlags>);

impl<K: Kernel> Operations<K> {
    /// Puts capabilities to frames into the caller's CSpace, up to the first problem.
    #[inline(never)]
    pub(crate) fn grant(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        rights: MapFlags,
    ) -> Result<Granted, Failure> {
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_right_to(&access, range, rights)?;
        check_flags(rights)?;
        if rights.contains(MapFlags::EXECUTE) {
            return Err(PmError::Invalid.into());
        }
        self.check_revoking(&access)?;
        let first = self.unused_grants(caller, count.get());
        let first = first.ok_or(at_frame(PmError::TooMany, range.first))?;
        let address = self.store.kernel.grant_address(first);
        let payer = self.payer_of_clusters(caller, count.get());
        let mut granted: Option<Granted> = None;
        let mut rest = Some(range);
        while let Some(left) = rest {
            let before = granted.map_or(0, |granted| granted.count);
            let index = first.saturating_add(u8::try_from(before).unwrap_or(u8::MAX));
            let terms = (rights, granted.map(|granted| granted.rights));
            match self.grant_next(caller, &access, (left, index), (terms, payer)) {
                Ok((done, rights)) => {
                    let count = before.saturating_add(done.into());
                    granted = Some(Granted { address, count, rights });
                    rest = left.after(done.into());
                }
                Err(failure) => {
                    self.collect_grant_node(caller);
                    return granted.ok_or(failure);
                }
            }
        }
        granted.ok_or(PmError::Invalid.into())
    }

    /// Returns the lowest index at which `count` grants fit; if they fit nowhere, the lowest unused
    /// one.
    fn unused_grants(&self, peer: PeerId, count: u64) -> Option<u8> {
        let mut used: u128 = 0;
        let tree = self.peer(peer).vspace.grants;
        let mut next = self.store.tree_next::<Mapping>(tree, 0);
        while let Some(grants) = next {
            let record = self.store.get(grants);
            for index in indices(record.present()) {
                let place = u32::try_from(record.vaddr_of(index)).unwrap_or(u32::MAX);
                used |= 1_u128.checked_shl(place).unwrap_or(0);
            }
            next = self.store.tree_next::<Mapping>(tree, record.last().saturating_add(1));
        }
        let wanted = u32::try_from(count).unwrap_or(u32::MAX);
        let wanted = 1_u128.checked_shl(wanted).map_or(u128::MAX, |bit| bit.wrapping_sub(1));
        let fits = |start: &u32| {
            let run = wanted << start;
            run >> start == wanted && used & run == 0
        };
        let start = (0..u128::BITS).find(fits).unwrap_or(used.trailing_ones());
        u8::try_from(start).ok().filter(|start| *start < PEER_GRANTS_MAX)
    }

    /// Grants the first frames of a range, those of a cluster together. Returns how many, and their
    /// rights.
    fn grant_next(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, index): (Range, u8),
        (terms, payer): (Terms, Option<Ref<Account>>),
    ) -> Result<(u8, MapFlags), Failure> {
        self.store.meter().begin_frame(0)?;
        if let Some(done) = self.grant_cluster(peer, access, (range, index), (terms, payer)) {
            return Ok(done);
        }
        let rights = self.grant_one(peer, access, range.first, index, terms)?;
        Ok((1, rights))
    }

    /// Grants the first frames of a range that are in one cluster, at indices in one group of
    /// eight, if an account pays for clusters; none if the first has to be granted alone.
    fn grant_cluster(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, index): (Range, u8),
        ((asked, expected), payer): (Terms, Option<Ref<Account>>),
    ) -> Option<(u8, MapFlags)> {
        let (frames, payer) = places(range, index.into()).zip(payer)?;
        let last = range.first.saturating_add(frames.into()).saturating_sub(1);
        // They have memory at once.
        let forced = asked | MapFlags::FORCE_READ;
        let first = self.find_cluster(access, Range { last, ..range }, forced)?;
        if index >= PEER_GRANTS_MAX {
            return None;
        }
        let slot = SlotAddress { node: self.grant_node(peer).ok()?, index };
        let grant = Mapping::new_grant(first, link_of(access.share), peer, slot, asked);
        let is_starved = self.store.is_starved;
        let Ok(Some(cluster)) = self.new_cluster(payer, grant, frames) else {
            // Without quota for a cluster, there may be some for single grants.
            self.store.is_starved = is_starved;
            return None;
        };
        let (done, rights) = self.derive_cluster(cluster, (first, frames), (asked, expected));
        if done == 0 {
            self.remove_record(cluster);
            return None;
        }
        Some((done, rights))
    }

    /// Gives a frame the memory that granting it takes.
    fn give_memory(&mut self, frame: FrameId, asked: MapFlags) -> Result<PageIndex, KernelError> {
        if asked.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.break_cow(frame)
        } else {
            self.bind(frame)
        }
    }

    /// Makes the grants of a cluster that has none yet, as long as their rights are the same, and
    /// those that are expected, up to the first that takes something unusual. Returns how many, and
    /// the rights.
    // Not inline: the loop needs all registers.
    #[inline(never)]
    fn derive_cluster(
        &mut self,
        cluster: Ref<Mapping>,
        (first, frames): (FrameId, u8),
        (asked, mut rights): Terms,
    ) -> (u8, MapFlags) {
        let before = *self.store.get(first.record);
        let mut slot = self.store.get(cluster).first_slot();
        let forces = asked.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE);
        let mut next = first;
        let end = first.index.saturating_add(frames);
        while next.index < end {
            let there = before.page(next.index).filter(|_| !forces);
            let Some(page) = there.or_else(|| self.memory_in_turn(next, asked)) else { break };
            let own = self.granted_on(Some(page), asked);
            if *rights.get_or_insert(own) != own
                || self.store.kernel.derive(page, slot, cap_rights(own)).is_err()
            {
                break;
            }
            slot.index = slot.index.wrapping_add(1);
            next.index = next.index.saturating_add(1);
        }
        let is_new = next.index < end && before.page(next.index).is_none();
        if is_new && self.store.page_of(next).is_some() {
            // Only the mappings from before are left, and they show zeros again.
            let _ = self.rebind(next, None);
        }
        let done = next.index.saturating_sub(first.index);
        let rights = rights.unwrap_or(asked);
        let record = self.store.get_mut(cluster);
        record.add_grants(row(first.index, done), installed_for(rights));
        (done, rights)
    }

    /// Gives a frame behind others the memory that granting it takes, if the call has room for it.
    #[inline(never)]
    fn memory_in_turn(&mut self, frame: FrameId, asked: MapFlags) -> Option<PageIndex> {
        self.store.meter().begin_frame(0).ok()?;
        self.give_memory(frame, asked).ok()
    }

    fn grant_one(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        index: u8,
        (asked, expected): Terms,
    ) -> Result<MapFlags, Failure> {
        self.check_leases(access, Range::one(number), need_of(asked))?;
        let frame = self.present(access.container, number)?;
        self.check_sharers(frame, need_of(asked))?;
        self.check_mapping_room(access, frame, number)?;
        self.check_supplied_in_turn(peer, frame, AccessKind::Read, expected.is_none())?;
        let tree = self.peer(peer).vspace.grants;
        let there = self.store.tree_get::<Mapping>(tree, index.into());
        let is_used = there.is_some_and(|there| self.store.get(there).has_at(index.into()));
        if index >= PEER_GRANTS_MAX || is_used {
            return Err(at_frame(PmError::TooMany, number));
        }
        let was_bound = self.store.page_of(frame).is_some();
        let refused = |error| at_frame(Shortage::from(error).as_quota(), number);
        let page = self.give_memory(frame, asked).map_err(refused)?;
        let rights = self.granted(frame, asked);
        let granted = match expected {
            Some(expected) if expected != rights => Err(PmError::NoRight),
            _ => self.grant_page(peer, (access, frame), (page, index), (asked, rights)),
        };
        granted.map(|()| rights).map_err(|error| {
            if !was_bound {
                // Only the mappings from before are left, and they show zeros again.
                let _ = self.rebind(frame, None);
            }
            at_frame(error, number)
        })
    }

    fn grant_page(
        &mut self,
        peer: PeerId,
        (access, frame): (&Access, FrameId),
        (page, index): (PageIndex, u8),
        (asked, rights): (MapFlags, MapFlags),
    ) -> Result<(), PmError> {
        let slot = SlotAddress { node: self.grant_node(peer)?, index };
        let grant = Mapping::new_grant(frame, link_of(access.share), peer, slot, asked);
        self.add_grant(peer, grant, page, rights)
    }

    /// Makes one grant, in a cluster if it can be.
    fn add_grant(
        &mut self,
        peer: PeerId,
        grant: Mapping,
        page: PageIndex,
        rights: MapFlags,
    ) -> Result<(), PmError> {
        let account = self.table_account(peer)?;
        let there = self.store.tree_get::<Mapping>(self.peer(peer).vspace.grants, grant.key());
        let cluster = self.cluster_for(&grant, there)?;
        let record = match cluster {
            Some(cluster) => cluster,
            None => self.add_record(account, grant)?,
        };
        if self.store.kernel.derive(page, grant.slot(0), cap_rights(rights)).is_err() {
            if cluster.is_none() {
                self.remove_record(record);
            }
            return Err(PmError::Kernel);
        }
        let index = if cluster.is_some() { grant.frame(0).index } else { 0 };
        self.store.get_mut(record).add_grants(1 << index, installed_for(rights));
        Ok(())
    }

    /// Returns the CNode that holds a peer's grants, and makes it if there is none.
    #[inline]
    fn grant_node(&mut self, peer: PeerId) -> Result<PageIndex, PmError> {
        self.peer(peer).vspace.grant_node.map_or_else(|| self.make_grant_node(peer), Ok)
    }

    #[inline(never)]
    fn make_grant_node(&mut self, peer: PeerId) -> Result<PageIndex, PmError> {
        let account = self.table_account(peer)?;
        let node = self.store.take_node(account).map_err(Shortage::as_table_quota)?;
        if self.store.kernel.install_grants(peer, node).is_err() {
            self.store.release_node(node);
            return Err(PmError::Kernel);
        }
        self.peer_mut(peer).vspace.grant_node = Some(node);
        Ok(node)
    }

    /// Revokes granted capabilities by address; skips addresses without one.
    #[inline(never)]
    pub(crate) fn ungrant(
        &mut self,
        caller: PeerId,
        address: u64,
        count: FrameCount,
    ) -> Result<u64, Failure> {
        let first = address.checked_sub(self.store.kernel.grant_address(0));
        let range = first.and_then(|first| Range::new(proto::FrameNumber::new(first), count.get()));
        // No grant can be at such an address, so there is nothing to revoke.
        let Some(range) = range else { return Ok(0) };
        let (mut first, mut taken) = (range.first, 0_u64);
        while let Some(grants) =
            self.store.tree_next::<Mapping>(self.peer(caller).vspace.grants, first)
        {
            let record = self.store.get(grants);
            if record.key() > range.last {
                break;
            }
            let mask = record.within(first, range.last);
            let last = record.last();
            self.store.meter().begin_frame(taken)?;
            let removed = self.remove_grants(grants, mask);
            let gone = match removed {
                Ok(()) => mask,
                Err(_) => mask & !self.store.get(grants).present(),
            };
            taken = taken.saturating_add(gone.count_ones().into());
            removed.map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: taken,
                at: 0,
            })?;
            first = last.saturating_add(1);
        }
        // The kernel may have kept it when the last grant went.
        self.collect_grant_node(caller);
        Ok(taken)
    }

    /// Makes the page tables for a range of pages, so that the caller can map there itself.
    #[inline(never)]
    pub(crate) fn ensure_tables(
        &mut self,
        caller: PeerId,
        vaddr: VirtAddr,
        count: FrameCount,
    ) -> Result<u64, Failure> {
        let last = last_page(vaddr, count.get())?;
        let mut made: u64 = 0;
        // One page for each lowest table.
        let needs_table = |page: &VirtAddr| *page == vaddr || page.get().is_multiple_of(LEAF_BYTES);
        for page in pages_from(vaddr).take_while(|page| *page <= last).filter(needs_table) {
            match self.ensure_tables_at(caller, page) {
                Ok(tables) => made = made.saturating_add(tables),
                // The program has a table there.
                Err(PmError::Occupied) => {}
                Err(error) => return Err(Failure { error, done: made, at: page.get() }),
            }
        }
        Ok(made)
    }
}

const fn cap_rights(granted: MapFlags) -> CapRights {
    if granted.contains(MapFlags::WRITE) { CapRights::All } else { CapRights::Read }
}
