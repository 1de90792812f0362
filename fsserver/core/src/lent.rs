// SPDX-License-Identifier: BSD-2-Clause
//! A container that a client has lent, mapped for the time of one call.
//!
//! What is mapped here is somebody else's, and a page that goes away under fsserver, or that a
//! handler has yet to supply, would fault it. So frames to be filled are mapped under a lease,
//! which keeps them there, with FORCE_WRITE, which gives them memory at once; and bytes are copied
//! only while the lease has time left. The page of a path is not locked, because a lease would take
//! the capability away by which its owner may have mapped it. It is mapped with FORCE_READ, which
//! refuses an absent one, and for one copy. What is taken (PM-434) is both locked and mapped.

use core::cell::Cell;
use core::ops::RangeInclusive;

use fsserver_api::{Failure, FsError};
use pmserver_client::{
    AddressSpace, ContainerHandle, Error, ErrorKind, Lease, LockMode, MapFlags, Mapping, Micros,
    PAGE_BYTES, Pages, Pm, PmError, Refused, Taken, Transport, VirtAddr, WeakContainer,
};
use proto::limits::{
    CALL_FRAMES_MAX, FS_LEASE_LEFT_MICROS, FS_LEASE_MICROS, FS_LEASE_PAGES, FS_TAKEN_PAGES,
    LARGE_FRAMES,
};
use proto::{FrameCount, FrameNumber};

/// Where lent containers are mapped for one call: room for as many frames as one may touch.
pub const WINDOW: Pages = Pages::new(VirtAddr::new(0x1090_0000).unwrap(), CALL_FRAMES_MAX).unwrap();

/// Where what was taken is mapped for one call: at a multiple of 2 MiB, as a large frame has to be.
pub const TAKEN_WINDOW: Pages =
    Pages::new(VirtAddr::new(0x1200_0000).unwrap(), LARGE_FRAMES).unwrap();

/// A page of private memory, for what is made or checked before it is copied.
pub(crate) type PageBuffer = [u8; 4096];

/// Copies the first bytes of frame 0 into private memory.
pub(crate) fn copy_path<T: Transport>(
    pm: &Pm<T>,
    container: ContainerHandle,
    space: &impl AddressSpace,
    to: &mut [u8],
) -> Result<(), Failure> {
    let container = WeakContainer::from_handle(pm, container);
    // Without FORCE_READ an absent frame would be mapped, and reading it would wait for its handler
    // (PM-420). Only the owner, who waits for this call, could make it absent again.
    let mapping = container.map(0..1, WINDOW.start(), MapFlags::FORCE_READ).map_err(of_pm)?;
    mapping.copy_in(space, 0, to).map_err(|_: Error| FsError::ContainerTooSmall)?;
    mapping.unmap().map_err(of_refused).map(drop)
}

/// Frames of a container that are locked, and mapped from the start of a window on. Dropping it
/// unmaps them, then unlocks them.
pub(crate) struct Lent<'pm, T: Transport> {
    // Fields are dropped in this order.
    mapping: Mapping<'pm, T>,
    lease: Lease<'pm, T>,
    pm: &'pm Pm<T>,
}

impl<'pm, T: Transport> Lent<'pm, T> {
    /// Locks frames and maps them for writing, for one call. While they are locked nobody else sees
    /// them half filled, and nobody can take them away.
    pub(crate) fn to_fill(
        pm: &'pm Pm<T>,
        container: ContainerHandle,
        start: FrameNumber,
        frames: FrameCount,
    ) -> Result<Self, Failure> {
        Self::new(pm, (container, start, frames), LockMode::Exclusive, WINDOW.start())
    }

    /// Locks frames and maps them at `window`, for several calls. Their owner can load from them,
    /// and nobody can take them away. Returns also for how long they may be filled.
    pub(crate) fn to_keep(
        pm: &'pm Pm<T>,
        container: ContainerHandle,
        start: FrameNumber,
        frames: FrameCount,
        window: VirtAddr,
    ) -> Result<(Kept, Micros), Failure> {
        let lent = Self::new(pm, (container, start, frames), LockMode::Read, window)?;
        let deadline = lent.lease.deadline();
        let left = time_left(pm, deadline)?;
        let Self { mapping, lease, .. } = lent;
        Ok((Kept { pages: mapping.into_pages(), lease: lease.into_raw(), deadline }, left))
    }

