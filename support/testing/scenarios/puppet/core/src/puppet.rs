// SPDX-License-Identifier: BSD-2-Clause
//! The puppet itself.

use pmserver_api::{
    CallError, ContainerHandle, DeallocateFlags, FaultHandle, GrantMapper, PendingFault,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{
    AddressSpace, FrameCount, FrameNumber, Message, Micros, PAGE_BYTES, Transport, VirtAddr,
};

use crate::behaviour::Behaviour;
use crate::order::{Order, Report, STATUS_OK, STATUS_REFUSED};
use crate::pattern::{Checksum, PAGE_WORDS, word};

/// An address that is mapped in no puppet, and where no program can go on.
const UNMAPPED_VADDR: u64 = 0x3F00_0000;

const PAGE_BYTES_USIZE: usize = 4096;
const WORD_BYTES: usize = 8;

/// A puppet over its channel to pmserver, its memory, and its grants.
pub struct Puppet<T: Transport, A: AddressSpace, G: GrantMapper> {
    pmserver: T,
    space: A,
    grants: G,
    behaviour: Behaviour,
    report: Report,
}

impl<T: Transport, A: AddressSpace, G: GrantMapper> Puppet<T, A, G> {
    /// Returns a puppet that was told nothing yet. Made anew after every fault.
    pub fn new(pmserver: T, space: A, grants: G) -> Self {
        let (behaviour, report) = (Behaviour::default(), Report::default());
        Self { pmserver, space, grants, behaviour, report }
    }

    /// Answers a request: an order, or an operation of pmserver that is passed on.
    pub fn call(&mut self, request: &Message) -> Message {
        if !Order::is_one(request) {
            return self.pmserver.call(*request);
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
                while let Some(PendingFault { fault, number, .. }) = self.next_fault() {
                    self.take_time(delay, touch);
                    let answer = self.pm().supply(fault, container, number);
                    self.note(1, answer);
                    if answer.is_err() {
                        // Nobody is to wait for what does not come.
                        let _ = self.pm().refuse(fault);
                        break;
                    }
                }
            }
            Behaviour::Refuse => {
                while let Some(PendingFault { fault, .. }) = self.next_fault() {
                    let answer = self.pm().refuse(fault);
                    self.note(1, answer);
                    if answer.is_err() {
                        break;
                    }
                }
            }
            Behaviour::Hold => {
                self.next_fault();
            }
            Behaviour::Die => self.die(),
        }
    }

    fn pm(&mut self) -> pmserver_api::Calls<&mut T> {
        pmserver_api::Calls::new(&mut self.pmserver)
    }

    fn next_fault(&mut self) -> Option<PendingFault> {
        let pending = self.pm().next_fault().ok().flatten()?;
        self.report.fault = FaultHandle::raw(pending.fault);
        Some(pending)
    }

    fn note(&mut self, answers: u64, answer: Result<(), CallError>) {
        self.report.answers = self.report.answers.saturating_add(answers);
        self.report.status = match answer {
            Ok(()) => STATUS_OK,
            Err(CallError::Refused(failure)) => failure.error.status(),
            Err(CallError::Protocol(error)) => error.status(),
        };
    }

    /// Uses its memory, and lets time pass.
    fn take_time(&mut self, delay: Micros, touch: Option<VirtAddr>) {
        if let Some(vaddr) = touch {
            self.load(vaddr);
        }
        if delay == Micros::new(0) {
            return;
        }
        let end = self.pm().clock().map(|now| now.saturating_add(delay));
        while end.is_ok_and(|end| self.pm().clock().is_ok_and(|now| now < end)) {
            self.space.relax();
        }
    }

    /// Frees what is asked back; the next request goes on behind that.
    fn release(&mut self, container: ContainerHandle, start: FrameNumber) {
        let Ok(request) = self.pm().extra_request() else { return };
        let count = FrameCount::new(request.count.min(CALL_FRAMES_MAX));
        let Some(count) = count else { return };
        let freed = self.pm().deallocate(container, start, count, DeallocateFlags::empty());
        self.note(freed.unwrap_or(0), freed.map(drop));
        if let Some(start) = start.checked_add(count.get()) {
            self.behaviour = Behaviour::Release { container, start };
        }
    }

    /// Is sent to an entry where nothing is, and faults there: nothing is registered then.
    fn die(&mut self) {
        let Some(nowhere) = VirtAddr::new(UNMAPPED_VADDR) else { return };
        // Where pmserver refuses that, it goes on at the entry that was registered before.
        let _ = self.pm().register_recovery(nowhere, nowhere);
        self.load(nowhere);
    }
}

fn page_of(vaddr: VirtAddr, page: u64) -> Option<VirtAddr> {
    vaddr.checked_add(page.checked_mul(PAGE_BYTES)?)
}
