// SPDX-License-Identifier: BSD-2-Clause
//! The puppet itself.

use pmserver_client::{
    AddressSpace, Container, ContainerHandle, Error, GrantMapper, Message, Micros, PAGE_BYTES,
    PendingFault, Pm, Refused, Transport, VirtAddr, WeakContainer,
};
use proto::FrameNumber;
use proto::limits::CALL_FRAMES_MAX;

use crate::behaviour::Behaviour;
use crate::order::{Order, Report, STATUS_OK, STATUS_REFUSED};
use crate::pattern::{Checksum, PAGE_WORDS, word};

/// An address that is mapped in no puppet.
const UNMAPPED_VADDR: u64 = 0x3F00_0000;

const PAGE_BYTES_USIZE: usize = 4096;
const WORD_BYTES: usize = 8;

/// A puppet over its channel to pmserver, its memory, and its grants.
pub struct Puppet<T: Transport, A: AddressSpace, G: GrantMapper> {
    pm: Pm<T>,
    space: A,
    grants: G,
    behaviour: Behaviour,
    report: Report,
}

impl<T: Transport, A: AddressSpace, G: GrantMapper> Puppet<T, A, G> {
    /// Returns a puppet without orders. Made anew after every fault.
    pub fn new(pmserver: T, space: A, grants: G) -> Self {
        let (behaviour, report) = (Behaviour::default(), Report::default());
        Self { pm: Pm::new(pmserver), space, grants, behaviour, report }
    }

    /// Answers a request: an order, or a call to forward to pmserver.
    pub fn call(&mut self, request: &Message) -> Message {
        if !Order::is_one(request) {
            return (&self.pm).call(*request);
        }
        match Order::decode(request) {
            Ok(order) => self.obey(order),
            Err(error) => error.reply(),
        }
    }

    fn obey(&mut self, order: Order) -> Message {
        match order {
            Order::Load(vaddr) => Message::new(STATUS_OK, [self.load(vaddr)]),
            Order::Store(vaddr, word) => {
                self.space.copy_out(&word.to_le_bytes(), vaddr);
                Message::new(STATUS_OK, [])
            }
            Order::Fill { vaddr, pages, seed } => {
                self.fill(vaddr, pages, seed);
                Message::new(STATUS_OK, [])
            }
            Order::Sum { vaddr, pages } => Message::new(STATUS_OK, [self.sum(vaddr, pages)]),
            Order::Reload { vaddr, times } => {
                let first = self.load(vaddr);
                let changes = (0..times).filter(|_| self.load(vaddr) != first).count();
                Message::new(STATUS_OK, [u64::try_from(changes).unwrap_or(u64::MAX)])
            }
            Order::Report => self.report.encode(),
            Order::Behave(behaviour) => {
                self.behaviour = behaviour;
                self.report = Report::default();
                Message::new(STATUS_OK, [])
            }
            Order::MapGranted { capability, vaddr, rights } => {
                let mapped = self.grants.map_granted(capability, vaddr, rights);
                Message::new(if mapped.is_ok() { STATUS_OK } else { STATUS_REFUSED }, [])
            }
            // The domain remembers it.
            Order::RecoverBy(_) => Message::new(STATUS_OK, []),
            Order::Hang => loop {
                self.space.relax();
            },
        }
    }

