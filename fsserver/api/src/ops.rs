// SPDX-License-Identifier: BSD-2-Clause
//! Requests: every operation with its arguments.
//!
//! `operation.rs` has the number, the name and the registers of each. A container is a weak handle
//! in fsserver's own table: the number that `share` gave the owner. A failed reply carries one
//! detail (see [`Failure`](crate::Failure)). Any request may be answered with
//! [`Pending`](FsError::Pending).

use pmserver_api::ContainerHandle;
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, Message, PAGE_BYTES, ProtocolError, pack_pair, unpack_pair};

use crate::arguments::{
    DirectoryCookie, FileHandle, ReadLength, frames_of, frames_register, path_bytes,
};
use crate::change::Change;
use crate::error::{CallError, FsError};
use crate::operation::Operation;
use crate::short_path::ShortPath;

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 4;

/// A request, decoded: every argument is in the range that its type promises.
///
/// Every client may call all of them but [`Change`]. All of these except `read_dir` and `close` are
/// idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the protocol version, and for the peer to share containers with. Constant time.
    Version,
    /// Opens a file or directory by its absolute path, which is at the start of frame 0 of the
    /// container. The container must be shared with the READ right. Walks one directory per
    /// component. A symlink is followed, inside the image, except as the last component: then the
    /// symlink itself is opened.
    Lookup {
        /// Where the path is.
        container: ContainerHandle,
        /// Its length, 1 to [`PATH_BYTES_MAX`](proto::limits::PATH_BYTES_MAX).
        path_bytes: u16,
    },
    /// Does the same with a path that the message carries. No container is needed.
    LookupShort {
        /// The path.
        path: ShortPath,
    },
    /// Returns kind, names, size and times. Constant time.
    Stat {
        /// The file.
        file: FileHandle,
    },
    /// Writes the next entries of a directory into frames `0..frames` of the container, which must
    /// be shared with READ, WRITE and LOCK. A listing only goes forward: the cookie must be the one
    /// that the last call on this handle returned.
    ReadDir {
        /// The directory.
        file: FileHandle,
        /// Where the entries go.
        container: ContainerHandle,
        /// Frames that may be filled.
        frames: FrameCount,
        /// Where the listing continues.
        cookie: DirectoryCookie,
    },
    /// Reads bytes `offset..offset+length` of a file, or as many as there are, to the start of
    /// frame `start` of the container, which must be shared with READ, WRITE and LOCK: the range is
    /// locked meanwhile. Reads at most 1 MiB (256 frames).
    Read {
        /// The file.
        file: FileHandle,
        /// Where the bytes go.
        container: ContainerHandle,
        /// The first byte of the file.
        offset: u64,
        /// The first frame of the container.
        start: FrameNumber,
        /// How many bytes.
        length: ReadLength,
        /// Whether fsserver's lease and its mapping stay until `release`, another request that
        /// names the container, or the deadline of the lease (`read_standing`). It is a lease for
        /// reading: until then the client can load from the range and not store, and fsserver can
        /// still write to it.
        stands: bool,
    },
    /// Reads as `Read` does, to the start of frame 0 of a container whose share is used once at a
    /// time (ONCE), with WRITE. fsserver takes frames `0..frames`, and has given them back when it
    /// answers. The client arms the share before the call and disarms it after it.
    ReadTaken {
        /// The file.
        file: FileHandle,
        /// Where the bytes go.
        container: ContainerHandle,
        /// The first byte of the file.
        offset: u64,
        /// How many frames are taken: at least as many as the bytes need. All that a large frame
        /// has are mapped as fast as one.
        frames: FrameCount,
        /// How many bytes.
        length: ReadLength,
    },
    /// Replaces 512 frames of a container by a logical copy of 2 MiB of a file, or of what is left
    /// of it with zeros behind. No byte is moved, unless fsserver has that part of the file not
    /// cached.
    ReadLent {
        /// The file.
        file: FileHandle,
        /// The container, which needs WRITE.
        container: ContainerHandle,
        /// The first byte of the file, a multiple of 2 MiB.
        offset: u64,
        /// The first frame, a multiple of 512.
        start: FrameNumber,
    },
    /// Changes something.
    Change(Change),
    /// Makes what was done to a file last: it is on the disk when this succeeds.
    SyncFile {
        /// The file.
        file: FileHandle,
    },
    /// Makes all that was done last.
    Sync,
    /// Returns how much space the volume has.
    Space,
    /// Writes where a symbolic link leads to the start of frame 0 of the container, which must be
    /// shared with READ, WRITE and LOCK.
    ReadLink {
        /// The symbolic link.
        file: FileHandle,
        /// Where the bytes go.
        container: ContainerHandle,
    },
    /// Gives up the memory of what is cached. What is read next comes from the disk.
    Trim,
    /// Closes a file. Constant time.
    Close {
        /// The file.
        file: FileHandle,
    },
    /// Ends what stands of the container; succeeds if nothing does.
    Release {
        /// The container.
        container: ContainerHandle,
    },
}

