// SPDX-License-Identifier: BSD-2-Clause
//! Requests on the wire: the numbers of the operations, and every register pattern's meaning.

use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, ProtocolError, VirtAddr};

use crate::error::{CallError, PmError};
use crate::flags::{LockMode, MapFlags, Rights};
use crate::handles::{AccountHandle, ContainerHandle, LeaseHandle, ShareHandle};
use crate::ops::Request;
use crate::wire::{Fields, low_u16};

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
