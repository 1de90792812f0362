// SPDX-License-Identifier: BSD-2-Clause
//! From a reply to a message and back.

use proto::{ByteCount, FrameNumber, Message, Micros, ProtocolError, pack_pair, unpack_pair};

use crate::error::{CallError, Failure, PmError};
use crate::flags::{AccessKind, FrameState, MapFlags};
use crate::handles::{ContainerHandle, FaultHandle, LeaseHandle, RangeHandle, ShareHandle};
use crate::reply::{
    AccountInfo, BusRun, Created, Disturbed, ExtraRequest, Granted, Identity, Lease, Mapped,
    MappedRun, PendingFault, Pinned, Placed, Reply, RescueReport, Row, Shared, Status,
};
use crate::wire::Fields;

const NO_DEADLINE: u64 = u64::MAX;

const OK: u64 = 0;

fn pages_u32(bytes: ByteCount) -> u32 {
    // 2^32 pages are 16 TiB. A pool is smaller.
    u32::try_from(bytes.get() >> 12).unwrap_or(u32::MAX)
}

fn bytes_of(pages: u32) -> ByteCount {
    ByteCount::from_pages(pages.into())
}

impl Reply {
    /// Returns the message that carries this reply.
    #[must_use]
    pub fn encode(&self) -> Message {
        let mut message = Message::default();
        self.encode_to(&mut message);
        message
    }

    /// Makes a message into the one that carries this reply.
    #[inline(always)]
    pub fn encode_to(&self, message: &mut Message) {
        match *self {
            Self::Done => message.become_new(OK, []),
            Self::Number(number) => message.become_new(OK, [number]),
            Self::Identity(Identity { peer, account }) => {
                message.become_new(OK, [peer.get().into(), account.raw()])
            }
            Self::Time(time) => message.become_new(OK, [time.get()]),
            Self::Container(container) => message.become_new(OK, [container.raw()]),
            Self::Shared(Shared { share, weak }) => {
                message.become_new(OK, [share.raw(), weak.raw()])
            }
            Self::Lease(Lease { lease, deadline }) => {
                message.become_new(OK, [lease.raw(), deadline.get()])
            }
            Self::Mapped(mapped) => message.become_new(OK, mapped.encode()),
            Self::Status(status) => message.become_new(OK, status.encode()),
            Self::AccountInfo(info) => message.become_new(OK, info.encode()),
            Self::Rescued(RescueReport { rescued, next_deadline }) => {
                message.become_new(OK, [rescued, next_deadline.map_or(NO_DEADLINE, Micros::get)])
            }
            Self::Created(Created { container, shared: Shared { share, weak } }) => {
                message.become_new(OK, [container.raw(), share.raw(), weak.raw()])
            }
            Self::Placed(Placed { start, count }) => message.become_new(OK, [start.get(), count]),
            Self::Granted(Granted { address, count, rights }) => {
                message.become_new(OK, [address, count, rights.bits().into()])
            }
            Self::Account(account) => message.become_new(OK, [account.raw()]),
            Self::ExtraRequest(ExtraRequest { count, deadline, sequence }) => {
                message.become_new(OK, [count, deadline.get(), sequence])
            }
            Self::Pinned(Pinned { lease: Lease { lease, deadline }, bus }) => {
                message.become_new(OK, [lease.raw(), deadline.get(), bus.address, bus.frames])
            }
            Self::BusRun(BusRun { address, frames }) => message.become_new(OK, [address, frames]),
            Self::Range(range) => message.become_new(OK, [range.raw()]),
            Self::Fault(fault) => message.become_new(OK, PendingFault::encode(fault)),
            Self::Disturbed(Disturbed { count, cursor }) => message.become_new(OK, [count, cursor]),
            Self::Row(Row { cursor, words: [first, second, third] }) => {
                message.become_new(OK, [cursor, first, second, third])
            }
        }
    }
}

impl Mapped {
    fn encode(&self) -> [u64; 4] {
        let [a, b, c, d, e, f] = *self.all_runs();
        let [first, second, third] = [[a, b], [c, d], [e, f]].map(|[low, high]| {
            let pair = |run: MappedRun| u32::from(run.count) | u32::from(run.rights.bits()) << 16;
            pack_pair(pair(low), pair(high))
        });
        [self.count, first, second, third]
    }

    pub(crate) fn decode([count, first, second, third]: [u64; 4]) -> Self {
        let run = |pair: u32| {
            let Fields { low: count, middle: rights, .. } = Fields::unpack(pair.into());
            MappedRun { count, rights: MapFlags::from_bits_truncate(rights) }
        };
        let [(a, b), (c, d), (e, f)] = [first, second, third].map(unpack_pair);
        Self::from_wire(count, [a, b, c, d, e, f].map(run))
    }
}

