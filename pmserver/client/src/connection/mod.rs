// SPDX-License-Identifier: BSD-2-Clause
//! The connection to pmserver: how an operation becomes one call or several, how a caller waits
//! for a deadline, and how a value releases what it stands for.

mod held;
mod pm;
mod waiting;

pub(crate) use held::{Held, Named, Release, print};
pub use pm::Pm;
pub(crate) use waiting::Patience;
