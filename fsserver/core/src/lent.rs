// SPDX-License-Identifier: BSD-2-Clause
//! A lent container for the time of one call: locked where the share allows it, mapped in the
//! window, and given back on every way out.

use fsserver_api::{Failure, FsError};
use pmserver_api::{CallError, ContainerHandle, LeaseHandle, LockMode, MapFlags, PmError};
use proto::limits::{CALL_FRAMES_MAX, FS_LEASE_MICROS};
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, Transport, VirtAddr};

/// Where lent containers are mapped.
pub const WINDOW_VADDR: u64 = 0x1010_0000;

/// Frames that fit in the window: as many as one call may touch.
pub const WINDOW_FRAMES: u64 = CALL_FRAMES_MAX;

/// A page of private memory that everything passes through on its way to or from a container.
pub(crate) type PageBuffer = [u8; 4096];

/// What fsserver means to do with a lent container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Copy something out of it: what is copied is private then, so nothing needs to be locked.
    CopyFrom,
    /// Fill it: nobody else shall see it half done, as far as the owner lets fsserver lock.
    Fill,
}

/// Frames of a container that are in the window from its start. To be given back by
/// [`Lent::give_back`]; whoever holds one has not done so yet.
pub(crate) struct Lent {
    frames: FrameCount,
    lease: Option<LeaseHandle>,
}

impl Lent {
    /// Locks and maps `frames` frames of a container from `start` on: all of them, or none.
    pub(crate) fn take<T: Transport>(
        pm: &mut pmserver_api::Calls<T>,
        container: ContainerHandle,
        start: FrameNumber,
        frames: FrameCount,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let lease = match purpose {
            Purpose::CopyFrom => None,
            Purpose::Fill => lock(pm, container, start, frames)?,
        };
        let lent = Self { frames, lease };
        match map_all(pm, container, start, frames, purpose) {
            Ok(()) => Ok(lent),
            Err(error) => {
                lent.give_back(pm)?;
                Err(error)
            }
        }
    }

    /// Returns the address of a byte of the lent frames.
    pub(crate) fn address(&self, offset: u64) -> Result<VirtAddr, FsError> {
        let bytes = self.frames.get().saturating_mul(PAGE_BYTES);
        let inside = (offset < bytes).then_some(offset).ok_or(FsError::ContainerTooSmall)?;
        window_address(inside).ok_or(FsError::ContainerTooSmall)
    }

    /// Unmaps and unlocks.
    pub(crate) fn give_back<T: Transport>(
        self,
        pm: &mut pmserver_api::Calls<T>,
    ) -> Result<(), Failure> {
        let unmapped = unmap_window(pm, self.frames);
        if let Some(lease) = self.lease {
            // A lease that ran out has ended by itself; there is nothing left to give back then.
            match pm.unlock(lease) {
                Ok(()) | Err(CallError::Refused(_)) => {}
                Err(error) => return Err(of_pm(error)),
            }
        }
        unmapped
    }
}

/// Unmaps whatever is in the window: what a call that did not end left there.
pub(crate) fn clear_window<T: Transport>(pm: &mut pmserver_api::Calls<T>) -> Result<(), Failure> {
    unmap_window(pm, FrameCount::new(WINDOW_FRAMES).ok_or(FsError::BadRange)?)
}

fn unmap_window<T: Transport>(
    pm: &mut pmserver_api::Calls<T>,
    frames: FrameCount,
) -> Result<(), Failure> {
    let window = window_address(0).ok_or(FsError::ContainerTooSmall)?;
    pm.unmap(window, frames).map(|_: u64| ()).map_err(of_pm)
}

fn window_address(offset: u64) -> Option<VirtAddr> {
    VirtAddr::new(WINDOW_VADDR)?.checked_add(offset)
}

/// Locks the frames, where the share has the right to; without the right the owner takes its
/// chances.
fn lock<T: Transport>(
    pm: &mut pmserver_api::Calls<T>,
    container: ContainerHandle,
    start: FrameNumber,
    frames: FrameCount,
) -> Result<Option<LeaseHandle>, Failure> {
    let ttl = Micros::new(FS_LEASE_MICROS);
    match pm.lock(container, start, frames, LockMode::Exclusive, ttl) {
        Ok(lease) => Ok(Some(lease.lease)),
        Err(error) if error.refusal() == Some(PmError::NoRight) => Ok(None),
        Err(error) => Err(of_pm(error)),
    }
}

/// Maps all the frames, in as many runs as pmserver makes of them.
fn map_all<T: Transport>(
    pm: &mut pmserver_api::Calls<T>,
    container: ContainerHandle,
    start: FrameNumber,
    frames: FrameCount,
    purpose: Purpose,
) -> Result<(), Failure> {
    let flags = match purpose {
        Purpose::CopyFrom => MapFlags::READ,
        Purpose::Fill => MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE,
    };
    let mut done: u64 = 0;
    while let Some(left) = frames.get().checked_sub(done).and_then(FrameCount::new) {
        let first = start.checked_add(done).ok_or(FsError::ContainerTooSmall)?;
        let vaddr = window_address(done.saturating_mul(PAGE_BYTES)).ok_or(FsError::BadRange)?;
        let mapped = match pm.map(container, first, left, vaddr, flags) {
            Ok(mapped) => mapped,
            Err(error) => {
                let is_short = error.refusal() == Some(PmError::NoRight)
                    && left > FrameCount::ONE
                    && pm.map(container, first, FrameCount::ONE, vaddr, flags).is_ok();
                // The share ends inside the range: to fsserver that is all there is of the
                // container.
                return Err(if is_short {
                    FsError::ContainerTooSmall.into()
                } else {
                    of_pm(error)
                });
            }
        };
        if purpose == Purpose::Fill && !mapped.rights().contains(MapFlags::WRITE) {
            return Err(of_pm(PmError::NoRight.into()));
        }
        if mapped.count == 0 || mapped.count > left.get() {
            return Err(of_pm(proto::ProtocolError::BadReply.into()));
        }
        done = done.saturating_add(mapped.count);
    }
    Ok(())
}

/// Returns fsserver's word for a refusal of pmserver's.
pub(crate) fn of_pm(error: CallError) -> Failure {
    match error {
        CallError::Refused(failure) if failure.error == PmError::NotFound => {
            FsError::ContainerTooSmall.into()
        }
        CallError::Refused(failure) => {
            Failure { error: FsError::PmRefused, detail: failure.error.status() }
        }
        CallError::Protocol(error) => Failure { error: FsError::PmRefused, detail: error.status() },
    }
}