impl Created {
    pub(crate) const fn decode([container, share, weak]: [u64; 3]) -> Self {
        Self {
            container: ContainerHandle::from_raw(container),
            shared: Shared::decode([share, weak]),
        }
    }
}

impl Shared {
    pub(crate) const fn decode([share, weak]: [u64; 2]) -> Self {
        Self { share: ShareHandle::from_raw(share), weak: ContainerHandle::from_raw(weak) }
    }
}

impl Lease {
    pub(crate) const fn decode([lease, deadline]: [u64; 2]) -> Self {
        Self { lease: LeaseHandle::from_raw(lease), deadline: Micros::new(deadline) }
    }
}

impl Granted {
    pub(crate) fn decode([address, count, rights]: [u64; 3]) -> Self {
        let rights = u16::try_from(rights).unwrap_or_default();
        Self { address, count, rights: MapFlags::from_bits_truncate(rights) }
    }
}

impl Pinned {
    pub(crate) const fn decode([lease, deadline, address, frames]: [u64; 4]) -> Self {
        Self { lease: Lease::decode([lease, deadline]), bus: BusRun { address, frames } }
    }
}

const ACCESS_READ: u32 = 0;
const ACCESS_WRITE: u32 = 1;
const ACCESS_EXECUTE: u32 = 2;

impl PendingFault {
    fn encode(fault: Option<Self>) -> [u64; 4] {
        let Some(Self { fault, range, cookie, number, access }) = fault else {
            return [0; 4];
        };
        let access = match access {
            AccessKind::Read => ACCESS_READ,
            AccessKind::Write => ACCESS_WRITE,
            AccessKind::Execute => ACCESS_EXECUTE,
        };
        [fault.raw(), range.raw(), pack_pair(cookie, access), number.get()]
    }

    pub(crate) fn decode([fault, range, what, number]: [u64; 4]) -> Option<Self> {
        let (cookie, access) = unpack_pair(what);
        (fault != 0).then(|| Self {
            fault: FaultHandle::from_raw(fault),
            range: RangeHandle::from_raw(range),
            cookie,
            number: FrameNumber::new(number),
            access: match access {
                ACCESS_WRITE => AccessKind::Write,
                ACCESS_EXECUTE => AccessKind::Execute,
                _ => AccessKind::Read,
            },
        })
    }
}

impl Status {
    fn encode(&self) -> [u64; 7] {
        let [a, b, c, d, e, f] = [0, 4, 8, 12, 16, 20].map(|offset: usize| {
            let mut states = self.frames.iter().skip(offset).map(|state| u64::from(state.bits()));
            let [first, second, third, fourth] =
                [(); 4].map(|()| states.next().unwrap_or_default());
            first | second << 16 | third << 32 | fourth << 48
        });
        [self.count, a, b, c, d, e, f]
    }

    pub(crate) fn decode([count, registers @ ..]: [u64; 7]) -> Self {
        let mut frames = [FrameState::empty(); 24];
        let states = registers.iter().flat_map(|register| [0, 16, 32, 48].map(|at| register >> at));
        for (state, bits) in frames.iter_mut().zip(states) {
            *state = FrameState::from_bits_retain(crate::wire::low_u16(bits));
        }
        Self { count, frames }
    }
}

impl AccountInfo {
    fn encode(&self) -> [u64; 4] {
        [
            pack_pair(pages_u32(self.limit), pages_u32(self.frames)),
            pack_pair(pages_u32(self.tables), pages_u32(self.slots)),
            pack_pair(pages_u32(self.records), pages_u32(self.extra)),
            pack_pair(pages_u32(self.promised), pages_u32(self.free)),
        ]
    }

    pub(crate) fn decode(registers: [u64; 4]) -> Self {
        let [(limit, frames), (tables, slots), (records, extra), (promised, free)] =
            registers.map(unpack_pair);
        let used = [frames, tables, slots, records].into_iter().fold(0, u32::saturating_add);
        Self {
            limit: bytes_of(limit),
            used: bytes_of(used),
            frames: bytes_of(frames),
            tables: bytes_of(tables),
            slots: bytes_of(slots),
            records: bytes_of(records),
            extra: bytes_of(extra),
            promised: bytes_of(promised),
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
    #[inline(always)]
    pub(crate) fn check<const N: usize>(reply: &Message) -> Result<[u64; N], Self> {
        match reply.label() {
            OK => {
                reply.exactly().map_err(|_: ProtocolError| Self::Protocol(ProtocolError::BadReply))
            }
            status => Err(Self::decode(status, *reply)),
        }
    }

    #[cold]
    fn decode(status: u64, reply: Message) -> Self {
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
