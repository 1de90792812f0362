// SPDX-License-Identifier: BSD-2-Clause
//! What a successful operation replies.

use pmserver_api::ServerError;
use proto::{Message, PeerId, ProtocolError, pack_pair, unpack_pair};

use crate::error::BlockError;
use crate::ops::Tag;

const OK: u64 = 0;

/// Completions that one reply carries: with their count, what the kernel's fastpath carries.
pub const REPLY_COMPLETIONS_MAX: usize = 3;

const READ_ONLY: u64 = 1;
const FLUSH: u64 = 2;
const DISCARD: u64 = 4;

/// Who the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The protocol version.
    pub version: u64,
    /// The peer at pmserver to share containers with.
    pub peer: PeerId,
}

/// What a disk can do beside reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFeatures {
    /// It cannot be written to.
    pub is_read_only: bool,
    /// Writes last only after a `flush`. Without this they last when they have ended.
    pub has_flush: bool,
    /// It can be told that contents are not needed.
    pub has_discard: bool,
}

/// What a disk is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// How many blocks it has.
    pub blocks: u64,
    /// What it can do.
    pub features: DiskFeatures,
}

/// How a queued request has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The client's number of it.
    pub tag: Tag,
    /// Whether it was done.
    pub result: Result<(), BlockError>,
}

/// Requests that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completed {
    list: [Option<Completion>; REPLY_COMPLETIONS_MAX],
    /// How many more there are to ask for.
    pub waiting: u32,
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `read`, `write`, `flush` and `discard`.
    Queued,
    /// To `version`.
    Identity(Identity),
    /// To `geometry`.
    Geometry(Geometry),
    /// To `completed`.
    Completed(Completed),
}

impl Reply {
    /// Returns the message that carries this reply.
    #[must_use]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Queued => Message::new(OK, []),
            Self::Identity(Identity { version, peer }) => {
                Message::new(OK, [version, peer.get().into()])
            }
            Self::Geometry(Geometry { blocks, features }) => {
                Message::new(OK, [blocks, features.bits()])
            }
            Self::Completed(completed) => Message::new(OK, completed.registers()),
        }
    }
}

impl Identity {
    pub(crate) fn decode([version, peer]: [u64; 2]) -> Result<Self, ProtocolError> {
        let peer = PeerId::new(peer).ok_or(ProtocolError::BadReply)?;
        Ok(Self { version, peer })
    }
}

impl DiskFeatures {
    fn bits(self) -> u64 {
        let bit = |is_set: bool, bit: u64| if is_set { bit } else { 0 };
        bit(self.is_read_only, READ_ONLY)
            | bit(self.has_flush, FLUSH)
            | bit(self.has_discard, DISCARD)
    }
}

impl Geometry {
    pub(crate) const fn decode([blocks, bits]: [u64; 2]) -> Result<Self, ProtocolError> {
        if bits & !(READ_ONLY | FLUSH | DISCARD) != 0 {
            return Err(ProtocolError::BadReply);
        }
        let features = DiskFeatures {
            is_read_only: bits & READ_ONLY != 0,
            has_flush: bits & FLUSH != 0,
            has_discard: bits & DISCARD != 0,
        };
        Ok(Self { blocks, features })
    }
}

impl Completed {
    /// Adds a completion; returns whether there was room for it.
    pub fn push(&mut self, completion: Completion) -> bool {
        let free = self.list.iter_mut().find(|entry| entry.is_none());
        free.map(|entry| *entry = Some(completion)).is_some()
    }

    /// Returns the completions in the order in which the requests have ended.
    pub fn iter(&self) -> impl Iterator<Item = Completion> + use<> {
        self.list.into_iter().flatten()
    }

    fn registers(&self) -> [u64; 4] {
        let count = u32::try_from(self.iter().count()).unwrap_or_default();
        let [first, second, third] = self.list.map(|completion| {
            completion.map_or(0, |Completion { tag, result }| {
                pack_pair(tag.get(), result.err().map_or(0, BlockError::status))
            })
        });
        [pack_pair(count, self.waiting), first, second, third]
    }

    pub(crate) fn decode([counts, rest @ ..]: [u64; 4]) -> Result<Self, ProtocolError> {
        let (count, waiting) = unpack_pair(counts);
        let count = usize::try_from(count).ok().filter(|count| *count <= REPLY_COMPLETIONS_MAX);
        let mut completed = Self { waiting, ..Self::default() };
        for register in rest.into_iter().take(count.ok_or(ProtocolError::BadReply)?) {
            let (tag, status) = unpack_pair(register);
            let result = match status {
                0 => Ok(()),
                status => {
                    Err(BlockError::from_status(status.into()).ok_or(ProtocolError::BadReply)?)
                }
            };
            completed.push(Completion { tag: Tag::new(tag), result });
        }
        Ok(completed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_come_back() {
        let mut completed = Completed { waiting: 5, ..Completed::default() };
        for (tag, result) in [(u32::MAX, Ok(())), (0, Err(BlockError::Failed)), (1, Ok(()))] {
            assert_eq!(Completed::decode(completed.registers()), Ok(completed));
            assert!(completed.push(Completion { tag: Tag::new(tag), result }));
        }
        assert_eq!(Completed::decode(completed.registers()), Ok(completed));
        assert!(!completed.push(Completion { tag: Tag::new(3), result: Ok(()) }));
        for bad in [[4, 0, 0, 0], [1, 99 << 32, 0, 0]] {
            assert_eq!(Completed::decode(bad), Err(ProtocolError::BadReply));
        }
    }

    #[test]
    fn every_feature_comes_back() {
        for bits in 0..8 {
            let geometry = Geometry::decode([9, bits]).unwrap();
            assert_eq!((geometry.blocks, geometry.features.bits()), (9, bits));
        }
        assert_eq!(Geometry::decode([9, 8]), Err(ProtocolError::BadReply));
    }
}
