// SPDX-License-Identifier: BSD-2-Clause
//! From a message to a request, or to the error that says what is wrong with the message.
//!
//! A wrong number of registers is reported before a wrong argument.

use proto::{FrameNumber, Message, Micros, ProtocolError, unpack_pair};

use crate::arguments::{
    account, address, below, book, container, copied, count_or_large, disturbance, flags,
    frame_count, frame_list, frames, frames_or_large, handler, leased, page, pairs, peer, small,
    two_fields,
};
use crate::error::CallError;
use crate::handles::{FaultHandle, LeaseHandle, ShareHandle};
use crate::operation::Operation;
use crate::ops::{Request, ShareTerms};
use crate::wire::Fields;

/// What answers a request of any kind.
///
/// Its method is compiled into the place where each kind of request is decoded, so that no request
/// is written to memory, to be told from others again.
pub trait Serve {
    /// What it answers.
    type Answer;

    /// Answers a request.
    fn serve(self, request: &Request) -> Self::Answer;
}

/// Answers a request with itself.
struct Keep;

impl Serve for Keep {
    type Answer = Request;

    #[inline(always)]
    fn serve(self, request: &Request) -> Request {
        *request
    }
}

impl Request {
    /// Returns the request that a message carries, or why it carries none. It never panics.
    ///
    /// # Errors
    /// [`ProtocolError`] for an unknown operation or a wrong number of registers,
    /// [`PmError::Invalid`](crate::PmError::Invalid) for an argument out of range.
    pub fn decode(message: &Message) -> Result<Self, CallError> {
        Self::decode_for(message, Keep)
    }

    /// Gives the request that a message carries to a server, or says why it carries none.
    ///
    /// # Errors
    /// As [`Self::decode`].
    #[inline(always)]
    pub fn decode_for<S: Serve>(message: &Message, server: S) -> Result<S::Answer, CallError> {
        let Fields { low, middle: count, high: flag_bits } = Fields::unpack(message.label());
        let operation = Operation::from_number(low).ok_or(ProtocolError::UnknownOperation)?;
        if (count, flag_bits) != (0, 0) && !operation.label().allows(count, flag_bits) {
            return Err(ProtocolError::UnknownOperation.into());
        }
        Self::of_operation(operation, message, (count, flag_bits), server)
    }

