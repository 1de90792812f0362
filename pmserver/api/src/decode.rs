// SPDX-License-Identifier: BSD-2-Clause
//! What every register pattern means: a request, or the error that it is.

use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, ProtocolError, VirtAddr};

use crate::encode::{
    DISTURB_MOVE, DISTURB_UNMAP, LOCK_EXCLUSIVE, LOCK_READ, OP_ACCOUNT_DESTROY, OP_ACCOUNT_INFO,
    OP_ACCOUNT_LEND, OP_ACCOUNT_RECALL, OP_ACCOUNT_REMOVE, OP_ACCOUNT_SET_LIMITS, OP_ACCOUNT_SPLIT,
    OP_ALLOCATE, OP_ALLOCATE_ANYWHERE, OP_ALLOCATE_CONTIGUOUS, OP_ATTACH, OP_BUS_ADDRESS, OP_CLOCK,
    OP_CONTAINER_CREATE, OP_CONTAINER_DESTROY, OP_COPY, OP_COPY_LIST, OP_CREATE_FROM,
    OP_CREATE_GATHER, OP_CREATE_WITH, OP_DEALLOCATE, OP_DETACH, OP_DEVICE_RESET, OP_DISTURB,
    OP_ENSURE_TABLES, OP_EXTRA_REQUEST, OP_GRANT, OP_LOCK, OP_MAP, OP_MARK, OP_NEXT_FAULT, OP_PIN,
    OP_RECLAIM, OP_REFUSE, OP_REGISTER_RECOVERY, OP_REMAP, OP_RENEW, OP_RESCUE, OP_SET_HANDLER,
    OP_SHARE, OP_STATUS, OP_SUPPLY, OP_UNGRANT, OP_UNLOCK, OP_UNMAP, OP_UNSHARE, OP_VERSION,
    OP_VSPACE_ACCOUNT, OP_WATCH, OP_WHOAMI,
};
use crate::error::{CallError, PmError};
use crate::flags::{Disturbance, LockMode, MapFlags, Rights};
use crate::handles::{AccountHandle, ContainerHandle, FaultHandle, LeaseHandle, ShareHandle};
use crate::lists::{FrameList, PairList};
use crate::ops::{Frames, Request, ShareTerms};
use crate::wire::Fields;

/// A register pattern: not a message of the protocol, or one with a wrong argument, or a request.
type Decoded = Result<Result<Request, PmError>, ProtocolError>;

fn flags_from<F: bitflags::Flags<Bits = u16>>(bits: u64) -> Result<F, PmError> {
    u16::try_from(bits).ok().and_then(F::from_bits).ok_or(PmError::Invalid)
}

fn page(address: u64) -> Result<VirtAddr, PmError> {
    VirtAddr::new_page(address).ok_or(PmError::Invalid)
}

fn frame_count(count: u64) -> Result<FrameCount, PmError> {
    FrameCount::new(count).ok_or(PmError::Invalid)
}

fn small(number: u64) -> Result<u32, PmError> {
    u32::try_from(number).map_err(|_: core::num::TryFromIntError| PmError::Invalid)
}

fn peer(number: u64) -> Result<PeerId, PmError> {
    PeerId::new(number).ok_or(PmError::Invalid)
}

fn lock_mode(number: u16) -> Result<LockMode, PmError> {
    match number {
        LOCK_READ => Ok(LockMode::Read),
        LOCK_EXCLUSIVE => Ok(LockMode::Exclusive),
        _ => Err(PmError::Invalid),
    }
}

const fn account(number: u64) -> AccountHandle {
    AccountHandle::from_raw(number)
}

const fn container(number: u64) -> ContainerHandle {
    ContainerHandle::from_raw(number)
}

fn frames(handle: u64, start: u64, count: u64) -> Result<Frames, PmError> {
    Ok(Frames {
        container: container(handle),
        start: FrameNumber::new(start),
        count: frame_count(count)?,
    })
}

impl ShareTerms {
    fn unpack(register: u64) -> Result<Self, PmError> {
        let Fields { low, middle, high } = Fields::unpack(register);
        Ok(Self {
            peer: peer(low.into())?,
            rights: Rights::from_bits(middle).ok_or(PmError::Invalid)?,
            lease_max: Micros::new(high.into()),
        })
    }
}

