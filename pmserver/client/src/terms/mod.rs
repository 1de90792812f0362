// SPDX-License-Identifier: BSD-2-Clause
//! What operations are asked and answered in: names, ranges, pages and errors. Makes no calls.

mod error;
mod operation;
mod pages;
mod span;

pub use error::{At, Error, ErrorKind, Refused};
pub use operation::Operation;
pub(crate) use pages::Runs;
pub use pages::{Pages, Run};
pub use span::RANGE_FRAMES_MAX;
pub(crate) use span::{Span, page};
