// SPDX-License-Identifier: BSD-2-Clause
//! Protection domains: what is known of one, and what becomes of its faults.

pub(crate) mod fault;
pub(crate) mod peer;
