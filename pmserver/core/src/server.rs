// SPDX-License-Identifier: BSD-2-Clause
//! The server as the platform sees it: every way into the core.

use pmserver_api::AccessKind;
use proto::{Console, Message, PeerId};

use crate::config::{CallGraph, PeerConfig};
use crate::kernel::{Kernel, KernelError};
use crate::serve::Service;
use crate::serve::fault::{Fault, FaultOutcome};

/// The physical memory server.
#[derive(Clone)]
pub struct Server<K> {
    pub(crate) service: Service<K>,
}

impl<K: Kernel> Server<K> {
    /// Takes over the pool and opens an account for every peer. Nobody may watch anybody yet.
    ///
    /// # Errors
    /// The kernel's error if the pool is too small for its own tables or for the sum of the limits;
    /// `Refused` if a peer's number is out of range or given twice.
    pub fn new(kernel: K, peers: &[PeerConfig<'_>]) -> Result<Self, KernelError> {
        Service::new(kernel, peers).map(|service| Self { service })
    }

    /// Lets every peer watch those that it calls (PM-371).
    #[must_use]
    pub fn with_calls(mut self, calls: CallGraph) -> Self {
        self.service.calls = calls;
        self
    }

    /// Answers one call. Every message gets a reply, and none can make the server panic.
    pub fn call(&mut self, caller: PeerId, message: &Message) -> Message {
        let mut reply = Message::default();
        self.answer(caller, message, &mut reply);
        reply
    }

    /// Does the same, and writes the reply where it is sent from: to move one takes time.
    #[inline(always)]
    pub fn answer(&mut self, caller: PeerId, message: &Message, reply: &mut Message) {
        self.begin();
        self.service.call(caller, message, reply);
    }

    /// Decides what becomes of a peer that faulted, and reports it on the console in at most one
    /// line.
    pub fn fault(
        &mut self,
        peer: PeerId,
        fault: Fault,
        console: &mut impl Console,
    ) -> FaultOutcome {
        self.begin();
        self.service.drop_unmapped();
        self.service.fault(peer, fault, console)
    }

    /// Does what a faulting access needs (PM-124). Returns whether the peer should try the access
    /// again: it then succeeds, or it waits for someone who supplies what is missing.
    pub fn resolve(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> bool {
        self.begin();
        self.service.drop_unmapped();
        self.service.resolve(peer, address, kind)
    }

    fn begin(&mut self) {
        self.service.store.meter().restart();
        self.service.store.held_until = None;
        self.service.store.stock_small_pages();
    }

    /// Checks everything that must hold between two calls, in time proportional to the pool.
    ///
    /// # Errors
    /// The first violation found, in words.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.service.check_invariants()
    }

    /// Returns the work of the last call, or of the last fault, in instructions at measured costs:
    /// at most [`CALL_WORK_MAX`](proto::limits::CALL_WORK_MAX).
    #[must_use]
    pub fn work(&self) -> u64 {
        self.service.store.meter().spent()
    }

    /// Returns the kernel.
    pub fn kernel(&self) -> &K {
        self.service.store.kernel.inner()
    }

    /// Returns the kernel for the platform's own use. The core's objects must not be touched.
    pub fn kernel_mut(&mut self) -> &mut K {
        self.service.store.kernel.inner_mut()
    }
}
