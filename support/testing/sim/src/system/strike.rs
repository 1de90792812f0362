// SPDX-License-Identifier: BSD-2-Clause
//! What can be made to go wrong in a run, and the record of calls that says where.

use std::rc::Rc;

use pmserver_core::{Fault, FaultOutcome};

use super::Shared;
use super::departure::Departure;
use crate::kernel::Refusal;

/// More calls than any run makes that comes to an end.
const CALLS_MAX: u64 = 1_500_000;

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The kernel refuses one of pmserver's invocations, counted from its start.
    Refusal(Refusal),
    /// A domain is stopped.
    Strike(Strike),
}

/// Where a domain is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// At which call, counted from 1 since the system started. A fault counts as a call.
    pub call: u64,
    /// When in it, and which of the two domains.
    pub moment: Moment,
    /// What happens to the domain.
    pub blow: Blow,
}

/// A moment in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The caller, before the call arrives.
    Sent,
    /// The server, before it looks at the request.
    Received,
    /// The server, before its reply leaves.
    Served,
    /// The caller, after the reply.
    Answered,
}

/// What happens to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It faults once: it is stopped, or sent to its recovery entry.
    Fault,
    /// It faults until it is stopped.
    Stop,
}

/// A call or a fault of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Traffic {
    /// The caller, by its index in the file.
    pub caller: usize,
    /// Whom it called; none for a fault.
    pub callee: Option<usize>,
    /// The label of the request; 0 for a fault.
    pub label: u64,
}

impl Shared {
    /// Records a call and returns its number. Ends a run that makes calls for ever.
    pub(super) fn note(&self, caller: usize, callee: Option<usize>, label: u64) -> u64 {
        self.domains[caller].pauses.set(0);
        let mut traffic = self.traffic.borrow_mut();
        traffic.push(Traffic { caller, callee, label });
        let number = traffic.len() as u64;
        drop(traffic);
        if self.mishap.is_some() && number > CALLS_MAX {
            Departure::Hung { domain: caller }.unwind();
        }
        number
    }

    /// Stops a domain if this is where it has to be stopped; it then unwinds.
    pub(super) fn strike(self: &Rc<Self>, domain: usize, call: u64, moment: Moment) {
        let Some(Mishap::Strike(strike)) = self.mishap else { return };
        let Some(peer) = self.peer(domain) else { return };
        if (strike.call, strike.moment) != (call, moment) {
            return;
        }
        self.struck.set(Some(domain));
        if strike.blow == Blow::Stop {
            let mut line = Vec::new();
            let mut fault =
                || self.server.borrow_mut().fault(peer, Fault::Other, &mut Lines(&mut line));
            while fault() != FaultOutcome::Stopped {}
            self.domains[domain].is_stopped.set(true);
            Departure::Stopped { domain }.unwind();
        }
        self.fault(domain, peer, Fault::Other);
    }
}

/// Collects what pmserver prints about a fault.
struct Lines<'a>(&'a mut Vec<u8>);

impl proto::Console for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
