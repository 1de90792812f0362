// SPDX-License-Identifier: BSD-2-Clause
//! The contract: every operation with its number, its registers, and what it may cost.
//!
//! | no | operation | r0 | r1 | r2 | r3 | reply |
//! |---|---|---|---|---|---|---|
//! | 1 | version | | | | | version |
//! | 2 | whoami | | | | | peer, account |
//! | 3 | clock | | | | | microseconds |
//! | 4 | container_create | account | | | | container |
//! | 5 | container_destroy | container | | | | |
//! | 6 | allocate | container | start | count | flags | done |
//! | 7 | deallocate | container | start | count | flags | freed |
//! | 8 | share | container | start | count | peer:16 rights:16 lease_us:32 | share, weak handle |
//! | 9 | unshare | share | flags | | | |
//! | 10 | lock | container | start | count:16 mode:16 | ttl_us | lease, deadline |
//! | 11 | unlock | lease | | | | |
//! | 12 | map | container | start | vaddr | count:16 flags:16 vspace:32 | mapped, rights |
//! | 13 | unmap | vspace | vaddr | count | | unmapped |
//! | 14 | status | container | start | count | | count, 3 × 8 states |
//! | 15 | account_info | account | | | | four registers of two 32-bit page counts |
//! | 16 | register_recovery | entry | stack top | | | |
//! | 17 | watch | peer | ttl_us | | | deadline |
//! | 18 | rescue | | | | | rescued, next deadline |
//! | 19 | reclaim | | | | | objects left |
//!
//! A failed reply carries `done` and `at` (see [`Failure`]). Numbers are never reused.

use proto::{ByteCount, FrameCount, FrameNumber, Message, Micros, PeerId, ProtocolError, VirtAddr};

use crate::error::{CallError, Failure, PmError};
use crate::flags::{
    AllocateFlags, DeallocateFlags, FrameState, LockMode, MapFlags, Rights, UnshareFlags,
};
use crate::handles::{AccountHandle, ContainerHandle, LeaseHandle, ShareHandle};
use crate::wire::{Fields, low_u16, pack_pair, unpack_pair};

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 1;

const OP_VERSION: u64 = 1;
const OP_WHOAMI: u64 = 2;
const OP_CLOCK: u64 = 3;
const OP_CONTAINER_CREATE: u64 = 4;
const OP_CONTAINER_DESTROY: u64 = 5;
const OP_ALLOCATE: u64 = 6;
const OP_DEALLOCATE: u64 = 7;
const OP_SHARE: u64 = 8;
const OP_UNSHARE: u64 = 9;
const OP_LOCK: u64 = 10;
const OP_UNLOCK: u64 = 11;
const OP_MAP: u64 = 12;
const OP_UNMAP: u64 = 13;
const OP_STATUS: u64 = 14;
const OP_ACCOUNT_INFO: u64 = 15;
const OP_REGISTER_RECOVERY: u64 = 16;
const OP_WATCH: u64 = 17;
const OP_RESCUE: u64 = 18;
const OP_RECLAIM: u64 = 19;

const LOCK_READ: u16 = 0;
const LOCK_EXCLUSIVE: u16 = 1;

