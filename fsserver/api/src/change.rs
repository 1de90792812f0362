// SPDX-License-Identifier: BSD-2-Clause
//! The operations that change the volume: the part of the contract for which a client needs the
//! permission to write.

use pmserver_api::ContainerHandle;
use proto::{FrameNumber, Message, ProtocolError, pack_pair, unpack_pair};

use crate::arguments::{FileHandle, ReadLength, TwoPaths, frames_of, frames_register, path_bytes};
use crate::error::{CallError, FsError};
use crate::operation::Operation;

/// The register for a time that stays as it is.
const LEAVE: u64 = u64::MAX;

/// A request to change something. None is idempotent but `write`, `truncate` and `set_times`.
///
/// A path is absolute and at the start of frame 0 of the container, which must be shared with the
/// READ right; of two, the second begins where the first ends. A path is followed as by `lookup`,
/// but its last component is the name that the operation makes or removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes `length` bytes to a file, at most 1 MiB, from the start of frame `start` of the
    /// container on, which needs READ. No byte is moved: the frames are copied logically. The file
    /// grows if the range ends past its end; what lies between is a hole.
    Write {
        /// The file.
        file: FileHandle,
        /// Where the bytes are.
        container: ContainerHandle,
        /// The first byte of the file.
        offset: u64,
        /// The first frame of the container.
        start: FrameNumber,
        /// How many bytes.
        length: ReadLength,
    },
    /// Makes a file smaller, or larger by zeros.
    Truncate {
        /// The file.
        file: FileHandle,
        /// Its new size.
        size_bytes: u64,
    },
    /// Makes an empty regular file and opens it.
    Create {
        /// Where its path is.
        container: ContainerHandle,
        /// The length of the path.
        path_bytes: u16,
    },
    /// Makes an empty directory.
    MakeDir {
        /// Where its path is.
        container: ContainerHandle,
        /// The length of the path.
        path_bytes: u16,
    },
    /// Removes a name of what is no directory. A file is gone with its last name, or when it is
    /// closed.
    Unlink {
        /// Where its path is.
        container: ContainerHandle,
        /// The length of the path.
        path_bytes: u16,
    },
    /// Removes an empty directory.
    RemoveDir {
        /// Where its path is.
        container: ContainerHandle,
        /// The length of the path.
        path_bytes: u16,
    },
    /// Gives a file or directory another name, in one step: what that stood for is replaced.
    Rename {
        /// Where the old and the new path are.
        container: ContainerHandle,
        /// Their lengths.
        paths: TwoPaths,
    },
    /// Gives a file one more name.
    Link {
        /// Where the existing and the new path are.
        container: ContainerHandle,
        /// Their lengths.
        paths: TwoPaths,
    },
    /// Makes a symbolic link.
    Symlink {
        /// Where the bytes that it leads to are, which may be any but NUL, and then its path.
        container: ContainerHandle,
        /// Their lengths.
        paths: TwoPaths,
    },
    /// Sets when a file was last read and changed, in seconds since 1970; `None` leaves it.
    SetTimes {
        /// The file.
        file: FileHandle,
        /// When it was last read.
        accessed_seconds: Option<u32>,
        /// When its contents last changed.
        modified_seconds: Option<u32>,
    },
}

impl Change {
    /// Returns the lent container that the request names, if it names one.
    #[must_use]
    pub const fn container(&self) -> Option<ContainerHandle> {
        match *self {
            Self::Write { container, .. }
            | Self::Create { container, .. }
            | Self::MakeDir { container, .. }
            | Self::Unlink { container, .. }
            | Self::RemoveDir { container, .. }
            | Self::Rename { container, .. }
            | Self::Link { container, .. }
            | Self::Symlink { container, .. } => Some(container),
            Self::Truncate { .. } | Self::SetTimes { .. } => None,
        }
    }

    /// Returns the change that a message carries, which requests this operation.
    #[inline(never)]
    pub(crate) fn decode(operation: Operation, message: &Message) -> Result<Self, CallError> {
        match operation {
            Operation::Write => {
                let [file, container, offset, range] = message.exactly()?;
                let (file, container) = (FileHandle::from_raw(file), at(container));
                let (start, length) = frames_of(range)?;
                Ok(Self::Write { file, container, offset, start, length })
            }
            Operation::Truncate => {
                let [file, size_bytes] = message.exactly()?;
                Ok(Self::Truncate { file: FileHandle::from_raw(file), size_bytes })
            }
            Operation::Create | Operation::MakeDir | Operation::Unlink | Operation::RemoveDir => {
                Self::decode_path(operation, message)
            }
            Operation::Rename | Operation::Link | Operation::Symlink => {
                Self::decode_paths(operation, message)
            }
            Operation::SetTimes => {
                let [file, accessed, modified] = message.exactly()?;
                Ok(Self::SetTimes {
                    file: FileHandle::from_raw(file),
                    accessed_seconds: seconds_of(accessed)?,
                    modified_seconds: seconds_of(modified)?,
                })
            }
            _ => Err(ProtocolError::UnknownOperation.into()),
        }
    }

