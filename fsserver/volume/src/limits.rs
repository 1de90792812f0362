// SPDX-License-Identifier: BSD-2-Clause
//! What is bounded, and why. An engine that runs out of memory aborts in most places; so what can
//! be asked of it is bounded before it is asked.

/// Groups of blocks: the engine keeps the descriptors of all (about 100 bytes each), and copies
/// them for each change: 1 TiB in blocks of 4 KiB.
pub(crate) const GROUPS_MAX: u32 = 8192;
/// Inodes: one bit each says which were checked.
pub(crate) const INODES_MAX: u32 = 1 << 24;
/// Blocks of a directory: the engine makes a list of all of them (26 bytes each) for many
/// operations, and looks at each to insert a name.
pub(crate) const DIRECTORY_BLOCKS_MAX: u64 = 2048;
/// Extents of a directory that may get more names: fewer than make a third node below the inode,
/// which the engine would forget to count.
pub(crate) const DIRECTORY_EXTENTS_MAX: usize = 80;
/// Extents of a directory in its inode.
pub(crate) const INLINE_EXTENTS: usize = 4;
/// Extents of a file that is read: the engine makes a list of all of them (40 bytes each) to tell
/// where some are.
pub(crate) const EXTENTS_MAX: usize = 16_384;
/// Extents of a file that is written: all nodes of its tree fit into one transaction.
pub(crate) const WRITTEN_EXTENTS_MAX: usize = 4096;
/// Extents that are freed at a time when a file is removed: the bitmaps of their groups fit into
/// one transaction, beside the nodes.
pub(crate) const FREED_EXTENTS: usize = 16;
/// Groups in which a file with a tree of three levels may have blocks, if it is to be removed: the
/// bitmaps of all of them, and their descriptors, change in one transaction.
pub(crate) const FREED_GROUPS_MAX: usize = 24;
/// Blocks of a file that was removed and is there still when the volume is mounted: the engine
/// makes a list of all of them (34 bytes each). 512 MiB in blocks of 4 KiB.
pub(crate) const ORPHAN_BLOCKS_MAX: u64 = 1 << 17;
/// Files that were removed and are there still.
pub(crate) const ORPHANS_MAX: usize = 256;
/// Files that are open.
pub(crate) const OPEN_MAX: usize = 1024;
/// Blocks of a journal: the engine makes lists of them (34 bytes each).
pub(crate) const JOURNAL_BLOCKS_MAX: u64 = 65_536;
/// mke2fs makes no smaller one.
pub(crate) const JOURNAL_BLOCKS_MIN: u64 = 1024;
/// Pieces of a journal.
pub(crate) const JOURNAL_EXTENTS_MAX: usize = 64;
/// Bytes of one write.
pub(crate) const WRITE_BYTES_MAX: usize = 1 << 20;
/// Changes between two syncs: the running transaction is in memory, and copied for each change.
pub(crate) const CHANGES_MAX: u32 = 64;
/// Bytes of the log after which the volume is mounted anew at a sync: the engine keeps all that it
/// has logged in memory until then.
pub(crate) const LOG_BYTES: u64 = 1 << 20;
/// Bytes of the log after which nothing is changed until it could be mounted anew. That it could
/// not is due to files that were removed and are open.
pub(crate) const LOG_BYTES_MAX: u64 = 6 << 20;
/// Blocks of extents that are read to check one file.
pub(crate) const NODES_MAX: u32 = 1024;
/// Directories above one that is moved.
pub(crate) const PARENTS_MAX: u32 = 1024;