    fn new(
        pm: &'pm Pm<T>,
        (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
        mode: LockMode,
        window: VirtAddr,
    ) -> Result<Self, Failure> {
        let container = WeakContainer::from_handle(pm, container);
        let lease = lock(container, start, frames, mode)?;
        let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
        let mapping = container.map(range(start, frames)?, window, flags).map_err(of_pm)?;
        if !mapping.rights().contains(MapFlags::WRITE) {
            return Err(PmError::NoRight.into());
        }
        Ok(Self { mapping, lease, pm })
    }

    /// Returns the frames, to be filled after a look at the lease.
    pub(crate) fn filling(&self) -> Filling<'pm, T> {
        let (pages, deadline) = (self.mapping.pages(), self.lease.deadline());
        Filling {
            pm: self.pm,
            pages,
            deadline,
            pages_left: Cell::new(0),
            pages_most: FS_LEASE_PAGES,
        }
    }

    /// Unmaps and unlocks the frames as dropping does, and reports if they cannot be unmapped. A
    /// lease that has ended at its deadline is no error.
    pub(crate) fn release(self) -> Result<(), Failure> {
        self.mapping.unmap().map_err(of_refused)
    }
}

/// Takes frames from the first on of a share that is used once at a time. Returns them, to be
/// filled without another look at the lease, as `now` on pmserver's clock shows that there is time.
pub(crate) fn take<'pm, T: Transport>(
    pm: &'pm Pm<T>,
    container: ContainerHandle,
    frames: FrameCount,
    now: Micros,
) -> Result<(Taken<'pm, T>, Filling<'pm, T>), Failure> {
    let container = WeakContainer::from_handle(pm, container);
    let taken =
        container.take(0..frames.get(), TAKEN_WINDOW.start(), MapFlags::WRITE).map_err(of_pm)?;
    let (pages, deadline) = (taken.pages(), taken.deadline());
    left(deadline, now)?;
    Ok((
        taken,
        Filling {
            pm,
            pages,
            deadline,
            pages_left: Cell::new(FS_TAKEN_PAGES),
            pages_most: FS_TAKEN_PAGES,
        },
    ))
}

/// Gives back what was taken. That it has ended at its deadline is no error: it was filled in time.
pub(crate) fn give_back<T: Transport>(taken: Taken<'_, T>) -> Result<(), Failure> {
    match taken.give_back() {
        Err(refused) if !refused.error.is(PmError::InvalidCap) => Err(of_refused(refused)),
        _ => Ok(()),
    }
}

/// Frames that stay locked and mapped between calls.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pages: Pages,
    lease: u64,
    deadline: Micros,
}

impl Kept {
    /// Returns the frames from one of them on, to be filled. The caller knows that there is time.
    pub(crate) fn filling<'pm, T: Transport>(
        &self,
        pm: &'pm Pm<T>,
        skipped: u64,
    ) -> Option<Filling<'pm, T>> {
        let start = self.pages.start().checked_add(skipped.checked_mul(PAGE_BYTES)?)?;
        let pages = Pages::new(start, self.pages.count().checked_sub(skipped)?)?;
        let pages_left = Cell::new(FS_LEASE_PAGES);
        Some(Filling { pm, pages, deadline: self.deadline, pages_left, pages_most: FS_LEASE_PAGES })
    }

    /// Unmaps and unlocks the frames.
    pub(crate) fn end<T: Transport>(self, pm: &Pm<T>) {
        drop(Mapping::from_pages(pm, self.pages, MapFlags::empty()));
        drop(Lease::from_raw(pm, self.lease, self.deadline));
    }
}

/// Frames that may be filled as long as a lease on them lasts.
pub(crate) struct Filling<'pm, T: Transport> {
    pm: &'pm Pm<T>,
    pages: Pages,
    deadline: Micros,
    /// How many pages may be copied to before the lease is looked at again.
    pages_left: Cell<u64>,
    /// How many that are after each look.
    pages_most: u64,
}

impl<'pm, T: Transport> Filling<'pm, T> {
    /// Returns how many bytes may be copied before the lease is looked at again.
    pub(crate) const fn bytes_at_once(&self) -> u64 {
        self.pages_most.saturating_mul(PAGE_BYTES)
    }

