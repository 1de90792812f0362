// SPDX-License-Identifier: BSD-2-Clause
//! The raw calls: one method for each operation.
//!
//! Programs use `pmserver/client`, which is built on these and releases what a program drops.
//! `support/docs/pm-protocol.md` says what each operation does, costs and refuses.

mod accounts;
mod containers;
mod devices;
mod mappings;
mod sharing;

use proto::{Micros, PeerId, Transport, VirtAddr};

use crate::error::{CallError, Failure, PmError};
use crate::flags::{Book, Disturbance};
use crate::handles::AccountHandle;
use crate::ops::Request;
use crate::reply::{Disturbed, Identity, RescueReport, Row};

/// The raw calls over a transport. [`Request`] says what each operation does. For its errors, the
/// number and the name in the comment of a method lead to its section in
/// `support/docs/pm-protocol.md`.
pub struct Calls<T: Transport> {
    transport: T,
}

impl<T: Transport> Calls<T> {
    /// Returns the calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    #[inline(always)]
    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        CallError::check(&self.transport.call(request.encode()))
    }

    /// Calls until the operation is finished. A call that reaches its bound has done something, so
    /// this ends. If the object is gone at a later call, another caller of `reclaim` has finished
    /// the work, which is success too.
    fn call_until_done(&mut self, request: Request) -> Result<(), CallError> {
        let mut has_begun = false;
        loop {
            match self.call(request) {
                Err(CallError::Refused(Failure { error: PmError::Pending, done: 1.., at: 0 })) => {
                    has_begun = true;
                }
                Err(error) if has_begun && error.refusal() == Some(PmError::InvalidCap) => {
                    return Ok(());
                }
                result => return result.map(|[]| ()),
            }
        }
    }

    /// Returns the protocol version of the server.
    ///
    /// # Errors
    /// [`CallError`]: see operation 1, version.
    pub fn version(&mut self) -> Result<u64, CallError> {
        self.call(Request::Version).map(|[version]| version)
    }

    /// Returns the caller's peer number and account.
    ///
    /// # Errors
    /// [`CallError`]: see operation 2, whoami.
    pub fn whoami(&mut self) -> Result<Identity, CallError> {
        let [peer, account] = self.call(Request::WhoAmI)?;
        let peer = PeerId::new(peer).ok_or(proto::ProtocolError::BadReply)?;
        Ok(Identity { peer, account: AccountHandle::from_raw(account) })
    }

    /// Returns the time on pmserver's clock.
    ///
    /// # Errors
    /// [`CallError`]: see operation 3, clock.
    pub fn clock(&mut self) -> Result<Micros, CallError> {
        self.call(Request::Clock).map(|[now]| Micros::new(now))
    }

    /// Registers where the caller continues after it has faulted.
    ///
    /// # Errors
    /// [`CallError`]: see operation 16, register_recovery.
    pub fn register_recovery(
        &mut self,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), CallError> {
        self.call(Request::RegisterRecovery { entry, stack_top }).map(|[]| ())
    }

    /// Announces a call to `peer` that should end within `ttl`, and returns the deadline. A `ttl`
    /// of 0 ends the watch.
    ///
    /// # Errors
    /// [`CallError`]: see operation 17, watch.
    pub fn watch(&mut self, peer: PeerId, ttl: Micros) -> Result<Micros, CallError> {
        self.call(Request::Watch { peer, ttl }).map(|[deadline]| Micros::new(deadline))
    }

    /// Sends every server whose watch has run out to its recovery entry.
    ///
    /// # Errors
    /// [`CallError`]: see operation 18, rescue.
    pub fn rescue(&mut self) -> Result<RescueReport, CallError> {
        self.call(Request::Rescue).map(RescueReport::decode)
    }

    /// Frees a part of what waits to be torn down, and returns how many objects are left.
    ///
    /// # Errors
    /// [`CallError`]: see operation 19, reclaim.
    pub fn reclaim(&mut self) -> Result<u64, CallError> {
        self.call(Request::Reclaim).map(|[left]| left)
    }

    /// For tests: does what pmserver may do at any time, from a cursor on.
    ///
    /// # Errors
    /// [`CallError`]: see operation 50, disturb. `NoRight` unless the system file gives the caller
    /// the privilege `disturb`.
    pub fn disturb(&mut self, what: Disturbance, cursor: u64) -> Result<Disturbed, CallError> {
        self.call(Request::Disturb { what, cursor })
            .map(|[count, cursor]| Disturbed { count, cursor })
    }

    /// Returns a part of the first row behind a cursor of one of pmserver's books.
    ///
    /// # Errors
    /// [`CallError`]: see operation 54, inspect. `NoRight` unless the system file gives the caller
    /// the privilege `inspect`.
    pub fn inspect(&mut self, book: Book, cursor: u64, part: u8) -> Result<Row, CallError> {
        self.call(Request::Inspect { book, cursor, part })
            .map(|[cursor, words @ ..]: [u64; 4]| Row { cursor, words })
    }
}
