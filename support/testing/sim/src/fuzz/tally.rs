// SPDX-License-Identifier: BSD-2-Clause
//! How often each operation was answered with success and with each error.

use std::collections::BTreeMap;
use std::fmt;

use model::{Answer, Touch};
use pmserver_api::{Reply, Request};

use crate::kernel::LargeFrames;

/// Counts of answers, by operation and outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, BTreeMap<String, u64>>);

impl Tally {
    pub(crate) fn answered(&mut self, request: &Request, answer: &Answer) {
        let outcome = match answer {
            Err(failure) => format!("{:?}", failure.error),
            Ok(reply) if is_idle(request, reply) => "(nothing)".to_owned(),
            Ok(_) => "success".to_owned(),
        };
        self.count(&name(request), outcome, 1);
    }

    pub(crate) fn touched(&mut self, is_store: bool, touch: Touch) {
        let outcome = match touch {
            Touch::Done(_) => "success",
            Touch::Faulted => "Faulted",
            Touch::Waits => "Waits",
        };
        self.count(if is_store { "(store)" } else { "(load)" }, outcome.to_owned(), 1);
    }

    /// Adds how many large frames were made, and how many were split.
    pub(crate) fn add_large(&mut self, frames: LargeFrames) {
        self.count("(large, made)", "success".to_owned(), frames.made);
        self.count("(large, split)", "success".to_owned(), frames.split);
    }

    /// Returns how often an operation succeeded and did something.
    #[must_use]
    pub fn successes(&self, operation: &str) -> u64 {
        let outcomes = self.0.get(operation);
        outcomes.and_then(|outcomes| outcomes.get("success")).copied().unwrap_or_default()
    }

    /// Returns how many operations and accesses there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    fn count(&mut self, operation: &str, outcome: String, more: u64) {
        *self.0.entry(operation.to_owned()).or_default().entry(outcome).or_default() += more;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Self) {
        for (operation, outcomes) in &other.0 {
            for (outcome, times) in outcomes {
                self.count(operation, outcome.clone(), *times);
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (operation, outcomes) in &self.0 {
            let success = outcomes.get("success").copied().unwrap_or_default();
            write!(to, "{operation:<20} {success:>7}")?;
            for (outcome, times) in outcomes.iter().filter(|(outcome, _)| *outcome != "success") {
                write!(to, "  {outcome} {times}")?;
            }
            writeln!(to)?;
        }
        Ok(())
    }
}

/// Whether nothing was there to be done or told.
const fn is_idle(request: &Request, reply: &Reply) -> bool {
    match reply {
        // How much is left to be done.
        Reply::Number(_) if matches!(request, Request::Reclaim) => false,
        Reply::Number(number) => *number == 0,
        Reply::Fault(fault) => fault.is_none(),
        Reply::Rescued(report) => report.rescued == 0,
        Reply::ExtraRequest(request) => request.count == 0,
        Reply::Disturbed(disturbed) => disturbed.count == 0,
        _ => false,
    }
}

/// Returns the name of a request's operation.
fn name(request: &Request) -> String {
    let text = format!("{request:?}");
    text.split([' ', '(']).next().unwrap_or_default().to_owned()
}
