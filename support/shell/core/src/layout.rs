// SPDX-License-Identifier: BSD-2-Clause
//! Where the shell has channels, peers and room in its address space: as the system file says, or
//! leaves free.

use pmserver_client::VirtAddr;

pub use client_demo_core::HEAP;

/// The channel to pmserver.
pub const PMSERVER: u8 = 0;
/// The channel to fsserver.
pub(crate) const FSSERVER: u8 = 1;
/// The channel to the console, of which the shell is the reader.
pub const CONSOLE: u8 = 2;
/// The channel to the client that the shell lends memory to.
pub(crate) const CLIENT: u8 = 3;

/// The number of the client at pmserver.
pub(crate) const CLIENT_PEER: u8 = 5;

/// Where lent memory is mapped, by the client and by the shell: above what `client_demo_core` uses.
pub(crate) const LENT_WINDOW: VirtAddr = VirtAddr::new_page(0x1080_0000).unwrap();

/// An address that is mapped in no domain.
pub(crate) const NOWHERE: VirtAddr = VirtAddr::new_page(0x3F00_0000).unwrap();
