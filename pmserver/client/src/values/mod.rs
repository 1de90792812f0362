// SPDX-License-Identifier: BSD-2-Clause
//! The values that programs hold, each with the operations on it. Dropping most of them releases
//! what they stand for.

mod account;
mod container;
mod container_ref;
mod fault;
mod grants;
mod heap;
mod lease;
mod mapping;
mod once;
mod rows;
mod share;
mod split_account;
mod states;
mod watch;

pub use account::Account;
pub use container::Container;
pub use container_ref::{ContainerRef, WeakContainer};
pub use fault::PendingFault;
pub use grants::Grants;
pub use heap::HeapMemory;
pub use lease::{Lease, Pin};
pub use mapping::{Mapping, Region};
pub use once::{ArmedShare, OnceShare, Taken};
pub use rows::Rows;
pub use share::Share;
pub use split_account::{LentAccount, SplitAccount};
pub use watch::Watch;
