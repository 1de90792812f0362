// SPDX-License-Identifier: BSD-2-Clause
//! A trace: for each call, fault and notification that a server has served, who called, what was
//! asked and answered, and when it began and ended (decision 0066).
//!
//! A server writes the records to a [`Ring`] in a memory region of its own; what reads it has the
//! region mapped read-only. A full ring overwrites its oldest records, and the reader can tell how
//! many it has lost. Nobody waits for anybody: there is one writer, and a reader that comes too
//! late for a record finds that out ([`RingReader::record`]).
//!
//! ```text
//!   word 0      how many words of records were written since the start
//!   word 1      ticks of a second, or 0 if the writer does not know
//!   word 16     record 0: begin, end, cause, label, status, 4 registers, result, 6 unused
//!   word 32     record 1 …
//! ```
//!
//! On one core, what a reader loads was stored before or after a switch of domains, never between.
//! Therefore no barriers are needed beside the order of single accesses.
#![no_std]
#![forbid(unsafe_code)]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod reader;
mod record;
mod ring;
mod text;

pub use reader::RingReader;
pub use record::{Cause, Record};
pub use ring::{At, Own, Place, RING, Ring};
pub use text::{Header, print};
