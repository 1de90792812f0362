// SPDX-License-Identifier: BSD-2-Clause
//! The connection to pmserver, and the operations that concern the caller itself.

use core::cell::RefCell;

use pmserver_api::{
    CallError, Calls, Disturbance, ExtraRequest, Failure, Identity, Mapped, PmError, RescueReport,
};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};

use crate::terms::{Error, Operation, Runs, Span, page};

/// How often a call is repeated if pmserver asks for that and reports no progress: more often than
/// it takes to look at every page of the largest pool.
const AGAIN_MAX: u32 = 1 << 20;

/// A domain's connection to pmserver. All other values borrow it.
///
/// It calls over a [`Transport`]: on the platform the domain's channel 0, in tests one of the
/// simulator. `&Pm` is a transport itself, over which the raw calls work: [`api::Calls`](Calls).
///
/// ```
/// # let testbed = sim::testbed::Testbed::new();
/// use pmserver_client::{PROTOCOL_VERSION, Pm};
///
/// let pm = Pm::new(testbed.channel(1));
/// assert_eq!(pm.version()?, PROTOCOL_VERSION);
/// assert_eq!(pm.whoami()?.peer.get(), 1);
/// let before = pm.clock()?;
/// assert!(pm.clock()? >= before);
/// # Ok::<(), pmserver_client::Error>(())
/// ```
pub struct Pm<T: Transport> {
    transport: RefCell<T>,
}

impl<T: Transport> Transport for &Pm<T> {
    #[inline(always)]
    fn call(&mut self, request: Message) -> Message {
        // Only a call borrows it, and a call ends before the next begins.
        self.transport.borrow_mut().call(request)
    }
}

impl<T: Transport> Pm<T> {
    /// Returns a connection over `transport`. Makes no call.
    pub const fn new(transport: T) -> Self {
        Self { transport: RefCell::new(transport) }
    }

