// SPDX-License-Identifier: BSD-2-Clause
//! What a successful operation replies.

use proto::{Message, PeerId, ProtocolError, pack_pair, unpack_pair};

use crate::arguments::{DirectoryCookie, FileHandle};
use crate::entry::FileKind;

const OK: u64 = 0;

/// Who the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The protocol version.
    pub version: u64,
    /// The peer at pmserver to share containers with.
    pub peer: PeerId,
}

/// What `stat` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// What kind of file it is.
    pub kind: FileKind,
    /// How many names it has; 0 if it was removed and is open still.
    pub links: u32,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Seconds since 1970 at which its contents last changed.
    pub modified_seconds: u32,
    /// Seconds since 1970 at which anything that is known of it last changed.
    pub changed_seconds: u32,
}

/// What `read_dir` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Bytes of whole entries, from the start of the container.
    pub bytes: u64,
    /// Where to continue, or `None` at the end of the directory.
    pub next: Option<DirectoryCookie>,
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
    /// All inodes: as many files and directories as there can be.
    pub inodes: u32,
    /// Inodes that are free.
    pub free_inodes: u32,
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `close`, `release`, both syncs, and what changes something and has no other reply.
    Done,
    /// To `version`.
    Identity(Identity),
    /// To `lookup`, `lookup_short` and `create`.
    File(FileHandle),
    /// To `stat`.
    Status(FileStatus),
    /// To `read_dir`.
    Listed(Listed),
    /// To `read`, `read_standing`, `read_taken`, `read_lent` and `read_link`: bytes that are in the
    /// container now; 0 at the end of the file. To `write`: bytes that are in the file now.
    Bytes(u64),
    /// To `space`.
    Space(Space),
}

impl Reply {
    /// Returns the message that carries this reply.
    #[must_use]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Done => Message::new(OK, []),
            Self::Identity(Identity { version, peer }) => {
                Message::new(OK, [version, peer.get().into()])
            }
            Self::File(file) => Message::new(OK, [file.raw()]),
            Self::Status(status) => Message::new(OK, status.registers()),
            Self::Listed(Listed { bytes, next }) => {
                Message::new(OK, [bytes, next.unwrap_or(DirectoryCookie::START).raw()])
            }
            Self::Bytes(bytes) => Message::new(OK, [bytes]),
            Self::Space(space) => Message::new(OK, space.registers()),
        }
    }
}

impl Identity {
    pub(crate) fn decode([version, peer]: [u64; 2]) -> Result<Self, ProtocolError> {
        let peer = PeerId::new(peer).ok_or(ProtocolError::BadReply)?;
        Ok(Self { version, peer })
    }
}

impl FileStatus {
    fn registers(&self) -> [u64; 3] {
        let Self { kind, links, size_bytes, modified_seconds, changed_seconds } = *self;
        let kind = pack_pair(kind.number().into(), links);
        [kind, size_bytes, pack_pair(modified_seconds, changed_seconds)]
    }

    pub(crate) fn decode([kind, size_bytes, times]: [u64; 3]) -> Result<Self, ProtocolError> {
        let (kind, links) = unpack_pair(kind);
        let (modified_seconds, changed_seconds) = unpack_pair(times);
        let kind = u8::try_from(kind).ok().and_then(FileKind::from_number);
        let kind = kind.ok_or(ProtocolError::BadReply)?;
        Ok(Self { kind, links, size_bytes, modified_seconds, changed_seconds })
    }
}

impl Space {
    fn registers(&self) -> [u64; 4] {
        let Self { block_bytes, blocks, free_blocks, inodes, free_inodes } = *self;
        [block_bytes.into(), blocks, free_blocks, pack_pair(inodes, free_inodes)]
    }

    pub(crate) fn decode(registers: [u64; 4]) -> Result<Self, ProtocolError> {
        let [block_bytes, blocks, free_blocks, inodes] = registers;
        let block_bytes = u32::try_from(block_bytes)
            .map_err(|_: core::num::TryFromIntError| ProtocolError::BadReply)?;
        let (inodes, free_inodes) = unpack_pair(inodes);
        Ok(Self { block_bytes, blocks, free_blocks, inodes, free_inodes })
    }
}

impl Listed {
    pub(crate) fn decode([bytes, next]: [u64; 2]) -> Self {
        let next = DirectoryCookie::from_raw(next);
        Self { bytes, next: (next != DirectoryCookie::START).then_some(next) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_several_fields_in_a_register_comes_back() {
        let (links, size_bytes) = (u32::MAX, u64::MAX);
        let (modified_seconds, changed_seconds) = (1, u32::MAX);
        let kind = FileKind::Symlink;
        let status = FileStatus { kind, links, size_bytes, modified_seconds, changed_seconds };
        assert_eq!(FileStatus::decode(status.registers()), Ok(status));
        assert_eq!(FileStatus::decode([0x1_0000_0000, 0, 0]), Err(ProtocolError::BadReply));
        let (blocks, free_blocks, inodes, free_inodes) = (u64::MAX, 7, u32::MAX, 3);
        let space = Space { block_bytes: 4096, blocks, free_blocks, inodes, free_inodes };
        assert_eq!(Space::decode(space.registers()), Ok(space));
        assert_eq!(Space::decode([1 << 32, 0, 0, 0]), Err(ProtocolError::BadReply));
    }
}
