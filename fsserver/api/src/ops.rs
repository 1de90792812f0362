// SPDX-License-Identifier: BSD-2-Clause
//! The contract: every operation with its number, its registers, and what it may cost.
//!
//! | no | operation | r0 | r1 | r2 | r3 | reply |
//! |---|---|---|---|---|---|---|
//! | 1 | version | | | | | version, fsserver's peer |
//! | 2 | lookup | container | path bytes | | | file |
//! | 3 | stat | file | | | | kind:32 links:32, size, modified:32 changed:32 |
//! | 4 | read_dir | file | container | frames | cookie | bytes, next cookie |
//! | 5 | read | file | container | offset | start frame:32 length:32 | bytes |
//! | 6 | close | file | | | | |
//! | 7 | read_standing | file | container | offset | start frame:32 length:32 | bytes |
//! | 8 | release | container | | | | |
//! | 9 | lookup_short | path | path | path | path | file |
//! | 10 | read_taken | file | container | offset | frames:32 length:32 | bytes |
//! | 11 | read_lent | file | container | offset | start | bytes |
//! | 12 | write | file | container | offset | start frame:32 length:32 | bytes |
//! | 13 | truncate | file | size | | | |
//! | 14 | create | container | path bytes | | | file |
//! | 15 | make_dir | container | path bytes | | | |
//! | 16 | unlink | container | path bytes | | | |
//! | 17 | remove_dir | container | path bytes | | | |
//! | 18 | rename | container | from bytes:32 to bytes:32 | | | |
//! | 19 | link | container | existing bytes:32 new bytes:32 | | | |
//! | 20 | symlink | container | target bytes:32 path bytes:32 | | | |
//! | 21 | set_times | file | accessed | modified | | |
//! | 22 | sync_file | file | | | | |
//! | 23 | sync | | | | | |
//! | 24 | space | | | | | block bytes, blocks, free blocks, inodes:32 free inodes:32 |
//! | 25 | read_link | file | container | | | bytes |
//! | 26 | trim | | | | | |
//!
//! *container* is a weak handle in fsserver's own table: the number that `share` gave the owner. A
//! failed reply carries one detail (see [`Failure`](crate::Failure)). Numbers are never reused;
//! 0xF000 and up are left to test variants of the server. Any request may be answered with
//! [`Pending`](FsError::Pending).

use pmserver_api::ContainerHandle;
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, Message, PAGE_BYTES, pack_pair, unpack_pair};

use crate::arguments::{
    DirectoryCookie, FileHandle, ReadLength, frames_of, frames_register, path_bytes,
};
use crate::change::Change;
use crate::error::{CallError, FsError};
use crate::short_path::ShortPath;

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 4;

