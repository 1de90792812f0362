// SPDX-License-Identifier: BSD-2-Clause
//! What a scenario found wrong.

use core::fmt;

/// Why a scenario failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScenarioError {
    /// pmserver refused a step that has to succeed.
    Pm(&'static str, pmserver_api::CallError),
    /// fsserver refused a step that has to succeed.
    Fs(&'static str, fsserver_api::CallError),
    /// Something that has to hold does not.
    Wrong(&'static str),
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(step, error) => write!(f, "{step}: pmserver: {error}"),
            Self::Fs(step, error) => write!(f, "{step}: fsserver: {error}"),
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

/// Says which step of pmserver's failed.
pub(crate) fn pm<T>(step: &'static str, result: Result<T, pmserver_api::CallError>) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Pm(step, error))
}

/// Says which step of fsserver's failed.
pub(crate) fn fs<T>(step: &'static str, result: Result<T, fsserver_api::CallError>) -> Outcome<T> {
    result.map_err(|error| ScenarioError::Fs(step, error))
}
