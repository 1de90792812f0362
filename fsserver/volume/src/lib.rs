// SPDX-License-Identifier: BSD-2-Clause
//! A file system on a disk, between two seams: [`BlockDevice`] is what it asks of a disk,
//! [`Volume`] what a file server asks of it. In between, [`Ext4`] is ext4 by the engine `rsext4`,
//! as the registry has it, with what is needed so that its faults harm nobody (decision 0045).
//!
//! ```text
//!   file server
//!      Volume         inodes, names, bytes, runs of blocks; errors of its own
//!        Ext4         checks, order, bounds
//!          rsext4     ext4 and its journal
//!      BlockDevice    blocks of 512 bytes; returns when it is done
//!   disk, or a Part of one, found by partition::find
//! ```
//!
//! A call returns when the disk has done its part, so whoever must not wait runs the volume on a
//! coroutine of its own. Nothing here knows of time, threads or the platform. A volume belongs to
//! one owner.
//!
//! # What holds
//!
//! - What is read is exact, or an error. What is not supported is named by a [`Feature`]. For
//!   writing, a volume needs extents, a journal of its own and metadata checksums, and no recorded
//!   errors; the others can be read. A journal that has to be replayed needs [`Access::Write`].
//!   `tests/suite/kinds.rs` is a table of kinds of images.
//! - After a power cut at any write, e2fsck has nothing to repair; what was synced is there; every
//!   file is as it was at the last sync or as it was made since, byte by byte, and never has bytes
//!   of another file. A removed or replaced file is freed only after its removal was committed, and
//!   `truncate` to a smaller size is a `sync`.
//! - Memory is bounded: about 3 MiB for what the tests do, 4 MiB asserted, and for what is on the
//!   disk the bounds of `limits.rs`. What goes beyond is [`Error::TooLarge`] or [`Error::NoSpace`].
//!   The engine keeps what it has logged in memory, so a `sync` after 1 MiB of that unmounts the
//!   volume and mounts it again, which needs 20 or so accesses to the disk. While a file that was
//!   removed is open, that is not possible; after 6 MiB changes fail with [`Error::Busy`].
//! - When a write has failed, everything fails with [`Error::Io`] until [`Ext4::mount_again`].
//!
//! # Faults of rsext4 0.9.2 that are worked around
//!
//! - Blocks that were freed are used again before that is committed: `syncing.rs`.
//! - Freeing a file leaks what was allocated and not written, also after a write without space: the
//!   file is truncated first.
//! - Unmounting fails if the journal is nearly full and nothing has changed: the root's time of
//!   access is set.
//! - Unmounting and replaying write a superblock that says that the journal is empty before it is,
//!   and mounting logs before the superblock says that it does: `disk.rs`.
//! - Replaying says in the journal's superblock that the log is empty without a flush of what it
//!   has written: a power cut then loses what was synced. There is one now: `disk.rs`.
//! - An indexed directory forgets to count two blocks when its extents leave its inode: they are
//!   added on the disk, `counts.rs`. If the power fails between the commit and that (which is
//!   later while a file that was removed is open), e2fsck corrects it.
//! - The inode bitmap of a group is not padded when it is first used: `groups.rs`.
//! - Renaming fails if a block of a directory has to be split for the new name: the name is made
//!   and removed before, and the rename tried again.
//! - A file that grows shows what a write that a crash has cut off has left in its last block,
//!   behind its end: that is cleared before, `contents.rs`.
//! - Reading a file changes its time of access, and so the disk: files that were not changed are
//!   read by way of their extents. Times of access are not kept.
//! - A short symlink whose inode has a block of attributes cannot be read: its target is read
//!   beside the engine.
//! - A leaf without extents and files with unknown flags are read as zeros, and a directory may
//!   make it allocate hundreds of MiB: inodes are checked beside the engine before it sees them,
//!   `inspect.rs`.
//! - Mounting for writing makes a new root if that is no directory: it is refused. A `lost+found`
//!   that is missing is made, as by e2fsck.
//!
//! # Faults of rsext4 0.9.2 that users must know
//!
//! - A file whose extents need a tree of three levels (more than 168 extents in blocks of 1 KiB,
//!   680 in those of 4 KiB) cannot be truncated to a smaller size: `TooLarge`. It can be removed,
//!   if its blocks are in at most 24 groups. A file that would get more than 4096 extents is not
//!   written.
//! - If the power fails while a removed file is not freed yet, mounting frees it, with a list of
//!   its blocks in memory. A file above 131,072 blocks is not accepted there, nor is one with a
//!   block map, or with blocks in more than some 40 groups: e2fsck has to free it. What such a file
//!   had allocated and not written leaks, until e2fsck finds it.
//! - A directory has at most 2044 blocks, and in pieces at most 80, before it takes no more names:
//!   `NoSpace`, with room elsewhere. Making a name looks at all blocks of a directory without
//!   index.
//! - Files and directories with a block map are read, not changed.
//! - In a volume whose groups are smaller than a bitmap (by an option of mke2fs), the rest of the
//!   bitmap of blocks is not set when a group is first used: `e2fsck -p` sets it.
//! - Free blocks are searched for from the first group on, so large volumes that are nearly full
//!   are slow.
//! - Memory that is not there aborts the engine in most places. The bounds above are what keeps it
//!   from asking for more; give it 8 MiB and let a fault of the whole be recovered from.
//! - Its stack: 32 KiB were enough in all tests, 24 KiB were not. Give it 64.
//! - On aarch64 its checksums read ID_AA64ISAR0_EL1, which user level may not: the image tool
//!   replaces the instruction (decision 0046).
//! - Times are seconds of 32 bits, without sign: 1970 to 2106.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod block_device;
mod error;
mod ext4;
mod limits;
pub mod partition;
mod volume;

pub use block_device::{BLOCK_BYTES, BlockDevice, DeviceError};
pub use error::{Error, Feature};
pub use ext4::{Access, Ext4};
pub use volume::{Clock, Cursor, Entry, Inode, Kind, RUNS_MAX, Run, Space, Status, Time, Volume};
