// SPDX-License-Identifier: BSD-2-Clause
//! Mapping frames into the address spaces of peers, and taking mappings away.
//!
//! Every mapping is made here, through a capability that pmserver keeps (protocol R19, lesson 14),
//! and is found again from three sides: by its address, from its frame, and from the share it was
//! made through. The first mapping of a frame uses the frame's original capability; each further
//! one a derived capability in a slot that the mapper's account pays for.

use pmserver_api::{Failure, Frames, MapFlags, Mapped, PmError, Rights};
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER};
use proto::{FrameCount, PAGE_BYTES, PeerId, VirtAddr};

use crate::account::Shortage;
use crate::broken;
use crate::frame_table::{PageIndex, PageUse};
use crate::kernel::{CapRights, FrameCap, Kernel, KernelError, ObjectKind, PageRights, VSpace};
use crate::lease::Need;
use crate::objects::{Access, Frame, Mapping, Share};
use crate::radix::Leaf;
use crate::range::Range;
use crate::records::{Ref, link_of};
use crate::server::Server;

const OWN_VSPACE: u32 = 0;

/// Returns the rights that a request asks for.
fn requested(flags: MapFlags) -> Result<PageRights, PmError> {
    let rights = PageRights {
        write: flags.contains(MapFlags::WRITE),
        execute: flags.contains(MapFlags::EXECUTE),
    };
    if flags.is_empty() || rights.write && rights.execute {
        return Err(PmError::Invalid);
    }
    Ok(rights)
}

fn granted(rights: PageRights) -> MapFlags {
    let mut flags = MapFlags::READ;
    flags.set(MapFlags::WRITE, rights.write);
    flags.set(MapFlags::EXECUTE, rights.execute);
    flags
}

impl<K: Kernel> Server<K> {
    /// Maps frames (protocol O6) up to the first problem; it is an error if that is the first
    /// frame.
    pub(crate) fn map(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        (vspace, vaddr): (u32, VirtAddr),
        flags: MapFlags,
    ) -> Result<Mapped, Failure> {
        let access = self.access(caller, container)?;
        if vspace != OWN_VSPACE {
            return Err(PmError::InvalidCap.into());
        }
        let rights = requested(flags)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        let bytes = count.get().saturating_mul(PAGE_BYTES);
        vaddr.checked_add(bytes.saturating_sub(1)).ok_or(PmError::Invalid)?;
        self.check_map_rights(&access, range, rights)?;
        let mut page_address = Some(vaddr);
        let mut mapped = Mapped::default();
        for number in range.first..=range.last {
            let Some(vaddr) = page_address else { break };
            if let Err(failure) = self.map_one(caller, &access, number, vaddr, rights) {
                if mapped.count == 0 {
                    return Err(failure);
                }
                break;
            }
            mapped.push(granted(rights));
            page_address = vaddr.checked_add(PAGE_BYTES);
        }
        Ok(mapped)
    }

    fn check_map_rights(
        &self,
        access: &Access,
        range: Range,
        rights: PageRights,
    ) -> Result<(), Failure> {
        let needed = if rights.write { Rights::READ | Rights::WRITE } else { Rights::READ };
        // The kernel would grant less without a word; here it is an error.
        if !access.range.covers(range) || !(access.rights | implied(access.rights)).contains(needed)
        {
            return Err(PmError::NoRight.into());
        }
        if let Some(share) = access.share.map(|share| self.pool.get(share))
            && share.is_revoking()
            && share.lease_count == 0
        {
            return Err(PmError::Revoking.into());
        }
        Ok(())
    }

    fn map_one(
        &mut self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
        rights: PageRights,
    ) -> Result<(), Failure> {
        let at_frame = |error| Failure { error, done: 0, at: number };
        let frame = self.frame_at(access.container, number).map_err(at_frame)?;
        let need = if rights.write { Need::Change } else { Need::Read };
        self.check_leases(access, Range { first: number, last: number }, need)?;
        let mappings = self.peer(peer).vspace.mappings;
        if self.pool.tree_get::<Mapping>(mappings, vaddr.get()).is_some() {
            return Err(Failure { error: PmError::Occupied, done: 0, at: vaddr.get() });
        }
        // A borrower cannot use up the owner's.
        let reserved = if access.is_strong() { 0 } else { FRAME_MAPPINGS_OWNER };
        let most = FRAME_MAPPINGS_MAX.saturating_sub(reserved);
        if self.pool.get(frame).mapping_count >= most {
            return Err(at_frame(PmError::TooMany));
        }
        let was_bound = self.pool.get(frame).page != 0;
        let page = self.bind(frame).map_err(|error| at_frame(Shortage::from(error).as_quota()))?;
        let share = link_of(access.share);
        let mapping = Mapping::new(frame.link(), share, peer, vaddr, rights);
        self.add_mapping(peer, page, mapping, vaddr).map_err(|error| {
            if !was_bound {
                self.pool.get_mut(frame).page = 0;
                self.pool.release_frame(page);
            }
            let at = if error == PmError::Occupied { vaddr.get() } else { number };
            Failure { error, done: 0, at }
        })
    }

