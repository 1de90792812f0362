// SPDX-License-Identifier: BSD-2-Clause
//! The operations on a container that its owner and its borrowers share.

use core::fmt;
use core::ops::{Deref, RangeBounds};

use pmserver_api::{ContainerHandle, CopyFlags, LockMode, MapFlags, PairList, PmError};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameNumber, Micros, PeerId, Transport, VirtAddr};

use super::grants::Grants;
use super::lease::{Lease, Pin};
use super::mapping::{Mapping, Region};
use super::once::Taken;
use crate::connection::{Pm, print};
use crate::terms::{Error, Operation, Pages, Span, page};

/// A container by its handle: the operations that its owner and its borrowers share.
///
/// [`Container`](crate::Container) and [`WeakContainer`] dereference to it. Through a weak handle,
/// an operation that the rights or the range of the share do not cover is `NoRight` (PM-6).
pub struct ContainerRef<'pm, T: Transport> {
    pub(crate) pm: &'pm Pm<T>,
    pub(crate) handle: ContainerHandle,
}

// Not derived: what is copied is the reference, whatever the transport is.
impl<T: Transport> Clone for ContainerRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Transport> Copy for ContainerRef<'_, T> {}

impl<'pm, T: Transport> ContainerRef<'pm, T> {
    /// Returns the number of the handle.
    #[must_use]
    pub const fn raw(&self) -> u64 {
        self.handle.raw()
    }

    /// Returns the owner that the number names. pmserver answers `InvalidCap` if that is not the
    /// true owner, so a server that gets a number from a client compares this with the client
    /// (PM-5).
    #[must_use]
    pub fn owner(&self) -> Option<PeerId> {
        self.handle.owner()
    }

    /// Maps all frames of a range at the pages from `at` on (operation 12, map), in as many calls
    /// as it takes. If one cannot be mapped, those before it are unmapped again.
    ///
    /// WRITE on memory that is shared copy-on-write gives READ, and the first store makes the copy
    /// (PM-86). [`Mapping::rights`] returns what was given.
    ///
    /// # Errors
    /// Of the first frame that cannot be mapped: `NotFound`, `Locked`, `Occupied`, `NoTableQuota`,
    /// `TooMany`, `NoMemory`, `Discarded`. `NoRight` for more than the handle gives, never silently
    /// less (PM-81); `Invalid` for WRITE with EXECUTE, or for none.
    pub fn map(
        &self,
        frames: impl RangeBounds<u64>,
        at: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapping<'pm, T>, Error> {
        let (mapping, stopped) = self.map_frames(&frames, at, flags)?;
        match stopped {
            None => mapping.ok_or(Error::invalid(Operation::Map)),
            // What was mapped until then is dropped here.
            Some(error) => Err(Error { done: 0, ..error }),
        }
    }

    /// Maps the frames of a range as [`map`](Self::map) does, up to the first that cannot be
    /// mapped: the mapping has as many pages as could be mapped.
    ///
    /// # Errors
    /// As [`map`](Self::map), of the first frame of the range.
    pub fn map_partial(
        &self,
        frames: impl RangeBounds<u64>,
        at: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapping<'pm, T>, Error> {
        match self.map_frames(&frames, at, flags)? {
            (Some(mapping), _) => Ok(mapping),
            (None, stopped) => Err(stopped.unwrap_or(Error::invalid(Operation::Map))),
        }
    }

    /// Returns what could be mapped, and the error if that is not all.
    fn map_frames(
        &self,
        frames: &impl RangeBounds<u64>,
        at: VirtAddr,
        flags: MapFlags,
    ) -> Result<(Option<Mapping<'pm, T>>, Option<Error>), Error> {
        let operation = Operation::Map;
        let span = Span::long(operation, frames)?;
        Pages::new(at, span.count()).ok_or(Error::invalid(operation))?;
        let (runs, stopped) = self.pm.in_runs(operation, span, |calls, done, (start, count)| {
            let at = page(at, done).ok_or(PmError::Invalid)?;
            calls.map(self.handle, start, count, at, flags)
        });
        let pages = Pages::new(at, runs.pages());
        Ok((pages.map(|pages| Mapping::new(self.pm, pages, runs)), stopped))
    }

