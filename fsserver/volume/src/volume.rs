// SPDX-License-Identifier: BSD-2-Clause
//! The seam upwards: what a file server asks of a file system.

use alloc::vec::Vec;

use crate::error::Error;

/// The number of a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inode(u32);

impl Inode {
    /// Returns the number, if it can be one.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, a pipe or a socket.
    Special,
}

/// Seconds since 1970, and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: u32,
    /// Nanoseconds, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// A clock.
pub trait Clock: Clone + Send + 'static {
    /// Returns the time.
    fn now(&self) -> Time;
}

/// What is known of a file. Times are whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is.
    pub kind: Kind,
    /// How large it is.
    pub size_bytes: u64,
    /// How many names it has; 0 if it was removed and is open still.
    pub links: u32,
    /// Seconds since 1970 at which it was last read.
    pub accessed_seconds: u32,
    /// Seconds since 1970 at which its contents last changed.
    pub modified_seconds: u32,
    /// Seconds since 1970 at which what is known of it last changed.
    pub changed_seconds: u32,
}

/// A place in a directory, for the volume that has made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub(crate) Place);

/// Where a listing goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Start,
    Offset(u64),
    Hash { major: u32, minor: u32, ordinal: u32 },
    End,
}

impl Cursor {
    /// Before the first entry.
    pub const START: Self = Self(Place::Start);

    /// Returns whether this is after the last entry.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self.0, Place::End)
    }
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it names.
    pub inode: Inode,
    /// What that is.
    pub kind: Kind,
    /// The name: any bytes but NUL and the slash.
    pub name: Vec<u8>,
    /// The place after it.
    pub next: Cursor,
}

/// Where consecutive bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The byte of the disk at which they begin, or `None` if they read as zeros.
    pub start: Option<u64>,
    /// How many.
    pub bytes: u64,
}

/// How much a volume has, and how much is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// All blocks.
    pub blocks: u64,
    /// Blocks that are free.
    pub free_blocks: u64,
    /// All inodes.
    pub inodes: u32,
    /// Inodes that are free.
    pub free_inodes: u32,
}

/// A file system that is mounted. Files are named by their inodes; paths are the caller's.
///
/// What was done stays when `sync` has returned. If the power fails before, each file is as it was
/// at the last sync or as it is now, and never has bytes of another one.
///
/// All operations fail with [`Error::Io`], [`Error::Damaged`], [`Error::Unsupported`] and
/// [`Error::TooLarge`]; those that change something with [`Error::ReadOnly`] and
/// [`Error::NoSpace`], too.
#[allow(clippy::missing_errors_doc)] // The errors of all are above, those of each in its doc.
pub trait Volume {
    /// Returns the root directory.
    fn root(&self) -> Inode;

    /// Returns what is known of a file.
    fn status(&mut self, inode: Inode) -> Result<Status, Error>;

    /// Returns what a name in a directory stands for; `NotFound`, `NotADirectory`.
    fn lookup(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error>;

    /// Returns at most so many entries of a directory, from a place on, `.` and `..` among them; no
    /// entries at the end. `NotADirectory`. An entry that is made or removed meanwhile may or may
    /// not be found, every other one is found once.
    fn read_dir(
        &mut self,
        directory: Inode,
        from: Cursor,
        most: usize,
    ) -> Result<Vec<Entry>, Error>;

    /// Returns where a symbolic link leads to; `BadName` if it is none.
    fn read_link(&mut self, inode: Inode) -> Result<Vec<u8>, Error>;

    /// Fills `to` with the bytes of a file from `offset` on, and returns how many there are;
    /// `IsADirectory`.
    fn read(&mut self, inode: Inode, offset: u64, to: &mut [u8]) -> Result<usize, Error>;

    /// Returns where at most so many bytes of a file are on the disk, from `offset` on: for DMA. At
    /// most [`RUNS_MAX`] runs, without gaps; fewer bytes if the file ends before.
    ///
    /// The disk has there what the file has only if the file was not written, truncated or made
    /// since the last `sync` ([`Volume::is_clean`]), and only until it is written, truncated or
    /// removed. Never write to the disk there: the volume may have blocks of it in memory.
    fn extents(&mut self, inode: Inode, offset: u64, bytes: u64) -> Result<Vec<Run>, Error>;

    /// Returns whether the disk has what the file has.
    fn is_clean(&self, inode: Inode) -> bool;

    /// Writes bytes to a file, which may make it larger; `IsADirectory`. At most 1 MiB at a time,
    /// or `TooLarge`.
    fn write(&mut self, inode: Inode, offset: u64, from: &[u8]) -> Result<(), Error>;

    /// Makes a file smaller, or larger by zeros; `IsADirectory`.
    fn truncate(&mut self, inode: Inode, size_bytes: u64) -> Result<(), Error>;

    /// Makes an empty file; `Exists`, `BadName`, `NameTooLong`.
    fn create(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error>;

    /// Makes an empty directory; errors as `create`.
    fn make_dir(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error>;

    /// Makes a symbolic link to `target`; errors as `create`.
    fn symlink(&mut self, directory: Inode, name: &[u8], target: &[u8]) -> Result<Inode, Error>;

    /// Gives a file one more name; errors as `create`, `IsADirectory`, `TooManyLinks`.
    fn link(&mut self, inode: Inode, directory: Inode, name: &[u8]) -> Result<(), Error>;

    /// Removes a name of a file; `NotFound`, `IsADirectory`. The file is gone with its last name,
    /// or when it is closed.
    fn unlink(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error>;

    /// Removes an empty directory; `NotFound`, `NotADirectory`, `NotEmpty`.
    fn remove_dir(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error>;

    /// Renames a file or directory, in one step: what the new name stood for is replaced.
    /// `NotFound`; `IsADirectory`, `NotADirectory` and `NotEmpty` if that cannot be replaced by
    /// this.
    fn rename(
        &mut self,
        directory: Inode,
        name: &[u8],
        new_directory: Inode,
        new_name: &[u8],
    ) -> Result<(), Error>;

    /// Sets when a file was last read and changed.
    fn set_times(
        &mut self,
        inode: Inode,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<(), Error>;

    /// Keeps a file even if its last name is removed; `Busy` if too many are open.
    fn open(&mut self, inode: Inode) -> Result<(), Error>;

    /// Ends one `open`.
    fn release(&mut self, inode: Inode);

    /// Returns when all that was done is on the disk.
    fn sync(&mut self) -> Result<(), Error>;

    /// Returns how much space there is.
    fn space(&self) -> Space;

    /// Unmounts: all is on the disk and the journal is empty. Everything fails with `Io` then.
    fn close(&mut self) -> Result<(), Error>;
}

/// The runs that one [`Volume::extents`] returns, at most.
pub const RUNS_MAX: usize = 256;