    /// Serves the request for an operation whose label carries this count and these flags.
    #[inline(always)]
    fn of_operation<S: Serve>(
        operation: Operation,
        message: &Message,
        (label_count, label_flags): (u16, u32),
        server: S,
    ) -> Result<S::Answer, CallError> {
        Ok(match operation {
            Operation::Version => {
                let [] = message.exactly()?;
                server.serve(&Self::Version)
            }
            Operation::WhoAmI => {
                let [] = message.exactly()?;
                server.serve(&Self::WhoAmI)
            }
            Operation::Clock => {
                let [] = message.exactly()?;
                server.serve(&Self::Clock)
            }
            Operation::ContainerCreate => {
                let [payer] = message.exactly()?;
                server.serve(&Self::ContainerCreate { account: account(payer) })
            }
            Operation::ContainerDestroy => {
                let [handle] = message.exactly()?;
                server.serve(&Self::ContainerDestroy { container: container(handle) })
            }
            Operation::Allocate => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let frames = frames_or_large(handle, start, count)?;
                let flags = flags(flag_bits)?;
                server.serve(&Self::Allocate { frames, flags })
            }
            Operation::Deallocate => {
                let [handle, start, count, flag_bits] = message.exactly()?;
                let frames = frames_or_large(handle, start, count)?;
                let flags = flags(flag_bits)?;
                server.serve(&Self::Deallocate { frames, flags })
            }
            Operation::Share => {
                let [handle, start, count, terms] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                server.serve(&Self::Share {
                    container,
                    start,
                    count,
                    terms: ShareTerms::unpack(terms)?,
                })
            }
            Operation::Unshare => {
                let [share] = message.exactly()?;
                server.serve(&Self::Unshare { share: ShareHandle::from_raw(share) })
            }
            Operation::Lock => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                server.serve(&Self::Lock { frames, mode, ttl: Micros::new(ttl) })
            }
            Operation::Unlock => {
                let [lease] = message.exactly()?;
                server.serve(&Self::Unlock { lease: LeaseHandle::from_raw(lease) })
            }
            Operation::Map => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = two_fields(how)?;
                let (frames, vaddr) = (frames_or_large(handle, start, count)?, page(vaddr)?);
                server.serve(&Self::Map { frames, vaddr, flags: flags(flag_bits)? })
            }
            Operation::Unmap => {
                let [vaddr, count] = message.exactly()?;
                server.serve(&Self::Unmap { vaddr: page(vaddr)?, count: count_or_large(count)? })
            }
            Operation::Status => {
                let [handle, start, count] = message.exactly()?;
                server.serve(&Self::Status { frames: frames(handle, start, count)? })
            }
            Operation::AccountInfo => {
                let [handle] = message.exactly()?;
                server.serve(&Self::AccountInfo { account: account(handle) })
            }
            Operation::RegisterRecovery => {
                let [entry, stack_top] = message.exactly()?;
                let (entry, stack_top) = (address(entry)?, address(stack_top)?);
                server.serve(&Self::RegisterRecovery { entry, stack_top })
            }
            Operation::Watch => {
                let [watched, ttl] = message.exactly()?;
                server.serve(&Self::Watch { peer: peer(watched)?, ttl: Micros::new(ttl) })
            }
            Operation::Rescue => {
                let [] = message.exactly()?;
                server.serve(&Self::Rescue)
            }
            Operation::Reclaim => {
                let [] = message.exactly()?;
                server.serve(&Self::Reclaim)
            }
            Operation::Remap => {
                let [vaddr, count, flag_bits] = message.exactly()?;
                let (vaddr, count) = (page(vaddr)?, count_or_large(count)?);
                server.serve(&Self::Remap { vaddr, count, flags: flags(flag_bits)? })
            }
            Operation::Renew => {
                let [handle, start, count] = message.exactly()?;
                server.serve(&Self::Renew { frames: frames(handle, start, count)? })
            }
            Operation::AllocateAnywhere => {
                let [handle, count, flag_bits] = message.exactly()?;
                let (count, flags) = (frame_count(count)?, flags(flag_bits)?);
                server.serve(&Self::AllocateAnywhere { container: container(handle), count, flags })
            }
            Operation::AllocateContiguous => {
                let [handle, start, count, how] = message.exactly()?;
                let (align, limit) = two_fields(how)?;
                server.serve(&Self::AllocateContiguous {
                    frames: frames(handle, start, count)?,
                    align_bits: below(64, align)?,
                    limit_bits: below(65, limit)?,
                })
            }
            Operation::Copy => {
                let [source, from, destination, to] = message.exactly()?;
                server.serve(&Self::Copy {
                    source: container(source),
                    source_start: FrameNumber::new(from),
                    destination: container(destination),
                    destination_start: FrameNumber::new(to),
                    count: copied(from, to, label_count)?,
                    flags: flags(label_flags)?,
                })
            }
            Operation::CopyList => server.serve(&Self::copy_list(*message, label_flags)?),
            Operation::CreateWith => {
                let [payer, count, terms] = message.exactly()?;
                let (count, terms) = (frame_count(count)?, ShareTerms::unpack(terms)?);
                server.serve(&Self::CreateWith { account: account(payer), count, terms })
            }
            Operation::CreateFrom => {
                let [payer, source, start, terms] = message.exactly()?;
                server.serve(&Self::CreateFrom {
                    account: account(payer),
                    source: frames(source, start, label_count)?,
                    terms: ShareTerms::unpack(terms)?,
                })
            }
            Operation::CreateGather => server.serve(&Self::create_gather(*message)?),
            Operation::Attach => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = unpack_pair(how);
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (vaddr, flags) = (page(vaddr)?, flags(flag_bits)?);
                server.serve(&Self::Attach { container, start, vaddr, count, flags })
            }
            Operation::Detach => {
                let [vaddr] = message.exactly()?;
                server.serve(&Self::Detach { vaddr: page(vaddr)? })
            }
            Operation::Grant => {
                let [handle, start, count, rights] = message.exactly()?;
                server.serve(&Self::Grant {
                    frames: frames(handle, start, count)?,
                    rights: flags(rights)?,
                })
            }
            Operation::Ungrant => {
                let [address, count] = message.exactly()?;
                server.serve(&Self::Ungrant { address, count: frame_count(count)? })
            }
            Operation::EnsureTables => {
                let [vaddr, count] = message.exactly()?;
                server
                    .serve(&Self::EnsureTables { vaddr: page(vaddr)?, count: frame_count(count)? })
            }
            Operation::AccountSplit => {
                let [parent, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                server.serve(&Self::AccountSplit { account: account(parent), limit_pages, flags })
            }
            Operation::AccountDestroy => {
                let [handle] = message.exactly()?;
                server.serve(&Self::AccountDestroy { account: account(handle) })
            }
            Operation::AccountRemove => {
                let [handle] = message.exactly()?;
                server.serve(&Self::AccountRemove { account: account(handle) })
            }
            Operation::AccountSetLimits => {
                let [handle, limit, flag_bits] = message.exactly()?;
                let (limit_pages, flags) = (small(limit)?, flags(flag_bits)?);
                server.serve(&Self::AccountSetLimits {
                    account: account(handle),
                    limit_pages,
                    flags,
                })
            }
            Operation::AccountLend => {
                let [handle, to, rights] = message.exactly()?;
                let (peer, rights) = (peer(to)?, flags(rights)?);
                server.serve(&Self::AccountLend { account: account(handle), peer, rights })
            }
            Operation::AccountRecall => {
                let [lent] = message.exactly()?;
                server.serve(&Self::AccountRecall { lent: account(lent) })
            }
            Operation::VspaceAccount => {
                let [handle] = message.exactly()?;
                server.serve(&Self::VspaceAccount { account: account(handle) })
            }
            Operation::Mark => {
                let [handle, start, count, marks] = message.exactly()?;
                server.serve(&Self::Mark {
                    frames: frames(handle, start, count)?,
                    marks: flags(marks)?,
                })
            }
            Operation::ExtraRequest => {
                let [] = message.exactly()?;
                server.serve(&Self::ExtraRequest)
            }
            Operation::Pin => {
                let [handle, start, how, ttl] = message.exactly()?;
                let (frames, mode) = leased(handle, start, how)?;
                server.serve(&Self::Pin { frames, mode, ttl: Micros::new(ttl) })
            }
            Operation::BusAddress => {
                let [lease, number] = message.exactly()?;
                let (lease, number) = (LeaseHandle::from_raw(lease), FrameNumber::new(number));
                server.serve(&Self::BusAddress { lease, number })
            }
            Operation::DeviceReset => {
                let [of] = message.exactly()?;
                server.serve(&Self::DeviceReset { peer: peer(of)? })
            }
            Operation::SetHandler => {
                let [handle, start, count, how] = message.exactly()?;
                let (container, start) = (container(handle), FrameNumber::new(start));
                let (handler, cookie) = handler(how)?;
                server.serve(&Self::SetHandler { container, start, count, handler, cookie })
            }
            Operation::NextFault => {
                let [] = message.exactly()?;
                server.serve(&Self::NextFault)
            }
            Operation::Supply => {
                let [fault, handle, number] = message.exactly()?;
                let (fault, number) = (FaultHandle::from_raw(fault), FrameNumber::new(number));
                server.serve(&Self::Supply { fault, container: container(handle), number })
            }
            Operation::Refuse => {
                let [fault] = message.exactly()?;
                server.serve(&Self::Refuse { fault: FaultHandle::from_raw(fault) })
            }
            Operation::Disturb => {
                let [what, cursor] = message.exactly()?;
                server.serve(&Self::Disturb { what: disturbance(what)?, cursor })
            }
            Operation::Arm => {
                let [share] = message.exactly()?;
                server.serve(&Self::Arm { share: ShareHandle::from_raw(share) })
            }
            Operation::Disarm => {
                let [share] = message.exactly()?;
                server.serve(&Self::Disarm { share: ShareHandle::from_raw(share) })
            }
            Operation::Take => {
                let [handle, start, vaddr, how] = message.exactly()?;
                let (count, flag_bits) = two_fields(how)?;
                let (frames, vaddr) = (frames_or_large(handle, start, count)?, page(vaddr)?);
                server.serve(&Self::Take { frames, vaddr, flags: flags(flag_bits)? })
            }
            Operation::Inspect => {
                let [of, cursor, part] = message.exactly()?;
                let book = book(of)?;
                server.serve(&Self::Inspect { book, cursor, part: below(book.parts(), part)? })
            }
        })
    }
}

impl Request {
    // The two requests with lists are made apart from the others: where all are made in one place,
    // every request is moved there together with room for a list. They take a copy of the message:
    // one whose address is given away would be written to memory for every request.

    #[inline(never)]
    fn copy_list(message: Message, flag_bits: u32) -> Result<Self, CallError> {
        let ([source, destination], list) = listed(&message)?;
        Ok(Self::CopyList {
            source: container(source),
            destination: container(destination),
            pairs: pairs(list)?,
            flags: flags(flag_bits)?,
        })
    }

    #[inline(never)]
    fn create_gather(message: Message) -> Result<Self, CallError> {
        let ([payer, source, terms], list) = listed(&message)?;
        Ok(Self::CreateGather {
            account: account(payer),
            source: container(source),
            frames: frame_list(list)?,
            terms: ShareTerms::unpack(terms)?,
        })
    }
}

/// Returns the registers before a list, and the list.
fn listed<const N: usize>(message: &Message) -> Result<([u64; N], &[u64]), ProtocolError> {
    let (head, list) = message.registers().split_first_chunk().ok_or(ProtocolError::WrongLength)?;
    Ok((*head, list))
}
