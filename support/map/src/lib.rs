// SPDX-License-Identifier: BSD-2-Clause
//! A map of the memory, from a snapshot of pmserver's books.
//!
//! | module | what it does |
//! |---|---|
//! | `page` | puts the page together |
//! | `accounts` | the accounts as a treemap, and in numbers |
//! | `pool` | the pages of the pool in their order, by what they are used as |
//! | `shares` | what is lent to whom |
//! | `mappings` | what each domain has mapped |
//! | `drawing` | elements of pages and drawings |
//! | `snapshot` | reads the lines that the shell has printed |
#![forbid(unsafe_code)]

mod accounts;
mod drawing;
mod mappings;
mod page;
mod pool;
mod shares;
mod snapshot;

pub use page::page;
pub use snapshot::Snapshot;