impl Request {
    /// Returns the lent container that the request names, if it names one.
    #[must_use]
    pub const fn container(&self) -> Option<ContainerHandle> {
        match *self {
            Self::Lookup { container, .. }
            | Self::ReadDir { container, .. }
            | Self::Read { container, .. }
            | Self::ReadTaken { container, .. }
            | Self::ReadLent { container, .. }
            | Self::ReadLink { container, .. }
            | Self::Release { container } => Some(container),
            Self::Change(ref change) => change.container(),
            Self::Version
            | Self::LookupShort { .. }
            | Self::Stat { .. }
            | Self::SyncFile { .. }
            | Self::Sync
            | Self::Space
            | Self::Trim
            | Self::Close { .. } => None,
        }
    }

    /// Returns the request that a message carries. Accepts any message.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers, [`FsError`] for
    /// an argument out of range.
    #[inline(always)]
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        let Some(operation) = Operation::from_number(message.label()) else {
            return Err(ProtocolError::UnknownOperation.into());
        };
        match operation {
            Operation::Version => Ok(message.exactly().map(|[]| Self::Version)?),
            Operation::Lookup => {
                let [container, bytes] = message.exactly()?;
                let container = ContainerHandle::from_raw(container);
                Ok(Self::Lookup { container, path_bytes: path_bytes(bytes)? })
            }
            Operation::LookupShort => {
                let path = ShortPath::from_registers(message.exactly()?).ok_or(FsError::BadPath)?;
                Ok(Self::LookupShort { path })
            }
            Operation::Stat => Ok(message
                .exactly()
                .map(|[file]| Self::Stat { file: FileHandle::from_raw(file) })?),
            Operation::ReadDir => Self::decode_read_dir(message.exactly()?),
            Operation::Read => Self::decode_read(message.exactly()?, false),
            Operation::ReadStanding => Self::decode_read(message.exactly()?, true),
            Operation::ReadTaken => Self::decode_read_taken(message.exactly()?),
            Operation::ReadLent => Self::decode_read_lent(message.exactly()?),
            Operation::Release => Ok(message.exactly().map(|[container]| Self::Release {
                container: ContainerHandle::from_raw(container),
            })?),
            Operation::Close => Ok(message
                .exactly()
                .map(|[file]| Self::Close { file: FileHandle::from_raw(file) })?),
            _ => Self::decode_seldom(operation, message),
        }
    }

    /// Decodes what is not called often. Inlined, so that the others stay in registers.
    #[inline(always)]
    fn decode_seldom(operation: Operation, message: &Message) -> Result<Self, CallError> {
        match operation {
            Operation::SyncFile => {
                let [file] = message.exactly()?;
                Ok(Self::SyncFile { file: FileHandle::from_raw(file) })
            }
            Operation::Sync => Ok(message.exactly().map(|[]| Self::Sync)?),
            Operation::Space => Ok(message.exactly().map(|[]| Self::Space)?),
            Operation::Trim => Ok(message.exactly().map(|[]| Self::Trim)?),
            Operation::ReadLink => {
                let [file, container] = message.exactly()?;
                let container = ContainerHandle::from_raw(container);
                Ok(Self::ReadLink { file: FileHandle::from_raw(file), container })
            }
            _ => Change::decode(operation, message).map(Self::Change),
        }
    }

    fn decode_read_dir([file, container, frames, cookie]: [u64; 4]) -> Result<Self, CallError> {
        Ok(Self::ReadDir {
            file: FileHandle::from_raw(file),
            container: ContainerHandle::from_raw(container),
            frames: FrameCount::new(frames)
                .filter(|frames| frames.get() <= CALL_FRAMES_MAX)
                .ok_or(FsError::BadRange)?,
            cookie: DirectoryCookie::from_raw(cookie),
        })
    }

    fn decode_read(
        [file, container, offset, range]: [u64; 4],
        stands: bool,
    ) -> Result<Self, CallError> {
        let (start, length) = frames_of(range)?;
        Ok(Self::Read {
            file: FileHandle::from_raw(file),
            container: ContainerHandle::from_raw(container),
            offset,
            start,
            length,
            stands,
        })
    }

    fn decode_read_taken([file, container, offset, range]: [u64; 4]) -> Result<Self, CallError> {
        let (frames, length) = unpack_pair(range);
        let frames = FrameCount::new(frames.into()).ok_or(FsError::BadRange)?;
        let length = ReadLength::new(length.into()).ok_or(FsError::BadRange)?;
        if u64::from(length.get()) > frames.get().saturating_mul(PAGE_BYTES) {
            return Err(FsError::BadRange.into());
        }
        let container = ContainerHandle::from_raw(container);
        Ok(Self::ReadTaken { file: FileHandle::from_raw(file), container, offset, frames, length })
    }

    fn decode_read_lent([file, container, offset, start]: [u64; 4]) -> Result<Self, CallError> {
        let is_window = |bytes: u64| bytes.is_multiple_of(LARGE_FRAMES * PAGE_BYTES);
        if !is_window(offset) || !start.is_multiple_of(LARGE_FRAMES) {
            return Err(FsError::BadRange.into());
        }
        let (file, container) = (FileHandle::from_raw(file), ContainerHandle::from_raw(container));
        Ok(Self::ReadLent { file, container, offset, start: FrameNumber::new(start) })
    }

    /// Returns the message that carries this request.
    #[must_use]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Version => Operation::Version.message([]),
            Self::Lookup { container, path_bytes } => {
                Operation::Lookup.message([container.raw(), path_bytes.into()])
            }
            Self::LookupShort { path } => Operation::LookupShort.message(path.to_registers()),
            Self::Stat { file } => Operation::Stat.message([file.raw()]),
            Self::ReadDir { file, container, frames, cookie } => Operation::ReadDir.message([
                file.raw(),
                container.raw(),
                frames.get(),
                cookie.raw(),
            ]),
            Self::Read { file, container, offset, start, length, stands } => {
                let range = frames_register(start, length);
                let operation = if stands { Operation::ReadStanding } else { Operation::Read };
                operation.message([file.raw(), container.raw(), offset, range])
            }
            Self::ReadTaken { file, container, offset, frames, length } => {
                let frames = u32::try_from(frames.get()).unwrap_or(u32::MAX);
                let range = pack_pair(frames, length.get());
                Operation::ReadTaken.message([file.raw(), container.raw(), offset, range])
            }
            Self::ReadLent { file, container, offset, start } => {
                Operation::ReadLent.message([file.raw(), container.raw(), offset, start.get()])
            }
            Self::Change(ref change) => change.encode(),
            Self::SyncFile { file } => Operation::SyncFile.message([file.raw()]),
            Self::Sync => Operation::Sync.message([]),
            Self::Space => Operation::Space.message([]),
            Self::Trim => Operation::Trim.message([]),
            Self::ReadLink { file, container } => {
                Operation::ReadLink.message([file.raw(), container.raw()])
            }
            Self::Close { file } => Operation::Close.message([file.raw()]),
            Self::Release { container } => Operation::Release.message([container.raw()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::TwoPaths;
    use crate::short_path::SHORT_PATH_BYTES_MAX;

    const CORNERS: [u64; 8] =
        [0, 1, 4095, 4096, 1 << 20, (1 << 20) + 1, 0x0010_0000_FFFF_FFFF, u64::MAX];

    #[test]
    fn requests_come_back() {
        let container = ContainerHandle::from_raw(u64::MAX);
        let file = FileHandle::from_raw(0x0123_4567_89AB_CDEF);
        for request in [
            Request::Version,
            Request::Lookup { container, path_bytes: 4095 },
            Request::LookupShort { path: ShortPath::new(b"/").unwrap() },
            Request::LookupShort { path: ShortPath::new(&[b'/'; SHORT_PATH_BYTES_MAX]).unwrap() },
            Request::Stat { file },
            Request::ReadDir {
                file,
                container,
                frames: FrameCount::ONE,
                cookie: DirectoryCookie::from_raw(u64::MAX),
            },
            Request::Read {
                file,
                container,
                offset: u64::MAX,
                start: FrameNumber::new(u64::from(u32::MAX)),
                length: ReadLength::new(1 << 20).unwrap(),
                stands: false,
            },
            Request::Read {
                file,
                container,
                offset: 0,
                start: FrameNumber::new(0),
                length: ReadLength::new(1).unwrap(),
                stands: true,
            },
            Request::ReadTaken {
                file,
                container,
                offset: u64::MAX,
                frames: FrameCount::new(CALL_FRAMES_MAX).unwrap(),
                length: ReadLength::new(1 << 20).unwrap(),
            },
            Request::Close { file },
            Request::Release { container },
            Request::SyncFile { file },
            Request::Sync,
            Request::Space,
            Request::Trim,
            Request::ReadLink { file, container },
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn changes_come_back() {
        let container = ContainerHandle::from_raw(u64::MAX);
        let file = FileHandle::from_raw(0x0123_4567_89AB_CDEF);
        let (path_bytes, paths) = (4096, TwoPaths::new(4000, 95).unwrap());
        for change in [
            Change::Write {
                file,
                container,
                offset: u64::MAX,
                start: FrameNumber::new(u64::from(u32::MAX)),
                length: ReadLength::new(1 << 20).unwrap(),
            },
            Change::Truncate { file, size_bytes: u64::MAX },
            Change::Create { container, path_bytes },
            Change::MakeDir { container, path_bytes },
            Change::Unlink { container, path_bytes },
            Change::RemoveDir { container, path_bytes },
            Change::Rename { container, paths },
            Change::Link { container, paths },
            Change::Symlink { container, paths },
            Change::SetTimes { file, accessed_seconds: Some(u32::MAX), modified_seconds: None },
            Change::SetTimes { file, accessed_seconds: None, modified_seconds: Some(0) },
        ] {
            let request = Request::Change(change);
            assert_eq!(Request::decode(&request.encode()), Ok(request));
            let names_it = !matches!(change, Change::Truncate { .. } | Change::SetTimes { .. });
            assert_eq!(request.container(), names_it.then_some(container));
        }
    }

    #[test]
    fn every_pattern_gives_a_value_or_an_error() {
        for label in CORNERS.into_iter().chain(0..=Operation::Trim.number()) {
            for count in 0..=4 {
                for corner in CORNERS {
                    let message = Message::from_wire(label, &[corner; 4][..count]).unwrap();
                    if let Ok(request) = Request::decode(&message) {
                        assert_eq!(request.encode(), message);
                    }
                }
            }
        }
    }

    #[test]
    fn arguments_out_of_range_have_their_own_errors() {
        let refusal = |operation: Operation, registers: &[u64]| {
            let message = Message::from_wire(operation.number(), registers).unwrap();
            Request::decode(&message).unwrap_err().refusal()
        };
        assert_eq!(refusal(Operation::Lookup, &[1, 0]), Some(FsError::BadPath));
        assert_eq!(refusal(Operation::Lookup, &[1, 4097]), Some(FsError::PathTooLong));
        assert_eq!(refusal(Operation::Lookup, &[1, u64::MAX]), Some(FsError::PathTooLong));
        for path in [[0; 4], [0, 1, 0, 0], [u64::MAX, u64::MAX, 0xFF_00FF, 0], [1, 0, 0, 1]] {
            assert_eq!(refusal(Operation::LookupShort, &path), Some(FsError::BadPath), "{path:x?}");
        }
        assert_eq!(refusal(Operation::ReadDir, &[1, 1, 0, 0]), Some(FsError::BadRange));
        assert_eq!(refusal(Operation::ReadDir, &[1, 1, 257, 0]), Some(FsError::BadRange));
        for read in [Operation::Read, Operation::ReadStanding] {
            assert_eq!(refusal(read, &[1, 1, 0, 0]), Some(FsError::BadRange));
            assert_eq!(refusal(read, &[1, 1, 0, 0x0010_0001 << 32]), Some(FsError::BadRange));
        }
        for range in [0, 1, 1 << 32, 1 | 4097 << 32, 256 | 0x0010_0001 << 32, 257 | 1 << 32] {
            assert_eq!(refusal(Operation::ReadTaken, &[1, 1, 0, range]), Some(FsError::BadRange));
        }
        let wrong = Operation::Close.message([1, 2]);
        assert_eq!(Request::decode(&wrong), Err(ProtocolError::WrongLength.into()));
        let unknown = Message::new(Operation::Trim.number() + 1, []);
        assert_eq!(Request::decode(&unknown), Err(ProtocolError::UnknownOperation.into()));
    }
}
