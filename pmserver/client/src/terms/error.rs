// SPDX-License-Identifier: BSD-2-Clause
//! Errors: why an operation was refused, how much of it is done, and where it stopped.

use core::fmt;

use pmserver_api::{CallError, Failure, PmError};
use proto::{Micros, ProtocolError, VirtAddr};

use super::operation::Operation;

/// A refusal: of which operation, why, how much of it is done, and where it stopped.
///
/// ```
/// use pmserver_client::{At, Error, ErrorKind, Operation, PmError};
///
/// let error = Error {
///     operation: Operation::Allocate,
///     kind: ErrorKind::Refused(PmError::Exists),
///     done: 5,
///     at: At::Frame(5),
/// };
/// assert!(error.is(PmError::Exists));
/// assert_eq!(
///     error.to_string(),
///     "allocate: a frame of this number is there already: 5 (5 frames done)"
/// );
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was refused.
    pub operation: Operation,
    /// Why.
    pub kind: ErrorKind,
    /// What is done and stays done (PM-4): frames, pages or whatever the operation counts.
    pub done: u64,
    /// What the refusal concerns.
    pub at: At,
}

/// Why an operation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// pmserver refuses. An argument that cannot be sent is `Invalid` without a call.
    Refused(PmError),
    /// pmserver does not speak this version of the protocol (PM-3).
    Protocol(ProtocolError),
}

impl ErrorKind {
    /// Returns the number on the wire.
    #[must_use]
    pub const fn status(self) -> u64 {
        match self {
            Self::Refused(error) => error.status(),
            Self::Protocol(error) => error.status(),
        }
    }
}

/// What a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Nothing in particular.
    Nothing,
    /// The frame of this number.
    Frame(u64),
    /// A page of the caller's address space.
    Address(VirtAddr),
    /// The time from which on it is possible.
    Deadline(Micros),
    /// Nothing is in the way: call again at once.
    Again,
}

impl Error {
    /// Returns the error that is in a reply of pmserver.
    pub(crate) fn new(operation: Operation, error: CallError) -> Self {
        match error {
            CallError::Refused(failure) => Self {
                operation,
                kind: ErrorKind::Refused(failure.error),
                done: failure.done,
                at: At::decode(operation, failure),
            },
            CallError::Protocol(error) => {
                Self { operation, kind: ErrorKind::Protocol(error), done: 0, at: At::Nothing }
            }
        }
    }

    /// Returns the error of an argument that pmserver would not take.
    pub(crate) const fn invalid(operation: Operation) -> Self {
        let kind = ErrorKind::Refused(PmError::Invalid);
        Self { operation, kind, done: 0, at: At::Nothing }
    }

    /// Returns the error for a call that did nothing and reported success.
    pub(crate) fn no_progress(operation: Operation) -> Self {
        Self::new(operation, ProtocolError::BadReply.into())
    }

    /// Returns the error, with what earlier calls have done added.
    pub(crate) const fn after(self, done: u64) -> Self {
        Self { done: self.done.saturating_add(done), ..self }
    }

    /// Whether pmserver asks to be called again, at once.
    pub(crate) fn is_to_be_called_again(&self) -> bool {
        self.at == At::Again
    }

    /// Whether this is the reason.
    #[must_use]
    pub fn is(&self, error: PmError) -> bool {
        self.refusal() == Some(error)
    }

    /// Returns pmserver's reason; nothing for an error of the protocol itself.
    #[must_use]
    pub const fn refusal(&self) -> Option<PmError> {
        match self.kind {
            ErrorKind::Refused(error) => Some(error),
            ErrorKind::Protocol(_) => None,
        }
    }

    /// Returns the number of the frame that is in the way, is missing, or exceeds a limit.
    #[must_use]
    pub const fn frame(&self) -> Option<u64> {
        match self.at {
            At::Frame(number) => Some(number),
            _ => None,
        }
    }

    /// Returns when to call again: when the lease that is in the way ends, or what is pending.
    #[must_use]
    pub const fn deadline(&self) -> Option<Micros> {
        match self.at {
            At::Deadline(deadline) => Some(deadline),
            _ => None,
        }
    }
}

