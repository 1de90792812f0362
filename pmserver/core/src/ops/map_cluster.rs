// SPDX-License-Identifier: BSD-2-Clause
//! map for the frames of a cluster: in one record of mappings, and with one look at what they have
//! in common (decision 0040).
//!
//! Whatever is unusual ends it before the frame that it concerns, without an error: that one is
//! mapped alone (`ops/map.rs`), which says what is wrong.

use pmserver_api::{MapFlags, Mapped};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{Kernel, VSpace};
use crate::ops::Operations;
use crate::ops::map::{installed_for, most_mappings};
use crate::records::cell::Ref;
use crate::records::id::{CLUSTER, FrameId, Id, LAST_IN_CLUSTER, MappingId};
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::share::Access;
use crate::tables::clusters::cluster_cells;

/// So many mappings are charged no more in one record than each in its own: a cluster sets cells
/// aside (PM-15).
const CLUSTERED_MIN: u8 = 3;

#[allow(clippy::as_conversions)] // To a wider type.
const _: () = assert!(cluster_cells(CLUSTERED_MIN) + 2 <= 2 * CLUSTERED_MIN as u32);

impl<K: Kernel> Operations<K> {
    /// Maps the first frames of a range that are in one cluster, at pages in one group of eight.
    /// Returns how many; none if the first has to be mapped alone.
    pub(super) fn map_cluster(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, vaddr): (Range, VirtAddr),
        flags: MapFlags,
        mapped: &mut Mapped,
    ) -> u8 {
        let Some(frames) = places(range, vaddr) else { return 0 };
        let left = range.last.saturating_sub(range.first).saturating_add(1);
        if !self.has_room_for_clusters(peer, left) {
            return 0;
        }
        let last = range.first.saturating_add(frames.into()).saturating_sub(1);
        let Some(first) = self.find_cluster(access, Range { last, ..range }, flags) else {
            return 0;
        };
        let mapping = Mapping::new(first, link_of(access.share), peer, vaddr, flags);
        let is_starved = self.store.is_starved;
        let Ok(Some(cluster)) = self.new_cluster(mapping, frames) else {
            // Without quota for a cluster, there may be some for single mappings.
            self.store.is_starved = is_starved;
            return 0;
        };
        if self.ensure_tables_at(peer, vaddr).is_err() {
            self.remove_record(cluster);
            self.collect_tables(peer, vaddr.get());
            return 0;
        }
        let (done, rights) = self.fill_cluster(cluster, (first, frames), flags);
        self.count_mappings(peer, vaddr.get(), done.into(), true);
        if done == 0 {
            self.remove_record(cluster);
            self.collect_tables(peer, vaddr.get());
        } else if !mapped.push_all(rights, done.into()) {
            // The reply has no room for another run. If the kernel refuses, they stay mapped.
            let _ = self.remove_mappings_in(cluster, u8::MAX);
            return 0;
        }
        done
    }

    /// Returns the first frame of a range of a cluster whose frames may be mapped together.
    fn find_cluster(&mut self, access: &Access, range: Range, flags: MapFlags) -> Option<FrameId> {
        let container = access.container;
        let forces = flags.intersects(MapFlags::FORCE_WRITE | MapFlags::FORCE_READ);
        if self.check_leases(access, range, need_of(flags)).is_err()
            || forces && self.has_handler_in(container, range)
        {
            return None;
        }
        let first = self.clustered(container, range.first).ok()??;
        let record = self.store.get(first.record);
        let has_room = record.mapping_count.get() < most_mappings(access);
        (record.is_cluster() && record.is_settled() && has_room).then_some(first)
    }

    /// Makes mappings of a cluster that has none yet, as long as their rights are the same. Returns
    /// how many, and the rights.
    fn fill_cluster(
        &mut self,
        cluster: Ref<Mapping>,
        (first, frames): (FrameId, u8),
        flags: MapFlags,
    ) -> (u8, MapFlags) {
        let mut rights = MapFlags::empty();
        let mut done = 0;
        for index in (first.index..).take(frames.into()) {
            if self.store.meter().begin_frame(0).is_err() {
                break;
            }
            let frame = Id::new(first.record, index);
            let was_bound = self.store.page_of(frame).is_some();
            let granted = self.prepare_usual(frame, flags);
            let Some(granted) = granted.filter(|granted| done == 0 || *granted == rights) else {
                break;
            };
            if !self.show_new(Id::new(cluster, index), frame, granted) {
                if !was_bound {
                    // Only the mappings from before are left, and they show zeros again.
                    let _ = self.rebind(frame, None);
                }
                break;
            }
            rights = granted;
            done = index.saturating_sub(first.index).saturating_add(1);
        }
        (done, rights)
    }

    /// With FORCE_WRITE, gives a frame memory of its own now. Returns the rights that a mapping
    /// gives now; none if that takes something unusual.
    fn prepare_usual(&mut self, frame: FrameId, flags: MapFlags) -> Option<MapFlags> {
        if flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE) {
            self.break_cow(frame).ok()?;
        } else if flags.contains(MapFlags::FORCE_READ) {
            self.store.page_of(frame)?;
        }
        Some(self.granted(frame, flags))
    }

    /// Makes a mapping of a cluster, and installs it if its frame has memory. Returns whether the
    /// kernel has not refused.
    fn show_new(&mut self, mapping: MappingId, frame: FrameId, granted: MapFlags) -> bool {
        let Some(page) = self.store.page_of(frame) else {
            self.store.get_mut(mapping.record).add(mapping.index);
            return true;
        };
        if self.take_cap(mapping, page).is_err() {
            return false;
        }
        let record = self.store.get_mut(mapping.record);
        record.add(mapping.index);
        let rights = installed_for(granted);
        let (cap, how) = (record.cap(mapping.index, page), record.rights(rights));
        let (peer, vaddr) = (record.peer(), record.vaddr_of(mapping.index));
        let vaddr = VirtAddr::new_page(vaddr);
        let place = VSpace::Peer(peer);
        let installed = vaddr.map(|vaddr| self.store.kernel.map_frame(cap, place, vaddr, how));
        if installed != Some(Ok(())) {
            // If the kernel refuses to take back the capability, the mapping stays.
            let is_kept = self.forget_caps_of(mapping.record, mapping.bit()).is_err();
            if !is_kept {
                let record = self.store.get_mut(mapping.record);
                record.set_present(record.present() & !mapping.bit());
            }
            return is_kept;
        }
        self.store.get_mut(mapping.record).set_installed(mapping.bit(), rights);
        true
    }
}

/// Returns how many frames at the beginning of a range are in one cluster, and at pages in one
/// group of eight; none if a record for them would not pay.
fn places(range: Range, vaddr: VirtAddr) -> Option<u8> {
    let left = |number: u64| u64::from(CLUSTER).saturating_sub(number & LAST_IN_CLUSTER);
    let in_group = left(vaddr.get() / PAGE_BYTES);
    let all = range.last.saturating_sub(range.first).saturating_add(1);
    let frames = u8::try_from(left(range.first).min(in_group).min(all)).ok()?;
    (frames >= CLUSTERED_MIN).then_some(frames)
}
