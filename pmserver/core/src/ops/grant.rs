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
use crate::records::account::Shortage;
use crate::records::failure::at_frame;
use crate::records::id::FrameId;
use crate::records::leaf::Leaf;
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::share::Access;
use crate::tables::page_tables::LEAF_SPAN_BITS;

/// The span of a lowest table.
const LEAF_BYTES: u64 = 1 << LEAF_SPAN_BITS;

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
        let mut granted: Option<Granted> = None;
        for (number, index) in (range.first..=range.last).zip(first..) {
            let expected = granted.map(|granted| granted.rights);
            let room = self.store.meter().begin_frame(0);
            let one = (rights, expected);
            match room.and_then(|()| self.grant_one(caller, &access, number, index, one)) {
                Ok(rights) => {
                    let address = self.store.kernel.grant_address(first);
                    let so_far = granted.map_or(0, |granted| granted.count);
                    granted = Some(Granted { address, count: so_far.saturating_add(1), rights });
                }
                Err(failure) => return granted.ok_or(failure),
            }
        }
        granted.ok_or(PmError::Invalid.into())
    }

    /// Returns the lowest index at which `count` grants fit; if they fit nowhere, the lowest unused
    /// one.
    fn unused_grants(&self, peer: PeerId, count: u64) -> Option<u8> {
        let mut used: u128 = 0;
        let mut next = self.store.tree_next::<Mapping>(self.peer(peer).vspace.grants, 0);
        while let Some(grant) = next {
            let index = self.store.get(grant).key();
            used |= u32::try_from(index).ok().and_then(|at| 1_u128.checked_shl(at)).unwrap_or(0);
            let tree = self.peer(peer).vspace.grants;
            next = self.store.tree_next::<Mapping>(tree, index.saturating_add(1));
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

    fn grant_one(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        index: u8,
        (asked, expected): (MapFlags, Option<MapFlags>),
    ) -> Result<MapFlags, Failure> {
        self.check_leases(access, Range::one(number), need_of(asked))?;
        let frame = self.present(access.container, number)?;
        self.check_sharers(frame, need_of(asked))?;
        self.check_mapping_room(access, frame, number)?;
        self.check_supplied_in_turn(peer, frame, AccessKind::Read, expected.is_none())?;
        let tree = self.peer(peer).vspace.grants;
        let is_used = self.store.tree_get::<Mapping>(tree, u64::from(index)).is_some();
        if index >= PEER_GRANTS_MAX || is_used {
            return Err(at_frame(PmError::TooMany, number));
        }
        let was_bound = self.store.page_of(frame).is_some();
        let refused = |error| at_frame(Shortage::from(error).as_quota(), number);
        let page = if asked.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.break_cow(frame).map_err(refused)?
        } else {
            self.bind(frame).map_err(refused)?
        };
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
        let added = self.add_grant(peer, grant, page, rights);
        added.inspect_err(|_| self.collect_grant_node(peer))
    }

    fn add_grant(
        &mut self,
        peer: PeerId,
        mut grant: Mapping,
        page: PageIndex,
        rights: MapFlags,
    ) -> Result<(), PmError> {
        let account = self.table_account(peer)?;
        let slot = grant.slot(0);
        grant.set_installed(1, installed_for(rights));
        let grant = self.store.alloc(account, grant).map_err(Shortage::as_table_quota)?;
        let cap_rights =
            if rights.contains(MapFlags::WRITE) { CapRights::All } else { CapRights::Read };
        let tree = self.peer(peer).vspace.grants;
        let inserted =
            self.store.tree_insert(account, tree, grant).map_err(Shortage::as_table_quota);
        let tree = match inserted {
            Ok(tree) => tree,
            Err(error) => {
                self.store.free(grant);
                return Err(error);
            }
        };
        if self.store.kernel.derive(page, slot, cap_rights).is_err() {
            let key = self.store.get(grant).key();
            self.peer_mut(peer).vspace.grants = self.store.tree_remove(tree, key);
            self.store.free(grant);
            return Err(PmError::Kernel);
        }
        self.peer_mut(peer).vspace.grants = tree;
        self.link_mapping(grant);
        Ok(())
    }

    /// Returns the CNode that holds a peer's grants, and makes it if there is none.
    fn grant_node(&mut self, peer: PeerId) -> Result<PageIndex, PmError> {
        if let Some(node) = self.peer(peer).vspace.grant_node {
            return Ok(node);
        }
        let account = self.table_account(peer)?;
        let node = self.store.take_node(account).map_err(Shortage::as_table_quota)?;
        if self.store.kernel.install_grants(peer, node).is_err() {
            self.store.release_node(account, node);
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
        let mut taken: u64 = 0;
        while let Some(grant) =
            self.store.tree_next::<Mapping>(self.peer(caller).vspace.grants, range.first)
        {
            if self.store.get(grant).key() > range.last {
                break;
            }
            self.store.meter().begin_frame(taken)?;
            self.remove_grant(grant).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: taken,
                at: 0,
            })?;
            taken = taken.saturating_add(1);
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
