// SPDX-License-Identifier: BSD-2-Clause
//! The contract: every operation with its number, its registers, and what it may cost.
//!
//! | no | operation | r0 | r1 | r2 | r3 | reply |
//! |---|---|---|---|---|---|---|
//! | 1 | version | | | | | version, the server's peer id at pmserver |
//! | 2 | geometry | | | | | blocks, features |
//! | 3 | read | container | offset | block | count:32 tag:32 | |
//! | 4 | write | container | offset | block | count:32 tag:32 | |
//! | 5 | flush | tag | | | | |
//! | 6 | discard | block | count:32 tag:32 | | | |
//! | 7 | completed | | | | | count:32 waiting:32, (tag:32 status:32) × 3 |
//!
//! A block has 512 bytes. *container* is a weak handle in the server's own table: the number that
//! `share` gave the owner. *offset* is where in the container, in blocks. A failed reply carries
//! one detail (see [`Failure`](crate::Failure)). Numbers are never reused.

use pmserver_api::ContainerHandle;
use proto::limits::BLOCK_REQUEST_BLOCKS_MAX;
use proto::{Message, ProtocolError, pack_pair, unpack_pair};

use crate::error::{BlockError, CallError};

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 1;

const OP_VERSION: u64 = 1;
const OP_GEOMETRY: u64 = 2;
const OP_READ: u64 = 3;
const OP_WRITE: u64 = 4;
const OP_FLUSH: u64 = 5;
const OP_DISCARD: u64 = 6;
const OP_COMPLETED: u64 = 7;

/// The number by which a client knows its request. The server repeats it and does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tag(u32);

impl Tag {
    /// Returns the tag with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// How many blocks one request moves. Holding one proves that it is at least 1 and at most
/// [`BLOCK_REQUEST_BLOCKS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockCount(u32);

impl BlockCount {
    /// Returns the count, or `None` if no request moves so many.
    #[must_use]
    pub fn new(count: u64) -> Option<Self> {
        let is_valid = (1..=BLOCK_REQUEST_BLOCKS_MAX).contains(&count);
        u32::try_from(count).ok().filter(|_| is_valid).map(Self)
    }

    /// Returns the count as a plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Where the data of a request is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The container.
    pub container: ContainerHandle,
    /// The first block of it: eight are a frame.
    pub offset: u64,
}

/// A request, decoded: every argument is in the range that its type promises.
///
/// `read`, `write`, `flush` and `discard` are queued: the reply only says that. All but `completed`
/// are idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the protocol version, and for the peer to share containers with. Constant time.
    Version,
    /// Asks for the size of the disk and what it can do. Constant time.
    Geometry,
    /// Reads blocks of the disk into a container, which must be shared with WRITE and LOCK. The
    /// frames are pinned for writing until the request has ended.
    Read {
        /// Where the data goes.
        to: Place,
        /// The first block on the disk.
        block: u64,
        /// How many.
        count: BlockCount,
        /// What `completed` calls the request.
        tag: Tag,
    },
    /// Writes blocks of a container, which must be shared with READ and LOCK, to the disk. The
    /// frames are pinned for reading until the request has ended.
    Write {
        /// Where the data is.
        from: Place,
        /// The first block on the disk.
        block: u64,
        /// How many.
        count: BlockCount,
        /// What `completed` calls the request.
        tag: Tag,
    },
    /// Makes all writes last that had ended when this was called.
    Flush {
        /// What `completed` calls the request.
        tag: Tag,
    },
    /// Says that the contents of blocks are not needed any more.
    Discard {
        /// The first block on the disk.
        block: u64,
        /// How many: any number but 0.
        count: u32,
        /// What `completed` calls the request.
        tag: Tag,
    },
    /// Asks which of the caller's requests have ended, up to three, the first to end first. Each is
    /// told once. Constant time.
    Completed,
}

impl Request {
    /// Returns the lent container that the request names, if it names one.
    #[must_use]
    pub const fn container(&self) -> Option<ContainerHandle> {
        match *self {
            Self::Read { to: Place { container, .. }, .. }
            | Self::Write { from: Place { container, .. }, .. } => Some(container),
            Self::Version
            | Self::Geometry
            | Self::Flush { .. }
            | Self::Discard { .. }
            | Self::Completed => None,
        }
    }

