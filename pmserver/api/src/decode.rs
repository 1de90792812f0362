// SPDX-License-Identifier: BSD-2-Clause
//! From a message to a request, or to the error that says what is wrong with the message.
//!
//! A wrong number of registers is reported before a wrong argument.

use proto::{FrameNumber, Message, Micros, ProtocolError};

use crate::arguments::{
    account, address, below, container, copied, count_or_large, disturbance, flags, frame_count,
    frame_list, frames, frames_or_large, handler, leased, page, pairs, peer, small, two_fields,
};
use crate::error::CallError;
use crate::handles::{FaultHandle, LeaseHandle, ShareHandle};
use crate::operation::Operation;
use crate::ops::{Request, ShareTerms};
use crate::wire::{Fields, unpack_pair};

impl Request {
    /// Returns the request that a message carries, or why it carries none. It never panics.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers,
    /// [`PmError::Invalid`](crate::PmError::Invalid) for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        let Fields { low, middle: count, high: flag_bits } = Fields::unpack(message.label());
        let operation = Operation::from_number(low).ok_or(ProtocolError::UnknownOperation)?;
        let label = operation.label();
        if (count != 0 && !label.has_count()) || (flag_bits != 0 && !label.has_flags()) {
            return Err(ProtocolError::UnknownOperation.into());
        }
        Self::of_operation(operation, message, count, flag_bits)
    }

    /// Returns the request for an operation whose label carries this count and these flags.
    #[inline(always)]
    fn of_operation(
        operation: Operation,
        message: &Message,
        label_count: u16,
        label_flags: u32,
    ) -> Result<Self, CallError> {
        Ok(match operation {
            Operation::Version => bare(message, Self::Version)?,
            Operation::WhoAmI => bare(message, Self::WhoAmI)?,
            Operation::Clock => bare(message, Self::Clock)?,
            Operation::ContainerCreate => {
                let [payer] = message.exactly()?;
                Self::ContainerCreate { account: account(payer) }
            }
            Operation::ContainerDestroy => {
                let [handle] = message.exactly()?;
                Self::ContainerDestroy { container: container(handle) }
            }
            Operation::Allocate => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let frames = frames_or_large(handle, start, count)?;
                let flags = flags(flag_bits)?;
                Self::Allocate { frames, flags }
            }
            Operation::Deallocate => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let frames = frames_or_large(handle, start, count)?;
                let flags = flags(flag_bits)?;
                Self::Deallocate { frames, flags }
            }
            Operation::Share => {
                let [handle, start, count, terms] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                Self::Share { container, start, count, terms: ShareTerms::unpack(terms)? }
            }
            Operation::Unshare => {
                let [share] = message.exactly()?;
                Self::Unshare { share: ShareHandle::from_raw(share) }
            }
            Operation::Lock => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                Self::Lock { frames, mode, ttl: Micros::new(ttl) }
            }
            Operation::Unlock => {
                let [lease] = message.exactly()?;
                Self::Unlock { lease: LeaseHandle::from_raw(lease) }
            }
            Operation::Map => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = two_fields(how)?;
                let (frames, vaddr) = (frames_or_large(handle, start, count)?, page(vaddr)?);
                Self::Map { frames, vaddr, flags: flags(flag_bits)? }
            }
            Operation::Unmap => {
                let [vaddr, count] = message.exactly()?;
                Self::Unmap { vaddr: page(vaddr)?, count: count_or_large(count)? }
            }
            Operation::Status => {
                let [handle, start, count] = message.exactly()?;
                Self::Status { frames: frames(handle, start, count)? }
            }
            Operation::AccountInfo => {
                let [handle] = message.exactly()?;
                Self::AccountInfo { account: account(handle) }
            }
            Operation::RegisterRecovery => {
                let [entry, stack_top] = message.exactly()?;
                let (entry, stack_top) = (address(entry)?, address(stack_top)?);
                Self::RegisterRecovery { entry, stack_top }
            }
            Operation::Watch => {
                let [server, ttl] = message.exactly()?;
                Self::Watch { peer: peer(server)?, ttl: Micros::new(ttl) }
            }
            Operation::Rescue => bare(message, Self::Rescue)?,
            Operation::Reclaim => bare(message, Self::Reclaim)?,
            Operation::Remap => {
                let [vaddr, count, flag_bits] = message.exactly()?;
                let (vaddr, count) = (page(vaddr)?, count_or_large(count)?);
                Self::Remap { vaddr, count, flags: flags(flag_bits)? }
            }
            Operation::Renew => {
                let [handle, start, count] = message.exactly()?;
                Self::Renew { frames: frames(handle, start, count)? }
            }
            Operation::AllocateAnywhere => {
                let [handle, count, flag_bits] = message.exactly()?;
                let (count, flags) = (frame_count(count)?, flags(flag_bits)?);
                Self::AllocateAnywhere { container: container(handle), count, flags }
            }
            Operation::AllocateContiguous => {
                let [handle, start, count, how] = message.exactly()?;
                let (align, limit) = two_fields(how)?;
                Self::AllocateContiguous {
                    frames: frames(handle, start, count)?,
                    align_bits: below(64, align)?,
                    limit_bits: below(65, limit)?,
                }
            }
            Operation::Copy => {
                let [source, from, destination, to] = message.exactly()?;
                Self::Copy {
                    source: container(source),
                    source_start: FrameNumber::new(from),
                    destination: container(destination),
                    destination_start: FrameNumber::new(to),
                    count: copied(from, to, label_count)?,
                    flags: flags(label_flags)?,
                }
            }
            Operation::CopyList => return Self::copy_list(message, label_flags),
            Operation::CreateWith => {
                let [payer, count, terms] = message.exactly()?;
                let (count, terms) = (frame_count(count)?, ShareTerms::unpack(terms)?);
                Self::CreateWith { account: account(payer), count, terms }
            }
            Operation::CreateFrom => {
                let [payer, source, start, terms] = message.exactly()?;
                Self::CreateFrom {
                    account: account(payer),
                    source: frames(source, start, label_count)?,
                    terms: ShareTerms::unpack(terms)?,
                }
            }
            Operation::CreateGather => return Self::create_gather(message),
            Operation::Attach => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = unpack_pair(how);
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (vaddr, flags) = (page(vaddr)?, flags(flag_bits)?);
                Self::Attach { container, start, vaddr, count, flags }
            }
            Operation::Detach => {
                let [vaddr] = message.exactly()?;
                Self::Detach { vaddr: page(vaddr)? }
            }
            Operation::Grant => {
                let [handle, start, count, rights] = message.exactly()?;
                Self::Grant { frames: frames(handle, start, count)?, rights: flags(rights)? }
            }
            Operation::Ungrant => {
                let [address, count] = message.exactly()?;
                Self::Ungrant { address, count: frame_count(count)? }
            }
            Operation::EnsureTables => {
                let [vaddr, count] = message.exactly()?;
                Self::EnsureTables { vaddr: page(vaddr)?, count: frame_count(count)? }
            }
            Operation::AccountSplit => {
                let [parent, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                Self::AccountSplit { account: account(parent), limit_pages, flags }
            }
            Operation::AccountDestroy => {
                let [handle] = message.exactly()?;
                Self::AccountDestroy { account: account(handle) }
            }
            Operation::AccountRemove => {
                let [handle] = message.exactly()?;
                Self::AccountRemove { account: account(handle) }
            }
            Operation::AccountSetLimits => {
                let [handle, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                Self::AccountSetLimits { account: account(handle), limit_pages, flags }
            }
            Operation::AccountLend => {
                let [handle, to, rights] = message.exactly()?;
                let (peer, rights) = (peer(to)?, flags(rights)?);
                Self::AccountLend { account: account(handle), peer, rights }
            }
            Operation::AccountRecall => {
                let [lent] = message.exactly()?;
                Self::AccountRecall { lent: account(lent) }
            }
            Operation::VspaceAccount => {
                let [handle] = message.exactly()?;
                Self::VspaceAccount { account: account(handle) }
            }
            Operation::Mark => {
                let [handle, start, count, marks] = message.exactly()?;
                Self::Mark { frames: frames(handle, start, count)?, marks: flags(marks)? }
            }
            Operation::ExtraRequest => bare(message, Self::ExtraRequest)?,
            Operation::Pin => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                frame_count(frames.count.get())?;
                Self::Pin { frames, mode, ttl: Micros::new(ttl) }
            }
            Operation::BusAddress => {
                let [lease, number] = message.exactly()?;
                let (lease, number) = (LeaseHandle::from_raw(lease), FrameNumber::new(number));
                Self::BusAddress { lease, number }
            }
            Operation::DeviceReset => {
                let [of] = message.exactly()?;
                Self::DeviceReset { peer: peer(of)? }
            }
            Operation::SetHandler => {
                let [handle, start, count, how] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (handler, cookie) = handler(how)?;
                Self::SetHandler { container, start, count, handler, cookie }
            }
            Operation::NextFault => bare(message, Self::NextFault)?,
            Operation::Supply => {
                let [fault, handle, number] = message.exactly()?;
                let (fault, number) = (FaultHandle::from_raw(fault), FrameNumber::new(number));
                Self::Supply { fault, container: container(handle), number }
            }
            Operation::Refuse => {
                let [fault] = message.exactly()?;
                Self::Refuse { fault: FaultHandle::from_raw(fault) }
            }
            Operation::Disturb => {
                let [what, cursor] = message.exactly()?;
                Self::Disturb { what: disturbance(what)?, cursor }
            }
            Operation::Arm => {
                let [share] = message.exactly()?;
                Self::Arm { share: ShareHandle::from_raw(share) }
            }
            Operation::Disarm => {
                let [share] = message.exactly()?;
                Self::Disarm { share: ShareHandle::from_raw(share) }
            }
            Operation::Take => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = two_fields(how)?;
                let (frames, vaddr) = (frames_or_large(handle, start, count)?, page(vaddr)?);
                Self::Take { frames, vaddr, flags: flags(flag_bits)? }
            }
        })
    }
}

impl Request {
    // The two requests with lists are made apart from the others: where all are made in one place,
    // every request is moved there together with room for a list.

    #[inline(never)]
    fn copy_list(message: &Message, flag_bits: u32) -> Result<Self, CallError> {
        let ([source, destination], list) = listed(message)?;
        Ok(Self::CopyList {
            source: container(source),
            destination: container(destination),
            pairs: pairs(list)?,
            flags: flags(flag_bits)?,
        })
    }

    #[inline(never)]
    fn create_gather(message: &Message) -> Result<Self, CallError> {
        let ([payer, source, terms], list) = listed(message)?;
        Ok(Self::CreateGather {
            account: account(payer),
            source: container(source),
            frames: frame_list(list)?,
            terms: ShareTerms::unpack(terms)?,
        })
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
