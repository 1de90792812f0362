// SPDX-License-Identifier: BSD-2-Clause
//! The operations: what each may be answered, and what it changes.

mod account;
mod allocate;
mod container;
mod copy;
mod create;
mod destroy;
mod grant;
mod handler;
mod lease;
mod mapping;
mod peer;
mod pin;
mod region;
mod share;
mod status;
mod take;

pub use peer::Fate;