    /// Returns the request that a message carries. Accepts any message.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers, [`BlockError`]
    /// for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        match message.label() {
            OP_VERSION => Ok(message.exactly().map(|[]| Self::Version)?),
            OP_GEOMETRY => Ok(message.exactly().map(|[]| Self::Geometry)?),
            OP_READ => {
                let (to, block, count, tag) = decode_transfer(message.exactly()?)?;
                Ok(Self::Read { to, block, count, tag })
            }
            OP_WRITE => {
                let (from, block, count, tag) = decode_transfer(message.exactly()?)?;
                Ok(Self::Write { from, block, count, tag })
            }
            OP_FLUSH => {
                let [tag] = message.exactly()?;
                let tag = u32::try_from(tag).map_err(|_| BlockError::BadRange)?;
                Ok(Self::Flush { tag: Tag(tag) })
            }
            OP_DISCARD => {
                let [block, range] = message.exactly()?;
                let (count, tag) = unpack_pair(range);
                if count == 0 {
                    return Err(BlockError::BadRange.into());
                }
                Ok(Self::Discard { block, count, tag: Tag(tag) })
            }
            OP_COMPLETED => Ok(message.exactly().map(|[]| Self::Completed)?),
            _ => Err(ProtocolError::UnknownOperation.into()),
        }
    }

    /// Returns the message that carries this request.
    #[must_use]
    pub const fn encode(&self) -> Message {
        match *self {
            Self::Version => Message::new(OP_VERSION, []),
            Self::Geometry => Message::new(OP_GEOMETRY, []),
            Self::Read { to, block, count, tag } => {
                Message::new(OP_READ, encode_transfer(to, block, count, tag))
            }
            Self::Write { from, block, count, tag } => {
                Message::new(OP_WRITE, encode_transfer(from, block, count, tag))
            }
            Self::Flush { tag } => Message::new(OP_FLUSH, [pack_pair(tag.0, 0)]),
            Self::Discard { block, count, tag } => {
                Message::new(OP_DISCARD, [block, pack_pair(count, tag.0)])
            }
            Self::Completed => Message::new(OP_COMPLETED, []),
        }
    }
}

type Transfer = (Place, u64, BlockCount, Tag);

fn decode_transfer([container, offset, block, range]: [u64; 4]) -> Result<Transfer, CallError> {
    let (count, tag) = unpack_pair(range);
    let count = BlockCount::new(count.into()).ok_or(BlockError::BadRange)?;
    let container = ContainerHandle::from_raw(container);
    Ok((Place { container, offset }, block, count, Tag(tag)))
}

const fn encode_transfer(place: Place, block: u64, count: BlockCount, tag: Tag) -> [u64; 4] {
    [place.container.raw(), place.offset, block, pack_pair(count.0, tag.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORNERS: [u64; 8] =
        [0, 1, 512, 513, 0xFFFF_FFFF, 1 << 32, 0x0000_0200_0000_0200, u64::MAX];

    #[test]
    fn requests_come_back() {
        let place = Place { container: ContainerHandle::from_raw(u64::MAX), offset: 7 };
        let (count, tag) = (BlockCount::new(BLOCK_REQUEST_BLOCKS_MAX).unwrap(), Tag(u32::MAX));
        for request in [
            Request::Version,
            Request::Geometry,
            Request::Read { to: place, block: u64::MAX, count, tag },
            Request::Write { from: place, block: 1, count, tag },
            Request::Flush { tag },
            Request::Discard { block: 3, count: u32::MAX, tag },
            Request::Completed,
        ] {
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
    }

    #[test]
    fn every_pattern_gives_a_value_or_an_error() {
        for label in CORNERS.into_iter().chain(0..10) {
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
        let above = BLOCK_REQUEST_BLOCKS_MAX + 1;
        for count in [0, above, 0xFFFF_FFFF] {
            assert_eq!(refusal(OP_READ, &[1, 0, 0, count]), Some(BlockError::BadRange));
            assert_eq!(refusal(OP_WRITE, &[1, 0, 0, count]), Some(BlockError::BadRange));
        }
        assert_eq!(refusal(OP_FLUSH, &[1 << 32]), Some(BlockError::BadRange));
        assert_eq!(refusal(OP_DISCARD, &[0, 1 << 32]), Some(BlockError::BadRange));
        let wrong = Message::new(OP_FLUSH, [1, 2]);
        assert_eq!(Request::decode(&wrong), Err(ProtocolError::WrongLength.into()));
        let unknown = Message::new(OP_COMPLETED + 1, []);
        assert_eq!(Request::decode(&unknown), Err(ProtocolError::UnknownOperation.into()));
    }
}
