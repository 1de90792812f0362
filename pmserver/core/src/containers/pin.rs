// SPDX-License-Identifier: BSD-2-Clause
//! Pins: leases for devices (protocol O13, O22, R10, lesson 18, S19 to S21).
//!
//! Under a pin the frames keep their physical memory, which is theirs alone, and its holder is told
//! where that is. A device cannot be made to stop; so where a pin runs out and no IOMMU stands
//! between the device and memory, it is the frames that move:
//!
//! ```text
//!   pin ------------------> unlock: as before, nothing has moved
//!    | deadline, or the holder is gone
//!    v
//!   frames: a new page with a copy, TAKEN_OVER    old page: in quarantine, for nothing,
//!                                                 until unlock or device_reset
//! ```
//!
//! Each pinned frame is charged to the holder of the pin as well as to its container's account: so
//! the second page is paid for before it is needed, and by the one for whose sake it is.

use pmserver_api::{
    AccessKind, BusRun, Failure, Frames, Lease as LeaseReply, LeaseHandle, LockMode, Pinned,
    PmError, Rights,
};
use proto::limits::{MOVE_HOLDERS_MAX, PEER_PINNED_FRAMES_MAX, PIN_FRAMES_MAX};
use proto::{FrameNumber, Micros, PAGE_BYTES, PeerId};

use crate::accounts::account::{Account, Charge, Shortage};
use crate::config::Privileges;
use crate::containers::objects::{Access, Container, Frame, FrameMarks, Lease};
use crate::containers::range::Range;
use crate::kernel::{Kernel, KernelError};
use crate::mappings::mapping::at_frame;
use crate::memory::frame_table::{PageEntry, PageIndex, PageUse};
use crate::memory::radix::Leaf;
use crate::memory::records::Ref;
use crate::server::Server;