    fn decode_path(operation: Operation, message: &Message) -> Result<Self, CallError> {
        let [container, bytes] = message.exactly()?;
        let (container, path_bytes) = (at(container), path_bytes(bytes)?);
        Ok(match operation {
            Operation::Create => Self::Create { container, path_bytes },
            Operation::MakeDir => Self::MakeDir { container, path_bytes },
            Operation::Unlink => Self::Unlink { container, path_bytes },
            _ => Self::RemoveDir { container, path_bytes },
        })
    }

    fn decode_paths(operation: Operation, message: &Message) -> Result<Self, CallError> {
        let [container, lengths] = message.exactly()?;
        let (first, second) = unpack_pair(lengths);
        // A length that no number can tell is too long.
        let length = |bytes| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (container, paths) = (at(container), TwoPaths::new(length(first), length(second))?);
        Ok(match operation {
            Operation::Rename => Self::Rename { container, paths },
            Operation::Link => Self::Link { container, paths },
            _ => Self::Symlink { container, paths },
        })
    }

    /// Returns the message that carries this change.
    pub(crate) fn encode(&self) -> Message {
        let path = |operation: Operation, container: ContainerHandle, path_bytes: u16| {
            operation.message([container.raw(), path_bytes.into()])
        };
        let two = |operation: Operation, container: ContainerHandle, paths: TwoPaths| {
            let lengths = pack_pair(paths.first_bytes().into(), paths.second_bytes().into());
            operation.message([container.raw(), lengths])
        };
        match *self {
            Self::Write { file, container, offset, start, length } => {
                let range = frames_register(start, length);
                Operation::Write.message([file.raw(), container.raw(), offset, range])
            }
            Self::Truncate { file, size_bytes } => {
                Operation::Truncate.message([file.raw(), size_bytes])
            }
            Self::Create { container, path_bytes } => {
                path(Operation::Create, container, path_bytes)
            }
            Self::MakeDir { container, path_bytes } => {
                path(Operation::MakeDir, container, path_bytes)
            }
            Self::Unlink { container, path_bytes } => {
                path(Operation::Unlink, container, path_bytes)
            }
            Self::RemoveDir { container, path_bytes } => {
                path(Operation::RemoveDir, container, path_bytes)
            }
            Self::Rename { container, paths } => two(Operation::Rename, container, paths),
            Self::Link { container, paths } => two(Operation::Link, container, paths),
            Self::Symlink { container, paths } => two(Operation::Symlink, container, paths),
            Self::SetTimes { file, accessed_seconds, modified_seconds } => {
                let register = |seconds: Option<u32>| seconds.map_or(LEAVE, u64::from);
                let times = (register(accessed_seconds), register(modified_seconds));
                Operation::SetTimes.message([file.raw(), times.0, times.1])
            }
        }
    }
}

const fn at(container: u64) -> ContainerHandle {
    ContainerHandle::from_raw(container)
}

fn seconds_of(register: u64) -> Result<Option<u32>, FsError> {
    match u32::try_from(register) {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) if register == LEAVE => Ok(None),
        Err(_) => Err(FsError::BadRange),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_out_of_range_have_their_own_errors() {
        let decode = |operation: Operation, registers: &[u64]| {
            let message = Message::from_wire(operation.number(), registers).unwrap();
            Change::decode(operation, &message)
        };
        let refusal =
            |operation, registers: &[u64]| decode(operation, registers).unwrap_err().refusal();
        for range in [0, 7, 0x0010_0001 << 32, u64::MAX] {
            assert_eq!(refusal(Operation::Write, &[1, 1, 0, range]), Some(FsError::BadRange));
        }
        let of_one_path = Operation::Create..=Operation::RemoveDir;
        for &operation in Operation::ALL.iter().filter(|one| of_one_path.contains(one)) {
            assert_eq!(refusal(operation, &[1, 0]), Some(FsError::BadPath));
            assert_eq!(refusal(operation, &[1, 4097]), Some(FsError::PathTooLong));
            assert_eq!(refusal(operation, &[1, u64::MAX]), Some(FsError::PathTooLong));
        }
        let of_two_paths = Operation::Rename..=Operation::Symlink;
        for &operation in Operation::ALL.iter().filter(|one| of_two_paths.contains(one)) {
            for none in [0, 1, 1 << 32, 4095, 4095 << 32] {
                assert_eq!(refusal(operation, &[1, none]), Some(FsError::BadPath));
            }
            for long in [1 | 4095 << 32, 4095 | 1 << 32, 1 | 0x1_0000 << 32, u64::MAX] {
                assert_eq!(refusal(operation, &[1, long]), Some(FsError::PathTooLong));
            }
        }
        for time in [1 << 32, u64::MAX - 1] {
            assert_eq!(refusal(Operation::SetTimes, &[1, time, 0]), Some(FsError::BadRange));
            assert_eq!(refusal(Operation::SetTimes, &[1, 0, time]), Some(FsError::BadRange));
        }
        for (operation, registers) in
            [(Operation::Write, 3), (Operation::Truncate, 1), (Operation::Link, 3)]
        {
            let decoded = decode(operation, &[1; 4][..registers]);
            assert_eq!(decoded, Err(ProtocolError::WrongLength.into()));
        }
    }
}
