// SPDX-License-Identifier: BSD-2-Clause
//! Leases, and pins: leases for devices.

use core::fmt;

use pmserver_api::{BusRun, LeaseHandle, Pinned};
use proto::{FrameNumber, Micros, Transport};

use crate::connection::{Held, Named, Pm, Release, print};
use crate::terms::{Error, Operation, Refused};

impl<T: Transport> Release for Named<'_, T, LeaseHandle> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        self.pm.call(Operation::Unlock, |calls| calls.unlock(self.name))
    }
}

/// A lock on a range of frames that ends at its deadline
/// ([`ContainerRef::lock`](crate::ContainerRef::lock)). Dropping it unlocks.
///
/// To keep a lock longer, lock again before the deadline and then drop the first lease: leases of
/// the same holder do not exclude each other. If the owner has asked for its memory meanwhile, the
/// second lock is `Revoking`.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// # use pmserver_client::{FrameState, LockMode, Micros, PmError};
/// # let container = pm.account().create_container()?;
/// # container.allocate(0..4)?;
/// let mut lease = container.lock(0..4, LockMode::Read, Micros::new(1000))?;
/// let first = lease.deadline();
/// lease = container.lock(0..4, LockMode::Read, Micros::new(2000))?;
/// pm.wait_until(first)?;
/// assert!(container.state(0)?.contains(FrameState::LOCKED));
/// // It has ended at its deadline, and unlocking reports that.
/// pm.wait_until(lease.deadline())?;
/// assert!(!container.state(0)?.contains(FrameState::LOCKED));
/// assert!(lease.unlock().unwrap_err().error.is(PmError::InvalidCap));
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the lease unlocks"]
pub struct Lease<'pm, T: Transport> {
    held: Held<Named<'pm, T, LeaseHandle>>,
    deadline: Micros,
}

impl<'pm, T: Transport> Lease<'pm, T> {
    pub(crate) const fn new(pm: &'pm Pm<T>, lease: pmserver_api::Lease) -> Self {
        Self::from_raw(pm, lease.lease.raw(), lease.deadline)
    }

    /// Returns the lease of this number, as [`into_raw`](Self::into_raw) returned it, with its
    /// deadline.
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64, deadline: Micros) -> Self {
        Self { held: Held::new(Named { pm, name: LeaseHandle::from_raw(number) }), deadline }
    }

    /// Returns when the lease ends by itself (PM-70).
    #[must_use]
    pub const fn deadline(&self) -> Micros {
        self.deadline
    }

    /// Ends the lease (operation 11, unlock; PM-75).
    ///
    /// # Errors
    /// `InvalidCap` if it has ended already: nothing done after the deadline was protected by it.
    pub fn unlock(self) -> Result<(), Refused<Self>> {
        let Self { held, deadline } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, deadline }))
    }

    /// Forgets the lease without ending it: it ends at its deadline. Returns its number.
    pub fn into_raw(self) -> u64 {
        self.held.leak().name.raw()
    }
}

impl<T: Transport> fmt::Debug for Lease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Lease", &self.held.name.raw())
    }
}

/// A lease under which frames keep their physical addresses, for a device
/// ([`ContainerRef::pin`](crate::ContainerRef::pin)). Dropping it unlocks: stop the device first.
///
/// If the deadline passes earlier, the frames get other memory; without an IOMMU the old memory
/// stays unused until the pin is unlocked or its device reset (PM-273). So a driver that is too
/// late still stops its device first and then unlocks.
#[must_use = "dropping the pin unlocks"]
pub struct Pin<'pm, T: Transport> {
    held: Held<Named<'pm, T, LeaseHandle>>,
    pinned: Pinned,
    start: FrameNumber,
    count: u64,
}

impl<'pm, T: Transport> Pin<'pm, T> {
    pub(crate) const fn new(
        pm: &'pm Pm<T>,
        pinned: Pinned,
        start: FrameNumber,
        count: u64,
    ) -> Self {
        Self { held: Held::new(Named { pm, name: pinned.lease.lease }), pinned, start, count }
    }

    /// Returns when the pin ends by itself.
    #[must_use]
    pub const fn deadline(&self) -> Micros {
        self.pinned.lease.deadline
    }

    /// Returns the bus address of the first frame, and how many frames are contiguous from there.
    #[must_use]
    pub const fn first(&self) -> BusRun {
        self.pinned.bus
    }

    /// Returns the bus address of a frame of the pin, and how many frames are contiguous from there
    /// (operation 44, bus_address; PM-271).
    ///
    /// # Errors
    /// `InvalidCap` after the deadline.
    pub fn bus_address(&self, number: u64) -> Result<BusRun, Error> {
        let number = FrameNumber::new(number);
        self.held.pm.call(Operation::BusAddress, |calls| calls.bus_address(self.held.name, number))
    }

    /// Returns the bus addresses of all frames of the pin, for the scatter-gather list of the
    /// device.
    pub fn bus_runs(&self) -> impl Iterator<Item = Result<BusRun, Error>> {
        let mut passed: u64 = 0;
        core::iter::from_fn(move || {
            let left = self.count.checked_sub(passed).filter(|left| *left > 0)?;
            let number = self.start.checked_add(passed)?;
            let run = match passed {
                0 => Ok(self.first()),
                _ => self.bus_address(number.get()),
            };
            // It ends after an error, and after a run of no frames.
            let frames = run.map_or(left, |run| run.frames.min(left));
            passed = passed.saturating_add(if frames == 0 { left } else { frames });
            Some(run.map(|run| BusRun { frames, ..run }))
        })
    }

    /// Ends the pin (operation 11, unlock), also after its deadline (PM-273).
    ///
    /// # Errors
    /// `InvalidCap` if it has ended already and no memory is kept for it.
    pub fn unlock(self) -> Result<(), Refused<Self>> {
        let Self { held, pinned, start, count } = self;
        held.release().map_err(|refused| refused.map(|held| Self { held, pinned, start, count }))
    }

    /// Forgets the pin without ending it: it ends at its deadline. Returns its number, by which
    /// [`Lease::from_raw`] can unlock it.
    pub fn into_raw(self) -> u64 {
        self.held.leak().name.raw()
    }
}

impl<T: Transport> fmt::Debug for Pin<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Pin", &self.held.name.raw())
    }
}
