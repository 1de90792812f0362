// SPDX-License-Identifier: BSD-2-Clause
//! Whose turn it is: domains of higher priority run while another one runs, periodically or when
//! they were notified. While a domain waits, all others can run.
//!
//! Only who serves is run here. A client runs from its beginning to its end, and another one only
//! afterwards: also when it waits.

use std::rc::Rc;

use proto::Message;

use super::departure::Departure;
use super::domain::Domain;
use super::programs::{is_periodic, run_period};
use super::{Shared, unwinding};

/// Virtual time after which a domain waits in vain.
const WAIT_MICROS_MAX: u64 = 20_000_000;

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
        self.above(current).map(|(index, _)| self.domains[index].next_period.get()).min()
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

    /// Passes on what pmserver has signalled.
    fn deliver(&self) {
        for peer in self.server.borrow_mut().kernel_mut().take_notifications() {
            let domain = (0..self.domains.len()).find(|&domain| self.peer(domain) == Some(peer));
            self.domains[domain.expect("every peer is a domain")].is_notified.set(true);
        }
    }

    /// Runs a domain's handler of notifications. No caller waits for a reply, so a fault in it has
    /// no other effect than that the domain recovers or is stopped.
    fn run_notified(self: &Rc<Self>, domain: usize) {
        self.domains[domain].is_notified.set(false);
        let outcome = unwinding(|| {
            self.follow_redirection(domain);
            self.served(domain, |service| service.notified());
            Message::default()
        });
        match self.recovered(domain, outcome) {
            Ok(_) => {}
            Err(hung @ Departure::Hung { .. }) => hung.unwind(),
            Err(_) => self.domains[domain].is_stopped.set(true),
        }
    }
}
