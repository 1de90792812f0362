// SPDX-License-Identifier: BSD-2-Clause
//! Containers, for their owner.

use core::fmt;
use core::ops::{Deref, Range, RangeBounds};

use pmserver_api::{
    AllocateFlags, ContainerHandle, DeallocateFlags, FrameState, MapFlags, Marks, RangeHandle,
    ShareTerms,
};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, PeerId, Transport, VirtAddr};

use super::container_ref::ContainerRef;
use super::once::OnceShare;
use super::share::Share;
use super::states::States;
use crate::connection::{Held, Pm, Release, print};
use crate::terms::{Error, Operation, Refused, Span};

impl<T: Transport> Release for ContainerRef<'_, T> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let operation = Operation::ContainerDestroy;
        self.pm.call(operation, |calls| calls.container_destroy(self.handle))
    }
}

/// A container that the caller owns: a sparse set of numbered frames that one account pays for
/// ([`Account::create_container`](crate::Account::create_container)). Dropping it destroys it, with
/// its frames and its shares. Operations that borrowers have, too, are in [`ContainerRef`].
///
/// Frame numbers are the program's own choice. Frames read as zero until they are written to
/// (PM-30), and are charged from allocation to deallocation (PM-13). An operation on more frames
/// than fit into one call makes several; if that makes a difference, its documentation says so.
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// # let pm = pmserver_client::Pm::new(testbed.channel(1));
/// use pmserver_client::{AllocateFlags, FrameState, PmError};
///
/// let container = pm.account().create_container()?;
/// container.allocate(5..6)?;
/// // All or nothing …
/// let error = container.allocate(0..10).unwrap_err();
/// assert!(error.is(PmError::Exists));
/// assert_eq!((error.frame(), error.done), (Some(5), 0));
/// // … or as far as can be …
/// let error = container.allocate_with(0..10, AllocateFlags::PARTIAL).unwrap_err();
/// assert_eq!(error.to_string(),
///     "allocate: a frame of this number is there already: 5 (5 frames done)");
/// // … or with what is in the way replaced.
/// container.allocate_with(0..10, AllocateFlags::SQUASH)?;
/// assert_eq!(container.state(9)?, FrameState::PRESENT);
/// assert_eq!(container.deallocate(0..1000)?, 10);
/// container.destroy()?;
/// # Ok::<(), pmserver_client::Error>(())
/// ```
#[must_use = "dropping the container destroys it"]
pub struct Container<'pm, T: Transport> {
    held: Held<ContainerRef<'pm, T>>,
}

impl<'pm, T: Transport> Container<'pm, T> {
    /// Returns the container of this number, as [`into_raw`](Self::into_raw) returned it.
    pub const fn from_raw(pm: &'pm Pm<T>, number: u64) -> Self {
        let handle = ContainerHandle::from_raw(number);
        Self { held: Held::new(ContainerRef { pm, handle }) }
    }

    /// Forgets the container without destroying it, and returns its number. It exists until it is
    /// destroyed, its account is destroyed, or its owner is stopped (PM-20).
    pub fn into_raw(self) -> u64 {
        self.held.leak().raw()
    }