    fn load(&self, vaddr: VirtAddr) -> u64 {
        let mut bytes = [0; WORD_BYTES];
        self.space.copy_in(vaddr, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill(&mut self, vaddr: VirtAddr, pages: u64, seed: u64) {
        for page in 0..pages {
            let mut bytes = [0; PAGE_BYTES_USIZE];
            let first = page.saturating_mul(PAGE_WORDS);
            for (place, index) in bytes.chunks_exact_mut(WORD_BYTES).zip(first..) {
                place.copy_from_slice(&word(seed, index).to_le_bytes());
            }
            let Some(vaddr) = page_of(vaddr, page) else { return };
            self.space.copy_out(&bytes, vaddr);
        }
    }

    fn sum(&self, vaddr: VirtAddr, pages: u64) -> u64 {
        let mut checksum = Checksum::new();
        for page in 0..pages {
            let mut bytes = [0; PAGE_BYTES_USIZE];
            let Some(vaddr) = page_of(vaddr, page) else { break };
            self.space.copy_in(vaddr, &mut bytes);
            for word in bytes.chunks_exact(WORD_BYTES) {
                checksum.add(u64::from_le_bytes(word.try_into().unwrap_or_default()));
            }
        }
        checksum.get()
    }

    /// Does what it was told to do when pmserver notifies it.
    pub fn notified(&mut self) {
        self.report.notifications = self.report.notifications.saturating_add(1);
        match self.behaviour {
            Behaviour::Count => {}
            Behaviour::Release { container, start } => self.release(container, start),
            Behaviour::Supply { container, delay, touch } => {
                self.answer_all(|puppet, fault| {
                    puppet.take_time(delay, touch);
                    let number = fault.frame();
                    fault.supply(&WeakContainer::from_handle(&puppet.pm, container), number)
                });
            }
            Behaviour::Refuse => self.answer_all(|_, fault| fault.refuse()),
            Behaviour::Hold => self.hold(),
            Behaviour::Die => self.die(),
        }
    }

    /// Answers faults until there is none, or until an answer is refused. A fault whose answer is
    /// refused is dropped, which answers it with a fault: nobody waits for it any longer.
    fn answer_all(
        &mut self,
        answer: impl for<'pm> Fn(
            &'pm Self,
            PendingFault<'pm, T>,
        ) -> Result<(), Refused<PendingFault<'pm, T>>>,
    ) {
        loop {
            let Ok(Some(fault)) = self.pm.next_fault() else { return };
            let number = fault.raw();
            let answered = answer(self, fault).map_err(Error::from);
            self.report.fault = number;
            self.note(1, answered);
            if answered.is_err() {
                return;
            }
        }
    }

    /// Takes the next fault and does not answer it, so that whoever touched the frame waits.
    fn hold(&mut self) {
        if let Ok(Some(fault)) = self.pm.next_fault() {
            self.report.fault = fault.into_raw();
        }
    }

    fn note(&mut self, answers: u64, answer: Result<(), Error>) {
        self.report.answers = self.report.answers.saturating_add(answers);
        self.report.status = match answer.map_err(|error| error.kind) {
            Ok(()) => STATUS_OK,
            Err(kind) => kind.status(),
        };
    }

    /// Uses its memory, and lets time pass.
    fn take_time(&self, delay: Micros, touch: Option<VirtAddr>) {
        if let Some(vaddr) = touch {
            self.load(vaddr);
        }
        if delay != Micros::new(0) {
            // Without a clock it takes no time.
            let _ = self.pm.clock().and_then(|now| self.pm.wait_until(now.saturating_add(delay)));
        }
    }

    /// Frees as many frames as are asked back, and remembers where the next request continues.
    fn release(&mut self, container: ContainerHandle, start: FrameNumber) {
        let Ok(Some(request)) = self.pm.extra_request() else { return };
        let count = request.count.min(CALL_FRAMES_MAX);
        let Some(end) = start.checked_add(count) else { return };
        let container = Container::from_raw(&self.pm, container.raw());
        let freed = container.deallocate(start.get()..end.get());
        // Whoever gave the order made the container: it stays.
        let number = container.into_raw();
        self.note(freed.unwrap_or(0), freed.map(drop));
        let container = ContainerHandle::from_raw(number);
        self.behaviour = Behaviour::Release { container, start: end };
    }

    /// Has itself sent to an entry where nothing is mapped, and faults: then no entry is registered
    /// any more, and the fault at that entry stops the puppet.
    fn die(&mut self) {
        let Some(nowhere) = VirtAddr::new(UNMAPPED_VADDR) else { return };
        // If pmserver refuses, the puppet continues at the entry that was registered before.
        let _ = self.pm.register_recovery(nowhere, nowhere);
        self.load(nowhere);
    }
}

fn page_of(vaddr: VirtAddr, page: u64) -> Option<VirtAddr> {
    vaddr.checked_add(page.checked_mul(PAGE_BYTES)?)
}
