// SPDX-License-Identifier: BSD-2-Clause
//! What a server may answer, and the little that the model takes from what it did answer.

mod doubt;
mod expected;
mod observed;

pub(crate) use doubt::Doubt;
pub use expected::{Answer, CountBounds, Expected, StateBounds};
pub(crate) use observed::Observed;

/// How long a call may take on the server's clock: a deadline may lie that much later than was
/// asked. No lease ends during a call: the caller sees to that.
pub const CALL_MICROS_MAX: u64 = 20_000;
