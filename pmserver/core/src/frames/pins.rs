// SPDX-License-Identifier: BSD-2-Clause
//! Pins: how they keep frames on their pages, and how they end (`ops/pin.rs` has the picture).

use pmserver_api::{Failure, PmError};
use proto::Micros;
use proto::limits::{CALL_FRAMES_MAX, FRAME_WORK_MAX};

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::account::{Account, Charge};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::FrameMarks;
use crate::records::id::{FrameId, Id};
use crate::records::lease::{Lease, LeasesOfContainer};
use crate::records::page::PageUse;
use crate::records::range::Range;

/// The work of releasing a pin: each frame may have to be unmapped from a device.
pub(crate) const UNPIN_WORK: u64 = CALL_FRAMES_MAX * 2_500;

impl<K: Kernel> FrameManager<K> {
    pub(crate) fn refund_pin(&mut self, account: Ref<Account>, frames: u64) {
        let pages = u32::try_from(frames).unwrap_or(u32::MAX);
        self.store.refund_pages(account, Charge::Frames, pages);
    }

    /// Unmaps frames from a device behind an IOMMU, and allows them to move again. If the kernel
    /// refuses one, the pin goes on from there: what was released before is not released again.
    pub(crate) fn release_pinned_frames(
        &mut self,
        lease: Ref<Lease>,
        container: Ref<Container>,
        range: Range,
    ) -> Result<(), KernelError> {
        let holder = self.store.get(lease).holder();
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_each(container, &mut rest) {
            let Some(page) = self.store.page_of(frame) else { continue };
            self.store.get_mut(lease).range.first = number;
            if self.store.kernel.confines(holder) {
                self.store.kernel.bus_unmap(holder, page)?;
            }
            self.store.get_mut(frame.record).set(FrameMarks::KEPT, false);
            let entry = self.store.entry_mut(page);
            entry.set_pins(entry.pins().saturating_sub(1));
        }
        Ok(())
    }

    /// Releases a pin: the holder says that its device no longer accesses the frames.
    pub(crate) fn unpin(&mut self, lease: Ref<Lease>) -> Result<(), Failure> {
        let record = *self.store.get(lease);
        if let Some(container) = record.container.target() {
            self.release_pinned_frames(lease, container, record.range)
                .map_err(|_: KernelError| PmError::Kernel)?;
        }
        self.end_quarantine(lease);
        // Charges the account that owns the lease record; the holder's own account may be gone.
        let account = self.store.payer_of(lease);
        self.refund_pin(account, record.pinned.get().into());
        self.end_lease(lease);
        Ok(())
    }

    fn end_quarantine(&mut self, lease: Ref<Lease>) {
        while let Some(page) = PageIndex::from_link(self.store.get(lease).quarantine) {
            self.store.get_mut(lease).quarantine = self.store.entry(page).next();
            self.store.release_frame(page);
        }
    }

    /// Ends a pin that its holder has not released. If the kernel refuses a step, it is tried again
    /// at the next request, and the frames stay locked until then.
    ///
    /// # Errors
    /// `Pending` if one call cannot move all of its frames.
    pub(super) fn end_expired_pin(&mut self, lease: Ref<Lease>) -> Result<(), Failure> {
        let record = *self.store.get(lease);
        let Some(container) = record.container.target() else { return Ok(()) };
        if self.store.kernel.confines(record.holder()) {
            self.store.meter().check_room(UNPIN_WORK, 0)?;
            // If the kernel refuses, the frames stay locked and the next request tries again.
            let _ = self.unpin(lease);
            return Ok(());
        }
        let mut rest = Some(record.range);
        while let Some((frame, _)) = self.take_each(container, &mut rest) {
            let page = self.store.page_of(frame);
            let Some(page) = page.filter(|page| self.store.entry(*page).is_pinned()) else {
                continue;
            };
            // What the call is for needs room, too.
            self.store.meter().check_room(FRAME_WORK_MAX.saturating_mul(2), 0)?;
            match self.move_into_quarantine(lease, (container, frame), page) {
                Ok(()) => {}
                Err(PmError::Pending) => return Err(PmError::Pending.into()),
                Err(_) => return Ok(()),
            }
        }
        self.unlink_from_container(lease);
        self.store.get_mut(lease).set_over();
        Ok(())
    }

