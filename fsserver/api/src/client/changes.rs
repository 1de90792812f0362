// SPDX-License-Identifier: BSD-2-Clause
//! The operations that change the volume.

use pmserver_api::ContainerHandle;
use proto::{FrameNumber, Transport, Waiter};

use super::{Client, length_of};
use crate::arguments::{FileHandle, ReadLength, TwoPaths};
use crate::change::Change;
use crate::error::CallError;
use crate::ops::Request;

impl<T: Transport, W: Waiter> Client<T, W> {
    /// Writes bytes to a file, from the start of frame `start` of the container on. Returns how
    /// many bytes.
    ///
    /// # Errors
    /// See [`Change::Write`].
    pub fn write(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        offset: u64,
        start: FrameNumber,
        length: ReadLength,
    ) -> Result<u64, CallError> {
        let write = Change::Write { file, container, offset, start, length };
        self.call(Request::Change(write)).map(|[bytes]| bytes)
    }

    /// Makes a file smaller, or larger by zeros.
    ///
    /// # Errors
    /// See [`Change::Truncate`].
    pub fn truncate(&mut self, file: FileHandle, size_bytes: u64) -> Result<(), CallError> {
        self.change(Change::Truncate { file, size_bytes })
    }

    /// Makes an empty file and opens it. Its path is at the start of the container.
    ///
    /// # Errors
    /// See [`Change::Create`].
    pub fn create(
        &mut self,
        container: ContainerHandle,
        path_bytes: usize,
    ) -> Result<FileHandle, CallError> {
        let path_bytes = length_of(path_bytes)?;
        let [file] = self.call(Request::Change(Change::Create { container, path_bytes }))?;
        Ok(FileHandle::from_raw(file))
    }

    /// Makes an empty directory, whose path is at the start of the container.
    ///
    /// # Errors
    /// See [`Change::MakeDir`].
    pub fn make_dir(
        &mut self,
        container: ContainerHandle,
        path_bytes: usize,
    ) -> Result<(), CallError> {
        let path_bytes = length_of(path_bytes)?;
        self.change(Change::MakeDir { container, path_bytes })
    }

    /// Removes a name of a file that is no directory.
    ///
    /// # Errors
    /// See [`Change::Unlink`].
    pub fn unlink(
        &mut self,
        container: ContainerHandle,
        path_bytes: usize,
    ) -> Result<(), CallError> {
        let path_bytes = length_of(path_bytes)?;
        self.change(Change::Unlink { container, path_bytes })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// See [`Change::RemoveDir`].
    pub fn remove_dir(
        &mut self,
        container: ContainerHandle,
        path_bytes: usize,
    ) -> Result<(), CallError> {
        let path_bytes = length_of(path_bytes)?;
        self.change(Change::RemoveDir { container, path_bytes })
    }

    /// Gives a file or directory another name. The old and the new path are one after the other at
    /// the start of the container.
    ///
    /// # Errors
    /// See [`Change::Rename`].
    pub fn rename(
        &mut self,
        container: ContainerHandle,
        from_bytes: usize,
        to_bytes: usize,
    ) -> Result<(), CallError> {
        let paths = TwoPaths::new(from_bytes, to_bytes)?;
        self.change(Change::Rename { container, paths })
    }

    /// Gives a file one more name. The existing and the new path are where `rename` has them.
    ///
    /// # Errors
    /// See [`Change::Link`].
    pub fn link(
        &mut self,
        container: ContainerHandle,
        existing_bytes: usize,
        new_bytes: usize,
    ) -> Result<(), CallError> {
        let paths = TwoPaths::new(existing_bytes, new_bytes)?;
        self.change(Change::Link { container, paths })
    }

    /// Makes a symbolic link. Where it leads to and its path are where `rename` has the paths.
    ///
    /// # Errors
    /// See [`Change::Symlink`].
    pub fn symlink(
        &mut self,
        container: ContainerHandle,
        target_bytes: usize,
        path_bytes: usize,
    ) -> Result<(), CallError> {
        let paths = TwoPaths::new(target_bytes, path_bytes)?;
        self.change(Change::Symlink { container, paths })
    }

    /// Sets when a file was last read and changed, in seconds since 1970; `None` leaves it.
    ///
    /// # Errors
    /// See [`Change::SetTimes`].
    pub fn set_times(
        &mut self,
        file: FileHandle,
        accessed_seconds: Option<u32>,
        modified_seconds: Option<u32>,
    ) -> Result<(), CallError> {
        self.change(Change::SetTimes { file, accessed_seconds, modified_seconds })
    }

    /// Calls with a change that has no result but that it was done.
    fn change(&mut self, change: Change) -> Result<(), CallError> {
        self.call(Request::Change(change)).map(|[]| ())
    }
}
