// SPDX-License-Identifier: BSD-2-Clause
//! The setup that pmserver reads when it starts: the parts of its pool, and its peers.
//!
//! The setup comes from the system description file, which `support/system-description` reads. The
//! image tool writes it into one page of the image, and pmserver checks the page before it uses it.
//! All three use this crate, so that there is one set of checks and one format.
//!
//! | to find | look in |
//! |---|---|
//! | peers, accounts, privileges, and the checks of a setup | `setup.rs` |
//! | who calls whom | `call_graph.rs` |
//! | the format of the page: encode, decode | `page.rs` |
//! | parts of the pool, and how many pages pmserver uses itself | `pool.rs` |
//! | the slots of pmserver's CSpace | `slots.rs` |
//! | a pool that the initialiser hands over | `untyped_list.rs` |
//! | where a stopped peer goes on | [`LAST_RESORT`] |
#![no_std]
#![forbid(unsafe_code)]

mod call_graph;
mod page;
mod pool;
mod setup;
pub mod slots;
mod untyped_list;

/// Where every peer has the page of code that a stopped peer goes on in (PM-370). It answers each
/// caller with [`proto::ProtocolError::Stopped`], uses neither stack nor memory, and is nobody's to
/// write. Below everything that peers map, and in the same place as the setup in pmserver.
pub const LAST_RESORT: u64 = 0x0900_0000;

pub use call_graph::CallGraph;
pub use page::{SETUP_BYTES, decode, decode_with, encode, encode_without_pool};
pub use pool::{
    BLOCK_PAGES, Division, PARTS_MAX, PIECE_PAGES, POOL_PAGES_MAX, PoolPart, Run, SIZE_BITS,
    WINDOW, pages_without_account,
};
pub use setup::{NAME_BYTES_MAX, PeerConfig, Privileges, Setup, SetupError, Subject};
pub use untyped_list::{HandedOver, LIST_BYTES, parts_of};