    /// Gives a frame memory, all zero, if it has none yet. The charge was taken when it was
    /// allocated.
    fn bind(&mut self, frame: Ref<Frame>) -> Result<PageIndex, KernelError> {
        if let Some(page) = self.pool.get(frame).page() {
            return Ok(page);
        }
        let page = self.pool.take(ObjectKind::Frame, PageUse::Frame)?;
        self.pool.entry_mut(page).owner = frame.link();
        self.pool.get_mut(frame).page = page.get();
        Ok(page)
    }

    /// Records a mapping, gets a capability for it and maps that; undoes all of it at the first
    /// refusal.
    fn add_mapping(
        &mut self,
        peer: PeerId,
        page: PageIndex,
        mapping: Mapping,
        vaddr: VirtAddr,
    ) -> Result<(), PmError> {
        let account = self.table_account(peer).map_err(Shortage::as_table_quota)?;
        let rights = mapping.rights();
        let mapping = self.pool.alloc(account, mapping).map_err(Shortage::as_table_quota)?;
        let tree = self.peer(peer).vspace.mappings;
        match self.pool.tree_insert(account, tree, mapping) {
            Ok(tree) => self.peer_mut(peer).vspace.mappings = tree,
            Err(shortage) => {
                self.pool.free(mapping);
                return Err(shortage.as_table_quota());
            }
        }
        let result = self.take_cap(peer, page, mapping).and_then(|cap| {
            match self.map_with_tables(peer, cap, vaddr, rights) {
                Ok(()) => Ok(()),
                Err(error) => {
                    // A slot that cannot be emptied now stays taken until its CNode goes.
                    let _ = self.give_cap_back(page, mapping);
                    Err(error)
                }
            }
        });
        if let Err(error) = result {
            let tree = self.pool.tree_remove(self.peer(peer).vspace.mappings, vaddr.get());
            self.peer_mut(peer).vspace.mappings = tree;
            self.pool.free(mapping);
            return Err(error);
        }
        self.count_mapping(peer, vaddr.get(), true);
        self.link_mapping(mapping);
        Ok(())
    }

    /// Returns a capability to the page for one mapping: the original if it is not in use.
    fn take_cap(
        &mut self,
        peer: PeerId,
        page: PageIndex,
        mapping: Ref<Mapping>,
    ) -> Result<FrameCap, PmError> {
        if self.pool.entry(page).original_mapped == 0 {
            self.pool.entry_mut(page).original_mapped = 1;
            return Ok(FrameCap::Original(page));
        }
        let account = self.table_account(peer).map_err(Shortage::as_table_quota)?;
        let slot = self.pool.alloc_slot(account).map_err(Shortage::as_table_quota)?;
        if self.pool.kernel.derive(page, slot, CapRights::All).is_err() {
            self.pool.free_slot(slot);
            return Err(PmError::Kernel);
        }
        self.pool.get_mut(mapping).set_slot(slot);
        Ok(FrameCap::Derived(slot))
    }

    /// Unmaps the capability of a mapping and gives it back.
    fn give_cap_back(&mut self, page: PageIndex, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        match self.pool.get(mapping).slot() {
            Some(slot) => {
                self.pool.kernel.delete(slot)?;
                self.pool.free_slot(slot);
            }
            None => {
                self.pool.kernel.unmap_frame(FrameCap::Original(page))?;
                self.pool.entry_mut(page).original_mapped = 0;
            }
        }
        Ok(())
    }

