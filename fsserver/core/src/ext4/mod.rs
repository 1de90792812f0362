// SPDX-License-Identifier: BSD-2-Clause
//! Reads an ext4 file system that may have been made to harm: exactly, or not at all.
//!
//! Nothing is allocated, no more is read in a call than [`Disk::start_call`] allows, and all
//! metadata is checked before it is used: checksums first, then whatever a right checksum does not
//! promise. What is not understood is an error that says so.
//!
//! ```text
//!   walk        paths
//!   directory   entries
//!   contents    the bytes of a file, the target of a symlink
//!   inode       what a file is
//!   map         where its blocks are
//!   disk        the superblock, blocks, and how many a call may read
//!   bytes       numbers and checksums
//! ```

mod bytes;
mod contents;
mod directory;
mod disk;
mod inode;
mod map;
mod walk;

pub(crate) use bytes::Block;
pub(crate) use contents::{Contents, LastRuns, Piece};
pub(crate) use directory::{Entry, blocks_of, entry_at, read_entries};
pub(crate) use disk::Disk;
pub(crate) use inode::Inode;
pub(crate) use walk::{Places, find_path};