    /// Attaches a range: pmserver maps each frame when its page, from `at` on, is first touched
    /// (operation 29, attach; PM-200). Pages that are never touched cost nothing. At most 2^32 - 1
    /// frames.
    ///
    /// # Errors
    /// `Occupied` if it overlaps another region; `TooMany` beyond 16 regions; `NoRight` and
    /// `Invalid` as for [`map`](Self::map); `NoTableQuota`.
    pub fn attach(
        &self,
        frames: impl RangeBounds<u64>,
        at: VirtAddr,
        flags: MapFlags,
    ) -> Result<Region<'pm, T>, Error> {
        let operation = Operation::Attach;
        let span = Span::any(operation, &frames)?;
        let count = u32::try_from(span.count()).ok().zip(Pages::new(at, span.count()));
        let (count, pages) = count.ok_or(Error::invalid(operation))?;
        self.pm
            .call(operation, |calls| calls.attach(self.handle, span.start(), count, at, flags))?;
        Ok(Region::from_pages(self.pm, pages))
    }

    /// Puts capabilities to the frames of a range into the caller's CSpace, so that it can map them
    /// itself (operation 31, grant; PM-210). Grants, from the first frame on, as many as get
    /// consecutive addresses and the same rights. At most 256 frames.
    ///
    /// # Errors
    /// Of the first frame: as for [`map`](Self::map), and `Absent`; `TooMany` beyond 128 grants.
    pub fn grant(
        &self,
        frames: impl RangeBounds<u64>,
        rights: MapFlags,
    ) -> Result<Grants<'pm, T>, Error> {
        let (start, count) = Span::short(Operation::Grant, &frames)?;
        let granted = self
            .pm
            .call(Operation::Grant, |calls| calls.grant(self.handle, start, count, rights))?;
        Ok(Grants::new(self.pm, granted))
    }

    /// Locks a range for a limited time (operation 10, lock): `LockMode::Read` keeps its contents
    /// from changing, `LockMode::Exclusive` keeps everybody else out (PM-71, PM-72). The range may
    /// have holes. At most 256 frames, or 512 from a multiple of 512 on, as several leases would
    /// not be one lock.
    ///
    /// # Errors
    /// `Locked` with the latest deadline if a lease of another peer forbids it; `Revoking`;
    /// `Shared` for memory of a SHARED copy; `TooMany`; `NoRight` without LOCK; `Invalid` if `ttl`
    /// is 0, or the share allows 0; `QuotaExceeded`, as the caller's own account pays for the
    /// record.
    pub fn lock(
        &self,
        frames: impl RangeBounds<u64>,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Lease<'pm, T>, Error> {
        let (start, count) = Span::short(Operation::Lock, &frames)?;
        let lease = self
            .pm
            .call(Operation::Lock, |calls| calls.lock(self.handle, start, count, mode, ttl))?;
        Ok(Lease::new(self.pm, lease))
    }

    /// Locks a range as [`lock`](Self::lock) does, and keeps its frames at their physical addresses
    /// for a device (operation 43, pin; PM-270). Use `LockMode::Exclusive` if the device writes. At
    /// most 256 frames, or 512 that are a large frame or can be one, else `TooMany` (PM-460). With
    /// [`Micros::NEVER`] it has no deadline, which only the owner may ask for (PM-461). Needs the
    /// privilege `dma`.
    ///
    /// # Errors
    /// As [`lock`](Self::lock); `NotFound` for a hole; `NoMemory`, `Absent`, `Discarded`;
    /// `QuotaExceeded`, as the caller's account is charged one more frame for each (PM-272).
    pub fn pin(
        &self,
        frames: impl RangeBounds<u64>,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Pin<'pm, T>, Error> {
        let (start, count) = Span::short(Operation::Pin, &frames)?;
        let pinned = self
            .pm
            .call(Operation::Pin, |calls| calls.pin(self.handle, start, count, mode, ttl))?;
        Ok(Pin::new(self.pm, pinned, start, count.get()))
    }

    /// Copies the contents of these frames to as many existing frames of `destination`, from `to`
    /// on: [`copy_with`](Self::copy_with) without flags. No byte is copied until one side is
    /// written to (PM-160).
    ///
    /// # Errors
    /// As [`copy_with`](Self::copy_with).
    pub fn copy(
        &self,
        frames: impl RangeBounds<u64>,
        destination: &ContainerRef<'_, T>,
        to: u64,
    ) -> Result<u64, Error> {
        self.copy_with(frames, destination, to, CopyFlags::empty())
    }

    /// Copies frames (operation 24, copy) and returns how many. NEW makes the destination frames,
    /// SHARED makes both the same memory for good, MOVE removes the source frames. All three need
    /// the owner.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # let pm = pmserver_client::Pm::new(testbed.channel(1));
    /// # let mut memory = testbed.memory(1);
    /// # use pmserver_client::{CopyFlags, MapFlags, VirtAddr};
    /// # let window = VirtAddr::new_page(0x1000_0000).unwrap();
    /// # let container = pm.account().create_container()?;
    /// # container.allocate(0..1)?;
    /// let mapping = container.map(0..1, window, MapFlags::WRITE)?;
    /// mapping.copy_out(&mut memory, b"old", 0)?;
    /// // A snapshot: both frames have the same memory until one of them is written to.
    /// container.copy_with(0..1, &container, 100, CopyFlags::NEW)?;
    /// mapping.copy_out(&mut memory, b"new", 0)?;
    /// // And back again, into a frame that exists.
    /// container.copy(100..101, &container, 0)?;
    /// let mut bytes = [0; 3];
    /// mapping.copy_in(&memory, 0, &mut bytes)?;
    /// assert_eq!(&bytes, b"old");
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    ///
    /// More than 256 frames take several calls. Then ATOMIC is `Invalid`, and so are overlapping
    /// ranges of one handle, as not all frames could be read before the first is changed (PM-164).
    ///
    /// # Errors
    /// Of the first frame that cannot be copied, with how many were copied before it: `NotFound`,
    /// `Exists`, `Locked`, `QuotaExceeded`, `TooMany` beyond 8 frames that share one memory,
    /// `Absent`, `Discarded`, `NoMemory`. `NoRight` if a handle does not allow it.
    pub fn copy_with(
        &self,
        frames: impl RangeBounds<u64>,
        destination: &ContainerRef<'_, T>,
        to: u64,
        flags: CopyFlags,
    ) -> Result<u64, Error> {
        let operation = Operation::Copy;
        let span = Span::long(operation, &frames)?;
        let to = FrameNumber::new(to);
        let overlaps = self.handle == destination.handle && span.meets(to);
        if span.whole().is_none() && (overlaps || flags.contains(CopyFlags::ATOMIC)) {
            return Err(Error::invalid(operation));
        }
        let is_aligned = to.get().abs_diff(span.start().get()).is_multiple_of(LARGE_FRAMES);
        let most = if is_aligned { LARGE_FRAMES } else { CALL_FRAMES_MAX };
        self.pm.advance(operation, (span, most), |calls, start, count| {
            let done = start.get().saturating_sub(span.start().get());
            let to = to.checked_add(done).ok_or(PmError::Invalid)?;
            calls.copy((self.handle, start), (destination.handle, to), count, flags)
        })
    }

    /// Copies single frames, each pair from its first number to its second (operation 25,
    /// copy_list): scatter and gather in one call, at most seven pairs, as if all frames were read
    /// before the first is changed (PM-164). Returns how many were copied.
    ///
    /// # Errors
    /// As [`copy_with`](Self::copy_with); `Invalid` for no pair, for more than seven, and if two
    /// pairs have the same destination.
    pub fn copy_list(
        &self,
        pairs: &[(u64, u64)],
        destination: &ContainerRef<'_, T>,
        flags: CopyFlags,
    ) -> Result<u64, Error> {
        let mut numbers = [(FrameNumber::new(0), FrameNumber::new(0)); PairList::MOST];
        for (number, (from, to)) in numbers.iter_mut().zip(pairs) {
            *number = (FrameNumber::new(*from), FrameNumber::new(*to));
        }
        let operation = Operation::CopyList;
        let count = u64::try_from(pairs.len()).unwrap_or(u64::MAX);
        let all = numbers.get(..pairs.len()).ok_or(Error::invalid(operation))?;
        let span = Span::long(operation, &(0..count))?;
        self.pm.advance(operation, (span, CALL_FRAMES_MAX), |calls, start, _| {
            let start = usize::try_from(start.get()).unwrap_or(usize::MAX);
            let list = all.get(start..).and_then(PairList::new).ok_or(PmError::Invalid)?;
            calls.copy_list(self.handle, destination.handle, list, flags)
        })
    }
}

