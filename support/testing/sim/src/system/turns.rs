// SPDX-License-Identifier: BSD-2-Clause
//! Whose turn it is: domains of higher priority run while another one runs, periodically or when
//! they were notified. While a domain waits, all others can run.
//!
//! Only who serves is run here. A client runs from its beginning to its end, and another one only
//! afterwards: also when it waits.

use std::rc::Rc;

use proto::Message;
use trace::Cause;

use super::departure::Departure;
use super::domain::Domain;
use super::programs::{is_periodic, run_period};
use super::{Shared, unwinding};

/// Virtual time after which a domain waits in vain: more than a disk has for anything, or who
/// watches a server for an answer.
pub(super) const WAIT_MICROS_MAX: u64 = 20_000_000;

impl Shared {
    /// Runs the domains of higher priority whose period has begun or that were notified. Then
    /// returns, or unwinds the current domain if one of them had it redirected.
    pub(super) fn preempt(self: &Rc<Self>, current: usize) {
        self.turn(Some(current));
        self.follow_redirection(current);
    }

    /// Waits until a domain is notified. Unwinds it if nothing does that.
    pub(super) fn wait(self: &Rc<Self>, domain: usize) {
        let end = self.clock.now().get() + WAIT_MICROS_MAX;
        self.turn(None);
        while !self.domains[domain].is_notified.take() {
            if !self.pass(end) {
                Departure::Hung { domain }.unwind();
            }
            self.follow_redirection(domain);
        }
    }

    /// Lets time go on, while nobody runs, to when something happens next. Returns whether that is
    /// before `end`.
    pub(super) fn pass(self: &Rc<Self>, end: u64) -> bool {
        let Some(next) = self.next_event(None).filter(|next| *next < end) else { return false };
        self.clock.advance(next.saturating_sub(self.clock.now().get()));
        self.turn(None);
        true
    }

    /// Returns when something next happens by itself that can preempt the current domain, or if
    /// none runs, anything.
    pub(super) fn next_event(&self, current: Option<usize>) -> Option<u64> {
        let periods = self.above(current).map(|(index, _)| self.domains[index].next_period.get());
        let priority = self.priority(current);
        let disk = self.disk.as_ref();
        let disk = disk.filter(|(driver, _)| self.priority(Some(*driver)) > priority);
        periods.chain(disk.and_then(|(_, disk)| disk.next_end())).min()
    }

    /// Runs the domains whose turn it is while the current one, or none, runs.
    pub(super) fn turn(self: &Rc<Self>, current: Option<usize>) {
        self.run_periods(current);
        while let Some(domain) = self.next_notified(current) {
            self.run_notified(domain);
        }
    }

    /// Returns the priority of the current domain; if there is none, everyone's is higher.
    fn priority(&self, current: Option<usize>) -> Option<u8> {
        current.map(|current| self.file.domains[current].priority)
    }

    /// Returns the periodic domains that can preempt this one and still run, with their periods.
    fn above(&self, current: Option<usize>) -> impl Iterator<Item = (usize, u64)> {
        let priority = self.priority(current);
        let domains = self.file.domains.iter().enumerate();
        domains
            .filter(move |(_, domain)| Some(domain.priority) > priority)
            .filter(|(index, _)| !self.domains[*index].is_stopped.get())
            .filter(|(_, domain)| is_periodic(&domain.program))
            .filter_map(|(index, domain)| Some((index, domain.period_micros?)))
    }

    fn run_periods(self: &Rc<Self>, current: Option<usize>) {
        for (index, period) in self.above(current) {
            let state = &self.domains[index];
            let now = self.clock.now().get();
            if now >= state.next_period.get() && !state.is_stopped.get() {
                state.next_period.set(now + period);
                let domain = Domain::new(Rc::clone(self), index);
                if unwinding(|| run_period(&domain)).is_err() {
                    state.is_stopped.set(true);
                }
            }
        }
    }

    /// Returns the notified domain of the highest priority, if that is above the current one. Other
    /// domains wait until the current one has replied or blocks.
    fn next_notified(&self, current: Option<usize>) -> Option<usize> {
        self.deliver();
        let priority = |domain: &usize| self.priority(Some(*domain));
        // A domain that waits in a call is not entered again.
        let serves = |state: &super::State| {
            !state.is_stopped.get()
                && state.service.try_borrow_mut().is_ok_and(|service| service.is_some())
        };
        let is_due = |domain: &usize| {
            let state = &self.domains[*domain];
            state.is_notified.get() && priority(domain) > self.priority(current) && serves(state)
        };
        (0..self.domains.len()).filter(is_due).max_by_key(priority)
    }

    /// Lets the disk do what it has to do until now, and passes on its interrupt and what pmserver
    /// has signalled.
    fn deliver(&self) {
        let mut server = self.server.borrow_mut();
        let notify = |domain: usize| self.domains[domain].is_notified.set(true);
        for peer in server.kernel_mut().take_notifications() {
            let domain = (0..self.domains.len()).find(|&domain| self.peer(domain) == Some(peer));
            notify(domain.expect("every peer is a domain"));
        }
        if let Some((driver, disk)) = &self.disk
            && disk.run(server.kernel_mut())
        {
            notify(*driver);
        }
    }