    /// Destroys the container (operation 5, container_destroy): its frames are freed wherever they
    /// are mapped or granted, its weak handles are `InvalidCap`, and every charge for it is back
    /// (PM-22).
    ///
    /// # Errors
    /// `Pending` with the deadline while a lease, also one of the owner's own, keeps frames. No
    /// other operation on the container is possible then (PM-21). Dropping it is enough: pmserver
    /// frees the rest in later calls of [`Pm::reclaim`].
    pub fn destroy(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Destroys the container as soon as the leases on it have ended: after one second at most, and
    /// at once if there are none. Waits as [`Pm::wait_until`] does.
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy), but for `Pending`.
    pub fn destroy_waiting(self) -> Result<(), Refused<Self>> {
        self.held.release_waiting().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Allocates all frames of a range (operation 6, allocate):
    /// [`allocate_with`](Self::allocate_with) without flags.
    ///
    /// # Errors
    /// As [`allocate_with`](Self::allocate_with).
    pub fn allocate(&self, frames: impl RangeBounds<u64>) -> Result<u64, Error> {
        self.allocate_with(frames, AllocateFlags::empty())
    }

    /// Allocates frames (operation 6, allocate) and returns how many: all of the range or, if it is
    /// refused, none. With PARTIAL the frames before the first problem stay, and [`Error::done`]
    /// counts them (PM-31). SQUASH replaces frames that exist (PM-32), EXTRA allows frames above
    /// the limit (PM-34), DMA is for devices (PM-36).
    ///
    /// More than 256 frames take several calls. If a later one is refused, the frames of the
    /// earlier ones are deallocated again; those that a borrower has locked meanwhile stay, and
    /// `done` counts them. SQUASH cannot be undone: with more than 256 frames it needs PARTIAL, or
    /// is `Invalid`.
    ///
    /// # Errors
    /// `Exists`, `QuotaExceeded` or `NoMemory` with the number of the frame; `Locked` if a lease of
    /// another peer covers any; `NotEligible`; `NoRight` for DMA; `Pending` with a deadline if
    /// extra frames of others are asked back first (PM-14).
    pub fn allocate_with(
        &self,
        frames: impl RangeBounds<u64>,
        flags: AllocateFlags,
    ) -> Result<u64, Error> {
        let operation = Operation::Allocate;
        let span = Span::long(operation, &frames)?;
        let is_partial = flags.contains(AllocateFlags::PARTIAL);
        let cannot_be_undone = flags.contains(AllocateFlags::SQUASH) && !is_partial;
        if span.whole().is_none() && cannot_be_undone {
            return Err(Error::invalid(operation));
        }
        let is_plain = AllocateFlags::PARTIAL.contains(flags);
        let most = if is_plain { LARGE_FRAMES } else { CALL_FRAMES_MAX };
        let allocated = self.held.pm.advance(operation, (span, most), |calls, start, count| {
            calls.allocate(self.handle, start, count, flags)
        });
        match allocated {
            // What was replaced cannot be brought back: it stays.
            Err(error) if error.done > 0 && !is_partial && !cannot_be_undone => {
                let start = span.start().get();
                let undone = self.deallocate(start..start.saturating_add(error.done));
                let undone = undone.unwrap_or_else(|refusal| refusal.done);
                Err(Error { done: error.done.saturating_sub(undone), ..error })
            }
            result => result,
        }
    }

    /// Allocates `count` frames with consecutive numbers that pmserver chooses, and returns the
    /// numbers (operation 22, allocate_anywhere; PM-150). Flags are those of
    /// [`allocate_with`](Self::allocate_with), except SQUASH. At most 256 frames.
    ///
    /// # Errors
    /// As [`allocate_with`](Self::allocate_with). With PARTIAL, [`done`](Error::done) frames stay:
    /// those just before [`Error::frame`].
    pub fn allocate_anywhere(&self, count: u64, flags: AllocateFlags) -> Result<Range<u64>, Error> {
        let operation = Operation::AllocateAnywhere;
        let count = FrameCount::new(count).ok_or(Error::invalid(operation))?;
        let placed = self
            .held
            .pm
            .call(operation, |calls| calls.allocate_anywhere(self.handle, count, flags))?;
        let start = placed.start.get();
        Ok(start..start.saturating_add(placed.count))
    }

    /// Allocates frames that are physically contiguous, for a device without scatter-gather
    /// (operation 23, allocate_contiguous; PM-155). They start at a multiple of `2^align_bits`
    /// bytes and end below `2^limit_bits` bytes; 64 means no limit. Needs the privilege `dma`. At
    /// most 256 frames.
    ///
    /// # Errors
    /// `NoMemory` if there is no such memory, even after moving other frames; `Exists`,
    /// `QuotaExceeded`, `NoRight`.
    pub fn allocate_contiguous(
        &self,
        frames: impl RangeBounds<u64>,
        align_bits: u8,
        limit_bits: u8,
    ) -> Result<u64, Error> {
        let operation = Operation::AllocateContiguous;
        let (start, count) = Span::short(operation, &frames)?;
        self.held.pm.call(operation, |calls| {
            calls.allocate_contiguous(self.handle, start, count, align_bits, limit_bits)
        })
    }

    /// Frees the frames of a range that exist and returns how many there were (operation 7,
    /// deallocate; PM-40): [`deallocate_with`](Self::deallocate_with) without flags.
    ///
    /// # Errors
    /// As [`deallocate_with`](Self::deallocate_with).
    pub fn deallocate(&self, frames: impl RangeBounds<u64>) -> Result<u64, Error> {
        self.deallocate_with(frames, DeallocateFlags::empty())
    }

    /// Frees frames with all their mappings and grants, and returns how many (operation 7,
    /// deallocate). With STRICT nothing is freed if the range has a hole (PM-41); STRICT is
    /// possible for at most 256 frames.
    ///
    /// # Errors
    /// `Locked` with the deadline if a lease of another peer, or a pin, covers any frame of one
    /// call (of 256 frames): [`done`](Error::done) counts what the earlier calls have freed.
    /// `NotFound` with STRICT.
    pub fn deallocate_with(
        &self,
        frames: impl RangeBounds<u64>,
        flags: DeallocateFlags,
    ) -> Result<u64, Error> {
        let operation = Operation::Deallocate;
        let span = Span::long(operation, &frames)?;
        if span.whole().is_none() && flags.contains(DeallocateFlags::STRICT) {
            return Err(Error::invalid(operation));
        }
        self.held.pm.sweep(operation, span, |calls, start, count| {
            calls.deallocate(self.handle, start, count, flags)
        })
    }

    /// Makes the existing frames of a range read as zero, and returns how many there were
    /// (operation 21, renew; PM-145). They keep their numbers and charges, and lose their mappings
    /// and grants; copies of them keep the contents.
    ///
    /// # Errors
    /// As [`deallocate`](Self::deallocate).
    pub fn renew(&self, frames: impl RangeBounds<u64>) -> Result<u64, Error> {
        let span = Span::long(Operation::Renew, &frames)?;
        self.held.pm.sweep(Operation::Renew, span, |calls, start, count| {
            calls.renew(self.handle, start, count)
        })
    }

    /// Gives the existing frames of a range these marks and no others, and returns how many there
    /// were (operation 41, mark; PM-264). When memory is needed, discardable extra frames are freed
    /// first.
    ///
    /// # Errors
    /// `InvalidCap` if the container no longer exists.
    pub fn mark(&self, frames: impl RangeBounds<u64>, marks: Marks) -> Result<u64, Error> {
        let span = Span::long(Operation::Mark, &frames)?;
        self.held.pm.sweep(Operation::Mark, span, |calls, start, count| {
            calls.mark(self.handle, start, count, marks)
        })
    }

    /// Returns the state of one frame (operation 14, status; PM-100).
    ///
    /// # Errors
    /// `InvalidCap` if the container no longer exists.
    pub fn state(&self, number: u64) -> Result<FrameState, Error> {
        let state = self.status(number..=number).next();
        state.unwrap_or(Err(Error::no_progress(Operation::Status))).map(|(_, state)| state)
    }

    /// Returns the state of each frame of a range, with its number (operation 14, status; PM-100).
    /// The iterator makes a call for every 24 frames. It ends after an error.
    ///
    /// ```
    /// # let testbed = sim::testbed::Testbed::new();
    /// # let pm = pmserver_client::Pm::new(testbed.channel(1));
    /// # use pmserver_client::FrameState;
    /// # let container = pm.account().create_container()?;
    /// container.allocate(100..200)?;
    /// let mut present = 0;
    /// for state in container.status(0..1000) {
    ///     let (number, state) = state?;
    ///     present += u64::from(state.contains(FrameState::PRESENT));
    ///     assert_eq!(state.contains(FrameState::PRESENT), (100..200).contains(&number));
    /// }
    /// assert_eq!(present, 100);
    /// # Ok::<(), pmserver_client::Error>(())
    /// ```
    pub fn status(
        &self,
        frames: impl RangeBounds<u64>,
    ) -> impl Iterator<Item = Result<(u64, FrameState), Error>> {
        States::new(**self, Span::long(Operation::Status, &frames))
    }

    /// Lends the frames of a range to a peer, also frames allocated there later (operation 8,
    /// share; PM-50). `..` is the whole container. The owner then tells the peer the number of the
    /// weak handle, [`Share::weak`].
    ///
    /// # Errors
    /// `Invalid` for the caller itself, for a peer that does not exist or was stopped, for no
    /// rights, and for no time to take it; `TooMany` beyond 16 shares; `QuotaExceeded` for the
    /// record.
    pub fn share(
        &self,
        frames: impl RangeBounds<u64>,
        terms: ShareTerms,
    ) -> Result<Share<'pm, T>, Error> {
        let span = Span::any(Operation::Share, &frames)?;
        let pm = self.held.pm;
        let shared = pm.call(Operation::Share, |calls| {
            calls.share_on(self.handle, span.start(), span.count(), terms)
        })?;
        Ok(Share::new(pm, shared))
    }

