// SPDX-License-Identifier: BSD-2-Clause
//! Data from fsserver, through a container that the client pays for. One round is:
//!
//! ```text
//!   share      the client lends its container to fsserver, for one call
//!   call       fsserver locks the container, maps it, fills it, unmaps and unlocks it
//!   unshare    the client takes it back: fsserver can no longer reach it
//!   map        the client maps it, copies the data in, and unmaps it
//! ```
//!
//! The client looks at the data only after `unshare` has succeeded: from then on nobody else can
//! change it, even if fsserver is malicious (PM-60).

use fsserver_api::{CallError, Client, FileHandle, FileStatus, FsError, ReadLength};
use pmserver_client::{
    AddressSpace, Container, ContainerHandle, GrantMapper, MapFlags, Micros, PAGE_BYTES, PeerId,
    Pm, Rights, ShareTerms, Transport,
};
use proto::limits::LEASE_MICROS_MAX;
use proto::{FrameNumber, Waiter};

use crate::error::DemoError;
use crate::layout::{DATA_FRAMES, WINDOW};
use crate::path_page::PathPage;

/// Bytes of the largest round.
pub const ROUND_BYTES_MAX: u64 = DATA_FRAMES * PAGE_BYTES;

/// Both servers, and the memory between the client and fsserver. Dropping it releases the memory.
pub struct Transfer<'a, P: Transport, F: Transport, W: Waiter, A: AddressSpace> {
    pm: &'a Pm<P>,
    fs: &'a mut Client<F, W>,
    space: &'a mut A,
    fsserver: PeerId,
    path: PathPage<'a, P>,
    data: Container<'a, P>,
}

impl<'a, P: Transport, F: Transport, W: Waiter, A: AddressSpace> Transfer<'a, P, F, W, A> {
    /// Makes a container for data and the page for paths, both in the client's own account.
    ///
    /// # Errors
    /// What pmserver refuses.
    pub fn new(
        pm: &'a Pm<P>,
        fs: &'a mut Client<F, W>,
        space: &'a mut A,
        kernel: &mut impl GrantMapper,
        fsserver: PeerId,
    ) -> Result<Self, DemoError> {
        let data = pm.account().create_container()?;
        data.allocate(0..DATA_FRAMES)?;
        let path = PathPage::new(pm, kernel, fsserver)?;
        Ok(Self { pm, fs, space, fsserver, path, data })
    }

    /// Releases the memory. Dropping the value does the same, but cannot report an error.
    pub(crate) fn finish(self) -> Result<(), DemoError> {
        self.path.release(self.pm)?;
        self.data.destroy()?;
        Ok(())
    }

    /// Opens a file or directory by its path relative to the root.
    ///
    /// # Errors
    /// [`DemoError::Fs`]; [`DemoError::PathTooLong`].
    pub fn open(&mut self, path: &[u8]) -> Result<FileHandle, DemoError> {
        let path_bytes = self.path.write(self.space, path)?;
        self.fs
            .lookup(self.path.weak(), path_bytes)
            .map_err(|error| DemoError::Fs("looking up a path", error))
    }

    /// Closes a file or directory.
    ///
    /// # Errors
    /// [`DemoError::Fs`].
    pub fn close(&mut self, file: FileHandle) -> Result<(), DemoError> {
        self.fs.close(file).map_err(|error| DemoError::Fs("closing", error))
    }

    /// Returns kind, size and times of an open file.
    ///
    /// # Errors
    /// [`DemoError::Fs`].
    pub fn stat(&mut self, file: FileHandle) -> Result<FileStatus, DemoError> {
        self.fs.stat(file).map_err(|error| DemoError::Fs("asking for a size", error))
    }

    /// Passes the contents of a file to `take`, round by round.
    pub(crate) fn read(
        &mut self,
        file: FileHandle,
        take: impl FnMut(&[u8]),
    ) -> Result<(), DemoError> {
        self.read_from(file, &mut 0, ROUND_BYTES_MAX, take)
    }

    /// Passes the contents of a file from `offset` on to `take`, in rounds of at most so many
    /// bytes. If it fails, `take` has had what is before `offset`, and nothing more.
    ///
    /// # Errors
    /// What the servers refuse.
    pub fn read_from(
        &mut self,
        file: FileHandle,
        offset: &mut u64,
        round_bytes: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), DemoError> {
        let round_bytes = round_bytes.min(ROUND_BYTES_MAX);
        let size_bytes = self.stat(file)?.size_bytes;
        while let Some(left @ 1..) = size_bytes.checked_sub(*offset) {
            let asked = left.min(round_bytes);
            let length = ReadLength::new(asked).ok_or(DemoError::ReadLength)?;
            let (first, from) = (FrameNumber::new(0), *offset);
            let bytes = self.lend(|fs, weak| fs.read(file, weak, from, first, length))?;
            if bytes != asked {
                return Err(DemoError::ReadLength);
            }
            self.copy_in(bytes, |piece| {
                take(piece);
                Ok(())
            })?;
            *offset = from.saturating_add(bytes);
        }
        Ok(())
    }