    /// Runs a domain's handler of notifications. No caller waits for a reply, so a fault in it has
    /// no other effect than that the domain recovers or is stopped.
    fn run_notified(self: &Rc<Self>, domain: usize) {
        self.domains[domain].is_notified.set(false);
        let outcome = unwinding(|| {
            self.follow_redirection(domain);
            self.begin_record(domain, Cause::Notification, &Message::default());
            self.served(domain, |service| service.notified());
            self.end_record(domain, &Message::default());
            Message::default()
        });
        match self.recovered(domain, outcome) {
            Ok(_) => {}
            Err(hung @ Departure::Hung { .. }) => hung.unwind(),
            Err(_) => self.domains[domain].is_stopped.set(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use block_api::{BlockCount, Client, Place, Tag};
    use pmserver_client::{ContainerHandle, MapFlags, Micros, Pm, Rights, ShareTerms};
    use proto::{AddressSpace, Message, Service, Transport, VirtAddr, Waiter};

    use super::super::{Domain, End, Settings, System};
    use crate::disk::DiskPlan;
    use crate::machine::Architecture;
    use crate::system_file::SystemFile;

    /// The disk test's system, with a server between the driver and the client.
    const BETWEEN: &str = r#"<protection_domain name="between" id="3" priority="150" passive="true">
            <program_image path="between.elf" />
            <memory_account limit="0x100000" />
        </protection_domain>
        <protection_domain name="disk-test""#;
    const CHANNELS: &str = r#"
    <channel><end pd="pmserver" id="3" /><end pd="between" id="0" pp="true" /></channel>
    <channel><end pd="virtio-blk" id="3" /><end pd="between" id="1" pp="true" /></channel>
    <channel><end pd="between" id="2" /><end pd="disk-test" id="3" pp="true" /></channel>
</system>"#;

    const WINDOW: VirtAddr = VirtAddr::new(0x1000_0000).unwrap();
    const PENDING: u64 = 1;

    /// Answers with the first word of the disk, or that it is still on its way.
    struct Between {
        domain: Domain,
        weak: ContainerHandle,
        is_asked: bool,
        is_there: bool,
    }

    impl Service for Between {
        fn protected(&mut self, _: u8, _: &Message) -> Message {
            if !self.is_asked {
                let place = Place { container: self.weak, offset: 0 };
                let mut disk = Client::new(self.domain.channel(1));
                disk.read(place, 0, BlockCount::new(1).unwrap(), Tag::new(1)).unwrap();
                self.is_asked = true;
            }
            if !self.is_there {
                return Message::new(PENDING, []);
            }
            let mut word = [0; 8];
            self.domain.space().copy_in(WINDOW, &mut word);
            Message::new(0, [u64::from_le_bytes(word)])
        }

        fn notified(&mut self) {
            let completed = Client::new(self.domain.channel(1)).completed().unwrap();
            self.is_there = completed.iter().any(|it| it.result == Ok(()));
            self.domain.notify(2);
        }
    }

    fn between(domain: Domain) -> Between {
        let pm: &'static Pm<_> = Box::leak(Box::new(Pm::new(domain.channel(0))));
        let container = pm.account().create_container().unwrap();
        container.allocate(0..1).unwrap();
        container.map(0..1, WINDOW, MapFlags::WRITE).unwrap().into_pages();
        let peer = Client::new(domain.channel(1)).version().unwrap().peer;
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let terms = ShareTerms { peer, rights, lease_max: Micros::new(1_000_000), once: false };
        let (_, weak) = container.share(0..1, terms).unwrap().into_raw();
        container.into_raw();
        let weak = ContainerHandle::from_raw(weak);
        Between { domain, weak, is_asked: false, is_there: false }
    }

    #[test]
    fn a_server_that_the_driver_notifies_notifies_its_client() {
        let text = include_str!("../../../systems/disk.xml");
        let text = text.replace(r#"<protection_domain name="disk-test""#, BETWEEN);
        let file = SystemFile::parse(&text.replace("</system>", CHANNELS)).unwrap();
        let system = System::start(&Settings {
            file: &file,
            image: &[],
            disk: Some(DiskPlan::new([7; 4096])),
            architecture: Architecture::X86_64,
            mishap: None,
            echo: false,
        })
        .unwrap();
        let index = file.running("between").unwrap();
        let service = between(Domain::new(Rc::clone(&system.shared), index));
        *system.shared.domains[index].service.borrow_mut() = Some(Box::new(service));
        let answers = system.run("disk-test", |domain| {
            let call = || domain.channel(3).call(Message::default());
            let first = call();
            domain.clone().wait();
            (first.label(), call().registers().first().copied())
        });
        assert_eq!(answers, End::Finished((PENDING, Some(0x0707_0707_0707_0707))));
    }
}