    fn move_into_quarantine(
        &mut self,
        lease: Ref<Lease>,
        (container, frame): (Ref<Container>, FrameId),
        page: PageIndex,
    ) -> Result<(), PmError> {
        let is_large = self.store.entry(page).is(PageUse::Large);
        let range = self.range_of(frame);
        // The reference keeps the page from being reused when its last frame has left it.
        self.store.add_reference(page);
        let moved = if is_large {
            self.leave_block(page, |frames, block| frames.move_off(block, None))
        } else {
            self.relocate(page).map_err(|_: KernelError| PmError::Kernel)
        };
        if let Err(error) = moved {
            self.store.drop_reference(page);
            return Err(error);
        }
        self.set_taken_over(container, range);
        let used_as = if is_large { PageUse::LargeQuarantine } else { PageUse::Quarantine };
        let mut entry = self.store.entry(page).reused_as(used_as);
        entry.set_pin(lease.link());
        entry.set_next(self.store.get(lease).quarantine);
        *self.store.entry_mut(page) = entry;
        self.store.get_mut(lease).quarantine = page.get();
        Ok(())
    }

    /// Marks frames of a pin that has run out, and those that they are really shared with.
    fn set_taken_over(&mut self, container: Ref<Container>, range: Range) {
        let mut rest = Some(range);
        while let Some((frame, _)) = self.take_frame(container, &mut rest) {
            for sharer in self.sharers(Id::first(frame)) {
                let record = self.store.get_mut(sharer.record);
                record.set(FrameMarks::KEPT, false);
                record.set(FrameMarks::TAKEN_OVER, true);
            }
        }
    }

    /// Ends the pins without a deadline on a container.
    #[inline(always)]
    pub(crate) fn end_lasting_pins(&mut self, container: Ref<Container>) {
        if self.store.get(container).leases.target().is_some() {
            self.end_lasting_pins_of(container);
        }
    }

    #[inline(never)]
    fn end_lasting_pins_of(&mut self, container: Ref<Container>) {
        let now = self.store.kernel.now();
        let mut next = self.store.get(container).leases.target();
        while let Some(lease) = next {
            let first = self.store.get(container).leases;
            next = self.store.next_of::<LeasesOfContainer>(first, lease);
            let record = self.store.get_mut(lease);
            if record.deadline() == Micros::NEVER {
                record.end_at(now);
            }
        }
    }

    /// Returns the deadline until which a pin keeps a frame on its page.
    pub(crate) fn pin_deadline(&mut self, frame: FrameId) -> Option<Micros> {
        self.live_pin(frame).map(|pin| self.future(self.store.get(pin).deadline()))
    }

    /// Returns the pin that keeps a frame on its page, after ending one that has run out: it may be
    /// in the container of another frame of the ring.
    pub(super) fn live_pin(&mut self, frame: FrameId) -> Option<Ref<Lease>> {
        let pin = self.pin_of(frame)?;
        if self.store.get(pin).deadline() <= self.store.kernel.now() {
            // If this call cannot end it, the frame is locked until the next one.
            let _ = self.end_expired(pin);
        }
        self.pin_of(frame)
    }

    /// Returns the pin on a frame or on one of its ring: there is one at most.
    pub(crate) fn pin_of(&self, frame: FrameId) -> Option<Ref<Lease>> {
        let page = self.store.page_of(frame)?;
        if !self.store.entry(page).is_pinned() {
            return None;
        }
        self.sharers(frame).iter().find_map(|sharer| {
            let number = self.store.number_of(*sharer);
            let container = self.store.get(sharer.record).container.target()?;
            let leases = self.store.get(container).leases;
            self.store.chain::<LeasesOfContainer>(leases).find(|lease| {
                let lease = self.store.get(*lease);
                !lease.pinned.is_zero() && lease.range.contains(number)
            })
        })
    }
}
