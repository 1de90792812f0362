// SPDX-License-Identifier: BSD-2-Clause
//! Containers in the hands of their owner.

use core::fmt;
use core::ops::{Deref, Range, RangeBounds};

use pmserver_api::{
    AllocateFlags, ContainerHandle, DeallocateFlags, FrameState, Marks, ShareTerms,
};
use proto::{FrameCount, PeerId, Transport};

use crate::container_ref::ContainerRef;
use crate::error::{Error, Refused};
use crate::held::{Held, Release, print};
use crate::operation::Operation;
use crate::pm::Pm;
use crate::share::Share;
use crate::span::Span;
use crate::states::States;

impl<T: Transport> Release for ContainerRef<'_, T> {
    type Transport = T;

    fn pm(&self) -> &Pm<T> {
        self.pm
    }

    fn release(&self) -> Result<(), Error> {
        let operation = Operation::ContainerDestroy;
        self.pm.call(operation, |client| client.container_destroy(self.handle))
    }
}

/// A container of the caller's: a sparse set of numbered frames that one account pays for
/// ([`Account::create_container`](crate::Account::create_container)). Dropping it destroys it, with
/// its frames and what was lent of them. What can be done with a borrowed one, too, is in
/// [`ContainerRef`].
///
/// Frame numbers are the program's own choice. Frames read as zero until they are written to
/// (PM-30), and are charged from allocation to deallocation (PM-13). Where an operation would touch
/// more frames than one call does, several are made; whether that shows, each says.
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

    /// Lets go of the container without destroying it, and returns its number. It is there until it
    /// is destroyed, or its account is, or its owner is stopped (PM-20).
    pub fn into_raw(self) -> u64 {
        self.held.leak().raw()
    }

    /// Destroys the container (operation 5, container_destroy): its frames are freed wherever they
    /// are mapped or granted, its weak handles are `InvalidCap`, and every charge for it is back
    /// (PM-22).
    ///
    /// # Errors
    /// `Pending` with the deadline while a lease, the owner's own too, keeps frames: nothing else
    /// can be done with the container then (PM-21). Dropping it is enough: pmserver frees the rest
    /// when somebody calls [`Pm::reclaim`].
    pub fn destroy(self) -> Result<(), Refused<Self>> {
        self.held.release().map_err(|refused| refused.map(|held| Self { held }))
    }

    /// Destroys the container at the deadline of the leases on it: after one second at most, and at
    /// once where there is none. Waits as [`Pm::wait_until`] does.
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

    /// Allocates frames (operation 6, allocate) and returns how many: all of the range or, where it
    /// is refused, none; with PARTIAL those before the first problem, and [`Error::done`] is how
    /// many (PM-31). SQUASH replaces what is there (PM-32), EXTRA goes above the limit (PM-34), DMA
    /// is for devices (PM-36).
    ///
    /// More than 256 frames take several calls. Where a later one is refused, the frames of the
    /// earlier ones are deallocated again; only where a borrower has locked them meanwhile do they
    /// stay, as `done` says. With SQUASH, which cannot be undone, PARTIAL is needed then:
    /// `Invalid`.
    ///
    /// # Errors
    /// `Exists`, `QuotaExceeded` or `NoMemory` with the number of the frame; `Locked` where
    /// another's lease covers any; `NotEligible`; `NoRight` for DMA; `Pending` with a deadline
    /// where extra frames of others are asked back first (PM-14).
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
        let allocated = self.held.pm.advance(operation, span, |client, start, count| {
            client.allocate(self.handle, start, count, flags)
        });
        match allocated {
            Err(error) if error.done > 0 && !is_partial => {
                let start = span.start().get();
                let undone = self.deallocate(start..start.saturating_add(error.done));
                let undone = undone.unwrap_or_else(|refusal| refusal.done);
                Err(Error { done: error.done.saturating_sub(undone), ..error })
            }
            result => result,
        }
    }

    /// Allocates `count` frames at numbers that the server chooses and returns these, which are
    /// consecutive (operation 22, allocate_anywhere; PM-150). Flags are as for
    /// [`allocate_with`](Self::allocate_with), but for SQUASH. At most 256 frames.
    ///
    /// # Errors
    /// As [`allocate_with`](Self::allocate_with); with PARTIAL the frames that stay are the
    /// [`done`](Error::done) ones before [`Error::frame`].
    pub fn allocate_anywhere(&self, count: u64, flags: AllocateFlags) -> Result<Range<u64>, Error> {
        let operation = Operation::AllocateAnywhere;
        let count = FrameCount::new(count).ok_or(Error::invalid(operation))?;
        let placed = self
            .held
            .pm
            .call(operation, |client| client.allocate_anywhere(self.handle, count, flags))?;
        let start = placed.start.get();
        Ok(start..start.saturating_add(placed.count))
    }

    /// Allocates frames that are physically contiguous, for a device that has no scatter-gather
    /// (operation 23, allocate_contiguous; PM-155): from a multiple of `2^align_bits` bytes on, and
    /// below `2^limit_bits` bytes; 64 is anywhere. Needs the DMA right. At most 256 frames.
    ///
    /// # Errors
    /// `NoMemory` where that cannot be had, also by moving other frames; `Exists`, `QuotaExceeded`,
    /// `NoRight`.
    pub fn allocate_contiguous(
        &self,
        frames: impl RangeBounds<u64>,
        align_bits: u8,
        limit_bits: u8,
    ) -> Result<u64, Error> {
        let operation = Operation::AllocateContiguous;
        let (start, count) = Span::short(operation, &frames)?;
        self.held.pm.call(operation, |client| {
            client.allocate_contiguous(self.handle, start, count, align_bits, limit_bits)
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
    /// deallocate). With STRICT a hole is refused (PM-41); that goes for at most 256 frames, so
    /// that nothing is freed then.
    ///
    /// # Errors
    /// `Locked` with the deadline where another's lease, or a pin, covers any of the 256 frames of
    /// a call: [`done`](Error::done) is what the calls before have freed. `NotFound` with STRICT.
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
        self.held.pm.sweep(operation, span, |client, start, count| {
            client.deallocate(self.handle, start, count, flags)
        })
    }

    /// Makes the frames of a range that exist read as zero, with number and charge kept, and
    /// returns how many there were (operation 21, renew; PM-145). Mappings and grants of them are
    /// gone; copies of them keep the contents.
    ///
    /// # Errors
    /// As [`deallocate`](Self::deallocate).
    pub fn renew(&self, frames: impl RangeBounds<u64>) -> Result<u64, Error> {
        let span = Span::long(Operation::Renew, &frames)?;
        self.held.pm.sweep(Operation::Renew, span, |client, start, count| {
            client.renew(self.handle, start, count)
        })
    }

    /// Gives the frames of a range that exist these marks and no others, and returns how many there
    /// were (operation 41, mark; PM-264). A discardable extra frame is the first to go when memory
    /// is needed.
    ///
    /// # Errors
    /// `InvalidCap` where the container is gone.
    pub fn mark(&self, frames: impl RangeBounds<u64>, marks: Marks) -> Result<u64, Error> {
        let span = Span::long(Operation::Mark, &frames)?;
        self.held.pm.sweep(Operation::Mark, span, |client, start, count| {
            client.mark(self.handle, start, count, marks)
        })
    }

    /// Returns the state of one frame (operation 14, status; PM-100).
    ///
    /// # Errors
    /// `InvalidCap` where the container is gone.
    pub fn state(&self, number: u64) -> Result<FrameState, Error> {
        let state = self.status(number..=number).next();
        state.unwrap_or(Err(Error::no_progress(Operation::Status))).map(|(_, state)| state)
    }

    /// Tells the state of each frame of a range, with its number (operation 14, status; PM-100).
    /// Asks for 24 at a time, as they are taken. After an error there is no next one.
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

    /// Lends the frames of a range to a peer, also those allocated there later (operation 8, share;
    /// PM-50): `..` is the whole container. The owner tells the peer the number of the weak handle,
    /// [`Share::weak`].
    ///
    /// # Errors
    /// `Invalid` for the caller itself, a peer that is not there or was stopped, or no right at
    /// all; `TooMany` beyond 16 shares; `QuotaExceeded` for the record.
    pub fn share(
        &self,
        frames: impl RangeBounds<u64>,
        terms: ShareTerms,
    ) -> Result<Share<'pm, T>, Error> {
        let span = Span::any(Operation::Share, &frames)?;
        let pm = self.held.pm;
        let ShareTerms { peer, rights, lease_max } = terms;
        let shared = pm.call(Operation::Share, |client| {
            client.share(self.handle, span.start(), span.count(), peer, rights, lease_max)
        })?;
        Ok(Share::new(pm, shared))
    }

    /// Names the peer that supplies the frames of a range when they are first touched, with a
    /// number by which it knows the range (operation 46, set_handler; PM-280). Frames that were
    /// never written to are absent then, not zero. The handler answers by [`Pm::next_fault`].
    ///
    /// # Errors
    /// `Exists` where a range overlaps; `TooMany` beyond 4; `Invalid` for no such peer;
    /// `QuotaExceeded` for the record.
    pub fn set_handler(
        &self,
        frames: impl RangeBounds<u64>,
        handler: PeerId,
        cookie: u32,
    ) -> Result<(), Error> {
        let operation = Operation::SetHandler;
        let span = Span::any(operation, &frames)?;
        self.held.pm.call(operation, |client| {
            client.set_handler(self.handle, span.start(), span.count(), Some(handler), cookie)
        })
    }

    /// Ends the handler's range that begins at `start`: its absent frames read as zero then
    /// (operation 46, set_handler; PM-284).
    ///
    /// # Errors
    /// `NotFound` where no range begins there.
    pub fn clear_handler(&self, start: u64) -> Result<(), Error> {
        let operation = Operation::SetHandler;
        let span = Span::any(operation, &(start..=start))?;
        self.held.pm.call(operation, |client| {
            client.set_handler(self.handle, span.start(), span.count(), None, 0)
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
