// SPDX-License-Identifier: BSD-2-Clause
//! Who pays: accounts as a tree with limits, and memory above the limits (protocol R4, R12, R16,
//! R17).
//!
//! An account is two records: `account.rs` has what it is charged, `ledger.rs` what it pays for.

pub(crate) mod account;
pub(crate) mod demand;
pub(crate) mod extra;
pub(crate) mod ledger;
pub(crate) mod loan;
pub(crate) mod payer;
pub(crate) mod pressure;
pub(crate) mod split;
