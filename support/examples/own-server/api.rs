// SPDX-License-Identifier: BSD-2-Clause
//! The contract of the server: its operation, and what its reply may be.

/// The operation: makes capital letters of the text in the first frames of a container, which is
/// lent to read, write and lock. Two registers: the number of the container, and how many frames,
/// of which at most 16 are changed.
pub(crate) const CAPITALS: u64 = 1;

/// The reply: how many letters were small.
pub(crate) const DONE: u64 = 0;
/// The reply if the container is not the caller's.
pub(crate) const NOT_YOURS: u64 = 1;
/// The reply if it was not lent as it has to be.
pub(crate) const NOT_LENT: u64 = 2;
