// SPDX-License-Identifier: BSD-2-Clause
//! One protection domain: its channels, its memory, and its faults.

use std::rc::Rc;

use pmserver_api::{AccessKind, GrantMapper, KernelRefused, MapFlags};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome};
use proto::{AddressSpace, Message, PeerId, Service, VirtAddr, Waiter};

use super::call::Channel;
use super::departure::Departure;
use super::strike::Moment;
use super::turns::WAIT_MICROS_MAX;
use super::{End, Shared};
use crate::machine::{self, CapRights};

/// Virtual time of a fault.
const FAULT_MICROS: u64 = 3;
/// Virtual time of one pause in a waiting loop.
const RELAX_MICROS: u64 = 50;

/// The program of a domain.
pub(crate) trait Program {
    /// Starts the program; returns its service.
    fn start(&self, domain: &Domain) -> Box<dyn Service>;

    /// Runs the recovery entry; returns the new service, and the reply to the caller that was being
    /// served.
    fn recover(&self, domain: &Domain) -> (Box<dyn Service>, Message);
}

/// A handle to a domain, used by the program that runs in it.
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
    /// If the domain has no such channel, or may not call on it.
    #[must_use]
    pub fn channel(&self, id: u8) -> Channel {
        let (own, _) = self.shared.file.channel(self.index, id).expect("the channel exists");
        assert!(own.calls, "{} may not call on channel {id}", self.shared.name(self.index));
        Channel::new(Rc::clone(&self.shared), self.index, id)
    }

    /// Notifies the domain at the other end of a channel. If that has a higher priority and serves,
    /// it runs at once.
    ///
    /// # Panics
    /// If the domain has no such channel.
    pub fn notify(&self, id: u8) {
        // As with calls: an abandoned stack does nothing.
        if std::thread::panicking() {
            return;
        }
        let (_, end) = self.shared.file.channel(self.index, id).expect("the channel exists");
        self.shared.domains[end.domain].is_notified.set(true);
        self.shared.preempt(self.index);
    }

    /// Returns the domain's memory.
    ///
    /// # Panics
    /// If the domain is not a child of pmserver, so that nothing would handle its faults.
    #[must_use]
    pub fn space(&self) -> Space {
        let peer = self.shared.peer(self.index).expect("a child of pmserver");
        Space { shared: Rc::clone(&self.shared), index: self.index, peer }
    }

    /// Returns the address of the prefilled memory region, if one is mapped.
    #[must_use]
    pub fn prefilled_vaddr(&self) -> Option<VirtAddr> {
        self.shared.file.domains[self.index].prefilled_vaddr.and_then(VirtAddr::new)
    }

    /// Runs `action` in the domain and returns how it ended.
    pub fn attempt<R>(&self, action: impl FnOnce() -> R) -> End<R> {
        self.shared.attempt(action)
    }
}

impl proto::Domain for Domain {
    type Channel = Channel;
    type Memory = Space;

    fn channel(&self, id: u8) -> Channel {
        Self::channel(self, id)
    }

    fn memory(&self) -> Space {
        self.space()
    }
}

/// Waits on the domain's notification. While a client waits, those who serve run, others do not.
impl Waiter for Domain {
    fn wait(&mut self) {
        if !std::thread::panicking() {
            self.shared.wait(self.index);
        }
    }
}

/// Maps with the domain's own capabilities, without a call to pmserver.
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

/// The memory of a domain. Every access goes through its page tables.
#[derive(Clone)]
pub struct Space {
    shared: Rc<Shared>,
    index: usize,
    peer: PeerId,
}

impl Space {
    /// Repeats `attempt`, which returns the address if it faults, until it succeeds. Unwinds if
    /// pmserver does not repair the fault.
    fn access(&self, kind: AccessKind, mut attempt: impl FnMut(VSpace) -> Result<(), u64>) {
        while let Err(address) = attempt(VSpace::Peer(self.peer)) {
            let call = self.shared.note(self.index, None, 0);
            self.shared.strike(self.index, call, Moment::Sent);
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
        let pauses = &self.shared.domains[self.index].pauses;
        pauses.set(pauses.get() + 1);
        let is_in_vain = pauses.get() > WAIT_MICROS_MAX / RELAX_MICROS;
        if is_in_vain || self.shared.next_event(Some(self.index)).is_none() {
            Departure::Hung { domain: self.index }.unwind();
        }
        self.shared.preempt(self.index);
    }
}

impl Shared {
    /// Runs `action` for a domain and returns how it ended.
    pub(super) fn attempt<R>(&self, action: impl FnOnce() -> R) -> End<R> {
        match super::unwinding(action) {
            Ok(result) => End::Finished(result),
            Err(Departure::Blocked { on, .. }) => End::Blocked { on: self.name(on) },
            Err(Departure::Hung { domain }) => End::Hung { domain: self.name(domain) },
            Err(Departure::Redirected { .. }) => End::Redirected,
            Err(Departure::Stopped { .. }) => End::Stopped,
        }
    }

    /// Returns the peer number of a domain, if it is a child of pmserver.
    pub(crate) fn peer(&self, domain: usize) -> Option<PeerId> {
        let (parent, number) = self.file.domains[domain].parent?;
        let is_pmserver = self.file.running("pmserver") == Some(parent);
        PeerId::new(number.into()).filter(|_| is_pmserver)
    }

    /// Passes a fault to pmserver. Returns if the access can be repeated; otherwise unwinds the
    /// domain.
    pub(super) fn fault(self: &Rc<Self>, domain: usize, peer: PeerId, fault: Fault) {
        self.clock.advance(FAULT_MICROS);
        let (pmserver, child) = self.file.domains[domain].parent.expect("a child of pmserver");
        self.begin_fault(pmserver, child, fault);
        let outcome = self.server.borrow_mut().fault(peer, fault, &mut *self.screen.borrow_mut());
        self.end_record(pmserver, &Message::default());
        match outcome {
            FaultOutcome::Resumed => self.preempt(domain),
            FaultOutcome::Redirected => Departure::Redirected { domain }.unwind(),
            FaultOutcome::Stopped => {
                self.domains[domain].is_stopped.set(true);
                Departure::Stopped { domain }.unwind()
            }
        }
    }
}
