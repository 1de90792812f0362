// SPDX-License-Identifier: BSD-2-Clause
//! One protection domain: its channels, its memory, and what it does when memory is missing.

use std::rc::Rc;

use pmserver_api::{AccessKind, GrantMapper, KernelRefused, MapFlags};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome};
use proto::{AddressSpace, Message, PeerId, VirtAddr};

use super::call::Channel;
use super::departure::Departure;
use super::{End, Shared};
use crate::machine::{self, CapRights};

/// What an access that faults costs on the virtual clock.
const FAULT_MICROS: u64 = 3;
/// One turn of waiting.
const RELAX_MICROS: u64 = 50;

/// Answers protected procedures.
pub(crate) trait Service {
    /// Answers the request that came in on a channel.
    fn protected(&mut self, channel: u8, request: &Message) -> Message;

    /// Does what a notification of pmserver's asks for.
    fn notified(&mut self);
}

/// What a domain runs.
pub(crate) trait Program {
    /// Starts: returns what answers from then on.
    fn start(&self, domain: &Domain) -> Box<dyn Service>;

    /// Goes on at the recovery entry: returns what answers from then on, and the answer for the
    /// caller that was being served.
    fn recover(&self, domain: &Domain) -> (Box<dyn Service>, Message);
}

/// A handle to a domain, for what runs in it.
#[derive(Clone)]
pub struct Domain {
    shared: Rc<Shared>,
    index: usize,
}

impl Domain {
    pub(crate) const fn new(shared: Rc<Shared>, index: usize) -> Self {
        Self { shared, index }
    }

    /// Returns the domain's end of a channel.
    ///
    /// # Panics
    /// Where it has no such channel, or may not call on it.
    #[must_use]
    pub fn channel(&self, id: u8) -> Channel {
        let (own, _) = self.shared.file.channel(self.index, id).expect("there is such a channel");
        assert!(own.calls, "{} may not call on channel {id}", self.shared.name(self.index));
        Channel::new(Rc::clone(&self.shared), self.index, id)
    }

    /// Returns the domain's memory.
    ///
    /// # Panics
    /// Where the domain is no child of pmserver, so that nobody would get its faults.
    #[must_use]
    pub fn space(&self) -> Space {
        let peer = self.shared.peer(self.index).expect("a child of pmserver");
        Space { shared: Rc::clone(&self.shared), index: self.index, peer }
    }

    /// Returns where the prefilled memory region is mapped.
    #[must_use]
    pub fn prefilled_vaddr(&self) -> Option<VirtAddr> {
        self.shared.file.domains[self.index].prefilled_vaddr.and_then(VirtAddr::new)
    }

    /// Does something in the domain and tells how it ended.
    pub fn attempt<R>(&self, action: impl FnOnce() -> R) -> End<R> {
        match super::unwinding(action) {
            Ok(result) => End::Finished(result),
            Err(Departure::Blocked { on, .. }) => End::Blocked { on: self.shared.name(on) },
            Err(Departure::Hung { domain }) => End::Hung { domain: self.shared.name(domain) },
            Err(Departure::Redirected { .. }) => End::Redirected,
            Err(Departure::Stopped { .. }) => End::Stopped,
        }
    }
}

/// A domain's own invocations: pmserver is not asked.
impl GrantMapper for Domain {
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused> {
        let peer = self.shared.peer(self.index).ok_or(KernelRefused)?;
        let mut server = self.shared.server.borrow_mut();
        let rights = CapRights { read: true, write: rights.contains(MapFlags::WRITE) };
        let mapped = server.kernel_mut().map_granted(peer, capability, vaddr.get(), rights);
        mapped.map_err(|_: machine::Error| KernelRefused)
    }
}

/// The memory of a domain: every access goes through its page tables.
#[derive(Clone)]
pub struct Space {
    shared: Rc<Shared>,
    index: usize,
    peer: PeerId,
}

impl Space {
    /// Makes an access, which returns the address where it faults; then the domain does not go on
    /// here.
    fn access(&self, kind: AccessKind, mut attempt: impl FnMut(VSpace) -> Result<(), u64>) {
        while let Err(address) = attempt(VSpace::Peer(self.peer)) {
            self.shared.fault(self.index, self.peer, Fault::Access { address, kind });
        }
    }
}

impl AddressSpace for Space {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        self.access(AccessKind::Read, |vspace| {
            self.shared.server.borrow().kernel().load(vspace, from.get(), to)
        });
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        self.access(AccessKind::Write, |vspace| {
            self.shared.server.borrow_mut().kernel_mut().store(vspace, from, to.get())
        });
    }

    fn relax(&mut self) {
        self.shared.clock.advance(RELAX_MICROS);
        if self.shared.above(self.index).next().is_none() {
            Departure::Hung { domain: self.index }.go();
        }
        self.shared.preempt(self.index);
    }
}

impl Shared {
    /// Returns the number by which pmserver knows a domain.
    pub(crate) fn peer(&self, domain: usize) -> Option<PeerId> {
        let (parent, number) = self.file.domains[domain].parent?;
        let is_pmserver = self.file.running("pmserver") == Some(parent);
        PeerId::new(number.into()).filter(|_| is_pmserver)
    }

    /// Hands a fault to pmserver: the domain tries again, or leaves for where pmserver wants it to
    /// go on.
    pub(super) fn fault(self: &Rc<Self>, domain: usize, peer: PeerId, fault: Fault) {
        self.clock.advance(FAULT_MICROS);
        let outcome = self.server.borrow_mut().fault(peer, fault, &mut *self.screen.borrow_mut());
        match outcome {
            FaultOutcome::Resumed => self.preempt(domain),
            FaultOutcome::Redirected => Departure::Redirected { domain }.go(),
            FaultOutcome::Stopped => {
                self.domains[domain].is_stopped.set(true);
                Departure::Stopped { domain }.go()
            }
        }
    }
}
