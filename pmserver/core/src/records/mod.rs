// SPDX-License-Identifier: BSD-2-Clause
//! Every type of record, and the small values that operations pass each other.
//!
//! A record knows its own fields and nothing else: it holds links to others and cannot follow them.

pub(crate) mod account;
pub(crate) mod broken;
pub(crate) mod budget;
pub(crate) mod cell;
pub(crate) mod container;
pub(crate) mod count;
pub(crate) mod failure;
pub(crate) mod frame;
pub(crate) mod handler;
pub(crate) mod id;
pub(crate) mod leaf;
pub(crate) mod lease;
pub(crate) mod ledger;
pub(crate) mod links;
pub(crate) mod loan;
pub(crate) mod mapping;
pub(crate) mod meter;
pub(crate) mod page;
pub(crate) mod peer;
pub(crate) mod places;
pub(crate) mod range;
pub(crate) mod region;
pub(crate) mod search;
pub(crate) mod share;
pub(crate) mod stock;
pub(crate) mod table;
