// SPDX-License-Identifier: BSD-2-Clause
//! Replies as values: what a client makes of them, with the request in mind.

use model::Answer;
use pmserver_api::{CallError, Calls, Failure, PmError, Reply, Request};
use proto::{Message, Transport};

/// A server that has answered already.
struct Answered(Message);

impl Transport for Answered {
    fn call(&mut self, _: Message) -> Message {
        self.0
    }
}

/// Returns what a reply to a request says.
///
/// # Errors
/// What is wrong with its form.
pub(crate) fn decode(request: &Request, message: Message) -> Result<Answer, String> {
    if message.label() != 0 {
        let error = PmError::from_status(message.label());
        let registers = message.exactly::<2>().ok();
        let failure = error.zip(registers).map(|(error, [done, at])| Failure { error, done, at });
        return failure.map(Err).ok_or_else(|| format!("the reply is {message:?}"));
    }
    let mut client = Calls::new(Answered(message));
    success(request, &mut client)
        .map(Ok)
        .map_err(|error| format!("the reply {message:?} is {error:?}"))
}

fn success(request: &Request, pm: &mut Calls<Answered>) -> Result<Reply, CallError> {
    match *request {
        Request::Version => pm.version().map(Reply::Number),
        Request::WhoAmI => pm.whoami().map(Reply::Identity),
        Request::Clock => pm.clock().map(Reply::Time),
        Request::ContainerCreate { account } => pm.container_create(account).map(Reply::Container),
        Request::ContainerDestroy { container } => {
            pm.container_destroy(container).map(|()| Reply::Done)
        }
        Request::Allocate { frames, flags } => {
            pm.allocate(frames.container, frames.start, frames.count, flags).map(Reply::Number)
        }
        Request::Deallocate { frames, flags } => {
            pm.deallocate(frames.container, frames.start, frames.count, flags).map(Reply::Number)
        }
        Request::Share { container, start, count, terms } => {
            pm.share_on(container, start, count, terms).map(Reply::Shared)
        }
        Request::Arm { share } => pm.arm(share).map(|()| Reply::Done),
        Request::Disarm { share } => {
            pm.disarm(share).map(|was_armed| Reply::Number(was_armed.into()))
        }
        Request::Take { frames, vaddr, flags } => {
            pm.take(frames.container, frames.start, frames.count, vaddr, flags).map(Reply::Lease)
        }
        Request::Unshare { share } => pm.unshare(share).map(|()| Reply::Done),
        Request::Lock { frames, mode, ttl } => {
            pm.lock(frames.container, frames.start, frames.count, mode, ttl).map(Reply::Lease)
        }
        Request::Unlock { lease } => pm.unlock(lease).map(|()| Reply::Done),
        Request::Map { frames, vaddr, flags } => {
            pm.map(frames.container, frames.start, frames.count, vaddr, flags).map(Reply::Mapped)
        }
        Request::Unmap { vaddr, count } => pm.unmap(vaddr, count).map(Reply::Number),
        Request::Status { frames } => {
            pm.status(frames.container, frames.start, frames.count).map(Reply::Status)
        }
        Request::AccountInfo { account } => pm.account_info(account).map(Reply::AccountInfo),
        Request::RegisterRecovery { entry, stack_top } => {
            pm.register_recovery(entry, stack_top).map(|()| Reply::Done)
        }
        Request::Watch { peer, ttl } => pm.watch(peer, ttl).map(Reply::Time),
        Request::Rescue => pm.rescue().map(Reply::Rescued),
        Request::Reclaim => pm.reclaim().map(Reply::Number),
        Request::Remap { vaddr, count, flags } => pm.remap(vaddr, count, flags).map(Reply::Mapped),
        Request::Renew { frames } => {
            pm.renew(frames.container, frames.start, frames.count).map(Reply::Number)
        }
        Request::AllocateAnywhere { container, count, flags } => {
            pm.allocate_anywhere(container, count, flags).map(Reply::Placed)
        }
        Request::AllocateContiguous { frames, align_bits, limit_bits } => pm
            .allocate_contiguous(
                frames.container,
                frames.start,
                frames.count,
                align_bits,
                limit_bits,
            )
            .map(Reply::Number),
        Request::Copy { source, source_start, destination, destination_start, count, flags } => pm
            .copy((source, source_start), (destination, destination_start), count, flags)
            .map(Reply::Number),
        Request::CopyList { source, destination, pairs, flags } => {
            pm.copy_list(source, destination, pairs, flags).map(Reply::Number)
        }
        Request::CreateWith { account, count, terms } => {
            pm.create_with(account, count, terms).map(Reply::Created)
        }
        Request::CreateFrom { account, source, terms } => {
            pm.create_from(account, source, terms).map(Reply::Created)
        }
        Request::CreateGather { account, source, frames, terms } => {
            pm.create_gather(account, source, frames, terms).map(Reply::Created)
        }
        Request::Attach { container, start, vaddr, count, flags } => {
            pm.attach(container, start, count, vaddr, flags).map(|()| Reply::Done)
        }
        Request::Detach { vaddr } => pm.detach(vaddr).map(|()| Reply::Done),
        Request::Grant { frames, rights } => {
            pm.grant(frames.container, frames.start, frames.count, rights).map(Reply::Granted)
        }
        Request::Ungrant { address, count } => pm.ungrant(address, count).map(Reply::Number),
        Request::EnsureTables { vaddr, count } => pm.ensure_tables(vaddr, count).map(Reply::Number),
        Request::AccountSplit { account, limit_pages, flags } => {
            pm.account_split(account, limit_pages, flags).map(Reply::Account)
        }
        Request::AccountDestroy { account } => pm.account_destroy(account).map(|()| Reply::Done),
        Request::AccountRemove { account } => pm.account_remove(account).map(|()| Reply::Done),
        Request::AccountSetLimits { account, limit_pages, flags } => {
            pm.account_set_limits(account, limit_pages, flags).map(|()| Reply::Done)
        }
        Request::AccountLend { account, peer, rights } => {
            pm.account_lend(account, peer, rights).map(Reply::Account)
        }
        Request::AccountRecall { lent } => pm.account_recall(lent).map(|()| Reply::Done),
        Request::VspaceAccount { account } => pm.vspace_account(account).map(|()| Reply::Done),
        Request::Mark { frames, marks } => {
            pm.mark(frames.container, frames.start, frames.count, marks).map(Reply::Number)
        }
        Request::ExtraRequest => pm.extra_request().map(Reply::ExtraRequest),
        Request::Pin { frames, mode, ttl } => {
            pm.pin(frames.container, frames.start, frames.count, mode, ttl).map(Reply::Pinned)
        }
        Request::BusAddress { lease, number } => pm.bus_address(lease, number).map(Reply::BusRun),
        Request::DeviceReset { peer } => pm.device_reset(peer).map(|()| Reply::Done),
        Request::SetHandler { container, start, count, handler, cookie } => {
            pm.set_handler(container, start, count, handler, cookie).map(Reply::Range)
        }
        Request::NextFault => pm.next_fault().map(Reply::Fault),
        Request::Supply { fault, container, number } => {
            pm.supply(fault, container, number).map(|()| Reply::Done)
        }
        Request::Refuse { fault } => pm.refuse(fault).map(|()| Reply::Done),
        Request::Disturb { what, cursor } => pm.disturb(what, cursor).map(Reply::Disturbed),
        Request::Inspect { book, cursor, part } => pm.inspect(book, cursor, part).map(Reply::Row),
    }
}
