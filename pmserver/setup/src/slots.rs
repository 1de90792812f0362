// SPDX-License-Identifier: BSD-2-Clause
//! The slots of pmserver's CSpace.
//!
//! The CSpace of a protection domain is a root CNode of 64 slots over a leaf CNode of 512 slots in
//! root slot 0 (Microkit).
//!
//! ```text
//!   root slots
//!     1        CNode with untyped memory that the initialiser hands over    given, if it does
//!     3        CNode for what devices behind an IOMMU may access           made by pmserver
//!     4        CNode for the pieces of blocks                              made by pmserver
//!     5        CNode for the blocks of the pool                            made by pmserver
//!     6        page table under which pages are copied                     made by pmserver
//!     7        pmserver's own TCB                                          given
//!     8 .. 27  the pool: untyped memory (`cap_untyped`)                    given
//!     28, 29   CNodes for the pages of the pool                            made by pmserver
//!     30, 31   two frames while one is copied to the other                 made by pmserver
//!     32 + n   VSpace of peer n; 32 is pmserver's own                      given
//!   leaf slots
//!     458 + i  address space of the ith device behind an IOMMU              given
//!     477      the CNode for devices again                                  made by pmserver
//!     478, 479 those for pages again: a path from here has a step less      made by pmserver
//!     480 + n  root CNode of peer n; 480 is pmserver's own                 given
//! ```

use core::ops::RangeInclusive;

/// The CNode with the untyped memory that is left after initialisation, if the initialiser hands
/// that over; all bits of an address through it name a slot.
pub const HANDED_OVER: u32 = 1;
/// The CNode in which slot p is the capability by which page p is in the address space of a device.
/// It is there only if a device is behind an IOMMU.
pub const BUS: u32 = 3;
/// The CNode in which slot n is the untyped object of the piece that begins at one of the pages
/// from `64 * n` on: at most one does.
pub const PIECES: u32 = 4;
/// The CNode in which slot n is the untyped object of the block that begins at one of the pages
/// from `512 * n` on: at most one does.
pub const BLOCKS: u32 = 5;
/// The page table under which pages are copied.
pub const COPY_TABLE: u32 = 6;
/// pmserver's own TCB: its authority to lower the priority of a peer that it stops.
pub const OWN_TCB: u32 = 7;
/// The parts of the pool.
pub const POOL: RangeInclusive<u32> = 8..=27;
/// The CNode in which slot p is the untyped object of page p.
pub const UNTYPEDS: u32 = 28;
/// The CNode in which slot p is the object made from page p.
pub const OBJECTS: u32 = 29;
/// The frame that is copied from.
pub const COPY_SOURCE: u32 = 30;
/// The frame that is copied to.
pub const COPY_TARGET: u32 = 31;
/// pmserver's own VSpace; the one of peer n is n slots further on.
pub const VSPACES: u32 = 32;
/// In the leaf CNode: the address spaces of devices behind an IOMMU, in the order of their peers.
pub const IO_SPACES: RangeInclusive<u32> = 458..=473;
/// In the leaf CNode: the CNode of [`BUS`] again.
pub const LEAF_BUS: u32 = 477;
/// In the leaf CNode: the CNode of [`UNTYPEDS`] again.
pub const LEAF_UNTYPEDS: u32 = 478;
/// In the leaf CNode: the CNode of [`OBJECTS`] again.
pub const LEAF_OBJECTS: u32 = 479;
/// In the leaf CNode: pmserver's own root CNode; the one of peer n is n slots further on.
pub const ROOT_CNODES: u32 = 480;

/// In a peer's root CNode: the CNode with the frames that it was granted.
pub const GRANTS: u32 = 40;

/// Root slots that pmserver fills itself, so that they must be empty when it starts.
pub const FILLED_BY_PMSERVER: [u32; 8] =
    [BUS, PIECES, BLOCKS, COPY_TABLE, UNTYPEDS, OBJECTS, COPY_SOURCE, COPY_TARGET];

/// Leaf slots that pmserver fills itself.
pub const LEAF_FILLED_BY_PMSERVER: [u32; 3] = [LEAF_BUS, LEAF_UNTYPEDS, LEAF_OBJECTS];
