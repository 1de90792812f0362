// SPDX-License-Identifier: BSD-2-Clause
//! What the clients of a disk share with the rival of the disk bench: its procedures, and how
//! blocks are moved between a disk and a container, several requests at a time.
#![no_std]
#![forbid(unsafe_code)]

mod procedure;
mod transfer;

pub use procedure::{Answer, Procedure, SHARE, SHARE_BYTES, SHARE_FRAMES};
pub use transfer::{Direction, Transfer};
