// SPDX-License-Identifier: BSD-2-Clause
//! The client side: one method per operation.

use pmserver_api::ContainerHandle;
use proto::{FrameCount, FrameNumber, Transport};

use crate::arguments::{DirectoryCookie, FileHandle, ReadLength};
use crate::error::{CallError, FsError};
use crate::ops::Request;
use crate::reply::{FileStatus, Identity, Listed};
use crate::short_path::{SHORT_PATH_BYTES_MAX, ShortPath};

/// Calls fsserver over a transport. Every method is one protected procedure call. [`Request`]
/// documents what each operation does, costs and refuses.
pub struct Client<T: Transport> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// Returns a client that calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    /// Returns the transport.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        CallError::check(&self.transport.call(request.encode()))
    }

    /// Returns the protocol version and the peer to share containers to.
    ///
    /// # Errors
    /// [`CallError`], as every method here.
    pub fn version(&mut self) -> Result<Identity, CallError> {
        Ok(Identity::decode(self.call(Request::Version)?)?)
    }

    /// Opens a file or directory by its path, which is at the start of the container.
    ///
    /// # Errors
    /// [`FsError::BadPath`] and [`FsError::PathTooLong`] for a length that no path has; see
    /// [`Request::Lookup`].
    pub fn lookup(
        &mut self,
        container: ContainerHandle,
        path_bytes: usize,
    ) -> Result<FileHandle, CallError> {
        let path_bytes = u16::try_from(path_bytes)
            .map_err(|_: core::num::TryFromIntError| FsError::PathTooLong)?;
        let [file] = self.call(Request::Lookup { container, path_bytes })?;
        Ok(FileHandle::from_raw(file))
    }

    /// Opens a file or directory by a path of at most 32 bytes, without a container.
    ///
    /// # Errors
    /// [`FsError::PathTooLong`] for a longer path, [`FsError::BadPath`] for an empty one or one
    /// with NUL; see [`Request::LookupShort`].
    pub fn lookup_short(&mut self, path: &[u8]) -> Result<FileHandle, CallError> {
        let is_long = path.len() > SHORT_PATH_BYTES_MAX;
        let error = if is_long { FsError::PathTooLong } else { FsError::BadPath };
        let path = ShortPath::new(path).ok_or(error)?;
        let [file] = self.call(Request::LookupShort { path })?;
        Ok(FileHandle::from_raw(file))
    }

    /// Returns kind and size of an open file.
    ///
    /// # Errors
    /// See [`Request::Stat`].
    pub fn stat(&mut self, file: FileHandle) -> Result<FileStatus, CallError> {
        Ok(FileStatus::decode(self.call(Request::Stat { file })?)?)
    }

    /// Makes fsserver write the next entries of a directory into `frames` frames of the container.
    ///
    /// # Errors
    /// See [`Request::ReadDir`].
    pub fn read_dir(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        frames: FrameCount,
        cookie: DirectoryCookie,
    ) -> Result<Listed, CallError> {
        self.call(Request::ReadDir { file, container, frames, cookie }).map(Listed::decode)
    }

    /// Makes fsserver read a range of a file into the container, from frame `start` on. Returns how
    /// many bytes, fewer than asked for at the end of the file.
    ///
    /// # Errors
    /// See [`Request::Read`].
    pub fn read(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        offset: u64,
        start: FrameNumber,
        length: ReadLength,
    ) -> Result<u64, CallError> {
        let stands = false;
        let read = Request::Read { file, container, offset, start, length, stands };
        self.call(read).map(|[bytes]| bytes)
    }

    /// Reads as [`Self::read`], and lets fsserver keep its lease and its mapping for the next such
    /// read of the container. Until [`Self::release`], or half a second later, the caller can load
    /// from the range and not store, cannot unshare it, and fsserver could still write to it.
    ///
    /// # Errors
    /// See [`Request::Read`].
    pub fn read_standing(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        offset: u64,
        start: FrameNumber,
        length: ReadLength,
    ) -> Result<u64, CallError> {
        let stands = true;
        let read = Request::Read { file, container, offset, start, length, stands };
        self.call(read).map(|[bytes]| bytes)
    }

    /// Reads as [`Self::read`], into a share that is used once at a time and that the caller has
    /// armed: fsserver takes `frames` frames, fills them from frame 0 on, and gives them back.
    /// [`StrictReader`](crate::StrictReader) arms and confirms.
    ///
    /// # Errors
    /// See [`Request::ReadTaken`].
    pub fn read_taken(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        offset: u64,
        frames: FrameCount,
        length: ReadLength,
    ) -> Result<u64, CallError> {
        let read = Request::ReadTaken { file, container, offset, frames, length };
        self.call(read).map(|[bytes]| bytes)
    }

    /// Replaces 512 frames of a container by a logical copy of 2 MiB of the file, from `offset` on,
    /// and returns how many bytes of the file that is. Both numbers are multiples of that size.
    ///
    /// # Errors
    /// See [`Request::ReadLent`].
    pub fn read_lent(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
        offset: u64,
        start: FrameNumber,
    ) -> Result<u64, CallError> {
        self.call(Request::ReadLent { file, container, offset, start }).map(|[bytes]| bytes)
    }

    /// Ends what stands of a container: then it can be unshared, written to and read strictly.
    ///
    /// # Errors
    /// See [`Request::Release`].
    pub fn release(&mut self, container: ContainerHandle) -> Result<(), CallError> {
        self.call(Request::Release { container }).map(|[]| ())
    }

    /// Closes a file.
    ///
    /// # Errors
    /// See [`Request::Close`].
    pub fn close(&mut self, file: FileHandle) -> Result<(), CallError> {
        self.call(Request::Close { file }).map(|[]| ())
    }
}
