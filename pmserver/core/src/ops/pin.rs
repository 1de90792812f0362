// SPDX-License-Identifier: BSD-2-Clause
//! pin, bus_address, device_reset: leases for devices (O13, O22, R10, S19 to S21).
//!
//! Under a pin, frames stay on their physical pages and the holder learns the addresses. A device
//! cannot be forced to stop. If a pin expires and no IOMMU is between the device and memory, the
//! contents move instead:
//!
//! ```text
//!   pin ------------------> unlock: nothing has moved
//!    | deadline, or the holder is gone
//!    v
//!   frames: a new page with a copy, TAKEN_OVER    old page: in quarantine, unused
//!                                                 until unlock or device_reset
//! ```
//!
//! Each pinned frame is charged to the holder of the pin as well as to its container's account, so
//! the second page is paid for before it is needed.

use pmserver_api::{
    AccessKind, BusRun, Failure, Frames, Lease as LeaseReply, LeaseHandle, LockMode, Pinned,
    PmError, Rights,
};
use proto::limits::{CALL_FRAMES_MAX, FRAME_WORK_MAX, PEER_PINNED_FRAMES_MAX};
use proto::{FrameNumber, Micros, PAGE_BYTES, PeerId};

use crate::config::Privileges;
use crate::frames::pins::UNPIN_WORK;
use crate::kernel::{CapRights, Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::{Account, Charge, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::failure::at_frame;
use crate::records::frame::{Frame, FrameMarks, LARGE_PAGES};
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::lease::{Lease, LeasesOfHolder};
use crate::records::range::Range;
use crate::records::share::Access;

impl<K: Kernel> Operations<K> {
    /// Takes a lease under which frames do not move, and returns the bus address of the first ones.
    #[inline(never)]
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
        // A device can do what its driver can: it reads, and writes under an exclusive pin.
        let by_device = if mode == LockMode::Exclusive { Rights::WRITE } else { Rights::READ };
        if !has_dma || !access.allows(range, Rights::LOCK | by_device) {
            return Err(PmError::NoRight.into());
        }
        let lasts = ttl == Micros::NEVER;
        if lasts && mode == LockMode::Read {
            return Err(PmError::Invalid.into());
        }
        if lasts && access.share.is_some() {
            return Err(PmError::NoRight.into());
        }
        // Pins that have run out in other containers.
        self.expire_leases_of(caller)?;
        if self.pinned_by(caller).saturating_add(count.get()) > PEER_PINNED_FRAMES_MAX {
            return Err(PmError::TooMany.into());
        }
        let longest = self.check_lease(caller, &access, range, mode, ttl)?;
        let ttl = if lasts { ttl } else { longest };
        let large = self.check_pinned(caller, &access, range, (mode, lasts))?;
        let account = self.own_account(caller)?;
        self.charge_frames(account, range)?;
        let made = self.make_lease(caller, &access, range, mode, ttl).and_then(|made| {
            let pinned = match large {
                Some(large) => self.pin_large(made.0, large),
                None => self.pin_frames(made.0, &access, range),
            };
            pinned.map(|()| made).inspect_err(|_| self.end_lease(made.0))
        });
        let (lease, deadline) = made.inspect_err(|_| self.refund_pin(account, count.get()))?;
        let bus = self.bus_run(access.container, range)?;
        let lease = LeaseHandle::from_raw(self.store.handle(lease));
        Ok(Pinned { lease: LeaseReply { lease, deadline }, bus })
    }

    /// Refuses to pin what cannot be. Returns the large frame that is pinned as a whole.
    ///
    /// # Errors
    /// `NotFound`, `Discarded`, `Absent`; `Locked` by another pin; `NotEligible` for an extra frame
    /// without a deadline; `TooMany` for 512 frames that are no large frame. `Pending` if there is
    /// more to split than one call does.
    fn check_pinned(
        &mut self,
        caller: PeerId,
        access: &Access,
        range: Range,
        (mode, lasts): (LockMode, bool),
    ) -> Result<Option<Ref<Frame>>, Failure> {
        if range.others() >= CALL_FRAMES_MAX {
            // A device behind an IOMMU reaches single frames only.
            let can_be = !lasts && !self.store.kernel.confines(caller);
            let large = self.large_to_pin(access.container, range, mode).filter(|_| can_be);
            let large = large.ok_or(PmError::TooMany)?;
            let deadline = self.pin_deadline(Id::first(large));
            self.locked_until(deadline)?;
            return Ok(Some(large));
        }
        for number in range.first..=range.last {
            self.store.meter().check_room(FRAME_WORK_MAX, 0)?;
            let frame = self.present_alone(access.container, number)?;
            self.check_supplied(caller, frame, AccessKind::Write)?;
            // Two pins would each keep the frame from moving when the other expires.
            let deadline = self.pin_deadline(frame);
            self.locked_until(deadline)?;
            if lasts && self.store.get(frame.record).has(FrameMarks::EXTRA) {
                return Err(at_frame(PmError::NotEligible, number));
            }
        }
        Ok(None)
    }

    /// Returns what is a large frame, or can be one, and is pinned by nobody else who has its
    /// memory.
    fn large_to_pin(
        &self,
        container: Ref<Container>,
        range: Range,
        mode: LockMode,
    ) -> Option<Ref<Frame>> {
        let large = self.whole(container, range)?;
        let can_be = match self.store.get(large).page(0) {
            None => !self.has_handler_in(container, range),
            Some(block) => {
                let is_left = mode == LockMode::Exclusive && self.store.is_held_twice(block);
                let is_own = self.pin_of(Id::first(large)).is_some();
                (!self.store.is_splitting(block) || is_left)
                    && (!self.store.entry(block).is_pinned() || is_own)
            }
        };
        can_be.then_some(large)
    }

    /// Pins a large frame as a whole. If a device may write to it, the others leave its memory.
    ///
    /// # Errors
    /// `Pending` if one call cannot move them all. `TooMany` if there is no large frame of memory.
    fn pin_large(&mut self, lease: Ref<Lease>, large: Ref<Frame>) -> Result<(), Failure> {
        let first = Id::first(large);
        let block = match self.store.page_of(first) {
            Some(block) => block,
            None => {
                let block = self.store.take_large().map_err(|error| match error {
                    KernelError::NotEnoughMemory => PmError::TooMany,
                    _ => PmError::Kernel,
                })?;
                self.join_page(first, block);
                block
            }
        };
        self.store.entry_mut(block).set_pins(1);
        let record = self.store.get_mut(lease);
        record.pinned = Count::starting_at(LARGE_PAGES);
        if record.is_exclusive() && self.store.is_held_twice(block) {
            self.split_others(block).inspect_err(|_| self.store.entry_mut(block).set_pins(0))?;
        }
        Ok(())
    }

    /// Charges an account for the frames of a range, or for none.
    pub(super) fn charge_frames(
        &mut self,
        account: Ref<Account>,
        range: Range,
    ) -> Result<(), Failure> {
        for (number, charged) in (range.first..=range.last).zip(0..) {
            if let Err(shortage) = self.store.charge(account, Charge::Frames) {
                self.refund_pin(account, charged);
                return Err(at_frame(shortage.as_quota(), number));
            }
        }
        Ok(())
    }

    /// Returns how many frames a peer has pinned, including those in quarantine.
    fn pinned_by(&self, peer: PeerId) -> u64 {
        let leases = self.store.chain::<LeasesOfHolder>(self.peer(peer).leases);
        leases.map(|lease| u64::from(self.store.get(lease).pinned.get())).sum()
    }

    /// Gives each frame memory of its own and pins it there, all or nothing.
    ///
    /// # Errors
    /// `Pending` if one call cannot do all: the memory that it gave makes the next one shorter.
    /// `TooMany` if it gave none.
    fn pin_frames(
        &mut self,
        lease: Ref<Lease>,
        access: &Access,
        range: Range,
    ) -> Result<(), Failure> {
        // What was split is not split again by the next call, nor unmapped what was.
        let mut has_given = self.store.meter().split_work() > 0;
        for number in range.first..=range.last {
            // Undoing what was pinned needs room, too.
            let room = self.store.meter().check_room(FRAME_WORK_MAX.saturating_mul(2), 0);
            let room = room.map_err(|more| if has_given { more } else { PmError::TooMany.into() });
            let given = room.and_then(|()| self.pin_frame(lease, access, number));
            has_given |= given == Ok(true);
            if let Err(failure) = given {
                let held = Range { first: range.first, last: number.saturating_sub(1) };
                if number > range.first {
                    // The kernel has just mapped these for the device, so it can unmap them.
                    let _ = self.release_pinned_frames(lease, access.container, held);
                }
                return Err(failure);
            }
            self.store.get_mut(lease).pinned.up();
        }
        let lasts = self.store.get(lease).deadline() == Micros::NEVER;
        let mut rest = Some(range);
        while let Some((frame, _)) = self.take_each(access.container, &mut rest) {
            self.store.get_mut(frame.record).set(FrameMarks::KEPT, lasts);
            for sharer in self.sharers(frame) {
                self.store.get_mut(sharer.record).set(FrameMarks::TAKEN_OVER, false);
            }
        }
        Ok(())
    }

    /// Returns whether it has given the frame memory.
    fn pin_frame(
        &mut self,
        lease: Ref<Lease>,
        access: &Access,
        number: u64,
    ) -> Result<bool, Failure> {
        let refused = |error| at_frame(Shortage::from(error).as_quota(), number);
        let frame = self.present_alone(access.container, number)?;
        let before = self.store.page_of(frame);
        let page = self.bind(frame).map_err(refused)?;
        self.store.name_if_alone(page, frame);
        let is_written = self.store.get(lease).is_exclusive();
        // A page is under one pin at most: when that ends, the page may be used for nothing.
        let entry = self.store.entry(page);
        let first = self.store.get(lease).range.first;
        let is_of_pin = |frame: &FrameId| {
            let frame = self.store.get(frame.record);
            frame.container == access.container.link() && (first..number).contains(&frame.key())
        };
        // One of its ring is in this pin, too: then the page is pinned for both.
        let is_pinned = entry.is_pinned() && !self.sharers(frame).iter().any(is_of_pin);
        // What a large frame is being split to has others to come.
        let is_alone = !entry.is_joined() && !self.store.is_crowded(page);
        let page = if is_written || is_pinned || !is_alone {
            // The others stay: one of them may be of this pin, and pinned by now.
            self.leave_cow(frame, page).map_err(refused)?
        } else {
            page
        };
        let holder = self.store.get(lease).holder();
        if self.store.kernel.confines(holder) {
            let rights = if is_written { CapRights::All } else { CapRights::Read };
            self.store.kernel.bus_map(holder, page, rights).map_err(refused)?;
        }
        let entry = self.store.entry_mut(page);
        entry.set_pins(entry.pins().saturating_add(1));
        Ok(before != Some(page))
    }

    /// Returns the bus address of a frame of a pin.
    #[inline(never)]
    pub(crate) fn bus_address(
        &mut self,
        caller: PeerId,
        lease: LeaseHandle,
        number: FrameNumber,
    ) -> Result<BusRun, Failure> {
        let (_, record) = self.store.find::<Lease>(lease.raw()).ok_or(PmError::InvalidCap)?;
        let is_valid = record.holder() == caller
            && !record.pinned.is_zero()
            && record.deadline() > self.store.kernel.now();
        let container = record.container.target().filter(|_| is_valid);
        let container = container.ok_or(PmError::InvalidCap)?;
        if !record.range.contains(number.get()) {
            return Err(PmError::Invalid.into());
        }
        self.bus_run(container, Range { first: number.get(), ..record.range })
    }

    fn bus_run(&self, container: Ref<Container>, range: Range) -> Result<BusRun, Failure> {
        let large = self.find_frame(container, range.first).map(|frame| self.store.get(frame));
        if let Some(large) = large.filter(|large| large.is_large())
            && let Some(block) = large.page(0)
        {
            let passed = range.first.saturating_sub(large.range().first);
            let address = self.store.kernel.physical_address(block);
            let address = address.saturating_add(passed.saturating_mul(PAGE_BYTES));
            return Ok(BusRun { address, frames: range.others().saturating_add(1) });
        }
        let mut run = BusRun { address: 0, frames: 0 };
        for number in range.first..=range.last {
            let page = self.find_id(container, number).and_then(|frame| self.store.page_of(frame));
            let Some(page) = page else { break };
            let address = self.store.kernel.physical_address(page);
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

    /// Ends the pins of a peer that have run out: its device was reset, and writes no more.
    ///
    /// # Errors
    /// `Pending` if there are more than one call ends. `Kernel`.
    #[inline(never)]
    pub(crate) fn device_reset(&mut self, caller: PeerId, peer: PeerId) -> Result<(), Failure> {
        if !self.peer(caller).privileges.contains(Privileges::SUPERVISE) {
            return Err(PmError::NoRight.into());
        }
        self.find_peer(peer).ok_or(PmError::Invalid)?;
        let now = self.store.kernel.now();
        let mut next = self.peer(peer).leases.target();
        while let Some(lease) = next {
            next = self.next_lease_of(peer, lease);
            let record = self.store.get(lease);
            if !record.pinned.is_zero() && record.deadline() <= now {
                self.store.meter().check_room(UNPIN_WORK, 0)?;
                self.unpin(lease)?;
            }
        }
        Ok(())
    }
}
