// SPDX-License-Identifier: BSD-2-Clause
//! What operations have in common: who may use what, what is in the way, and how things go.

mod absence;
mod access;
mod accounts;
mod kernel;
mod leases;
mod mappings;
mod teardown;

pub(crate) use access::{span, span_of};
pub(crate) use accounts::{for_mappings, for_records};
pub(crate) use leases::{Asked, Need, locked_until};
pub(crate) use mappings::{check_flags, check_user_space, most_mappings, need_of, rights_for};
