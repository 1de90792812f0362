// SPDX-License-Identifier: BSD-2-Clause
//! Where requests and accesses come in, and what the model shows of itself.

mod bound;
mod call;
mod counts;
mod touch;
mod view;

pub use touch::{Access, Touch};
pub use view::Handles;
