// SPDX-License-Identifier: BSD-2-Clause
//! The pool: pages, what they are used as, and the records that live in them.
//!
//! Knows nothing of containers.

pub(crate) mod cells;
pub(crate) mod chain;
pub(crate) mod frame_table;
pub(crate) mod free;
pub(crate) mod pool;
pub(crate) mod radix;
pub(crate) mod records;
