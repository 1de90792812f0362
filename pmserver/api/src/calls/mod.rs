// SPDX-License-Identifier: BSD-2-Clause
//! The raw calls: one method per operation, one protected procedure call per method.
//!
//! Programs use `pmserver/client`, whose values release what they stand for. The raw calls are what
//! that crate is built on. `support/docs/pm-protocol.md` says what each operation does, costs and
//! refuses.

mod accounts;
mod containers;
mod devices;
mod mappings;
mod sharing;

use proto::{Micros, PeerId, Transport, VirtAddr};

use crate::error::{CallError, Failure, PmError};
use crate::flags::Disturbance;
use crate::handles::AccountHandle;
use crate::ops::Request;
use crate::reply::{Disturbed, Identity, RescueReport};

/// The raw calls over a transport. [`Request`] documents what each operation does and refuses.
pub struct Calls<T: Transport> {
    transport: T,
}

impl<T: Transport> Calls<T> {
    /// Returns a client that calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        CallError::check(&self.transport.call(request.encode()))
    }

    /// Calls again for as long as the server came on but not to the end: the bound on one call was
    /// reached. Each such call comes on, so that this ends. That what is to go is gone at the
    /// second call is as good: somebody else has called `reclaim`.
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
    /// [`CallError`], as every method here.
    pub fn version(&mut self) -> Result<u64, CallError> {
        self.call(Request::Version).map(|[version]| version)
    }

    /// Returns who the caller is.
    ///
    /// # Errors
    /// See [`Request::WhoAmI`].
    pub fn whoami(&mut self) -> Result<Identity, CallError> {
        let [peer, account] = self.call(Request::WhoAmI)?;
        let peer = PeerId::new(peer).ok_or(proto::ProtocolError::BadReply)?;
        Ok(Identity { peer, account: AccountHandle::from_raw(account) })
    }

    /// Returns the time on pmserver's clock.
    ///
    /// # Errors
    /// See [`Request::Clock`].
    pub fn clock(&mut self) -> Result<Micros, CallError> {
        self.call(Request::Clock).map(|[now]| Micros::new(now))
    }

    /// Names where the caller goes on when it has faulted.
    ///
    /// # Errors
    /// See [`Request::RegisterRecovery`].
    pub fn register_recovery(
        &mut self,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), CallError> {
        self.call(Request::RegisterRecovery { entry, stack_top }).map(|[]| ())
    }

    /// Announces a call to `peer` that shall end within `ttl`; a `ttl` of 0 ends the watch.
    ///
    /// # Errors
    /// See [`Request::Watch`].
    pub fn watch(&mut self, peer: PeerId, ttl: Micros) -> Result<Micros, CallError> {
        self.call(Request::Watch { peer, ttl }).map(|[deadline]| Micros::new(deadline))
    }

    /// Rescues every server whose watch ran out.
    ///
    /// # Errors
    /// See [`Request::Rescue`].
    pub fn rescue(&mut self) -> Result<RescueReport, CallError> {
        self.call(Request::Rescue).map(RescueReport::decode)
    }

    /// Does a step of pending teardown and returns how many objects are left to free.
    ///
    /// # Errors
    /// See [`Request::Reclaim`].
    pub fn reclaim(&mut self) -> Result<u64, CallError> {
        self.call(Request::Reclaim).map(|[left]| left)
    }

    /// Does a bounded step of what pmserver may do at any time; for tests.
    ///
    /// # Errors
    /// `NoRight` where the configuration does not say that the caller may.
    pub fn disturb(&mut self, what: Disturbance, cursor: u64) -> Result<Disturbed, CallError> {
        self.call(Request::Disturb { what, cursor })
            .map(|[count, cursor]| Disturbed { count, cursor })
    }
}