impl Request {
    /// Returns the request that a message carries. Total: every pattern gives a value or an error.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers,
    /// [`PmError::Invalid`] for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        let Fields { low: operation, middle: count, high } = Fields::unpack(message.label());
        let decoded = match (operation, count, high) {
            (OP_COPY | OP_COPY_LIST | OP_CREATE_FROM, ..) => {
                Self::decode_labelled(message, operation, count, high)
            }
            (_, 0, 0) if operation < OP_REMAP => Self::decode_first(message, operation),
            (_, 0, 0) => Self::decode_second(message, operation),
            _ => Err(ProtocolError::UnknownOperation),
        };
        decoded?.map_err(CallError::from)
    }

    /// Operations whose label carries a count or flags.
    fn decode_labelled(message: &Message, operation: u16, count: u16, high: u32) -> Decoded {
        match operation {
            OP_COPY => message.exactly().map(|registers| Self::copy(count, high, registers)),
            OP_COPY_LIST if count == 0 => Self::copy_list(high, message),
            OP_CREATE_FROM if high == 0 => {
                message.exactly().map(|[payer, source, start, terms]| {
                    Ok(Self::CreateFrom {
                        account: account(payer),
                        source: frames(source, start, count.into())?,
                        terms: ShareTerms::unpack(terms)?,
                    })
                })
            }
            _ => Err(ProtocolError::UnknownOperation),
        }
    }

    /// Operations 1 to 19.
    fn decode_first(message: &Message, operation: u16) -> Decoded {
        Ok(match operation {
            OP_VERSION => message.exactly().map(|[]| Ok(Self::Version))?,
            OP_WHOAMI => message.exactly().map(|[]| Ok(Self::WhoAmI))?,
            OP_CLOCK => message.exactly().map(|[]| Ok(Self::Clock))?,
            OP_RESCUE => message.exactly().map(|[]| Ok(Self::Rescue))?,
            OP_RECLAIM => message.exactly().map(|[]| Ok(Self::Reclaim))?,
            OP_CONTAINER_CREATE => message
                .exactly()
                .map(|[payer]| Ok(Self::ContainerCreate { account: account(payer) }))?,
            OP_CONTAINER_DESTROY => message
                .exactly()
                .map(|[handle]| Ok(Self::ContainerDestroy { container: container(handle) }))?,
            OP_ALLOCATE => message.exactly().map(|[handle, start, count, flags]| {
                let frames = frames(handle, start, count)?;
                Ok(Self::Allocate { frames, flags: flags_from(flags)? })
            })?,
            OP_DEALLOCATE => message.exactly().map(|[handle, start, count, flags]| {
                let frames = frames(handle, start, count)?;
                Ok(Self::Deallocate { frames, flags: flags_from(flags)? })
            })?,
            OP_SHARE => message.exactly().map(|[handle, start, count, terms]| {
                if count == 0 {
                    return Err(PmError::Invalid);
                }
                let (container, start) = (container(handle), FrameNumber::new(start));
                let terms = ShareTerms::unpack(terms)?;
                Ok(Self::Share { container, start, count, terms })
            })?,
            OP_UNSHARE => message.exactly().map(|[share, flags]| {
                flags_from(flags)
                    .map(|flags| Self::Unshare { share: ShareHandle::from_raw(share), flags })
            })?,
            OP_LOCK => message.exactly().map(|[handle, start, how, ttl]| {
                let (frames, mode) = locked(handle, start, how)?;
                Ok(Self::Lock { frames, mode, ttl: Micros::new(ttl) })
            })?,
            OP_UNLOCK => message
                .exactly()
                .map(|[lease]| Ok(Self::Unlock { lease: LeaseHandle::from_raw(lease) }))?,
            OP_MAP => message.exactly().map(|[handle, start, vaddr, how]| {
                let Fields { low: count, middle: flags, high: vspace } = Fields::unpack(how);
                Ok(Self::Map {
                    frames: frames(handle, start, count.into())?,
                    vaddr: page(vaddr)?,
                    flags: MapFlags::from_bits(flags).ok_or(PmError::Invalid)?,
                    vspace,
                })
            })?,
            OP_UNMAP => message.exactly().map(|[vspace, vaddr, count]| {
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                Ok(Self::Unmap { vspace, vaddr, count: frame_count(count)? })
            })?,
            OP_STATUS => message.exactly().map(|[handle, start, count]| {
                frames(handle, start, count).map(|frames| Self::Status { frames })
            })?,
            OP_ACCOUNT_INFO => message
                .exactly()
                .map(|[handle]| Ok(Self::AccountInfo { account: account(handle) }))?,
            OP_REGISTER_RECOVERY => message.exactly().map(|[entry, stack_top]| {
                Ok(Self::RegisterRecovery {
                    entry: VirtAddr::new(entry).ok_or(PmError::Invalid)?,
                    stack_top: VirtAddr::new(stack_top).ok_or(PmError::Invalid)?,
                })
            })?,
            OP_WATCH => message.exactly().map(|[server, ttl]| {
                Ok(Self::Watch { peer: peer(server)?, ttl: Micros::new(ttl) })
            })?,
            _ => return Err(ProtocolError::UnknownOperation),
        })
    }

    /// Operations from 20 on.
    #[allow(clippy::too_many_lines)] // One arm an operation.
    fn decode_second(message: &Message, operation: u16) -> Decoded {
        Ok(match operation {
            OP_EXTRA_REQUEST => message.exactly().map(|[]| Ok(Self::ExtraRequest))?,
            OP_NEXT_FAULT => message.exactly().map(|[]| Ok(Self::NextFault))?,
            OP_REMAP => message.exactly().map(|[vspace, vaddr, how]| {
                let Fields { low: count, middle: flags, high: 0 } = Fields::unpack(how) else {
                    return Err(PmError::Invalid);
                };
                let flags = MapFlags::from_bits(flags).ok_or(PmError::Invalid)?;
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                Ok(Self::Remap { vspace, vaddr, count: frame_count(count.into())?, flags })
            })?,
            OP_RENEW => message.exactly().map(|[handle, start, count]| {
                frames(handle, start, count).map(|frames| Self::Renew { frames })
            })?,
            OP_ALLOCATE_ANYWHERE => message.exactly().map(|[handle, count, flags]| {
                let (count, flags) = (frame_count(count)?, flags_from(flags)?);
                Ok(Self::AllocateAnywhere { container: container(handle), count, flags })
            })?,
            OP_ALLOCATE_CONTIGUOUS => message.exactly().map(|[handle, start, how]| {
                let Fields { low: count, middle, high } = Fields::unpack(how);
                let align_bits = u8::try_from(middle).ok().filter(|bits| *bits < 64);
                let limit_bits = u8::try_from(high).ok().filter(|bits| *bits <= 64);
                Ok(Self::AllocateContiguous {
                    frames: frames(handle, start, count.into())?,
                    align_bits: align_bits.ok_or(PmError::Invalid)?,
                    limit_bits: limit_bits.ok_or(PmError::Invalid)?,
                })
            })?,
            OP_CREATE_WITH => message.exactly().map(|[payer, count, terms]| {
                let (count, terms) = (frame_count(count)?, ShareTerms::unpack(terms)?);
                Ok(Self::CreateWith { account: account(payer), count, terms })
            })?,
            OP_CREATE_GATHER => return Self::create_gather(message),
            OP_ATTACH => message.exactly().map(|[handle, start, vaddr, how]| {
                let Fields { low: flags, middle: vspace, high: count } = Fields::unpack(how);
                let flags = MapFlags::from_bits(flags).ok_or(PmError::Invalid)?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                Ok(Self::Attach { container, start, vaddr: page(vaddr)?, count, flags, vspace })
            })?,
            OP_DETACH => message.exactly().map(|[vspace, vaddr]| {
                Ok(Self::Detach { vspace: small(vspace)?, vaddr: page(vaddr)? })
            })?,
            OP_GRANT => message.exactly().map(|[handle, start, how]| {
                let Fields { low: count, middle: rights, high: 0 } = Fields::unpack(how) else {
                    return Err(PmError::Invalid);
                };
                let rights = MapFlags::from_bits(rights).ok_or(PmError::Invalid)?;
                Ok(Self::Grant { frames: frames(handle, start, count.into())?, rights })
            })?,
            OP_UNGRANT => message.exactly().map(|[address, count]| {
                frame_count(count).map(|count| Self::Ungrant { address, count })
            })?,
            OP_ENSURE_TABLES => message.exactly().map(|[vspace, vaddr, count]| {
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                Ok(Self::EnsureTables { vspace, vaddr, count: frame_count(count)? })
            })?,
            OP_ACCOUNT_SPLIT => message.exactly().map(|[parent, limit, flags]| {
                let (limit_pages, flags) = (small(limit)?, flags_from(flags)?);
                Ok(Self::AccountSplit { account: account(parent), limit_pages, flags })
            })?,
            OP_ACCOUNT_DESTROY => message
                .exactly()
                .map(|[handle]| Ok(Self::AccountDestroy { account: account(handle) }))?,
            OP_ACCOUNT_REMOVE => message
                .exactly()
                .map(|[handle]| Ok(Self::AccountRemove { account: account(handle) }))?,
            OP_ACCOUNT_SET_LIMITS => message.exactly().map(|[handle, limit, flags]| {
                let (limit_pages, flags) = (small(limit)?, flags_from(flags)?);
                Ok(Self::AccountSetLimits { account: account(handle), limit_pages, flags })
            })?,
            OP_ACCOUNT_LEND => message.exactly().map(|[handle, to, rights]| {
                let (peer, rights) = (peer(to)?, flags_from(rights)?);
                Ok(Self::AccountLend { account: account(handle), peer, rights })
            })?,
            OP_ACCOUNT_RECALL => {
                message.exactly().map(|[lent]| Ok(Self::AccountRecall { lent: account(lent) }))?
            }
            OP_VSPACE_ACCOUNT => message
                .exactly()
                .map(|[handle]| Ok(Self::VspaceAccount { account: account(handle) }))?,
            OP_MARK => message.exactly().map(|[handle, start, count, marks]| {
                let frames = frames(handle, start, count)?;
                Ok(Self::Mark { frames, marks: flags_from(marks)? })
            })?,
            OP_PIN => message.exactly().map(|[handle, start, how, ttl]| {
                let (frames, mode) = locked(handle, start, how)?;
                Ok(Self::Pin { frames, mode, ttl: Micros::new(ttl) })
            })?,
            OP_BUS_ADDRESS => message.exactly().map(|[lease, number]| {
                let (lease, number) = (LeaseHandle::from_raw(lease), FrameNumber::new(number));
                Ok(Self::BusAddress { lease, number })
            })?,
            OP_DEVICE_RESET => {
                message.exactly().map(|[of]| peer(of).map(|peer| Self::DeviceReset { peer }))?
            }
            OP_SET_HANDLER => message.exactly().map(|[handle, start, count, how]| {
                let Fields { low: handler, middle: 0, high: cookie } = Fields::unpack(how) else {
                    return Err(PmError::Invalid);
                };
                let handler = (handler != 0).then(|| peer(handler.into())).transpose()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                Ok(Self::SetHandler { container, start, count, handler, cookie })
            })?,
            OP_SUPPLY => message.exactly().map(|[fault, handle, number]| {
                let (fault, number) = (FaultHandle::from_raw(fault), FrameNumber::new(number));
                Ok(Self::Supply { fault, container: container(handle), number })
            })?,
            OP_REFUSE => message
                .exactly()
                .map(|[fault]| Ok(Self::Refuse { fault: FaultHandle::from_raw(fault) }))?,
            OP_DISTURB => message.exactly().map(|[what, cursor]| match what {
                DISTURB_UNMAP => Ok(Self::Disturb { what: Disturbance::Unmap, cursor }),
                DISTURB_MOVE => Ok(Self::Disturb { what: Disturbance::Move, cursor }),
                _ => Err(PmError::Invalid),
            })?,
            _ => return Err(ProtocolError::UnknownOperation),
        })
    }

    fn copy(
        count: u16,
        flags: u32,
        [source, from, destination, to]: [u64; 4],
    ) -> Result<Self, PmError> {
        Ok(Self::Copy {
            source: container(source),
            source_start: FrameNumber::new(from),
            destination: container(destination),
            destination_start: FrameNumber::new(to),
            count: frame_count(count.into())?,
            flags: flags_from(flags.into())?,
        })
    }

    fn copy_list(flags: u32, message: &Message) -> Decoded {
        let [source, destination, numbers @ ..] = message.registers() else {
            return Err(ProtocolError::WrongLength);
        };
        let mut pairs = [(FrameNumber::new(0), FrameNumber::new(0)); PairList::MOST];
        let (chunks, rest) = numbers.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ProtocolError::WrongLength);
        }
        for (pair, [from, to]) in pairs.iter_mut().zip(chunks) {
            *pair = (FrameNumber::new(*from), FrameNumber::new(*to));
        }
        let pairs = pairs.get(..chunks.len()).and_then(PairList::new);
        Ok(flags_from(flags.into()).and_then(|flags| {
            let (source, destination) = (container(*source), container(*destination));
            let pairs = pairs.ok_or(PmError::Invalid)?;
            Ok(Self::CopyList { source, destination, pairs, flags })
        }))
    }

    fn create_gather(message: &Message) -> Decoded {
        let [payer, source, terms, numbers @ ..] = message.registers() else {
            return Err(ProtocolError::WrongLength);
        };
        let mut frames = [FrameNumber::new(0); FrameList::MOST];
        for (frame, number) in frames.iter_mut().zip(numbers) {
            *frame = FrameNumber::new(*number);
        }
        let frames = frames.get(..numbers.len()).and_then(FrameList::new);
        Ok(ShareTerms::unpack(*terms).and_then(|terms| {
            let frames = frames.ok_or(PmError::Invalid)?;
            let (account, source) = (account(*payer), container(*source));
            Ok(Self::CreateGather { account, source, frames, terms })
        }))
    }
}

fn locked(handle: u64, start: u64, how: u64) -> Result<(Frames, LockMode), PmError> {
    let Fields { low: count, middle: mode, high: 0 } = Fields::unpack(how) else {
        return Err(PmError::Invalid);
    };
    Ok((frames(handle, start, count.into())?, lock_mode(mode)?))
}