    /// Returns how many bytes there are.
    pub(crate) fn bytes(&self) -> u64 {
        self.pages.bytes()
    }

    /// Copies private bytes, at most a page, into the frames, from `offset` on.
    ///
    /// # Errors
    /// [`FsError::LeaseTooShort`] if the lease ends before the bytes are sure to be copied.
    pub(crate) fn copy_out(
        &self,
        space: &mut impl AddressSpace,
        from: &[u8],
        offset: u64,
    ) -> Result<(), Failure> {
        self.check_lease(1)?;
        self.pages.copy_out(space, from, offset).map_err(|_: Error| FsError::ContainerTooSmall)?;
        Ok(())
    }

    /// Copies bytes of the cache, at most [`Self::bytes_at_once`], into the frames, from `offset`
    /// on.
    ///
    /// # Errors
    /// As [`Self::copy_out`].
    pub(crate) fn copy_across(
        &self,
        space: &mut impl AddressSpace,
        (from, bytes): (VirtAddr, u64),
        offset: u64,
    ) -> Result<(), Failure> {
        self.check_lease(bytes.div_ceil(PAGE_BYTES))?;
        let bytes = usize::try_from(bytes).map_err(|_| FsError::BadRange)?;
        self.pages
            .copy_across(space, (from, bytes), offset)
            .map_err(|_: Error| FsError::ContainerTooSmall)?;
        Ok(())
    }

    /// Says that it took an unknown time to find what is copied next.
    pub(crate) fn look_at_lease(&self) {
        self.pages_left.set(0);
    }

    /// Fails if the lease could end while the next pages are copied: afterwards the frames are
    /// their owner's again, who may take them away.
    fn check_lease(&self, pages: u64) -> Result<(), Failure> {
        if let Some(left) = self.pages_left.get().checked_sub(pages) {
            self.pages_left.set(left);
            return Ok(());
        }
        time_left(self.pm, self.deadline)?;
        self.pages_left.set(self.pages_most.saturating_sub(pages));
        Ok(())
    }
}

/// Returns for how long frames may be filled: what is left of their lease, less what is needed to
/// copy until the next look at it.
fn time_left<T: Transport>(pm: &Pm<T>, deadline: Micros) -> Result<Micros, Failure> {
    left(deadline, pm.clock().map_err(of_pm)?)
}

fn left(deadline: Micros, now: Micros) -> Result<Micros, Failure> {
    let left = deadline.get().checked_sub(now.get());
    let left = left.and_then(|left| left.checked_sub(FS_LEASE_LEFT_MICROS));
    Ok(Micros::new(left.ok_or(FsError::LeaseTooShort)?))
}

/// Locks all the frames, or none.
fn lock<'pm, T: Transport>(
    container: WeakContainer<'pm, T>,
    start: FrameNumber,
    frames: FrameCount,
    mode: LockMode,
) -> Result<Lease<'pm, T>, Failure> {
    let lock = |frames| container.lock(frames, mode, Micros::new(FS_LEASE_MICROS));
    lock(range(start, frames)?).map_err(|error| {
        // If the first frame alone, or frame 0, is in the share, what is missing is a frame and not
        // a right: pmserver tells one as the other.
        let is_lent = |frame: u64| !lock(frame..=frame).is_err_and(|it| it.is(PmError::NoRight));
        let is_short = error.is(PmError::NoRight)
            && (frames > FrameCount::ONE && is_lent(start.get()) || start.get() > 0 && is_lent(0));
        if is_short { FsError::ContainerTooSmall.into() } else { of_pm(error) }
    })
}

fn range(start: FrameNumber, frames: FrameCount) -> Result<RangeInclusive<u64>, Failure> {
    let last = start.get().checked_add(frames.get().saturating_sub(1));
    last.map(|last| start.get()..=last).ok_or(PmError::Invalid.into())
}

/// Returns what a client is told if pmserver refuses fsserver something.
pub(crate) fn of_pm(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Refused(PmError::NotFound) => FsError::ContainerTooSmall.into(),
        kind => Failure::pm_refused(kind.status()),
    }
}

/// Returns what a client is told if pmserver does not release what fsserver has.
fn of_refused<V>(refused: Refused<V>) -> Failure {
    of_pm(refused.error)
}
