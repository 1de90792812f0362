// SPDX-License-Identifier: BSD-2-Clause
//! A container that a client has lent, locked and mapped for the time of one call.

use core::ops::RangeInclusive;

use fsserver_api::{Failure, FsError};
use pmserver_client::{
    AddressSpace, ContainerHandle, Error, ErrorKind, Lease, LockMode, MapFlags, Mapping, Micros,
    Pages, Pm, PmError, Transport, VirtAddr, WeakContainer,
};
use proto::limits::{CALL_FRAMES_MAX, FS_LEASE_MICROS};
use proto::{FrameCount, FrameNumber};

/// Where lent containers are mapped: room for as many frames as one call may touch.
pub const WINDOW: Pages = Pages::new(VirtAddr::new(0x1010_0000).unwrap(), CALL_FRAMES_MAX).unwrap();

/// A page of private memory. All bytes pass through it on their way to or from a container.
pub(crate) type PageBuffer = [u8; 4096];

/// Frames of a container that are mapped from the start of the window on. Dropping it unmaps them,
/// then unlocks them.
pub(crate) struct Lent<'pm, T: Transport> {
    // Fields are dropped in this order.
    mapping: Mapping<'pm, T>,
    _lease: Option<Lease<'pm, T>>,
}

impl<'pm, T: Transport> Lent<'pm, T> {
    /// Maps frames for reading. They are not locked: the bytes are copied before they are looked
    /// at.
    pub(crate) fn to_copy_from(
        pm: &'pm Pm<T>,
        container: ContainerHandle,
        start: FrameNumber,
        frames: FrameCount,
    ) -> Result<Self, Failure> {
        let container = WeakContainer::from_handle(pm, container);
        let mapping = map(container, start, frames, MapFlags::READ)?;
        Ok(Self { mapping, _lease: None })
    }

    /// Locks frames, if the share gives the right to, and maps them for writing. While they are
    /// locked nobody else sees them half filled.
    pub(crate) fn to_fill(
        pm: &'pm Pm<T>,
        container: ContainerHandle,
        start: FrameNumber,
        frames: FrameCount,
    ) -> Result<Self, Failure> {
        let container = WeakContainer::from_handle(pm, container);
        let lease = lock(container, start, frames)?;
        let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
        let mapping = map(container, start, frames, flags)?;
        if !mapping.rights().contains(MapFlags::WRITE) {
            return Err(pm_refused(PmError::NoRight));
        }
        Ok(Self { mapping, _lease: lease })
    }

    /// Returns how many bytes there are.
    pub(crate) fn bytes(&self) -> u64 {
        self.mapping.bytes()
    }

    /// Copies the first bytes of the frames into private memory.
    pub(crate) fn copy_in(&self, space: &impl AddressSpace, to: &mut [u8]) -> Result<(), FsError> {
        self.mapping.copy_in(space, 0, to).map_err(|_: Error| FsError::ContainerTooSmall)
    }

    /// Copies private bytes into the frames, from `offset` on.
    pub(crate) fn copy_out(
        &self,
        space: &mut impl AddressSpace,
        from: &[u8],
        offset: u64,
    ) -> Result<(), FsError> {
        self.mapping.copy_out(space, from, offset).map_err(|_: Error| FsError::ContainerTooSmall)
    }

    /// Unmaps and unlocks the frames as dropping does, and reports if they cannot be unmapped. A
    /// lease that has ended at its deadline is no error.
    pub(crate) fn release(self) -> Result<(), Failure> {
        self.mapping.unmap().map_err(|refused| of_pm(refused.error))
    }
}

/// Locks the frames; without the right to lock, they are filled unlocked, at the owner's risk.
fn lock<'pm, T: Transport>(
    container: WeakContainer<'pm, T>,
    start: FrameNumber,
    frames: FrameCount,
) -> Result<Option<Lease<'pm, T>>, Failure> {
    let ttl = Micros::new(FS_LEASE_MICROS);
    match container.lock(range(start, frames)?, LockMode::Exclusive, ttl) {
        Ok(lease) => Ok(Some(lease)),
        Err(error) if error.is(PmError::NoRight) => Ok(None),
        Err(error) => Err(of_pm(error)),
    }
}

/// Maps all the frames, or none.
fn map<'pm, T: Transport>(
    container: WeakContainer<'pm, T>,
    start: FrameNumber,
    frames: FrameCount,
    flags: MapFlags,
) -> Result<Mapping<'pm, T>, Failure> {
    let at = WINDOW.start();
    container.map(range(start, frames)?, at, flags).map_err(|error| {
        // If the first frame alone can be mapped, the share ends inside the range: fsserver can
        // reach no more of the container than that.
        let is_short = error.is(PmError::NoRight)
            && frames > FrameCount::ONE
            && container.map(start.get()..=start.get(), at, flags).is_ok();
        if is_short { FsError::ContainerTooSmall.into() } else { of_pm(error) }
    })
}

fn range(start: FrameNumber, frames: FrameCount) -> Result<RangeInclusive<u64>, Failure> {
    let last = start.get().checked_add(frames.get().saturating_sub(1));
    last.map(|last| start.get()..=last).ok_or(pm_refused(PmError::Invalid))
}

/// Returns what a client is told if pmserver refuses fsserver something.
pub(crate) fn of_pm(error: Error) -> Failure {
    match error.kind {
        ErrorKind::Refused(PmError::NotFound) => FsError::ContainerTooSmall.into(),
        ErrorKind::Refused(error) => pm_refused(error),
        ErrorKind::Protocol(error) => Failure { error: FsError::PmRefused, detail: error.status() },
    }
}

/// Returns what a client is told if pmserver refuses fsserver something for this reason.
pub(crate) fn pm_refused(error: PmError) -> Failure {
    Failure { error: FsError::PmRefused, detail: error.status() }
}
