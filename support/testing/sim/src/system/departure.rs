// SPDX-License-Identifier: BSD-2-Clause
//! Why a domain abandons what it is doing.

use super::Shared;

/// The reason, as the payload that unwinding the stack carries to the code that handles it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// pmserver sent the domain to its recovery entry.
    Redirected {
        /// The domain.
        domain: usize,
    },
    /// pmserver did not answer the domain's fault, so it never runs again.
    Stopped {
        /// The domain.
        domain: usize,
    },
    /// The domain waits for a reply that will never come.
    Blocked {
        /// The domain.
        domain: usize,
        /// The server that does not reply.
        on: usize,
    },
    /// The domain spins or waits, and nothing will end that.
    Hung {
        /// The domain.
        domain: usize,
    },
}

impl Departure {
    /// Unwinds the stack. Unlike a panic, prints nothing.
    pub(crate) fn unwind(self) -> ! {
        std::panic::resume_unwind(Box::new(self))
    }
}

impl Shared {
    pub(crate) fn name(&self, domain: usize) -> String {
        self.file.domains[domain].name.clone()
    }

    /// Describes what happened in a sentence.
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
