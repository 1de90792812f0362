// SPDX-License-Identifier: BSD-2-Clause
//! What a server may answer, and the little that the model takes from what it did answer.

mod doubt;
mod expected;
mod observed;

pub(crate) use doubt::Doubt;
pub use expected::{Answer, CountBounds, Expected, StateBounds};
pub(crate) use observed::Observed;
