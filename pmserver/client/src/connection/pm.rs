// SPDX-License-Identifier: BSD-2-Clause
//! The connection to pmserver, and the operations that are about the caller itself.

use core::cell::RefCell;

use pmserver_api::{
    CallError, Calls, Disturbance, ExtraRequest, Failure, Identity, Mapped, PmError, RescueReport,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};

use crate::terms::{Error, Operation, Runs, Span, page};

/// Calls that are made again for as long as pmserver asks for it without having come on: more than
/// it takes to look at every page of the largest pool.
const AGAIN_MAX: u32 = 1 << 20;

/// A domain's connection to pmserver. All other values borrow it.
///
/// It calls over a [`Transport`]: on the platform the domain's channel 0, in tests the simulator's.
/// `&Pm` is a transport itself, for a bare [`api::Calls`](Calls) with one
/// method an operation.
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
    fn call(&mut self, request: Message) -> Message {
        // Nothing but a call borrows it, and a call is over before the next begins.
        self.transport.borrow_mut().call(request)
    }
}

impl<T: Transport> Pm<T> {
    /// Returns a connection over `transport`. Makes no call.
    pub const fn new(transport: T) -> Self {
        Self { transport: RefCell::new(transport) }
    }

    /// Returns the protocol version of pmserver, to be compared with
    /// [`PROTOCOL_VERSION`](crate::PROTOCOL_VERSION) (operation 1, version).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn version(&self) -> Result<u64, Error> {
        self.call(Operation::Version, |client| client.version())
    }

    /// Returns who the caller is: the number by which others share to it (operation 2, whoami;
    /// PM-10).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn whoami(&self) -> Result<Identity, Error> {
        self.call(Operation::WhoAmI, |client| client.whoami())
    }

    /// Returns the time on the clock that deadlines are given in (operation 3, clock; PM-11).
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn clock(&self) -> Result<Micros, Error> {
        self.call(Operation::Clock, |client| client.clock())
    }

    /// Unmaps what is mapped in `pages` pages from `start` on, whoever mapped it, and returns how
    /// many pages there were (operation 13, unmap; PM-90). For windows that a call which did not
    /// end may have left something in; a [`Mapping`](crate::Mapping) unmaps itself.
    ///
    /// # Errors
    /// `Invalid` off a page boundary, for no pages or too many, or above user space.
    pub fn unmap(&self, start: VirtAddr, pages: u64) -> Result<u64, Error> {
        let operation = Operation::Unmap;
        let pages = Span::long(operation, &(0..pages))?;
        self.sweep(operation, pages, |client, index, count| {
            client.unmap(page(start, index.get()).ok_or(PmError::Invalid)?, count)
        })
    }

    /// Has the page tables made for `pages` pages from `start` on, at the cost of the account of
    /// the caller's VSpace, and returns how many were missing (operation 33, ensure_tables;
    /// PM-220). They go with the last mapping in them, or by [`Pm::unmap`] of the range.
    ///
    /// # Errors
    /// `NoTableQuota`; `Invalid` as [`Pm::unmap`].
    pub fn ensure_tables(&self, start: VirtAddr, pages: u64) -> Result<u64, Error> {
        let operation = Operation::EnsureTables;
        let pages = Span::long(operation, &(0..pages))?;
        self.sweep(operation, pages, |client, index, count| {
            client.ensure_tables(page(start, index.get()).ok_or(PmError::Invalid)?, count)
        })
    }

    /// Names where the caller goes on when it has faulted, with which stack (operation 16,
    /// register_recovery; PM-120). A recovered domain registers again.
    ///
    /// What was on the abandoned stack is not dropped: leases end then (PM-76), mappings and
    /// regions stay. A server unmaps its windows when it starts, with [`Pm::unmap`].
    ///
    /// # Errors
    /// `Invalid` for an address that is none.
    pub fn register_recovery(&self, entry: VirtAddr, stack_top: VirtAddr) -> Result<(), Error> {
        self.call(Operation::RegisterRecovery, |client| client.register_recovery(entry, stack_top))
    }

    /// Sends every server whose watch ran out to its recovery entry; says how many, and when the
    /// next watch runs out (operation 18, rescue; PM-123).
    ///
    /// # Errors
    /// `NoRight` unless the caller is a supervisor.
    pub fn rescue(&self) -> Result<RescueReport, Error> {
        self.call(Operation::Rescue, |client| client.rescue())
    }

    /// Does one step of pending teardown on the caller's time and returns how many objects are left
    /// (operation 19, reclaim; PM-130). For a domain of low priority to call again and again.
    ///
    /// # Errors
    /// `Kernel` where the kernel refuses.
    pub fn reclaim(&self) -> Result<u64, Error> {
        self.call(Operation::Reclaim, |client| client.reclaim())
    }

    /// Returns how many extra frames are asked back, until when, and the number of the request;
    /// nothing where none are (operation 42, extra_request; PM-260). Deallocating extra frames
    /// answers it.
    ///
    /// # Errors
    /// None that pmserver gives.
    pub fn extra_request(&self) -> Result<Option<ExtraRequest>, Error> {
        let request = self.call(Operation::ExtraRequest, |client| client.extra_request())?;
        Ok(Some(request).filter(|request| request.count > 0))
    }

    /// Says that a peer's device has been reset, so that it writes to nothing any more: the memory
    /// of its pins that ran out is free again (operation 45, device_reset; PM-273).
    ///
    /// # Errors
    /// `NoRight` unless the caller is a supervisor.
    pub fn device_reset(&self, peer: PeerId) -> Result<(), Error> {
        self.call(Operation::DeviceReset, |client| client.device_reset(peer))
    }

    /// Has pmserver do to all mappings or frames what it may do at any time, and returns how many
    /// there were: for tests that a program does not notice (operation 50, disturb; PM-290).
    ///
    /// # Errors
    /// `NoRight` unless the configuration allows it.
    pub fn disturb(&self, what: Disturbance) -> Result<u64, Error> {
        let mut done: u64 = 0;
        let mut cursor = 0;
        for _ in 0..AGAIN_MAX {
            let step = self.call(Operation::Disturb, |client| client.disturb(what, cursor));
            let step = step.map_err(|error| error.after(done))?;
            done = done.saturating_add(step.count);
            cursor = step.cursor;
            if cursor == 0 {
                break;
            }
        }
        Ok(done)
    }

    /// Makes one call of an operation, and the same again where pmserver asks for that.
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

    /// Calls for a range, piece by piece, where what is not there is passed over and counted out.
    pub(crate) fn sweep(
        &self,
        operation: Operation,
        span: Span,
        mut call: impl FnMut(&mut Calls<&Self>, FrameNumber, FrameCount) -> Result<u64, CallError>,
    ) -> Result<u64, Error> {
        let mut done: u64 = 0;
        let mut passed: u64 = 0;
        while let Some((start, count)) = span.piece(passed) {
            let counted = self.call(operation, |client| call(client, start, count));
            done = done.saturating_add(counted.map_err(|error| error.after(done))?);
            passed = passed.saturating_add(count.get());
        }
        Ok(done)
    }

    /// Calls for a range, piece by piece, where each call goes on from where the last one stopped.
    pub(crate) fn advance(
        &self,
        operation: Operation,
        span: Span,
        mut call: impl FnMut(&mut Calls<&Self>, FrameNumber, FrameCount) -> Result<u64, CallError>,
    ) -> Result<u64, Error> {
        let mut done: u64 = 0;
        while let Some((start, count)) = span.piece(done) {
            match self.call(operation, |client| call(client, start, count)) {
                // One that did nothing and does not say why would never end.
                Ok(0) => return Err(Error::no_progress(operation).after(done)),
                Ok(more) => done = done.saturating_add(more.min(CALL_FRAMES_MAX)),
                Err(error) if error.done > 0 && error.is_to_be_called_again() => {
                    done = done.saturating_add(error.done);
                }
                Err(error) => return Err(error.after(done)),
            }
        }
        Ok(done)
    }

    /// Calls for a range of pages, where each reply tells how many are done and with which rights.
    /// Returns what was done, and why no more.
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
            let Some(piece) = span.piece(done) else { return (runs, None) };
            let stopped = match self.call(operation, |client| call(client, done, piece)) {
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
