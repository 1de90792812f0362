// SPDX-License-Identifier: BSD-2-Clause
//! Makes trace events of the rings that a run has printed: the JSON that Perfetto and Chrome open.
//!
//! Each protection domain is a track. What a server has served is a slice on its own track, from
//! the begin to the end of the record, and one on the track of who called or faulted: so a call
//! contains the calls that were made for it. An arrow joins the two.
//!
//! ```text
//!   client-demo   [ fsserver: read                                    ]
//!   fsserver      [ read  [ pmserver: lock ]      [ pmserver: map ]   ]
//!   pmserver              [ lock           ]      [ map           ]
//! ```
#![forbid(unsafe_code)]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod events;
mod protocol;
mod slices;
mod transcript;

pub use events::json;
pub use slices::{Slice, check_nesting, slices};
pub use transcript::{PrintedRing, rings};
