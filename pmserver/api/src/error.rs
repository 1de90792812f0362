// SPDX-License-Identifier: BSD-2-Clause
//! Errors of pmserver. Their numbers are never changed; the label 0 is success.

use core::fmt;

use proto::{Message, ProtocolError};

/// Why an operation failed. A call that fails changed nothing except for what [`Failure::done`]
/// says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum PmError {
    /// The handle names nothing of the caller's.
    InvalidCap = 1,
    /// The handle does not allow this operation.
    NoRight = 2,
    /// An argument is outside what the operation takes.
    Invalid = 3,
    /// A frame with the number `at` exists already.
    Exists = 4,
    /// There is no frame with the number `at`, or no mapping or region at the address `at`.
    NotFound = 5,
    /// The charge would exceed the limit of the paying account or of one above it.
    QuotaExceeded = 6,
    /// The pool has no memory left.
    NoMemory = 7,
    /// A lease forbids it until `at`, in microseconds.
    Locked = 8,
    /// The account that pays for page tables, slots and mapping records is at its limit.
    NoTableQuota = 9,
    /// Something is mapped at the virtual address `at` already.
    Occupied = 10,
    /// The account may not have extra frames.
    NotEligible = 11,
    /// The frame is one memory with another frame (the flag SHARED of `copy`).
    Shared = 12,
    /// Not finished: call again, at once if `at` is 0, otherwise at the time `at` in
    /// microseconds.
    Pending = 13,
    /// There can be no more objects of this kind for a container, frame, peer or account.
    TooMany = 14,
    /// The kernel refused. What was done before stays done, and nothing is lost.
    Kernel = 15,
    /// The share is being revoked and allows no new lease.
    Revoking = 16,
    /// The handler has not supplied the frame with the number `at` yet. It was asked: call again.
    Absent = 17,
    /// The frame with the number `at` was an extra frame and was dropped when memory was
    /// needed.
    Discarded = 18,
    /// The owner has not armed the share since it was taken last.
    NotArmed = 19,
}

impl PmError {
    /// Every error, in the order of the numbers.
    pub const ALL: [Self; 19] = [
        Self::InvalidCap,
        Self::NoRight,
        Self::Invalid,
        Self::Exists,
        Self::NotFound,
        Self::QuotaExceeded,
        Self::NoMemory,
        Self::Locked,
        Self::NoTableQuota,
        Self::Occupied,
        Self::NotEligible,
        Self::Shared,
        Self::Pending,
        Self::TooMany,
        Self::Kernel,
        Self::Revoking,
        Self::Absent,
        Self::Discarded,
        Self::NotArmed,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u64 {
        self as u64
    }

    /// Returns the error with this number.
    #[must_use]
    pub fn from_status(status: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.status() == status)
    }
}

impl fmt::Display for PmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidCap => "the handle names nothing that the caller holds",
            Self::NoRight => "the handle does not allow this",
            Self::Invalid => "an argument is outside what the operation takes",
            Self::Exists => "a frame of this number is there already",
            Self::NotFound => "there is no frame of this number",
            Self::QuotaExceeded => "the account is at its limit",
            Self::NoMemory => "the pool has no memory left",
            Self::Locked => "a lease is in the way",
            Self::NoTableQuota => "the account that pays for page tables is at its limit",
            Self::Occupied => "something is mapped there already",
            Self::NotEligible => "the account may not have extra frames",
            Self::Shared => "the frame is shared into another container",
            Self::Pending => "there is more to do",
            Self::TooMany => "too many of this kind",
            Self::Kernel => "the kernel refused",
            Self::Revoking => "the share is being revoked",
            Self::Absent => "the frame's handler has not supplied it yet",
            Self::Discarded => "the extra frame was dropped under pressure",
            Self::NotArmed => "the owner has not armed the share",
        })
    }
}

/// The reply of a call that failed: the error, how much was done, and where it stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: PmError,
    /// How many frames were done and stay done.
    pub done: u64,
    /// The frame number, address or time that the error is about; 0 if there is none.
    pub at: u64,
}

impl Failure {
    /// Returns the reply that reports this failure.
    #[must_use]
    pub const fn reply(self) -> Message {
        Message::new(self.error.status(), [self.done, self.at])
    }
}

impl From<PmError> for Failure {
    fn from(error: PmError) -> Self {
        Self { error, done: 0, at: 0 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (done {}, at {:#x})", self.error, self.done, self.at)
    }
}

/// Why a call returned no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The operation failed.
    Refused(Failure),
    /// pmserver did not understand the request, or the caller the reply.
    Protocol(ProtocolError),
}

impl CallError {
    /// Returns pmserver's error, if the operation failed.
    #[must_use]
    pub const fn refusal(&self) -> Option<PmError> {
        match self {
            Self::Refused(failure) => Some(failure.error),
            Self::Protocol(_) => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(failure) => failure.fmt(f),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (error, number) in PmError::ALL.into_iter().zip(1..) {
            assert_eq!(error.status(), number);
            assert_eq!(PmError::from_status(number), Some(error));
        }
        assert_eq!(PmError::from_status(0), None);
        assert_eq!(PmError::from_status(20), None);
    }

    #[test]
    fn only_a_refusal_has_an_error_of_pmservers() {
        let error = PmError::Locked;
        assert_eq!(CallError::Refused(Failure { error, done: 1, at: 2 }).refusal(), Some(error));
        assert_eq!(CallError::Protocol(ProtocolError::BadReply).refusal(), None);
    }
}