    fn link_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let record = self.pool.get_mut(frame);
        let next = record.mappings;
        record.mappings = mapping.link();
        record.mapping_count = record.mapping_count.saturating_add(1);
        self.pool.get_mut(mapping).next_of_frame = next;
        let Some(share) = Ref::<Share>::from_link(self.pool.get(mapping).share) else { return };
        let next = self.pool.get(share).mappings;
        self.pool.get_mut(share).mappings = mapping.link();
        self.pool.get_mut(mapping).next_of_share = next;
        if let Some(after) = Ref::<Mapping>::from_link(next) {
            self.pool.get_mut(after).previous_of_share = mapping.link();
        }
    }

    fn frame_of(&self, mapping: Ref<Mapping>) -> Ref<Frame> {
        match Ref::from_link(self.pool.get(mapping).frame) {
            Some(frame) => frame,
            None => broken("mapping without a frame"),
        }
    }

    /// Takes a mapping away. When this returns success the peer's next access there faults.
    ///
    /// # Errors
    /// What the kernel says where it refuses; then the mapping is as it was.
    pub(crate) fn remove_mapping(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let frame = self.frame_of(mapping);
        let Some(page) = self.pool.get(frame).page() else { broken("mapping without a page") };
        self.give_cap_back(page, mapping)?;
        let record = *self.pool.get(mapping);
        let Some(peer) = PeerId::new(record.peer().into()) else { broken("mapping of nobody's") };
        let tree = self.pool.tree_remove(self.peer(peer).vspace.mappings, record.vaddr());
        self.peer_mut(peer).vspace.mappings = tree;
        self.unlink_mapping(frame, mapping, &record);
        self.pool.free(mapping);
        self.count_mapping(peer, record.vaddr(), false);
        self.collect_tables(peer, record.vaddr());
        Ok(())
    }

    fn unlink_mapping(&mut self, frame: Ref<Frame>, mapping: Ref<Mapping>, record: &Mapping) {
        let mut place = self.pool.get(frame).mappings;
        if place == mapping.link() {
            self.pool.get_mut(frame).mappings = record.next_of_frame;
        }
        while let Some(other) = Ref::<Mapping>::from_link(place) {
            place = self.pool.get(other).next_of_frame;
            if place == mapping.link() {
                self.pool.get_mut(other).next_of_frame = record.next_of_frame;
            }
        }
        let count = &mut self.pool.get_mut(frame).mapping_count;
        *count = count.saturating_sub(1);
        let Some(share) = Ref::<Share>::from_link(record.share) else { return };
        if let Some(after) = Ref::<Mapping>::from_link(record.next_of_share) {
            self.pool.get_mut(after).previous_of_share = record.previous_of_share;
        }
        match Ref::<Mapping>::from_link(record.previous_of_share) {
            Some(before) => self.pool.get_mut(before).next_of_share = record.next_of_share,
            None => self.pool.get_mut(share).mappings = record.next_of_share,
        }
    }

    /// Takes away the mappings of a frame that were made through a share that `goes` names.
    pub(crate) fn unmap_frame_everywhere(
        &mut self,
        frame: Ref<Frame>,
        goes: impl Fn(u32) -> bool,
    ) -> Result<(), KernelError> {
        let mut link = self.pool.get(frame).mappings;
        while let Some(mapping) = Ref::<Mapping>::from_link(link) {
            let record = self.pool.get(mapping);
            link = record.next_of_frame;
            if goes(record.share) {
                self.remove_mapping(mapping)?;
            }
        }
        Ok(())
    }

    /// Makes the mappings of a frame read-only that were made through a share that `goes` names.
    pub(crate) fn downgrade_frame(
        &mut self,
        frame: Ref<Frame>,
        goes: impl Fn(u32) -> bool,
    ) -> Result<(), KernelError> {
        let Some(page) = self.pool.get(frame).page() else { return Ok(()) };
        let mut link = self.pool.get(frame).mappings;
        while let Some(mapping) = Ref::<Mapping>::from_link(link) {
            let record = *self.pool.get(mapping);
            link = record.next_of_frame;
            if goes(record.share) && record.rights().write {
                self.make_read_only(page, mapping, &record)?;
            }
        }
        Ok(())
    }

    fn make_read_only(
        &mut self,
        page: PageIndex,
        mapping: Ref<Mapping>,
        record: &Mapping,
    ) -> Result<(), KernelError> {
        let place = PeerId::new(record.peer().into()).zip(VirtAddr::new_page(record.vaddr()));
        let Some((peer, vaddr)) = place else { broken("mapping nowhere") };
        let cap = record.cap(page);
        self.pool.kernel.unmap_frame(cap)?;
        let rights = PageRights { write: false, execute: record.rights().execute };
        match self.pool.kernel.map_frame(cap, VSpace::Peer(peer), vaddr, rights) {
            Ok(()) => {
                self.pool.get_mut(mapping).write = 0;
                Ok(())
            }
            // It is unmapped already: what is left is to forget it. The peer may map it again.
            Err(_) => self.remove_mapping(mapping),
        }
    }

    /// Unmaps pages of the caller's own (protocol O7); those that are not mapped are passed over.
    pub(crate) fn unmap(
        &mut self,
        caller: PeerId,
        vspace: u32,
        vaddr: VirtAddr,
        count: FrameCount,
    ) -> Result<u64, Failure> {
        if vspace != OWN_VSPACE {
            return Err(PmError::InvalidCap.into());
        }
        let bytes = count.get().saturating_mul(PAGE_BYTES);
        let last = vaddr.checked_add(bytes.saturating_sub(1)).ok_or(PmError::Invalid)?;
        let mut done: u64 = 0;
        loop {
            let tree = self.peer(caller).vspace.mappings;
            let Some(mapping) = self.pool.tree_next::<Mapping>(tree, vaddr.get()) else { break };
            if self.pool.get(mapping).key() > last.get() {
                break;
            }
            self.remove_mapping(mapping).map_err(|_| Failure {
                error: PmError::Kernel,
                done,
                at: 0,
            })?;
            done = done.saturating_add(1);
        }
        Ok(done)
    }
}

/// Write implies read.
fn implied(rights: Rights) -> Rights {
    if rights.contains(Rights::WRITE) { Rights::READ } else { Rights::empty() }
}
