// SPDX-License-Identifier: BSD-2-Clause
//! What a successful operation replies.

use proto::{Message, PeerId, ProtocolError};

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
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What `read_dir` wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Bytes of whole entries, from the start of the container.
    pub bytes: u64,
    /// Where to continue, or `None` at the end of the directory.
    pub next: Option<DirectoryCookie>,
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `close`.
    Done,
    /// To `version`.
    Identity(Identity),
    /// To `lookup`.
    File(FileHandle),
    /// To `stat`.
    Status(FileStatus),
    /// To `read_dir`.
    Listed(Listed),
    /// To `read`, `read_standing`, `read_taken` and `read_lent`: bytes that are in the container
    /// now; 0 at the end of the file.
    Bytes(u64),
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
            Self::Status(FileStatus { kind, size_bytes }) => {
                Message::new(OK, [kind.number().into(), size_bytes])
            }
            Self::Listed(Listed { bytes, next }) => {
                Message::new(OK, [bytes, next.unwrap_or(DirectoryCookie::START).raw()])
            }
            Self::Bytes(bytes) => Message::new(OK, [bytes]),
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
    pub(crate) fn decode([kind, size_bytes]: [u64; 2]) -> Result<Self, ProtocolError> {
        let kind = u8::try_from(kind).ok().and_then(FileKind::from_number);
        Ok(Self { kind: kind.ok_or(ProtocolError::BadReply)?, size_bytes })
    }
}

impl Listed {
    pub(crate) fn decode([bytes, next]: [u64; 2]) -> Self {
        let next = DirectoryCookie::from_raw(next);
        Self { bytes, next: (next != DirectoryCookie::START).then_some(next) }
    }
}