impl<T: Transport> fmt::Debug for ContainerRef<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "ContainerRef", &self.raw())
    }
}

/// A container that was lent to the caller, by the number that its owner has sent. It has no
/// `allocate`, no `share` and nothing to release: the owner decides when it ends. Its operations
/// are in [`ContainerRef`].
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let (pm, fs) = (
/// #     pmserver_client::Pm::new(testbed.channel(1)),
/// #     pmserver_client::Pm::new(testbed.channel(2)),
/// # );
/// # let client = pm.whoami()?.peer;
/// # use pmserver_client::{MapFlags, Micros, PmError, Rights, ShareTerms, VirtAddr, WeakContainer};
/// # let window = VirtAddr::new_page(0x1000_0000).unwrap();
/// # let container = pm.account().create_container()?;
/// # container.allocate(0..4)?;
/// # let terms = ShareTerms {
/// #     peer: fs.whoami()?.peer,
/// #     rights: Rights::READ,
/// #     lease_max: Micros::new(0),
/// #     once: false,
/// # };
/// # let share = container.share(0..4, terms)?;
/// # let number = share.weak();
/// // The number is in the client's request; the channel of the request says who the client is.
/// let weak = WeakContainer::from_raw(&fs, number);
/// assert_eq!(weak.owner(), Some(client));
/// let mapping = weak.map(0..4, window, MapFlags::READ)?;
/// // More than was shared is refused, never silently less.
/// let error = weak.map(0..4, window, MapFlags::WRITE).unwrap_err();
/// assert!(error.is(PmError::NoRight));
/// # mapping.unmap()?;
/// # Ok::<(), pmserver_client::Error>(())
/// ```
pub struct WeakContainer<'pm, T: Transport> {
    container: ContainerRef<'pm, T>,
}

