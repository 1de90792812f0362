// SPDX-License-Identifier: BSD-2-Clause
//! Access to memory by raw address: copies to and from memory that other domains may also write,
//! and device registers.
//!
//! Owns nothing. Only this crate, `support/runtime/heap` and the `regions` modules of the domains
//! may use `unsafe`. Every block names the invariant that it relies on; `support/docs/unsafe.md`
//! lists them all. The crate also builds for the host, where its tests run.
#![no_std]
#![allow(unsafe_code)]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod access;
mod bytes;
mod copy;

pub use access::{load, store};
pub use copy::{OwnMemory, clear, clear_code, copy, copy_code};