/// A request, decoded: every argument is in the range that its type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Asks for the protocol version. Anyone; idempotent; constant time (O26).
    Version,
    /// Asks who the caller is. Anyone; idempotent; constant time (O26).
    WhoAmI,
    /// Reads pmserver's clock. Anyone; constant time.
    Clock,
    /// Makes an empty container (O1). Charged: its record. Constant time.
    ContainerCreate {
        /// The account that pays for the container and all that is allocated into it.
        account: AccountHandle,
    },
    /// Destroys a container (O12). Strong only. At most 256 frames a call: `Pending` asks to call again.
    ContainerDestroy {
        /// The container.
        container: ContainerHandle,
    },
    /// Puts virtual frames into a container (O4). Strong only. Charged: frames and records.
    Allocate {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// How.
        flags: AllocateFlags,
    },
    /// Takes virtual frames out of a container (O5). Strong only.
    Deallocate {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// How.
        flags: DeallocateFlags,
    },
    /// Lends a range of a container to a peer (O2). Strong only. Charged: one record. Constant time.
    Share {
        /// The container.
        container: ContainerHandle,
        /// The first frame number; frames allocated there later are lent too.
        start: FrameNumber,
        /// Frame numbers in the range, at least 1; not limited, as no frame is touched.
        count: u64,
        /// To whom.
        peer: PeerId,
        /// What the peer may do.
        rights: Rights,
        /// The longest lease that the peer may take.
        lease_max: Micros,
    },
    /// Ends a share (O3): returns success only when no access through it is left (R9). Owner only.
    Unshare {
        /// The share.
        share: ShareHandle,
        /// None are defined.
        flags: UnshareFlags,
    },
    /// Locks a range for a limited time (O13). Strong or weak with the LOCK right.
    Lock {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
        /// Whom it excludes from what.
        mode: LockMode,
        /// For how long at most.
        ttl: Micros,
    },
    /// Gives a lease back before its deadline. Its holder only; constant time.
    Unlock {
        /// The lease.
        lease: LeaseHandle,
    },
    /// Maps frames (O6). Strong or weak. Charged to the VSpace's account: tables, slots, records.
    Map {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// The address of the first page.
        vaddr: VirtAddr,
        /// How many.
        count: FrameCount,
        /// With which rights.
        flags: MapFlags,
        /// Into which VSpace: 0 is the caller's own, and nothing else is accepted yet.
        vspace: u32,
    },
    /// Unmaps pages (O7). The VSpace's own domain only; pages that are not mapped are passed over.
    Unmap {
        /// Of which VSpace: 0 is the caller's own.
        vspace: u32,
        /// The address of the first page.
        vaddr: VirtAddr,
        /// How many.
        count: FrameCount,
    },
    /// Tells the state of frames (O24). Strong only; at most 24 a call.
    Status {
        /// The container.
        container: ContainerHandle,
        /// The first frame number.
        start: FrameNumber,
        /// How many.
        count: FrameCount,
    },
    /// Tells limit and use of an account (O21). Needs the right to read it. Constant time.
    AccountInfo {
        /// The account.
        account: AccountHandle,
    },
    /// Names the place where the caller goes on when it has faulted (design D11).
    RegisterRecovery {
        /// The address of the first instruction.
        entry: VirtAddr,
        /// The stack pointer to start with.
        stack_top: VirtAddr,
    },
    /// Announces a call to a server: after `ttl` a supervisor may rescue the server. 0 ends the watch.
    Watch {
        /// The server.
        peer: PeerId,
        /// For how long the caller is willing to wait.
        ttl: Micros,
    },
    /// Sends every server whose watch ran out to its recovery entry. Supervisors only.
    Rescue,
    /// Does a bounded step of pending teardown on the caller's time. Anyone.
    Reclaim,
}

fn flags_from<F: bitflags::Flags<Bits = u16>>(bits: u64) -> Result<F, PmError> {
    u16::try_from(bits).ok().and_then(F::from_bits).ok_or(PmError::Invalid)
}

fn page(address: u64) -> Result<VirtAddr, PmError> {
    VirtAddr::new_page(address).ok_or(PmError::Invalid)
}

fn frame_count(count: u64) -> Result<FrameCount, PmError> {
    FrameCount::new(count).ok_or(PmError::Invalid)
}

