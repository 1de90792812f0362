// SPDX-License-Identifier: BSD-2-Clause
//! Why a domain leaves what it is doing for good.

use super::Shared;

/// Carried by the unwinding from where it happened to where it is known what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It goes on at its recovery entry.
    Redirected {
        /// Which domain.
        domain: usize,
    },
    /// pmserver did not answer its fault: it does not run again.
    Stopped {
        /// Which domain.
        domain: usize,
    },
    /// It waits for a reply that will never come.
    Blocked {
        /// Which domain.
        domain: usize,
        /// Whose reply.
        on: usize,
    },
    /// It spins, and no other domain can take its turn.
    Hung {
        /// Which domain.
        domain: usize,
    },
}

impl Departure {
    /// Leaves. Not a panic: nothing is printed.
    pub(crate) fn go(self) -> ! {
        std::panic::resume_unwind(Box::new(self))
    }
}

impl Shared {
    pub(crate) fn name(&self, domain: usize) -> String {
        self.file.domains[domain].name.clone()
    }

    /// Returns what happened, as a sentence.
    pub(crate) fn describe(&self, departure: Departure) -> String {
        match departure {
            Departure::Redirected { domain } => {
                format!("{} was redirected before it served", self.name(domain))
            }
            Departure::Stopped { domain } => format!("{} was stopped", self.name(domain)),
            Departure::Blocked { domain, on } => {
                format!("{} waits for ever for {}", self.name(domain), self.name(on))
            }
            Departure::Hung { domain } => format!("{} hangs", self.name(domain)),
        }
    }
}
