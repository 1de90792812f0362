// SPDX-License-Identifier: BSD-2-Clause
//! The client side: one method per operation.

mod changes;

use pmserver_api::ContainerHandle;
use proto::limits::FS_WAITS_MAX;
use proto::{FrameCount, FrameNumber, Transport, Waiter};

use crate::arguments::{DirectoryCookie, FileHandle, ReadLength};
use crate::error::{CallError, FsError};
use crate::ops::Request;
use crate::reply::{FileStatus, Identity, Listed, Space};
use crate::short_path::{SHORT_PATH_BYTES_MAX, ShortPath};

/// Calls fsserver over a transport. [`Request`] and [`Change`](crate::Change) document what each
/// operation does, costs and refuses.
///
/// A call that fsserver cannot answer before the disk has done something is refused with
/// [`FsError::Pending`]. A client that can wait ([`Client::waiting`]) does, and makes the same call
/// again, until there is a result; so every method is one protected procedure call, or one more for
/// each wait. A client that cannot ([`Client::new`]) returns the error, and its caller calls the
/// same method with the same arguments when the domain was notified.
pub struct Client<T: Transport, W: Waiter = NoWaiter> {
    transport: T,
    waiter: Option<W>,
}

/// The waiter of a client that does not wait: there is none.
#[derive(Clone, Copy, Debug)]
pub enum NoWaiter {}

impl Waiter for NoWaiter {
    fn wait(&mut self) {
        match *self {}
    }
}

impl<T: Transport> Client<T> {
    /// Returns a client that calls over `transport` and does not wait.
    pub const fn new(transport: T) -> Self {
        Self { transport, waiter: None }
    }
}

impl<T: Transport, W: Waiter> Client<T, W> {
    /// Returns a client that calls over `transport`, and waits for what fsserver waits for. After
    /// [`FS_WAITS_MAX`] waits it returns [`FsError::Pending`], as if it could not wait.
    pub const fn waiting(transport: T, waiter: W) -> Self {
        Self { transport, waiter: Some(waiter) }
    }

    /// Returns the transport.
    pub const fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        let mut waits = FS_WAITS_MAX;
        loop {
            let result = CallError::check(&self.transport.call(request.encode()));
            let is_pending = |error: &CallError| error.refusal() == Some(FsError::Pending);
            match (&mut self.waiter, waits.checked_sub(1)) {
                (Some(waiter), Some(left)) if result.as_ref().is_err_and(is_pending) => {
                    waiter.wait();
                    waits = left;
                }
                _ => return result,
            }
        }
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
        let path_bytes = length_of(path_bytes)?;
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

    /// Returns kind, names, size and times of an open file.
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

    /// Makes what was done to a file last: it is on the disk when this returns.
    ///
    /// # Errors
    /// See [`Request::SyncFile`].
    pub fn sync_file(&mut self, file: FileHandle) -> Result<(), CallError> {
        self.call(Request::SyncFile { file }).map(|[]| ())
    }

    /// Makes all that was done last.
    ///
    /// # Errors
    /// See [`Request::Sync`].
    pub fn sync(&mut self) -> Result<(), CallError> {
        self.call(Request::Sync).map(|[]| ())
    }

    /// Gives up the memory of what is cached.
    ///
    /// # Errors
    /// See [`Request::Trim`].
    pub fn trim(&mut self) -> Result<(), CallError> {
        self.call(Request::Trim).map(|[]| ())
    }

    /// Returns how much space the volume has.
    ///
    /// # Errors
    /// See [`Request::Space`].
    pub fn space(&mut self) -> Result<Space, CallError> {
        Ok(Space::decode(self.call(Request::Space)?)?)
    }

    /// Makes fsserver write where a symbolic link leads to the start of the container. Returns how
    /// many bytes that is.
    ///
    /// # Errors
    /// See [`Request::ReadLink`].
    pub fn read_link(
        &mut self,
        file: FileHandle,
        container: ContainerHandle,
    ) -> Result<u64, CallError> {
        self.call(Request::ReadLink { file, container }).map(|[bytes]| bytes)
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

/// Returns the length of a path as a request carries it. fsserver refuses the others.
fn length_of(path_bytes: usize) -> Result<u16, FsError> {
    u16::try_from(path_bytes).map_err(|_: core::num::TryFromIntError| FsError::PathTooLong)
}

#[cfg(test)]
mod tests {
    use proto::Message;

    use super::*;

    /// A server that is waiting for the disk so many times.
    struct Slow {
        pending: u32,
        last: Option<Message>,
        calls: u32,
    }

    impl Transport for &mut Slow {
        fn call(&mut self, request: Message) -> Message {
            assert_eq!(self.last.unwrap_or(request), request);
            self.last = Some(request);
            self.calls = self.calls.saturating_add(1);
            match self.pending.checked_sub(1) {
                Some(left) => {
                    self.pending = left;
                    FsError::Pending.reply()
                }
                None => Message::new(0, [7]),
            }
        }
    }

    struct Counted<'a>(&'a mut u32);

    impl Waiter for Counted<'_> {
        fn wait(&mut self) {
            *self.0 = self.0.saturating_add(1);
        }
    }

    fn slow(pending: u32) -> Slow {
        Slow { pending, last: None, calls: 0 }
    }

    fn read<W: Waiter>(mut fs: Client<&mut Slow, W>) -> Result<u64, Option<FsError>> {
        let (file, container) = (FileHandle::from_raw(1), ContainerHandle::from_raw(2));
        let (start, length) = (FrameNumber::new(3), ReadLength::new(4).unwrap());
        fs.read(file, container, 5, start, length).map_err(|error| error.refusal())
    }

    #[test]
    fn a_client_that_waits_repeats_the_same_call_until_it_has_its_result() {
        let (mut server, mut waits) = (slow(3), 0);
        assert_eq!(read(Client::waiting(&mut server, Counted(&mut waits))), Ok(7));
        assert_eq!((server.calls, waits), (4, 3));
    }

    #[test]
    fn a_client_that_does_not_wait_is_told_that_it_has_to() {
        let mut server = slow(1);
        assert_eq!(read(Client::new(&mut server)), Err(Some(FsError::Pending)));
        assert_eq!(server.calls, 1);
        assert_eq!(read(Client::new(&mut server)), Ok(7));
    }

    #[test]
    fn waiting_has_an_end() {
        let (mut server, mut waits) = (slow(u32::MAX), 0);
        let result = read(Client::waiting(&mut server, Counted(&mut waits)));
        assert_eq!(result, Err(Some(FsError::Pending)));
        assert_eq!((server.calls.checked_sub(1), waits), (Some(FS_WAITS_MAX), FS_WAITS_MAX));
    }
}