impl Request {
    /// Returns the request that a message carries. Total: every pattern gives a value or an error.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers,
    /// [`PmError::Invalid`] for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        Self::decode_registers(message)?.map_err(CallError::from)
    }

    fn decode_registers(message: &Message) -> Result<Result<Self, PmError>, ProtocolError> {
        Ok(match message.label() {
            OP_VERSION => message.exactly::<0>().map(|[]| Ok(Self::Version))?,
            OP_WHOAMI => message.exactly::<0>().map(|[]| Ok(Self::WhoAmI))?,
            OP_CLOCK => message.exactly::<0>().map(|[]| Ok(Self::Clock))?,
            OP_RESCUE => message.exactly::<0>().map(|[]| Ok(Self::Rescue))?,
            OP_RECLAIM => message.exactly::<0>().map(|[]| Ok(Self::Reclaim))?,
            OP_CONTAINER_CREATE => {
                let [account] = message.exactly()?;
                Ok(Self::ContainerCreate { account: AccountHandle::from_raw(account) })
            }
            OP_CONTAINER_DESTROY => {
                let [container] = message.exactly()?;
                Ok(Self::ContainerDestroy { container: ContainerHandle::from_raw(container) })
            }
            OP_ALLOCATE => Self::decode_allocate(message.exactly()?),
            OP_DEALLOCATE => Self::decode_deallocate(message.exactly()?),
            OP_SHARE => Self::decode_share(message.exactly()?),
            OP_UNSHARE => {
                let [share, flags] = message.exactly()?;
                flags_from(flags)
                    .map(|flags| Self::Unshare { share: ShareHandle::from_raw(share), flags })
            }
            OP_LOCK => Self::decode_lock(message.exactly()?),
            OP_UNLOCK => {
                let [lease] = message.exactly()?;
                Ok(Self::Unlock { lease: LeaseHandle::from_raw(lease) })
            }
            OP_MAP => Self::decode_map(message.exactly()?),
            OP_UNMAP => Self::decode_unmap(message.exactly()?),
            OP_STATUS => {
                let [container, start, count] = message.exactly()?;
                frame_count(count).map(|count| Self::Status {
                    container: ContainerHandle::from_raw(container),
                    start: FrameNumber::new(start),
                    count,
                })
            }
            OP_ACCOUNT_INFO => {
                let [account] = message.exactly()?;
                Ok(Self::AccountInfo { account: AccountHandle::from_raw(account) })
            }
            OP_REGISTER_RECOVERY => Self::decode_register_recovery(message.exactly()?),
            OP_WATCH => {
                let [peer, ttl] = message.exactly()?;
                PeerId::new(peer)
                    .map(|peer| Self::Watch { peer, ttl: Micros::new(ttl) })
                    .ok_or(PmError::Invalid)
            }
            _ => return Err(ProtocolError::UnknownOperation),
        })
    }

    fn decode_allocate([container, start, count, flags]: [u64; 4]) -> Result<Self, PmError> {
        Ok(Self::Allocate {
            container: ContainerHandle::from_raw(container),
            start: FrameNumber::new(start),
            count: frame_count(count)?,
            flags: flags_from(flags)?,
        })
    }

    fn decode_deallocate([container, start, count, flags]: [u64; 4]) -> Result<Self, PmError> {
        Ok(Self::Deallocate {
            container: ContainerHandle::from_raw(container),
            start: FrameNumber::new(start),
            count: frame_count(count)?,
            flags: flags_from(flags)?,
        })
    }

    fn decode_share([container, start, count, how]: [u64; 4]) -> Result<Self, PmError> {
        let Fields { low: peer, middle: rights, high: lease_us } = Fields::unpack(how);
        if count == 0 {
            return Err(PmError::Invalid);
        }
        Ok(Self::Share {
            container: ContainerHandle::from_raw(container),
            start: FrameNumber::new(start),
            count,
            peer: PeerId::new(peer.into()).ok_or(PmError::Invalid)?,
            rights: Rights::from_bits(rights).ok_or(PmError::Invalid)?,
            lease_max: Micros::new(lease_us.into()),
        })
    }

    fn decode_lock([container, start, how, ttl]: [u64; 4]) -> Result<Self, PmError> {
        let Fields { low: count, middle: mode, high: 0 } = Fields::unpack(how) else {
            return Err(PmError::Invalid);
        };
        Ok(Self::Lock {
            container: ContainerHandle::from_raw(container),
            start: FrameNumber::new(start),
            count: frame_count(count.into())?,
            mode: match mode {
                LOCK_READ => LockMode::Read,
                LOCK_EXCLUSIVE => LockMode::Exclusive,
                _ => return Err(PmError::Invalid),
            },
            ttl: Micros::new(ttl),
        })
    }

    fn decode_map([container, start, vaddr, how]: [u64; 4]) -> Result<Self, PmError> {
        let Fields { low: count, middle: flags, high: vspace } = Fields::unpack(how);
        Ok(Self::Map {
            container: ContainerHandle::from_raw(container),
            start: FrameNumber::new(start),
            vaddr: page(vaddr)?,
            count: frame_count(count.into())?,
            flags: MapFlags::from_bits(flags).ok_or(PmError::Invalid)?,
            vspace,
        })
    }

    fn decode_unmap([vspace, vaddr, count]: [u64; 3]) -> Result<Self, PmError> {
        Ok(Self::Unmap {
            vspace: u32::try_from(vspace)
                .map_err(|_: core::num::TryFromIntError| PmError::Invalid)?,
            vaddr: page(vaddr)?,
            count: frame_count(count)?,
        })
    }

    fn decode_register_recovery([entry, stack_top]: [u64; 2]) -> Result<Self, PmError> {
        Ok(Self::RegisterRecovery {
            entry: VirtAddr::new(entry).ok_or(PmError::Invalid)?,
            stack_top: VirtAddr::new(stack_top).ok_or(PmError::Invalid)?,
        })
    }

    /// Returns the message that carries this request.
    #[must_use]
    pub fn encode(&self) -> Message {
        match *self {
            Self::Version => Message::new(OP_VERSION, []),
            Self::WhoAmI => Message::new(OP_WHOAMI, []),
            Self::Clock => Message::new(OP_CLOCK, []),
            Self::Rescue => Message::new(OP_RESCUE, []),
            Self::Reclaim => Message::new(OP_RECLAIM, []),
            Self::ContainerCreate { account } => Message::new(OP_CONTAINER_CREATE, [account.raw()]),
            Self::ContainerDestroy { container } => {
                Message::new(OP_CONTAINER_DESTROY, [container.raw()])
            }
            Self::Allocate { container, start, count, flags } => Message::new(
                OP_ALLOCATE,
                [container.raw(), start.get(), count.get(), flags.bits().into()],
            ),
            Self::Deallocate { container, start, count, flags } => Message::new(
                OP_DEALLOCATE,
                [container.raw(), start.get(), count.get(), flags.bits().into()],
            ),
            Self::Share { container, start, count, peer, rights, lease_max } => {
                // A longer lease than the field holds is longer than any that pmserver grants.
                let high = u32::try_from(lease_max.get()).unwrap_or(u32::MAX);
                let how = Fields { low: peer.get().into(), middle: rights.bits(), high };
                Message::new(OP_SHARE, [container.raw(), start.get(), count, how.pack()])
            }
            Self::Unshare { share, flags } => {
                Message::new(OP_UNSHARE, [share.raw(), flags.bits().into()])
            }
            Self::Lock { container, start, count, mode, ttl } => {
                let middle = match mode {
                    LockMode::Read => LOCK_READ,
                    LockMode::Exclusive => LOCK_EXCLUSIVE,
                };
                let how = Fields { low: low_u16(count.get()), middle, high: 0 };
                Message::new(OP_LOCK, [container.raw(), start.get(), how.pack(), ttl.get()])
            }
            Self::Unlock { lease } => Message::new(OP_UNLOCK, [lease.raw()]),
            Self::Map { container, start, vaddr, count, flags, vspace } => {
                let how = Fields { low: low_u16(count.get()), middle: flags.bits(), high: vspace };
                Message::new(OP_MAP, [container.raw(), start.get(), vaddr.get(), how.pack()])
            }
            Self::Unmap { vspace, vaddr, count } => {
                Message::new(OP_UNMAP, [vspace.into(), vaddr.get(), count.get()])
            }
            Self::Status { container, start, count } => {
                Message::new(OP_STATUS, [container.raw(), start.get(), count.get()])
            }
            Self::AccountInfo { account } => Message::new(OP_ACCOUNT_INFO, [account.raw()]),
            Self::RegisterRecovery { entry, stack_top } => {
                Message::new(OP_REGISTER_RECOVERY, [entry.get(), stack_top.get()])
            }
            Self::Watch { peer, ttl } => Message::new(OP_WATCH, [peer.get().into(), ttl.get()]),
        }
    }
}

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
