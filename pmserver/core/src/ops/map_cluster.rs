// SPDX-License-Identifier: BSD-2-Clause
//! map for the frames of a cluster: in one record of mappings, and with one look at what they have
//! in common (decision 0040).
//!
//! Whatever is unusual ends it before the frame that it concerns, without an error: that one is
//! mapped alone (`ops/map.rs`), which says what is wrong.

use pmserver_api::{MapFlags, Mapped};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{FrameCap, Kernel, VSpace};
use crate::ops::Operations;
use crate::ops::map::{installed_for, most_mappings};
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::id::{CLUSTER, FrameId, Id, LAST_IN_CLUSTER, indices, row};
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::share::Access;

/// Fewer mappings have a record each: one for all may have to be split.
pub(super) const CLUSTERED_MIN: u8 = 3;

impl<K: Kernel> Operations<K> {
    /// Maps the first frames of a range that are in one cluster, at pages in one group of eight, if
    /// an account pays for clusters. Returns how many; none if the first has to be mapped alone.
    pub(super) fn map_cluster(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, vaddr): (Range, VirtAddr),
        (flags, payer): (MapFlags, Option<Ref<Account>>),
        mapped: &mut Mapped,
    ) -> u8 {
        let Some((frames, payer)) = places(range, vaddr.get() / PAGE_BYTES).zip(payer) else {
            return 0;
        };
        let last = range.first.saturating_add(frames.into()).saturating_sub(1);
        let Some(first) = self.find_cluster(access, Range { last, ..range }, flags) else {
            return 0;
        };
        let mapping = Mapping::new(first, link_of(access.share), peer, vaddr, flags);
        let is_starved = self.store.is_starved;
        let Ok(Some(cluster)) = self.new_cluster(payer, mapping, frames) else {
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
        self.count_mappings(peer, vaddr.get(), done.into());
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
    #[inline(always)]
    pub(super) fn find_cluster(
        &mut self,
        access: &Access,
        range: Range,
        flags: MapFlags,
    ) -> Option<FrameId> {
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
        let is_usual = record.is_cluster() && record.is_full() && record.is_settled();
        (is_usual && has_room).then_some(first)
    }

    /// Makes mappings of a cluster that has none yet, as long as their rights are the same. Returns
    /// how many, and the rights.
    fn fill_cluster(
        &mut self,
        cluster: Ref<Mapping>,
        (first, frames): (FrameId, u8),
        flags: MapFlags,
    ) -> (u8, MapFlags) {
        if !flags.intersects(MapFlags::FORCE_WRITE | MapFlags::FORCE_READ) {
            return self.show_cluster(cluster, (first, frames), flags);
        }
        let (ready, new) = self.prepare_usual((first, frames), flags);
        let (done, rights) = self.show_cluster(cluster, (first, ready), flags);
        // Of those that are not mapped, only the mappings from before are left: they show zeros.
        for index in indices(new).skip_while(|index| index.saturating_sub(first.index) < done) {
            let _ = self.rebind(Id::new(first.record, index), None);
        }
        (done, rights)
    }

    /// With FORCE_WRITE, gives frames memory of their own now, up to the first that takes something
    /// unusual. Returns how many are ready, and the mask of those that had no memory.
    fn prepare_usual(&mut self, (first, frames): (FrameId, u8), flags: MapFlags) -> (u8, u8) {
        let writes = flags.contains(MapFlags::WRITE | MapFlags::FORCE_WRITE);
        let record = self.store.get(first.record);
        let unbound = indices(row(first.index, frames)).filter(|it| record.page(*it).is_none());
        let unbound = unbound.fold(0, |mask, index| mask | 1 << index);
        let new = if writes { self.bind_cluster(first.record, unbound) } else { 0 };
        for done in 0..frames {
            let frame = Id::new(first.record, first.index.saturating_add(done));
            let is_ready = match self.store.page_of(frame) {
                None => !writes && !flags.contains(MapFlags::FORCE_READ),
                Some(page) if writes && self.store.is_held_twice(page) => {
                    self.store.meter().begin_frame(0).is_ok() && self.break_cow(frame).is_ok()
                }
                Some(_) => true,
            };
            if !is_ready {
                return (done, new);
            }
        }
        (frames, new)
    }

    /// Makes the mappings, and installs those of frames that have memory.
    fn show_cluster(
        &mut self,
        cluster: Ref<Mapping>,
        (first, frames): (FrameId, u8),
        flags: MapFlags,
    ) -> (u8, MapFlags) {
        let pages = *self.store.get(first.record);
        let record = self.store.get(cluster);
        let place = VSpace::Peer(record.peer());
        let mut next = VirtAddr::new_page(record.vaddr_of(first.index));
        let rights = self.granted_on(pages.page(first.index), flags);
        let installed = installed_for(rights);
        let how = self.store.get(cluster).rights(installed);
        let (mut done, mut caps, mut originals, mut mapped) = (0, 0, 0, 0);
        while let Some(vaddr) = next.filter(|_| done < frames) {
            let index = first.index.saturating_add(done);
            let page = pages.page(index);
            if self.granted_on(page, flags) != rights {
                break;
            }
            if let Some(page) = page {
                let mapping = Id::new(cluster, index);
                let Ok(cap) = self.claim_cap(mapping, page) else { break };
                caps |= mapping.bit();
                if matches!(cap, FrameCap::Original(_)) {
                    originals |= mapping.bit();
                }
                if self.store.kernel.map_frame(cap, place, vaddr, how).is_err() {
                    break;
                }
                mapped |= mapping.bit();
            }
            done = done.saturating_add(1);
            next = vaddr.checked_add(PAGE_BYTES);
        }
        let record = self.store.get_mut(cluster);
        record.add(row(first.index, done));
        record.set_caps(caps, originals);
        record.set_installed(mapped, installed);
        let refused = caps & !mapped;
        if refused != 0 && self.forget_caps_of(cluster, refused).is_err() {
            // The kernel refuses to take back the capability, too: that mapping stays.
            self.store.get_mut(cluster).add(refused);
            done = done.saturating_add(1);
        }
        (done, rights)
    }
}

/// Returns how many frames at the beginning of a range are in one cluster, and at pages (or
/// indices) in one group of eight; none if a record for them would not pay.
pub(super) fn places(range: Range, page: u64) -> Option<u8> {
    let left = |number: u64| u64::from(CLUSTER).saturating_sub(number & LAST_IN_CLUSTER);
    let all = range.last.saturating_sub(range.first).saturating_add(1);
    let frames = u8::try_from(left(range.first).min(left(page)).min(all)).ok()?;
    (frames >= CLUSTERED_MIN).then_some(frames)
}
