// SPDX-License-Identifier: BSD-2-Clause
//! The traces of the domains, in memory of the host: written as the programs write them on seL4.
//! Ticks are microseconds of the virtual clock.

use std::cell::RefCell;

use pmserver_core::Fault;
use proto::{Message, VirtAddr};
use trace::{At, Cause, Ring, RingReader};

use super::{Shared, System};
use crate::system_file;

const TICKS_PER_SECOND: u64 = 1_000_000;

/// A ring, if the domain has one, with both its ends.
#[derive(Default)]
pub(super) struct Tracing(Option<(RefCell<Ring<At>>, RingReader)>);

impl Tracing {
    pub(super) fn of(ring: Option<&system_file::Ring>) -> Self {
        Self(ring.and_then(|ring| {
            let words = usize::try_from(ring.bytes / 8).ok()?;
            // As long as the simulator's program, of which there are few. Nothing refers to it.
            let memory = vec![0_u64; words].leak().as_mut_ptr();
            let at = VirtAddr::new(memory.expose_provenance() as u64)?;
            let writer = Ring::open(At(at), ring.bytes, TICKS_PER_SECOND)?;
            Some((RefCell::new(writer), RingReader::open(at, ring.bytes)?))
        }))
    }
}

impl Shared {
    /// Begins a record of what a domain serves.
    pub(super) fn begin_record(&self, domain: usize, cause: Cause, request: &Message) {
        self.begin_with(domain, cause, request.label(), request.head());
    }

    /// Begins a record of a fault: as of the kernel's message about it, of which the simulator has
    /// the address.
    pub(super) fn begin_fault(&self, pmserver: usize, child: u8, fault: Fault) {
        let address = match fault {
            Fault::Access { address, .. } => address,
            Fault::Other => 0,
        };
        self.begin_with(pmserver, Cause::Fault(child), 0, [0, address, 0, 0]);
    }

    /// Ends the record of a domain that was begun last.
    pub(super) fn end_record(&self, domain: usize, reply: &Message) {
        if let Some((ring, _)) = &self.domains[domain].tracing.0 {
            let [result, ..] = reply.head();
            ring.borrow_mut().end(self.clock.now().get(), reply.label(), result);
        }
    }

    fn begin_with(&self, domain: usize, cause: Cause, label: u64, registers: [u64; 4]) {
        if let Some((ring, _)) = &self.domains[domain].tracing.0 {
            ring.borrow().begin(self.clock.now().get(), cause.word(), label, registers);
        }
    }
}

impl System {
    /// Prints the rings that a domain reads, as `support/trace` does. Returns whether there is such
    /// a domain.
    pub fn print_traces(&self) -> bool {
        let Some(reader) = self.shared.file.running("trace-reader") else { return false };
        let regions = &self.shared.file.domains[reader].rings_of_others;
        for (number, region) in regions.iter().enumerate() {
            let writer = self.shared.file.writing_to(region);
            let tracing = writer.map(|writer| &self.shared.domains[writer].tracing);
            if let Some((_, ring)) = tracing.and_then(|tracing| tracing.0.as_ref()) {
                trace::print(number, ring, &mut *self.shared.screen.borrow_mut());
            }
        }
        true
    }
}
