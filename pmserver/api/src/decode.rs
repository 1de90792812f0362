// SPDX-License-Identifier: BSD-2-Clause
//! What every register pattern means: a request, or the error that it is.
//!
//! One function for each part of the protocol, as in `encode.rs`; each leaves what it does not know
//! to the next. Wrong registers are told before a wrong argument.

use proto::{FrameNumber, Message, Micros, ProtocolError};

use crate::arguments::{
    account, address, below, container, disturbance, flags, frame_count, frame_list, frames,
    handler, leased, page, pairs, peer, small, two_fields,
};
use crate::error::CallError;
use crate::handles::{FaultHandle, LeaseHandle, ShareHandle};
use crate::number;
use crate::ops::{Request, ShareTerms};
use crate::wire::Fields;

/// A request, where the operation belongs to this part of the protocol.
type Decoded = Result<Option<Request>, CallError>;

impl Request {
    /// Returns the request that a message carries. Total: every pattern gives a value or an error.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers,
    /// [`PmError::Invalid`](crate::PmError::Invalid) for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        let label = Fields::unpack(message.label());
        if let Some(request) = Self::decode_copies(&label, message)? {
            return Ok(request);
        }
        let Fields { low: operation, middle: 0, high: 0 } = label else {
            return Err(ProtocolError::UnknownOperation.into());
        };
        let parts = [
            Self::decode_domain,
            Self::decode_containers,
            Self::decode_sharing,
            Self::decode_mappings,
            Self::decode_handlers,
            Self::decode_accounts,
            Self::decode_devices,
        ];
        for part in parts {
            if let Some(request) = part(operation, message)? {
                return Ok(request);
            }
        }
        Err(ProtocolError::UnknownOperation.into())
    }

    /// Three of these carry a count or flags in their label.
    fn decode_copies(label: &Fields, message: &Message) -> Decoded {
        Ok(Some(match (label.low, label.middle, label.high) {
            (number::COPY, count, flag_bits) => {
                let [source, from, destination, to] = message.exactly()?;
                Self::Copy {
                    source: container(source),
                    source_start: FrameNumber::new(from),
                    destination: container(destination),
                    destination_start: FrameNumber::new(to),
                    count: frame_count(count)?,
                    flags: flags(flag_bits)?,
                }
            }
            (number::COPY_LIST, 0, flag_bits) => {
                let ([source, destination], list) = listed(message)?;
                Self::CopyList {
                    source: container(source),
                    destination: container(destination),
                    pairs: pairs(list)?,
                    flags: flags(flag_bits)?,
                }
            }
            (number::CREATE_WITH, 0, 0) => {
                let [payer, count, terms] = message.exactly()?;
                let (count, terms) = (frame_count(count)?, ShareTerms::unpack(terms)?);
                Self::CreateWith { account: account(payer), count, terms }
            }
            (number::CREATE_FROM, count, 0) => {
                let [payer, source, start, terms] = message.exactly()?;
                Self::CreateFrom {
                    account: account(payer),
                    source: frames(source, start, count)?,
                    terms: ShareTerms::unpack(terms)?,
                }
            }
            (number::CREATE_GATHER, 0, 0) => {
                let ([payer, source, terms], list) = listed(message)?;
                Self::CreateGather {
                    account: account(payer),
                    source: container(source),
                    frames: frame_list(list)?,
                    terms: ShareTerms::unpack(terms)?,
                }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_domain(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::VERSION => bare(message, Self::Version)?,
            number::WHOAMI => bare(message, Self::WhoAmI)?,
            number::CLOCK => bare(message, Self::Clock)?,
            number::REGISTER_RECOVERY => {
                let [entry, stack_top] = message.exactly()?;
                let (entry, stack_top) = (address(entry)?, address(stack_top)?);
                Self::RegisterRecovery { entry, stack_top }
            }
            number::WATCH => {
                let [server, ttl] = message.exactly()?;
                Self::Watch { peer: peer(server)?, ttl: Micros::new(ttl) }
            }
            number::RESCUE => bare(message, Self::Rescue)?,
            number::RECLAIM => bare(message, Self::Reclaim)?,
            number::DISTURB => {
                let [what, cursor] = message.exactly()?;
                Self::Disturb { what: disturbance(what)?, cursor }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_containers(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::CONTAINER_CREATE => {
                let [payer] = message.exactly()?;
                Self::ContainerCreate { account: account(payer) }
            }
            number::CONTAINER_DESTROY => {
                let [handle] = message.exactly()?;
                Self::ContainerDestroy { container: container(handle) }
            }
            number::ALLOCATE => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let (frames, flags) = (frames(handle, start, count)?, flags(flag_bits)?);
                Self::Allocate { frames, flags }
            }
            number::ALLOCATE_ANYWHERE => {
                let [handle, count, flag_bits] = message.exactly()?;
                let (count, flags) = (frame_count(count)?, flags(flag_bits)?);
                Self::AllocateAnywhere { container: container(handle), count, flags }
            }
            number::DEALLOCATE => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let (frames, flags) = (frames(handle, start, count)?, flags(flag_bits)?);
                Self::Deallocate { frames, flags }
            }
            number::RENEW => {
                let [handle, start, count] = message.exactly()?;
                Self::Renew { frames: frames(handle, start, count)? }
            }
            number::MARK => {
                let [handle, start, count, marks] = message.exactly()?;
                Self::Mark { frames: frames(handle, start, count)?, marks: flags(marks)? }
            }
            number::STATUS => {
                let [handle, start, count] = message.exactly()?;
                Self::Status { frames: frames(handle, start, count)? }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_sharing(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::SHARE => {
                let [handle, start, count, terms] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                Self::Share { container, start, count, terms: ShareTerms::unpack(terms)? }
            }
            number::UNSHARE => {
                let [share, flag_bits] = message.exactly()?;
                Self::Unshare { share: ShareHandle::from_raw(share), flags: flags(flag_bits)? }
            }
            number::LOCK => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                Self::Lock { frames, mode, ttl: Micros::new(ttl) }
            }
            number::UNLOCK => {
                let [lease] = message.exactly()?;
                Self::Unlock { lease: LeaseHandle::from_raw(lease) }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_mappings(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::MAP => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let Fields { low: count, middle: flag_bits, high: vspace } = Fields::unpack(how);
                let (frames, vaddr) = (frames(handle, start, count)?, page(vaddr)?);
                Self::Map { frames, vaddr, flags: flags(flag_bits)?, vspace }
            }
            number::REMAP => {
                let [vspace, vaddr, how] = message.exactly()?;
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                let (count, flag_bits) = two_fields(how)?;
                let (count, flags) = (frame_count(count)?, flags(flag_bits)?);
                Self::Remap { vspace, vaddr, count, flags }
            }
            number::UNMAP => {
                let [vspace, vaddr, count] = message.exactly()?;
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                Self::Unmap { vspace, vaddr, count: frame_count(count)? }
            }
            number::ATTACH => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let Fields { low: flag_bits, middle: vspace, high: count } = Fields::unpack(how);
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (vaddr, flags) = (page(vaddr)?, flags(flag_bits)?);
                Self::Attach { container, start, vaddr, count, flags, vspace }
            }
            number::DETACH => {
                let [vspace, vaddr] = message.exactly()?;
                Self::Detach { vspace: small(vspace)?, vaddr: page(vaddr)? }
            }
            number::GRANT => {
                let [handle, start, how] = message.exactly()?;
                let (count, rights) = two_fields(how)?;
                Self::Grant { frames: frames(handle, start, count)?, rights: flags(rights)? }
            }
            number::UNGRANT => {
                let [address, count] = message.exactly()?;
                Self::Ungrant { address, count: frame_count(count)? }
            }
            number::ENSURE_TABLES => {
                let [vspace, vaddr, count] = message.exactly()?;
                let (vspace, vaddr) = (small(vspace)?, page(vaddr)?);
                Self::EnsureTables { vspace, vaddr, count: frame_count(count)? }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_handlers(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::SET_HANDLER => {
                let [handle, start, count, how] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (handler, cookie) = handler(how)?;
                Self::SetHandler { container, start, count, handler, cookie }
            }
            number::NEXT_FAULT => bare(message, Self::NextFault)?,
            number::SUPPLY => {
                let [fault, handle, number] = message.exactly()?;
                let (fault, number) = (FaultHandle::from_raw(fault), FrameNumber::new(number));
                Self::Supply { fault, container: container(handle), number }
            }
            number::REFUSE => {
                let [fault] = message.exactly()?;
                Self::Refuse { fault: FaultHandle::from_raw(fault) }
            }
            _ => return Ok(None),
        }))
    }

    fn decode_accounts(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::ACCOUNT_INFO => {
                let [handle] = message.exactly()?;
                Self::AccountInfo { account: account(handle) }
            }
            number::ACCOUNT_SPLIT => {
                let [parent, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                Self::AccountSplit { account: account(parent), limit_pages, flags }
            }
            number::ACCOUNT_DESTROY => {
                let [handle] = message.exactly()?;
                Self::AccountDestroy { account: account(handle) }
            }
            number::ACCOUNT_REMOVE => {
                let [handle] = message.exactly()?;
                Self::AccountRemove { account: account(handle) }
            }
            number::ACCOUNT_SET_LIMITS => {
                let [handle, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                Self::AccountSetLimits { account: account(handle), limit_pages, flags }
            }
            number::ACCOUNT_LEND => {
                let [handle, to, rights] = message.exactly()?;
                let (peer, rights) = (peer(to)?, flags(rights)?);
                Self::AccountLend { account: account(handle), peer, rights }
            }
            number::ACCOUNT_RECALL => {
                let [lent] = message.exactly()?;
                Self::AccountRecall { lent: account(lent) }
            }
            number::VSPACE_ACCOUNT => {
                let [handle] = message.exactly()?;
                Self::VspaceAccount { account: account(handle) }
            }
            number::EXTRA_REQUEST => bare(message, Self::ExtraRequest)?,
            _ => return Ok(None),
        }))
    }

    fn decode_devices(operation: u16, message: &Message) -> Decoded {
        Ok(Some(match operation {
            number::ALLOCATE_CONTIGUOUS => {
                let [handle, start, how] = message.exactly()?;
                let Fields { low: count, middle: align, high: limit } = Fields::unpack(how);
                Self::AllocateContiguous {
                    frames: frames(handle, start, count)?,
                    align_bits: below(64, align)?,
                    limit_bits: below(65, limit)?,
                }
            }
            number::PIN => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                Self::Pin { frames, mode, ttl: Micros::new(ttl) }
            }
            number::BUS_ADDRESS => {
                let [lease, number] = message.exactly()?;
                let (lease, number) = (LeaseHandle::from_raw(lease), FrameNumber::new(number));
                Self::BusAddress { lease, number }
            }
            number::DEVICE_RESET => {
                let [of] = message.exactly()?;
                Self::DeviceReset { peer: peer(of)? }
            }
            _ => return Ok(None),
        }))
    }
}

/// Returns a request that takes no registers.
fn bare(message: &Message, request: Request) -> Result<Request, ProtocolError> {
    message.exactly().map(|[]| request)
}

/// Returns the registers before a list, and the list.
fn listed<const N: usize>(message: &Message) -> Result<([u64; N], &[u64]), ProtocolError> {
    let (head, list) = message.registers().split_first_chunk().ok_or(ProtocolError::WrongLength)?;
    Ok((*head, list))
}