    /// Maps a range at the pages from `at` on, for loads and stores, and lends it to a peer that
    /// can only take it, once each time that it is armed ([`OnceShare`]; PM-430).
    ///
    /// # Errors
    /// As [`map`](ContainerRef::map), with FORCE_WRITE, and [`share`](Self::share).
    pub fn share_once(
        &self,
        frames: impl RangeBounds<u64> + Clone,
        at: VirtAddr,
        terms: ShareTerms,
    ) -> Result<OnceShare<'pm, T>, Error> {
        let mapping = self.map(frames.clone(), at, MapFlags::WRITE | MapFlags::FORCE_WRITE)?;
        let share = self.share(frames, ShareTerms { once: true, ..terms })?;
        Ok(OnceShare::new(share, mapping))
    }

    /// Names the peer that supplies the frames of a range when they are first touched, and a number
    /// by which that peer knows the range (operation 46, set_handler; PM-280). Frames that were
    /// never written to are then absent, not zero. The handler learns of faults by
    /// [`Pm::next_fault`], which also tells it the range that this returns.
    ///
    /// # Errors
    /// `Exists` if the range overlaps another handler's; `TooMany` beyond 4; `Invalid` if there is
    /// no such peer; `QuotaExceeded` for the record.
    pub fn set_handler(
        &self,
        frames: impl RangeBounds<u64>,
        handler: PeerId,
        cookie: u32,
    ) -> Result<RangeHandle, Error> {
        let operation = Operation::SetHandler;
        let span = Span::any(operation, &frames)?;
        self.held.pm.call(operation, |calls| {
            calls.set_handler(self.handle, span.start(), span.count(), Some(handler), cookie)
        })
    }

    /// Ends the handler's range that begins at `start`: its absent frames then read as zero
    /// (operation 46, set_handler; PM-284).
    ///
    /// # Errors
    /// `NotFound` if no range begins there.
    pub fn clear_handler(&self, start: u64) -> Result<(), Error> {
        let operation = Operation::SetHandler;
        let span = Span::any(operation, &(start..=start))?;
        self.held.pm.call(operation, |calls| {
            calls.set_handler(self.handle, span.start(), span.count(), None, 0).map(|_| ())
        })
    }
}

impl<'pm, T: Transport> Deref for Container<'pm, T> {
    type Target = ContainerRef<'pm, T>;

    fn deref(&self) -> &ContainerRef<'pm, T> {
        &self.held
    }
}

impl<T: Transport> fmt::Debug for Container<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(f, "Container", &self.raw())
    }
}