const OP_VERSION: u64 = 1;
const OP_LOOKUP: u64 = 2;
const OP_STAT: u64 = 3;
const OP_READ_DIR: u64 = 4;
const OP_READ: u64 = 5;
const OP_CLOSE: u64 = 6;
const OP_READ_STANDING: u64 = 7;
const OP_RELEASE: u64 = 8;
const OP_LOOKUP_SHORT: u64 = 9;
const OP_READ_TAKEN: u64 = 10;
const OP_READ_LENT: u64 = 11;
// 12 to 21 are those of `Change`.
const OP_SYNC_FILE: u64 = 22;
const OP_SYNC: u64 = 23;
const OP_SPACE: u64 = 24;
const OP_READ_LINK: u64 = 25;
const OP_TRIM: u64 = 26;

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
        /// Its length, 1 to [`PATH_BYTES_MAX`].
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
        match message.label() {
            OP_VERSION => Ok(message.exactly().map(|[]| Self::Version)?),
            OP_LOOKUP => {
                let [container, bytes] = message.exactly()?;
                let container = ContainerHandle::from_raw(container);
                Ok(Self::Lookup { container, path_bytes: path_bytes(bytes)? })
            }
            OP_LOOKUP_SHORT => {
                let path = ShortPath::from_registers(message.exactly()?).ok_or(FsError::BadPath)?;
                Ok(Self::LookupShort { path })
            }
            OP_STAT => Ok(message
                .exactly()
                .map(|[file]| Self::Stat { file: FileHandle::from_raw(file) })?),
            OP_READ_DIR => Self::decode_read_dir(message.exactly()?),
            OP_READ => Self::decode_read(message.exactly()?, false),
            OP_READ_STANDING => Self::decode_read(message.exactly()?, true),
            OP_READ_TAKEN => Self::decode_read_taken(message.exactly()?),
            OP_READ_LENT => Self::decode_read_lent(message.exactly()?),
            OP_RELEASE => Ok(message.exactly().map(|[container]| Self::Release {
                container: ContainerHandle::from_raw(container),
            })?),
            OP_CLOSE => Ok(message
                .exactly()
                .map(|[file]| Self::Close { file: FileHandle::from_raw(file) })?),
            _ => Self::decode_seldom(message),
        }
    }

    /// Decodes what is not called often. Inlined, so that the others stay in registers.
    #[inline(always)]
    fn decode_seldom(message: &Message) -> Result<Self, CallError> {
        match message.label() {
            OP_SYNC_FILE => {
                let [file] = message.exactly()?;
                Ok(Self::SyncFile { file: FileHandle::from_raw(file) })
            }
            OP_SYNC => Ok(message.exactly().map(|[]| Self::Sync)?),
            OP_SPACE => Ok(message.exactly().map(|[]| Self::Space)?),
            OP_TRIM => Ok(message.exactly().map(|[]| Self::Trim)?),
            OP_READ_LINK => {
                let [file, container] = message.exactly()?;
                let container = ContainerHandle::from_raw(container);
                Ok(Self::ReadLink { file: FileHandle::from_raw(file), container })
            }
            _ => Change::decode(message).map(Self::Change),
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
            Self::Version => Message::new(OP_VERSION, []),
            Self::Lookup { container, path_bytes } => {
                Message::new(OP_LOOKUP, [container.raw(), path_bytes.into()])
            }
            Self::LookupShort { path } => Message::new(OP_LOOKUP_SHORT, path.to_registers()),
            Self::Stat { file } => Message::new(OP_STAT, [file.raw()]),
            Self::ReadDir { file, container, frames, cookie } => {
                Message::new(OP_READ_DIR, [file.raw(), container.raw(), frames.get(), cookie.raw()])
            }
            Self::Read { file, container, offset, start, length, stands } => {
                let range = frames_register(start, length);
                let operation = if stands { OP_READ_STANDING } else { OP_READ };
                Message::new(operation, [file.raw(), container.raw(), offset, range])
            }
            Self::ReadTaken { file, container, offset, frames, length } => {
                let frames = u32::try_from(frames.get()).unwrap_or(u32::MAX);
                let range = pack_pair(frames, length.get());
                Message::new(OP_READ_TAKEN, [file.raw(), container.raw(), offset, range])
            }
            Self::ReadLent { file, container, offset, start } => {
                Message::new(OP_READ_LENT, [file.raw(), container.raw(), offset, start.get()])
            }
            Self::Change(ref change) => change.encode(),
            Self::SyncFile { file } => Message::new(OP_SYNC_FILE, [file.raw()]),
            Self::Sync => Message::new(OP_SYNC, []),
            Self::Space => Message::new(OP_SPACE, []),
            Self::Trim => Message::new(OP_TRIM, []),
            Self::ReadLink { file, container } => {
                Message::new(OP_READ_LINK, [file.raw(), container.raw()])
            }
            Self::Close { file } => Message::new(OP_CLOSE, [file.raw()]),
            Self::Release { container } => Message::new(OP_RELEASE, [container.raw()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::ProtocolError;

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
        for label in CORNERS.into_iter().chain(0..=OP_TRIM) {
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
        let refusal = |label, registers: &[u64]| {
            let message = Message::from_wire(label, registers).unwrap();
            Request::decode(&message).unwrap_err().refusal()
        };
        assert_eq!(refusal(OP_LOOKUP, &[1, 0]), Some(FsError::BadPath));
        assert_eq!(refusal(OP_LOOKUP, &[1, 4097]), Some(FsError::PathTooLong));
        assert_eq!(refusal(OP_LOOKUP, &[1, u64::MAX]), Some(FsError::PathTooLong));
        for path in [[0; 4], [0, 1, 0, 0], [u64::MAX, u64::MAX, 0xFF_00FF, 0], [1, 0, 0, 1]] {
            assert_eq!(refusal(OP_LOOKUP_SHORT, &path), Some(FsError::BadPath), "{path:x?}");
        }
        assert_eq!(refusal(OP_READ_DIR, &[1, 1, 0, 0]), Some(FsError::BadRange));
        assert_eq!(refusal(OP_READ_DIR, &[1, 1, 257, 0]), Some(FsError::BadRange));
        for read in [OP_READ, OP_READ_STANDING] {
            assert_eq!(refusal(read, &[1, 1, 0, 0]), Some(FsError::BadRange));
            assert_eq!(refusal(read, &[1, 1, 0, 0x0010_0001 << 32]), Some(FsError::BadRange));
        }
        for range in [0, 1, 1 << 32, 1 | 4097 << 32, 256 | 0x0010_0001 << 32, 257 | 1 << 32] {
            assert_eq!(refusal(OP_READ_TAKEN, &[1, 1, 0, range]), Some(FsError::BadRange));
        }
        let wrong = Message::new(OP_CLOSE, [1, 2]);
        assert_eq!(Request::decode(&wrong), Err(ProtocolError::WrongLength.into()));
        let unknown = Message::new(OP_TRIM + 1, []);
        assert_eq!(Request::decode(&unknown), Err(ProtocolError::UnknownOperation.into()));
    }
}
