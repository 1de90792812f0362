// SPDX-License-Identifier: BSD-2-Clause
//! What the file system can be asked, and what it answers.

use alloc::vec::Vec;

use fsserver_api::FileStatus;
use fsserver_volume::{Cursor, Entry, Inode, Space, Time};
use pmserver_client::{Micros, Pages};

use crate::disk::Target;

/// What the file system is to do. Paths are absolute and were checked; they begin at `root`, which
/// is a path of names alone, and lead nowhere else.
pub(crate) enum Job {
    /// Finds what a path leads to.
    Find { root: &'static str, path: Vec<u8> },
    /// Returns what is known of a file.
    Status(Inode),
    /// Returns at most so many entries of a directory.
    List { directory: Inode, from: Cursor, most: usize },
    /// Returns where a symbolic link leads to.
    ReadLink(Inode),
    /// Reads so many bytes of a file, from `offset` on, into memory, which is all zero or has room
    /// for no more. What is behind them in the last block may become anything.
    Fill { inode: Inode, offset: u64, bytes: u64, target: Target },
    /// Changes something, at a time on pmserver's clock. `open` are the files that are open.
    Change { root: &'static str, change: Change, now: Micros, open: Vec<Inode> },
    /// Makes all changes last.
    Sync,
    /// Says that a file is not open any more that was when it was removed.
    Release(Inode),
    /// Returns how much space there is.
    Space,
}

/// A change of the file system.
pub(crate) enum Change {
    /// Writes the first `bytes` of mapped pages to a file.
    Write { inode: Inode, offset: u64, from: Pages, bytes: u64 },
    /// Makes a file smaller, or larger by zeros.
    Truncate { inode: Inode, size_bytes: u64 },
    /// Makes an empty file.
    Create(Vec<u8>),
    /// Makes a directory.
    MakeDir(Vec<u8>),
    /// Removes a name of a file.
    Unlink(Vec<u8>),
    /// Removes a directory.
    RemoveDir(Vec<u8>),
    /// Gives a file another name.
    Rename(Vec<u8>, Vec<u8>),
    /// Gives a file one more name.
    Link(Vec<u8>, Vec<u8>),
    /// Makes a symbolic link to the first, with the second as its path.
    Symlink(Vec<u8>, Vec<u8>),
    /// Sets the times of a file.
    SetTimes { inode: Inode, accessed: Option<Time>, modified: Option<Time> },
}

/// A file that was found or changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) inode: Inode,
    pub(crate) status: FileStatus,
}

/// What a job has brought.
pub(crate) enum Answer {
    /// It is done. The file is one that was removed while it was open, and has to be released.
    Done(Option<Inode>),
    /// It can be read only into memory that is not taken back meanwhile.
    Elsewhere,
    /// It is done, and this is the file now.
    File(Found),
    /// Entries of a directory.
    Entries(Vec<Entry>),
    /// Where a symbolic link leads to.
    Link(Vec<u8>),
    /// How much space there is.
    Space(Space),
}
