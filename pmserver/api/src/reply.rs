// SPDX-License-Identifier: BSD-2-Clause
//! Replies: what operations answer, and how that stands on the wire.

use proto::{ByteCount, Message, Micros, PeerId, ProtocolError};

use crate::error::{CallError, Failure, PmError};
use crate::flags::{FrameState, MapFlags};
use crate::handles::{AccountHandle, ContainerHandle, LeaseHandle, ShareHandle};
use crate::wire::{pack_pair, unpack_pair};

/// Who the caller is to pmserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number that others share containers to.
    pub peer: PeerId,
    /// The caller's own account.
    pub account: AccountHandle,
}

/// What `share` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// For the owner, to end the share.
    pub share: ShareHandle,
    /// For the peer: the owner tells it the number.
    pub weak: ContainerHandle,
}

/// What `lock` grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// To unlock with.
    pub lease: LeaseHandle,
    /// When it ends by itself.
    pub deadline: Micros,
}

/// What `map` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Frames that are mapped now, from the first; the caller goes on from there.
    pub count: u64,
    /// The rights that they really have (R14).
    pub rights: MapFlags,
}

/// States of consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many of `frames` are meant.
    pub count: u64,
    /// One state a frame.
    pub frames: [FrameState; 24],
}

/// Limit and use of one account. All of it is whole pages of 4096 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccountInfo {
    /// What the account may use.
    pub limit: ByteCount,
    /// The sum of the four kinds.
    pub used: ByteCount,
    /// Virtual frames, each charged in full (R4).
    pub frames: ByteCount,
    /// Page tables.
    pub tables: ByteCount,
    /// CNodes, for the capability slots of mappings and grants.
    pub slots: ByteCount,
    /// pmserver's records of the account's objects.
    pub records: ByteCount,
    /// Memory of the pool that no account uses; 0 for an account that may not know.
    pub free: ByteCount,
}

/// What `rescue` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescueReport {
    /// Servers that were sent to their recovery entry.
    pub rescued: u64,
    /// When the next watch runs out, if there is one.
    pub next_deadline: Option<Micros>,
}

const NO_DEADLINE: u64 = u64::MAX;

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to tell.
    Done,
    /// The protocol version, or a count of frames or objects.
    Number(u64),
    /// To `whoami`.
    Identity(Identity),
    /// To `clock` and `watch`.
    Time(Micros),
    /// To `container_create`.
    Container(ContainerHandle),
    /// To `share`.
    Shared(Shared),
    /// To `lock`.
    Lease(Lease),
    /// To `map`.
    Mapped(Mapped),
    /// To `status`.
    Status(Status),
    /// To `account_info`.
    AccountInfo(AccountInfo),
    /// To `rescue`.
    Rescued(RescueReport),
}

const OK: u64 = 0;

fn pages_u32(bytes: ByteCount) -> u32 {
    // 2^32 pages are 16 TiB; a pool is smaller.
    u32::try_from(bytes.get() >> 12).unwrap_or(u32::MAX)
}

fn bytes_of(pages: u32) -> ByteCount {
    ByteCount::from_pages(pages.into())
}

impl Reply {
    /// Returns the message that carries this reply.
    #[must_use]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Done => Message::new(OK, []),
            Self::Number(number) => Message::new(OK, [number]),
            Self::Identity(Identity { peer, account }) => {
                Message::new(OK, [peer.get().into(), account.raw()])
            }
            Self::Time(time) => Message::new(OK, [time.get()]),
            Self::Container(container) => Message::new(OK, [container.raw()]),
            Self::Shared(Shared { share, weak }) => Message::new(OK, [share.raw(), weak.raw()]),
            Self::Lease(Lease { lease, deadline }) => {
                Message::new(OK, [lease.raw(), deadline.get()])
            }
            Self::Mapped(Mapped { count, rights }) => {
                Message::new(OK, [count, rights.bits().into()])
            }
            Self::Status(status) => status.encode(),
            Self::AccountInfo(info) => info.encode(),
            Self::Rescued(RescueReport { rescued, next_deadline }) => {
                Message::new(OK, [rescued, next_deadline.map_or(NO_DEADLINE, Micros::get)])
            }
        }
    }
}

impl Status {
    fn encode(&self) -> Message {
        let [first, second, third] = [0, 8, 16].map(|offset: usize| {
            let mut bytes = [0; 8];
            for (byte, state) in bytes.iter_mut().zip(self.frames.iter().skip(offset)) {
                *byte = state.bits();
            }
            u64::from_le_bytes(bytes)
        });
        Message::new(OK, [self.count, first, second, third])
    }

    pub(crate) fn decode([count, registers @ ..]: [u64; 4]) -> Self {
        let mut frames = [FrameState::empty(); 24];
        let bytes = registers.iter().flat_map(|register| register.to_le_bytes());
        for (state, byte) in frames.iter_mut().zip(bytes) {
            *state = FrameState::from_bits_retain(byte);
        }
        Self { count, frames }
    }
}

impl AccountInfo {
    fn encode(&self) -> Message {
        Message::new(
            OK,
            [
                pack_pair(pages_u32(self.limit), pages_u32(self.used)),
                pack_pair(pages_u32(self.frames), pages_u32(self.tables)),
                pack_pair(pages_u32(self.slots), pages_u32(self.records)),
                pack_pair(pages_u32(self.free), 0),
            ],
        )
    }

    pub(crate) fn decode(registers: [u64; 4]) -> Self {
        let [(limit, used), (frames, tables), (slots, records), (free, _)] =
            registers.map(unpack_pair);
        Self {
            limit: bytes_of(limit),
            used: bytes_of(used),
            frames: bytes_of(frames),
            tables: bytes_of(tables),
            slots: bytes_of(slots),
            records: bytes_of(records),
            free: bytes_of(free),
        }
    }
}

impl RescueReport {
    pub(crate) fn decode([rescued, next]: [u64; 2]) -> Self {
        Self { rescued, next_deadline: (next != NO_DEADLINE).then_some(Micros::new(next)) }
    }
}

impl CallError {
    /// Returns the reply that reports this error.
    #[must_use]
    pub const fn reply(&self) -> Message {
        match self {
            Self::Refused(failure) => failure.reply(),
            Self::Protocol(error) => error.reply(),
        }
    }

    /// Returns the registers of a successful reply.
    pub(crate) fn check<const N: usize>(reply: &Message) -> Result<[u64; N], Self> {
        match reply.label() {
            OK => {
                reply.exactly().map_err(|_: ProtocolError| Self::Protocol(ProtocolError::BadReply))
            }
            status => Err(Self::decode(status, reply)),
        }
    }

    fn decode(status: u64, reply: &Message) -> Self {
        let refusal = PmError::from_status(status).zip(reply.exactly::<2>().ok());
        match (refusal, ProtocolError::from_status(status)) {
            (Some((error, [done, at])), _) => Self::Refused(Failure { error, done, at }),
            (None, Some(error)) => Self::Protocol(error),
            (None, None) => Self::Protocol(ProtocolError::BadReply),
        }
    }
}

impl From<PmError> for CallError {
    fn from(error: PmError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<ProtocolError> for CallError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}
