// SPDX-License-Identifier: BSD-2-Clause
//! Regions: pages behind an accessed one are mapped with it (PM-203), so that reading in order does
//! not fault at each page.
//!
//! Only what is usual is: clusters with memory, in an account with room for them. Whatever is not
//! is left to the access to it (`ops/repair.rs`).

use pmserver_api::{AccessKind, MapFlags, Mapped};
use proto::limits::MAP_AHEAD_MAX;
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::ops::map::{behind, most_mappings};
use crate::ops::map_cluster::CLUSTERED_MIN;
use crate::records::id::CLUSTER;
use crate::records::mapping::Mapping;
use crate::records::peer::Ahead;
use crate::records::range::Range;
use crate::records::region::Region;
use crate::records::share::Access;

impl<K: Kernel> Operations<K> {
    /// Maps the pages of a region from an accessed one on, where nothing is mapped. Returns whether
    /// that page is mapped now, with what the access needs.
    pub(super) fn map_ahead(
        &mut self,
        peer: PeerId,
        (region, page): (&Region, VirtAddr),
        access: &Access,
        (flags, kind): (MapFlags, AccessKind),
    ) -> bool {
        if self.map_run_of_region(peer, (region, page), access, (flags, kind)) {
            return true;
        }
        let pages = self.pages_ahead(peer, region, page);
        if pages < CLUSTERED_MIN.into() {
            return false;
        }
        let Some(range) = ahead_of(region, page, pages) else { return false };
        let payer = self.payer_of_clusters(peer, pages);
        if self.check_map_rights(access, range, flags).is_err()
            || !self.is_usual(access, range.first, flags, kind)
        {
            return false;
        }
        let mut mapped = Mapped::default();
        let mut rest = Some((range, page));
        while let Some((left, vaddr)) = rest {
            let Some(usual) = self.usual_part(access, left) else { break };
            if self.store.meter().begin_frame(0).is_err() {
                break;
            }
            match self.map_cluster(peer, access, (usual, vaddr), (flags, payer), &mut mapped) {
                0 => break,
                done => rest = behind(left, vaddr, done.into()),
            }
        }
        let end = page.get().saturating_add(mapped.count.saturating_mul(PAGE_BYTES));
        self.peer_mut(peer).ahead = Ahead { end, pages };
        mapped.count > 0
    }

    /// Returns how many pages to map, up to the next one that is: more each time that the accesses
    /// go on where the last pages ended.
    fn pages_ahead(&self, peer: PeerId, region: &Region, page: VirtAddr) -> u64 {
        let last = self.peer(peer).ahead;
        let pages = if last.end == page.get() { last.pages.saturating_mul(2) } else { 0 };
        let mapped = self.store.tree_next::<Mapping>(self.peer(peer).vspace.mappings, page.get());
        let end = region.last_page().saturating_add(PAGE_BYTES);
        let end = mapped.map_or(end, |mapped| self.store.get(mapped).vaddr().min(end));
        let free = end.saturating_sub(page.get()) / PAGE_BYTES;
        pages.clamp(CLUSTER.into(), MAP_AHEAD_MAX).min(free)
    }

    /// Returns the first frames of a range that have memory, if they are in a cluster that can be
    /// mapped once more when it is mapped now: what nobody has accessed takes nobody's last place.
    fn usual_part(&self, access: &Access, range: Range) -> Option<Range> {
        let frame = self.find_id(access.container, range.first)?;
        let record = self.store.get(frame.record);
        let leaves_room = record.mapping_count.get().saturating_add(1) < most_mappings(access);
        if !record.is_cluster() || !leaves_room {
            return None;
        }
        let bound = (frame.index..CLUSTER).take_while(|index| record.page(*index).is_some());
        let more = u64::try_from(bound.count()).ok()?.checked_sub(1)?;
        Some(Range { last: range.last.min(range.first.saturating_add(more)), ..range })
    }

    /// Returns whether an access to a frame needs no more than that it is mapped.
    pub(super) fn is_usual(
        &self,
        access: &Access,
        number: u64,
        flags: MapFlags,
        kind: AccessKind,
    ) -> bool {
        let Some(frame) = self.find_id(access.container, number) else { return false };
        let granted = self.granted(frame, flags);
        let needed = match kind {
            AccessKind::Read => MapFlags::READ,
            AccessKind::Write => MapFlags::WRITE,
            AccessKind::Execute => MapFlags::EXECUTE,
        };
        self.store.page_of(frame).is_some() && granted.contains(needed)
    }
}

fn ahead_of(region: &Region, page: VirtAddr, pages: u64) -> Option<Range> {
    let first = region.frame_at(page.get())?;
    Some(Range { first, last: first.checked_add(pages.checked_sub(1)?)? })
}