impl<'pm, T: Transport> WeakContainer<'pm, T> {
    /// Returns the container of this number, which another domain has sent. Makes no call: if the
    /// number names nothing, the first operation fails with `InvalidCap`.
    #[must_use]
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64) -> Self {
        Self::from_handle(pm, ContainerHandle::from_raw(number))
    }

    /// Returns the container of this handle, as [`from_raw`](Self::from_raw) does of a number.
    #[must_use]
    pub const fn from_handle(pm: &'pm Pm<T>, handle: ContainerHandle) -> Self {
        Self { container: ContainerRef { pm, handle } }
    }

    /// Takes frames of a share that is used once at a time and armed (operation 53, take; PM-434):
    /// locks them for the time of the share, and maps them at the pages from `at` on, for WRITE
    /// with memory of their own, so that no access faults before the deadline. At most 256 frames,
    /// or 512 from a multiple of 512 on.
    /// Through such a share nothing else works.
    ///
    /// # Errors
    /// `NotArmed` unless the owner has armed it since it was taken last; `NoRight` for another kind
    /// of share, and for more than it gives; `Invalid` for other flags than READ and WRITE;
    /// `Revoking`; `Locked`; `Shared` for WRITE of memory of a SHARED copy; as
    /// [`lock`](ContainerRef::lock) and [`map`](ContainerRef::map) for the rest.
    pub fn take(
        &self,
        frames: impl RangeBounds<u64>,
        at: VirtAddr,
        flags: MapFlags,
    ) -> Result<Taken<'pm, T>, Error> {
        let operation = Operation::Take;
        let (start, count) = Span::short(operation, &frames)?;
        let pages = Pages::new(at, count.get()).ok_or(Error::invalid(operation))?;
        let pm = self.container.pm;
        let lease = pm.call(operation, |calls| calls.take(self.handle, start, count, at, flags))?;
        Ok(Taken::new(pm, lease, pages))
    }
}

impl<T: Transport> Clone for WeakContainer<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Transport> Copy for WeakContainer<'_, T> {}

impl<'pm, T: Transport> Deref for WeakContainer<'pm, T> {
    type Target = ContainerRef<'pm, T>;

    fn deref(&self) -> &ContainerRef<'pm, T> {
        &self.container
    }
}

impl<T: Transport> fmt::Debug for WeakContainer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "WeakContainer", &self.raw())
    }
}