impl<K: Kernel> Server<K> {
    /// Takes a lease under which frames do not move, and says where the first ones are.
    pub(crate) fn pin(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Pinned, Failure> {
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        let has_dma = self.peer(caller).privileges.contains(Privileges::DMA);
        if !has_dma || !access.allows(range, Rights::LOCK) {
            return Err(PmError::NoRight.into());
        }
        let pinned = self.pinned_by(caller).saturating_add(count.get());
        if count.get() > PIN_FRAMES_MAX || pinned > PEER_PINNED_FRAMES_MAX {
            return Err(PmError::TooMany.into());
        }
        let ttl = self.check_lease(caller, &access, range, mode, ttl)?;
        for number in range.first..=range.last {
            let frame = self.present_frame(access.container, number)?;
            self.check_supplied(caller, frame, AccessKind::Write)?;
            // Two devices would each keep the frame from moving when the other's pin runs out.
            if let Some(deadline) = self.pin_deadline(frame) {
                return Err(Failure { error: PmError::Locked, done: 0, at: deadline.get() });
            }
        }
        let account = self.own_account(caller)?;
        self.charge_pin(account, range)?;
        let made = self.make_lease(caller, &access, range, mode, ttl).and_then(|made| {
            self.hold_frames(made.0, &access, range).map(|()| made).inspect_err(|_| {
                self.end_lease(made.0);
            })
        });
        let (lease, deadline) = made.inspect_err(|_| self.refund_pin(account, count.get()))?;
        let bus = self.bus_run(access.container, range)?;
        let lease = LeaseHandle::from_raw(self.pool.handle(lease));
        Ok(Pinned { lease: LeaseReply { lease, deadline }, bus })
    }

    fn charge_pin(&mut self, account: Ref<Account>, range: Range) -> Result<(), Failure> {
        for (number, charged) in (range.first..=range.last).zip(0..) {
            if let Err(shortage) = self.pool.charge(account, Charge::Frames) {
                self.refund_pin(account, charged);
                return Err(at_frame(shortage.as_quota(), number));
            }
        }
        Ok(())
    }

    fn refund_pin(&mut self, account: Ref<Account>, frames: u64) {
        for _ in 0..frames {
            self.pool.refund(account, Charge::Frames);
        }
    }

    /// Returns how many frames a peer has pinned, those in quarantine included.
    fn pinned_by(&self, peer: PeerId) -> u64 {
        let mut pinned: u64 = 0;
        let mut link = self.peer(peer).leases;
        while let Some(lease) = Ref::<Lease>::from_link(link) {
            let record = self.pool.get(lease);
            pinned = pinned.saturating_add(record.pinned.into());
            link = record.next_of_holder;
        }
        pinned
    }

    /// Gives each frame memory of its own and holds it there; or none.
    fn hold_frames(
        &mut self,
        lease: Ref<Lease>,
        access: &Access,
        range: Range,
    ) -> Result<(), Failure> {
        for number in range.first..=range.last {
            if let Err(failure) = self.hold_frame(lease, access, number) {
                let held = Range { first: range.first, last: number.saturating_sub(1) };
                if number > range.first {
                    // What could be mapped for the device can be unmapped.
                    let _ = self.let_frames_go(lease, access.container, held);
                }
                return Err(failure);
            }
            let count = &mut self.pool.get_mut(lease).pinned;
            *count = count.saturating_add(1);
        }
        Ok(())
    }

    fn hold_frame(
        &mut self,
        lease: Ref<Lease>,
        access: &Access,
        number: u64,
    ) -> Result<(), Failure> {
        let refused = |error| at_frame(Shortage::from(error).as_quota(), number);
        let frame = self.present_frame(access.container, number)?;
        let page = self.bind(frame).map_err(refused)?;
        let is_written = self.pool.get(lease).is_exclusive();
        let page = if is_written || self.pool.entry(page).holders() > MOVE_HOLDERS_MAX {
            self.break_cow(frame).map_err(refused)?
        } else {
            page
        };
        if self.pool.kernel.has_iommu() {
            let holder = self.pool.get(lease).holder();
            self.pool.kernel.bus_map(holder, page).map_err(refused)?;
        }
        for sharer in self.sharers(frame) {
            self.pool.get_mut(sharer).set(FrameMarks::TAKEN_OVER, false);
        }
        let pins = &mut self.pool.entry_mut(page).taken;
        *pins = pins.saturating_add(1);
        Ok(())
    }

    /// Takes frames out of the reach of a device that has an IOMMU, and lets them move again.
    fn let_frames_go(
        &mut self,
        lease: Ref<Lease>,
        container: Ref<Container>,
        range: Range,
    ) -> Result<(), KernelError> {
        let holder = self.pool.get(lease).holder();
        let mut rest = Some(range);
        while let Some((frame, _)) = self.take_frame(container, &mut rest) {
            let Some(page) = self.pool.get(frame).page() else { continue };
            if self.pool.kernel.has_iommu() {
                self.pool.kernel.bus_unmap(holder, page)?;
            }
            let pins = &mut self.pool.entry_mut(page).taken;
            *pins = pins.saturating_sub(1);
        }
        Ok(())
    }

    /// Gives a pin back: the holder says that its device does not touch the frames any more.
    pub(crate) fn unpin(&mut self, lease: Ref<Lease>) -> Result<(), Failure> {
        let record = *self.pool.get(lease);
        if let Some(container) = Ref::from_link(record.container) {
            self.let_frames_go(lease, container, record.range)
                .map_err(|_: KernelError| PmError::Kernel)?;
        }
        self.end_quarantine(lease);
        // Whoever pays for the lease pays for what it pins, be the holder's account gone.
        let account = self.pool.payer_of(lease);
        self.refund_pin(account, record.pinned.into());
        self.end_lease(lease);
        Ok(())
    }

    fn end_quarantine(&mut self, lease: Ref<Lease>) {
        while let Some(page) = PageIndex::from_link(self.pool.get(lease).quarantine) {
            self.pool.get_mut(lease).quarantine = self.pool.entry(page).next;
            self.pool.release_frame(page);
        }
    }

    /// Ends a pin that its holder has not given back. Where the kernel refuses a step it is tried
    /// again at the next request; until then the frames stay locked.
    pub(crate) fn take_over(&mut self, lease: Ref<Lease>) {
        let record = *self.pool.get(lease);
        let Some(container) = Ref::<Container>::from_link(record.container) else { return };
        if self.pool.kernel.has_iommu() {
            // Where the kernel refuses, the frames stay locked and it is tried again.
            let _ = self.unpin(lease);
            return;
        }
        let mut rest = Some(record.range);
        while let Some((frame, _)) = self.take_frame(container, &mut rest) {
            if self.move_into_quarantine(lease, frame).is_err() {
                return;
            }
        }
        self.unlink_from_container(lease);
        self.pool.get_mut(lease).is_over = 1;
    }

    fn move_into_quarantine(
        &mut self,
        lease: Ref<Lease>,
        frame: Ref<Frame>,
    ) -> Result<(), KernelError> {
        let Some(page) = self.pool.get(frame).page() else { return Ok(()) };
        if !self.pool.entry(page).is_pinned() {
            return Ok(());
        }
        // Held, so that it is not used again when its last frame has left it.
        self.hold(Some(page));
        if let Err(error) = self.relocate(page) {
            self.let_go(Some(page));
            return Err(error);
        }
        for sharer in self.sharers(frame) {
            self.pool.get_mut(sharer).set(FrameMarks::TAKEN_OVER, true);
        }
        let mut entry = PageEntry::new(PageUse::Quarantine);
        entry.owner = lease.link();
        entry.next = self.pool.get(lease).quarantine;
        *self.pool.entry_mut(page) = entry;
        self.pool.get_mut(lease).quarantine = page.get();
        Ok(())
    }

    /// Returns where a device finds a frame of a pin.
    pub(crate) fn bus_address(
        &mut self,
        caller: PeerId,
        lease: LeaseHandle,
        number: FrameNumber,
    ) -> Result<BusRun, Failure> {
        let lease = self.pool.look_up::<Lease>(lease.raw()).ok_or(PmError::InvalidCap)?;
        let record = *self.pool.get(lease);
        let is_valid = record.holder() == caller
            && record.pinned > 0
            && record.deadline() > self.pool.kernel.now();
        let container = Ref::from_link(record.container).filter(|_| is_valid);
        let container = container.ok_or(PmError::InvalidCap)?;
        if !record.range.contains(number.get()) {
            return Err(PmError::Invalid.into());
        }
        self.bus_run(container, Range { first: number.get(), ..record.range })
    }

    fn bus_run(&self, container: Ref<Container>, range: Range) -> Result<BusRun, Failure> {
        let mut run = BusRun { address: 0, frames: 0 };
        for number in range.first..=range.last {
            let page = self.find_frame(container, number).and_then(|f| self.pool.get(f).page());
            let Some(page) = page else { break };
            let address = self.pool.kernel.physical_address(page);
            let next = run.address.saturating_add(run.frames.saturating_mul(PAGE_BYTES));
            if run.frames == 0 {
                run.address = address;
            } else if address != next {
                break;
            }
            run.frames = run.frames.saturating_add(1);
        }
        if run.frames == 0 { Err(at_frame(PmError::NotFound, range.first)) } else { Ok(run) }
    }

    /// Frees what a peer's device might have written to: it was reset.
    pub(crate) fn device_reset(&mut self, caller: PeerId, peer: PeerId) -> Result<(), Failure> {
        if !self.peer(caller).privileges.contains(Privileges::SUPERVISE) {
            return Err(PmError::NoRight.into());
        }
        self.find_peer(peer).ok_or(PmError::Invalid)?;
        let mut link = self.peer(peer).leases;
        while let Some(lease) = Ref::<Lease>::from_link(link) {
            let record = *self.pool.get(lease);
            link = record.next_of_holder;
            if record.is_over != 0 {
                self.unpin(lease)?;
            }
        }
        Ok(())
    }

    /// Returns until when a device may write to a frame.
    pub(crate) fn write_pin(&self, frame: Ref<Frame>) -> Option<Micros> {
        self.pins(frame, Lease::is_exclusive)
    }

    /// Returns until when a pin keeps a frame where it is.
    pub(crate) fn pin_deadline(&self, frame: Ref<Frame>) -> Option<Micros> {
        self.pins(frame, |_| true)
    }

    fn pins(&self, frame: Ref<Frame>, which: impl Fn(&Lease) -> bool) -> Option<Micros> {
        let page = self.pool.get(frame).page()?;
        if !self.pool.entry(page).is_pinned() {
            return None;
        }
        let sharers = self.sharers(frame);
        let held = sharers.iter().map(|sharer| self.pool.get(*sharer));
        held.filter_map(|record| Ref::from_link(record.container).map(|of| (of, record.key())))
            .flat_map(|(container, number)| {
                self.leases(container)
                    .filter(move |lease| lease.pinned > 0 && lease.range.contains(number))
            })
            .filter(|lease| which(lease))
            .map(Lease::deadline)
            .max()
    }
}