    /// Makes a directory.
    pub(crate) fn make_dir(&mut self, path: &[u8]) -> Result<(), DemoError> {
        let path_bytes = self.path.write(self.space, path)?;
        let made = self.fs.make_dir(self.path.weak(), path_bytes);
        made.map_err(|error| DemoError::Fs("making a folder", error))
    }

    /// Makes an empty file, also where there was one, and opens it.
    pub(crate) fn create(&mut self, path: &[u8]) -> Result<FileHandle, DemoError> {
        let path_bytes = self.path.write(self.space, path)?;
        let mut made = self.fs.create(self.path.weak(), path_bytes);
        if matches!(&made, Err(error) if error.refusal() == Some(FsError::Exists)) {
            let removed = self.fs.unlink(self.path.weak(), path_bytes);
            removed.map_err(|error| DemoError::Fs("removing a file", error))?;
            made = self.fs.create(self.path.weak(), path_bytes);
        }
        made.map_err(|error| DemoError::Fs("making a file", error))
    }

    /// Gives a file another name.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), DemoError> {
        let (from_bytes, to_bytes) = self.path.write_two(self.space, from, to)?;
        let renamed = self.fs.rename(self.path.weak(), from_bytes, to_bytes);
        renamed.map_err(|error| DemoError::Fs("renaming a file", error))
    }

    /// Makes what was written to a file last.
    pub(crate) fn sync(&mut self, file: FileHandle) -> Result<(), DemoError> {
        self.fs.sync_file(file).map_err(|error| DemoError::Fs("syncing a file", error))
    }

    /// Makes all that was done last.
    pub(crate) fn sync_all(&mut self) -> Result<(), DemoError> {
        self.fs.sync().map_err(|error| DemoError::Fs("syncing", error))
    }

    /// Writes so many bytes to a file, round by round. `fill` makes each page of them.
    pub(crate) fn write(
        &mut self,
        file: FileHandle,
        size_bytes: u64,
        mut fill: impl FnMut(&mut [u8]),
    ) -> Result<(), DemoError> {
        let mut offset = 0;
        while let Some(left @ 1..) = size_bytes.checked_sub(offset) {
            let bytes = left.min(ROUND_BYTES_MAX);
            let flags = MapFlags::WRITE | MapFlags::FORCE_WRITE;
            let mapping = self.data.map(0..bytes.div_ceil(PAGE_BYTES), WINDOW, flags)?;
            let mut page = [0; 4096];
            for done in (0..bytes).step_by(page.len()) {
                fill(&mut page);
                mapping.copy_out(self.space, &page, done)?;
            }
            mapping.unmap()?;
            let length = ReadLength::new(bytes).ok_or(DemoError::ReadLength)?;
            let first = FrameNumber::new(0);
            let written = self.lend(|fs, weak| fs.write(file, weak, offset, first, length))?;
            if written != bytes {
                return Err(DemoError::ReadLength);
            }
            offset = offset.saturating_add(bytes);
        }
        Ok(())
    }

    /// Lends the container for data to fsserver for one call, and takes it back.
    pub(crate) fn lend<R>(
        &mut self,
        call: impl FnOnce(&mut Client<F, W>, ContainerHandle) -> Result<R, CallError>,
    ) -> Result<R, DemoError> {
        let terms = ShareTerms {
            peer: self.fsserver,
            rights: Rights::READ | Rights::WRITE | Rights::LOCK,
            // A lock of fsserver's ends after this time even if fsserver never unlocks.
            lease_max: Micros::new(LEASE_MICROS_MAX),
            once: false,
        };
        let share = self.data.share(0..DATA_FRAMES, terms)?;
        let result = call(self.fs, share.weak_handle());
        // Whatever fsserver answered: the container is taken back before anything else.
        share.unshare()?;
        result.map_err(|error| DemoError::Fs("reading or writing", error))
    }

    /// Passes the first `bytes` bytes of the container to `take`, in pieces of at most a page.
    pub(crate) fn copy_in(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), DemoError>,
    ) -> Result<(), DemoError> {
        let frames = bytes.div_ceil(PAGE_BYTES);
        if frames > DATA_FRAMES {
            return Err(DemoError::ReadLength);
        }
        if frames == 0 {
            return Ok(());
        }
        let mapping = self.data.map(0..frames, WINDOW, MapFlags::READ)?;
        let mut page = [0; 4096];
        let mut done: u64 = 0;
        while let Some(left @ 1..) = bytes.checked_sub(done) {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(page.len());
            let piece = page.get_mut(..length).unwrap_or_default();
            mapping.copy_in(self.space, done, piece)?;
            take(piece)?;
            done = done.saturating_add(PAGE_BYTES);
        }
        mapping.unmap()?;
        Ok(())
    }
}