    /// Returns the protocol version of pmserver, to compare with
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) (operation 1, version).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn version(&self) -> Result<u64, Error> {
        self.call(Operation::Version, |calls| calls.version())
    }

    /// Returns who the caller is: the number by which others share to it (operation 2, whoami;
    /// PM-10).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn whoami(&self) -> Result<Identity, Error> {
        self.call(Operation::WhoAmI, |calls| calls.whoami())
    }

    /// Returns the time on the clock that deadlines refer to (operation 3, clock; PM-11).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn clock(&self) -> Result<Micros, Error> {
        self.call(Operation::Clock, |calls| calls.clock())
    }

    /// Unmaps whatever is mapped in `pages` pages from `start` on, and returns how many pages were
    /// mapped (operation 13, unmap; PM-90). For what an unfinished call may have left mapped; a
    /// [`Mapping`](crate::Mapping) unmaps itself.
    ///
    /// # Errors
    /// `Invalid` if `start` is not on a page boundary, for no pages or too many, and above user
    /// space.
    pub fn unmap(&self, start: VirtAddr, pages: u64) -> Result<u64, Error> {
        let operation = Operation::Unmap;
        let pages = Span::long(operation, &(0..pages))?;
        self.sweep(operation, pages, |calls, index, count| {
            calls.unmap(page(start, index.get()).ok_or(PmError::Invalid)?, count)
        })
    }

    /// Makes the page tables for `pages` pages from `start` on, and returns how many were missing
    /// (operation 33, ensure_tables; PM-220). The account of the caller's VSpace is charged for
    /// them. They are freed with the last mapping in them, or by [`Pm::unmap`] of the range.
    ///
    /// # Errors
    /// `NoTableQuota`; `Invalid` as [`Pm::unmap`].
    pub fn ensure_tables(&self, start: VirtAddr, pages: u64) -> Result<u64, Error> {
        let operation = Operation::EnsureTables;
        let pages = Span::long(operation, &(0..pages))?;
        self.sweep(operation, pages, |calls, index, count| {
            calls.ensure_tables(page(start, index.get()).ok_or(PmError::Invalid)?, count)
        })
    }

    /// Says at which address, and with which stack, the caller continues after a fault (operation
    /// 16, register_recovery; PM-120). A recovered domain registers again.
    ///
    /// What was on the abandoned stack is not dropped: its leases end with the fault (PM-76),
    /// mappings and regions stay. So a server unmaps its windows when it starts ([`Pm::unmap`]).
    ///
    /// # Errors
    /// `Invalid` for an address outside user space.
    pub fn register_recovery(&self, entry: VirtAddr, stack_top: VirtAddr) -> Result<(), Error> {
        self.call(Operation::RegisterRecovery, |calls| calls.register_recovery(entry, stack_top))
    }

    /// Sends every server whose watch has run out to its recovery entry. Returns how many, and when
    /// the next watch runs out (operation 18, rescue; PM-123).
    ///
    /// # Errors
    /// `NoRight` unless the caller has the privilege `supervise`.
    pub fn rescue(&self) -> Result<RescueReport, Error> {
        self.call(Operation::Rescue, |calls| calls.rescue())
    }

    /// Does one step of pending teardown on the caller's time and returns how many objects are left
    /// (operation 19, reclaim; PM-130). A domain of low priority may call it in a loop.
    ///
    /// # Errors
    /// `Kernel` if the kernel refuses.
    pub fn reclaim(&self) -> Result<u64, Error> {
        self.call(Operation::Reclaim, |calls| calls.reclaim())
    }

    /// Returns how many extra frames are asked back, until when, and the number of the request;
    /// nothing if none are (operation 42, extra_request; PM-260). The answer is to deallocate extra
    /// frames.
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn extra_request(&self) -> Result<Option<ExtraRequest>, Error> {
        let request = self.call(Operation::ExtraRequest, |calls| calls.extra_request())?;
        Ok(Some(request).filter(|request| request.count > 0))
    }

    /// Says that a peer's device has been reset and no longer writes to memory: the frames of its
    /// pins that have run out are free again (operation 45, device_reset; PM-273).
    ///
    /// # Errors
    /// `NoRight` unless the caller has the privilege `supervise`.
    pub fn device_reset(&self, peer: PeerId) -> Result<(), Error> {
        self.call(Operation::DeviceReset, |calls| calls.device_reset(peer))
    }

    /// Makes pmserver suspend all mappings, or move all frames, as it may do at any time, and
    /// returns how many there were: for tests that programs do not notice (operation 50, disturb;
    /// PM-290).
    ///
    /// # Errors
    /// `NoRight` unless the system file gives the caller the privilege `disturb`.
    pub fn disturb(&self, what: Disturbance) -> Result<u64, Error> {
        let mut done: u64 = 0;
        let mut cursor = 0;
        for _ in 0..AGAIN_MAX {
            let step = self.call(Operation::Disturb, |calls| calls.disturb(what, cursor));
            let step = step.map_err(|error| error.after(done))?;
            done = done.saturating_add(step.count);
            cursor = step.cursor;
            if cursor == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Makes one call of an operation, and repeats it as long as pmserver asks for that.
    pub(crate) fn call<R>(
        &self,
        operation: Operation,
        mut call: impl FnMut(&mut Calls<&Self>) -> Result<R, CallError>,
    ) -> Result<R, Error> {
        let again = CallError::Refused(Failure { error: PmError::Pending, done: 0, at: 0 });
        for _ in 0..AGAIN_MAX {
            match call(&mut Calls::new(self)) {
                Err(error) if error == again => {}
                result => return result.map_err(|error| Error::new(operation, error)),
            }
        }
        Err(Error::new(operation, again))
    }

    /// Calls for a range, piece by piece, for an operation that passes over what is not there. A
    /// call that reaches its bound is continued where it has stopped (PM-320). Returns the sum of
    /// what the calls counted.
    pub(crate) fn sweep(
        &self,
        operation: Operation,
        span: Span,
        mut call: impl FnMut(&mut Calls<&Self>, FrameNumber, FrameCount) -> Result<u64, CallError>,
    ) -> Result<u64, Error> {
        let mut done: u64 = 0;
        let mut passed: u64 = 0;
        while let Some((start, count)) = span.piece(passed, most_of(operation)) {
            let (counted, did) = match self.call(operation, |calls| call(calls, start, count)) {
                Ok(counted) => (counted, count.get()),
                Err(error) if error.done > 0 && error.is_to_be_called_again() => {
                    (error.done, error.done)
                }
                Err(error) => return Err(error.after(done)),
            };
            done = done.saturating_add(counted);
            passed = passed.saturating_add(did);
        }
        Ok(done)
    }

    /// Calls for a range, for an operation that may stop early: each call continues where the last
    /// one has stopped, with at most so many numbers. Returns how much was done.
    pub(crate) fn advance(
        &self,
        operation: Operation,
        (span, mut most): (Span, u64),
        mut call: impl FnMut(&mut Calls<&Self>, FrameNumber, FrameCount) -> Result<u64, CallError>,
    ) -> Result<u64, Error> {
        let mut done: u64 = 0;
        while let Some((start, count)) = span.piece(done, most) {
            match self.call(operation, |calls| call(calls, start, count)) {
                // Repeating a call that does nothing would never end.
                Ok(0) => return Err(Error::no_progress(operation).after(done)),
                Ok(more) => done = done.saturating_add(more.min(LARGE_FRAMES)),
                Err(error) if error.done > 0 && error.is_to_be_called_again() => {
                    done = done.saturating_add(error.done);
                }
                // They cannot be a large frame.
                Err(error) if error.is(PmError::TooMany) && count.get() == LARGE_FRAMES => {
                    most = CALL_FRAMES_MAX;
                }
                Err(error) => return Err(error.after(done)),
            }
        }
        Ok(done)
    }

    /// Calls for a range of pages, for an operation whose reply says how many pages are done and
    /// with which rights. Returns what was done, and the error if that is not all.
    pub(crate) fn in_runs(
        &self,
        operation: Operation,
        span: Span,
        mut call: impl FnMut(
            &mut Calls<&Self>,
            u64,
            (FrameNumber, FrameCount),
        ) -> Result<Mapped, CallError>,
    ) -> (Runs, Option<Error>) {
        let mut runs = Runs::default();
        loop {
            let done = runs.pages();
            let Some(piece) = span.piece(done, most_of(operation)) else { return (runs, None) };
            let stopped = match self.call(operation, |calls| call(calls, done, piece)) {
                Ok(mapped) => {
                    runs.push_all(&mapped);
                    Error::no_progress(operation)
                }
                Err(error) => error,
            };
            if runs.pages() == done {
                return (runs, Some(stopped.after(done)));
            }
        }
    }
}

/// Returns how many numbers a call of an operation takes at most.
const fn most_of(operation: Operation) -> u64 {
    match operation {
        Operation::Map | Operation::Unmap | Operation::Remap | Operation::Deallocate => {
            LARGE_FRAMES
        }
        _ => CALL_FRAMES_MAX,
    }
}
