// SPDX-License-Identifier: BSD-2-Clause
//! Why a scenario failed: what was seen, and what was expected.

use core::fmt;

use pmserver_api::{CallError, Failure, PmError};
use puppet_core::{OrderError, checksum_of};

/// Why a scenario failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScenarioError {
    /// pmserver refused a step that must succeed.
    Pm(&'static str, CallError),
    /// The same, through the client crate.
    Client(&'static str, pmserver_client::Error),
    /// fsserver refused a step that must succeed.
    Fs(&'static str, fsserver_api::CallError),
    /// A puppet could not do what must be possible.
    Order(&'static str, OrderError),
    /// pmserver did not refuse a step, or not with this error.
    Answer { step: &'static str, seen: Option<CallError>, expected: PmError },
    /// A puppet could do what it must not be able to do.
    NoFault(&'static str),
    /// A number is not the expected one.
    Number { what: &'static str, seen: u64, expected: u64 },
    /// A number is outside the expected range.
    Outside { what: &'static str, seen: u64, least: u64, most: u64 },
    /// Pages hold another pattern, or none. A pattern is named by its seed; 0 is for zeros.
    Contents { what: &'static str, seen: Option<u64>, expected: u64 },
    /// An account is not what it was before the scenario.
    Account { whose: &'static str, what: &'static str, seen: u64, expected: u64 },
    /// Something that must hold does not.
    Wrong(&'static str),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(step, error) => write!(f, "{step}: seen `{error}`, expected success"),
            Self::Client(step, error) => write!(f, "{step}: seen `{error}`, expected success"),
            Self::Fs(step, error) => {
                write!(f, "{step}: seen fsserver's `{error}`, expected success")
            }
            Self::Order(step, error) => write!(f, "{step}: seen `{error}`, expected success"),
            Self::Answer { step, seen: Some(error), expected } => {
                write!(f, "{step}: seen `{error}`, expected `{expected}`")
            }
            Self::Answer { step, seen: None, expected } => {
                write!(f, "{step}: seen success, expected `{expected}`")
            }
            Self::NoFault(step) => write!(f, "{step}: seen success, expected a fault"),
            Self::Number { what, seen, expected } => {
                write!(f, "{what}: seen {seen}, expected {expected}")
            }
            Self::Outside { what, seen, least, most } => {
                write!(f, "{what}: seen {seen}, expected {least} to {most}")
            }
            Self::Contents { what, seen: Some(seen), expected } => {
                write!(f, "{what}: seen pattern {seen}, expected pattern {expected}")
            }
            Self::Contents { what, seen: None, expected } => {
                write!(f, "{what}: seen other contents, expected pattern {expected}")
            }
            Self::Account { whose, what, seen, expected } => {
                write!(f, "afterwards {what} of {whose}: seen {seen}, expected {expected}")
            }
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// The outcome of a scenario or of a step of one.
pub(crate) type Outcome<T = ()> = Result<T, ScenarioError>;

/// Returns an error that says `what` is wrong unless `holds`.
pub(crate) fn expect(holds: bool, what: &'static str) -> Outcome {
    if holds { Ok(()) } else { Err(ScenarioError::Wrong(what)) }
}

/// Fails unless two numbers are equal.
pub(crate) fn same(what: &'static str, seen: u64, expected: u64) -> Outcome {
    if seen == expected { Ok(()) } else { Err(ScenarioError::Number { what, seen, expected }) }
}

/// Fails unless a number is within bounds.
pub(crate) fn between(what: &'static str, seen: u64, least: u64, most: u64) -> Outcome {
    let is_inside = (least..=most).contains(&seen);
    if is_inside { Ok(()) } else { Err(ScenarioError::Outside { what, seen, least, most }) }
}

/// All seeds that scenarios use are below this.
const SEEDS_MAX: u64 = 64;

/// Fails unless the checksum of `count` pages is that of the expected pattern.
pub(crate) fn filled(what: &'static str, count: u64, checksum: u64, expected: u64) -> Outcome {
    if checksum == checksum_of(count, expected) {
        return Ok(());
    }
    let seen = (0..SEEDS_MAX).find(|seed| checksum == checksum_of(count, *seed));
    Err(ScenarioError::Contents { what, seen, expected })
}

/// Adds to an error of pmserver which step failed.
pub(crate) fn pm<T>(step: &'static str, result: Result<T, CallError>) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Pm(step, error))
}

/// Adds to an error of the client crate which step failed.
pub(crate) fn done<T>(
    step: &'static str,
    result: Result<T, impl Into<pmserver_client::Error>>,
) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Client(step, error.into()))
}

/// Adds to an error of fsserver which step failed.
pub(crate) fn fs<T>(step: &'static str, result: Result<T, fsserver_api::CallError>) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Fs(step, error))
}

/// Adds to an error of a puppet which step failed.
pub(crate) fn did<T>(step: &'static str, result: Result<T, OrderError>) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Order(step, error))
}

/// Fails unless pmserver refused a step with this error; returns the refusal.
pub(crate) fn refused<T>(
    step: &'static str,
    result: Result<T, CallError>,
    expected: PmError,
) -> Outcome<Failure> {
    match result {
        Err(CallError::Refused(failure)) if failure.error == expected => Ok(failure),
        other => Err(ScenarioError::Answer { step, seen: other.err(), expected }),
    }
}

/// Fails unless a step made a puppet fault.
pub(crate) fn faults<T>(step: &'static str, result: Result<T, OrderError>) -> Outcome {
    match result {
        Err(OrderError::Faulted) => Ok(()),
        Err(error) => Err(ScenarioError::Order(step, error)),
        Ok(_) => Err(ScenarioError::NoFault(step)),
    }
}

/// Fails unless a puppet did not answer, because it was stopped.
pub(crate) fn stopped<T>(step: &'static str, result: Result<T, OrderError>) -> Outcome {
    match result {
        Err(OrderError::Stopped) => Ok(()),
        Err(error) => Err(ScenarioError::Order(step, error)),
        Ok(_) => Err(ScenarioError::NoFault(step)),
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    #[test]
    fn a_failure_says_what_was_seen_and_what_was_expected() {
        let full = CallError::from(PmError::QuotaExceeded);
        let success: Result<(), CallError> = Ok(());
        let failures = [
            (
                pm::<()>("a", Err(full)),
                "a: seen `the account is at its limit (done 0, at 0x0)`, expected success",
            ),
            (
                refused("b", success, PmError::Locked).map(drop),
                "b: seen success, expected `a lease is in the way`",
            ),
            (
                refused::<()>("c", Err(full), PmError::Locked).map(drop),
                "c: seen `the account is at its limit (done 0, at 0x0)`, \
                 expected `a lease is in the way`",
            ),
            (same("d", 1, 2), "d: seen 1, expected 2"),
            (between("e", 3, 1, 2), "e: seen 3, expected 1 to 2"),
            (filled("h", 2, checksum_of(2, 0), 5), "h: seen pattern 0, expected pattern 5"),
            (filled("i", 2, 1, 5), "i: seen other contents, expected pattern 5"),
            (faults("f", Ok(())), "f: seen success, expected a fault"),
            (did::<()>("g", Err(OrderError::Faulted)), "g: seen `it faulted`, expected success"),
        ];
        for (failure, sentence) in failures {
            assert_eq!(failure.unwrap_err().to_string(), sentence);
        }
    }
}
