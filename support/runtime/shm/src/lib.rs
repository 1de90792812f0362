// SPDX-License-Identifier: BSD-2-Clause
//! Access to memory by raw address: copies into and out of windows that other domains may write
//! too, and device registers.
//!
//! Owns nothing. Only this crate, `support/runtime/heap` and the `regions` modules of the domains
//! may use `unsafe`. Every block names the invariant that it rests on, and `support/docs/unsafe.md`
//! lists them. Builds for the host, where its tests run.
#![no_std]
#![allow(unsafe_code)]
// Tests may overflow: they fail by panicking.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

mod access;
mod copy;

pub use access::{load, store};
pub use copy::{OwnMemory, copy_page};