impl At {
    /// Returns what the number in an error's reply means.
    fn decode(operation: Operation, Failure { error, at, .. }: Failure) -> Self {
        let address = VirtAddr::new(at).map_or(Self::Nothing, Self::Address);
        match (error, operation) {
            (PmError::Pending, _) if at == 0 => Self::Again,
            (PmError::Pending | PmError::Locked, _) => Self::Deadline(Micros::new(at)),
            (PmError::Occupied, Operation::VspaceAccount) if at == 0 => Self::Nothing,
            (PmError::Occupied, _) => address,
            (PmError::NotFound, Operation::Remap | Operation::Detach) => address,
            (
                PmError::Exists
                | PmError::NotFound
                | PmError::Shared
                | PmError::Absent
                | PmError::Discarded,
                _,
            ) => Self::Frame(at),
            (
                PmError::QuotaExceeded
                | PmError::NoMemory
                | PmError::NoTableQuota
                | PmError::TooMany
                | PmError::Kernel,
                _,
            ) if at != 0 || operation.is_about_frames() => Self::Frame(at),
            _ => Self::Nothing,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Refused(error) => write!(f, "{}: {error}", self.operation)?,
            ErrorKind::Protocol(error) => write!(f, "{}: {error}", self.operation)?,
        }
        match self.at {
            At::Nothing => {}
            At::Frame(number) => write!(f, ": {number}")?,
            At::Address(address) => write!(f, ": {address}")?,
            At::Deadline(deadline) if self.is(PmError::Pending) => {
                write!(f, ": after {} us", deadline.get())?;
            }
            At::Deadline(deadline) => write!(f, ": until {} us", deadline.get())?,
            At::Again => f.write_str(": call again")?,
        }
        match (self.done, self.operation.is_about_frames()) {
            (0, _) => Ok(()),
            (1, true) => f.write_str(" (1 frame done)"),
            (done, true) => write!(f, " ({done} frames done)"),
            (done, false) => write!(f, " ({done} done)"),
        }
    }
}

impl core::error::Error for Error {}

/// A failure to release a value, and the value, which is still there.
///
/// `?` in a function that returns [`Error`] keeps the error and drops the value, which tries once
/// more to release it.
#[must_use]
pub struct Refused<V> {
    /// Why.
    pub error: Error,
    /// What could not be released.
    pub value: V,
}

impl<V> Refused<V> {
    pub(crate) fn map<W>(self, wrap: impl FnOnce(V) -> W) -> Refused<W> {
        Refused { error: self.error, value: wrap(self.value) }
    }
}

impl<V> From<Refused<V>> for Error {
    fn from(refused: Refused<V>) -> Self {
        refused.error
    }
}

impl<V> fmt::Debug for Refused<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for Refused<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<V> core::error::Error for Refused<V> {}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;

    fn refused(operation: Operation, error: PmError, done: u64, at: u64) -> Error {
        Error::new(operation, CallError::Refused(Failure { error, done, at }))
    }

    #[test]
    fn an_error_says_what_where_and_how_far() {
        let said = [
            (
                refused(Operation::Allocate, PmError::Exists, 4, 5),
                "allocate: a frame of this number is there already: 5 (4 frames done)",
            ),
            (
                refused(Operation::Copy, PmError::NotFound, 1, 0),
                "copy: there is no frame of this number: 0 (1 frame done)",
            ),
            (
                refused(Operation::Unshare, PmError::Locked, 0, 9000),
                "unshare: a lease is in the way: until 9000 us",
            ),
            (
                refused(Operation::Map, PmError::Occupied, 0, 0x1000_2000),
                "map: something is mapped there already: 0x10002000",
            ),
            (
                refused(Operation::ContainerDestroy, PmError::Pending, 256, 0),
                "container_destroy: there is more to do: call again (256 done)",
            ),
            (
                refused(Operation::ContainerDestroy, PmError::Pending, 3, 9000),
                "container_destroy: there is more to do: after 9000 us (3 done)",
            ),
            (
                Error::invalid(Operation::CopyIn),
                "copy_in: an argument is outside what the operation takes",
            ),
            (
                Error::new(Operation::Version, ProtocolError::BadReply.into()),
                "version: unintelligible reply: is the channel that of the server?",
            ),
        ];
        for (error, sentence) in said {
            assert_eq!(error.to_string(), sentence);
        }
    }

    #[test]
    fn the_number_in_a_reply_means_what_the_error_says() {
        let frame = refused(Operation::Allocate, PmError::QuotaExceeded, 0, 0);
        assert_eq!(frame.frame(), Some(0), "frame 0 is the first that cannot be paid for");
        let record = refused(Operation::ContainerCreate, PmError::QuotaExceeded, 0, 0);
        assert_eq!(record.at, At::Nothing, "a record is no frame");
        let table = refused(Operation::Map, PmError::NoTableQuota, 3, 11);
        assert_eq!((table.frame(), table.done), (Some(11), 3));
        let page = refused(Operation::Remap, PmError::NotFound, 0, 0x5000);
        assert_eq!(page.at, At::Address(VirtAddr::new(0x5000).unwrap()));
        let nowhere = refused(Operation::VspaceAccount, PmError::Occupied, 0, 0);
        assert_eq!(nowhere.at, At::Nothing);
        let lease = refused(Operation::Lock, PmError::Locked, 0, 77);
        assert_eq!(lease.deadline(), Some(Micros::new(77)));
        assert_eq!(refused(Operation::Lock, PmError::TooMany, 0, 0).at, At::Nothing);
        assert_eq!(refused(Operation::Share, PmError::NoRight, 0, 3).at, At::Nothing);
    }
}
