// SPDX-License-Identifier: BSD-2-Clause
//! From a request to the operation that serves it, and from its result to a reply.

use pmserver_api::{
    AccountHandle, CopyFlags, Failure, Identity, PROTOCOL_VERSION, PmError, Reply, Request,
};
use proto::PeerId;
use proto::limits::LARGE_FRAMES;

use crate::kernel::Kernel;
use crate::serve::Service;

impl<K: Kernel> Service<K> {
    /// Carries out a request once. A stopped peer is refused (PM-8).
    #[inline(always)]
    pub(super) fn serve_once(
        &mut self,
        caller: PeerId,
        request: &Request,
    ) -> Result<Reply, Failure> {
        if self.find_peer(caller).is_none_or(|peer| peer.is_stopped) {
            return Err(PmError::InvalidCap.into());
        }
        // It was answered by the server that it waited for.
        self.peer_mut(caller).restarted = None;
        if self.kept().is_some() && !leaves_charges(request) {
            self.drop_unmapped();
        }
        self.dispatch(caller, request)
    }

    /// Calls the operation that a request names. Every operation has an arm: there is no `_`.
    #[inline(always)]
    fn dispatch(&mut self, caller: PeerId, request: &Request) -> Result<Reply, Failure> {
        match *request {
            Request::Version => Ok(Reply::Number(PROTOCOL_VERSION)),
            Request::WhoAmI => {
                Ok(Reply::Identity(Identity { peer: caller, account: AccountHandle::OWN }))
            }
            Request::Clock => Ok(Reply::Time(self.store.kernel.now())),
            Request::ContainerCreate { account } => {
                self.container_create(caller, account).map(Reply::Container)
            }
            Request::ContainerDestroy { container } => {
                done(self.container_destroy(caller, container))
            }
            Request::Allocate { frames, flags } => {
                self.allocate(caller, frames, flags).map(Reply::Number)
            }
            Request::Deallocate { frames, flags } => {
                self.deallocate(caller, frames, flags).map(Reply::Number)
            }
            Request::Share { container, start, count, terms } => {
                self.share(caller, container, start, count, terms).map(Reply::Shared)
            }
            Request::Unshare { share } => done(self.unshare(caller, share)),
            Request::Lock { frames, mode, ttl } => {
                self.lock(caller, frames, mode, ttl).map(Reply::Lease)
            }
            Request::Unlock { lease } => done(self.unlock(caller, lease)),
            Request::Map { frames, vaddr, flags } => {
                self.map(caller, frames, vaddr, flags).map(Reply::Mapped)
            }
            Request::Unmap { vaddr, count } => self.unmap(caller, vaddr, count).map(Reply::Number),
            Request::Status { frames } => self.status(caller, frames).map(Reply::Status),
            Request::AccountInfo { account } => {
                self.account_info(caller, account).map(Reply::AccountInfo)
            }
            Request::RegisterRecovery { entry, stack_top } => {
                self.register_recovery(caller, entry, stack_top);
                Ok(Reply::Done)
            }
            Request::Watch { peer, ttl } => self.watch(caller, peer, ttl).map(Reply::Time),
            Request::Rescue => self.rescue(caller).map(Reply::Rescued),
            Request::Reclaim => Ok(Reply::Number(self.reclaim())),
            Request::Remap { vaddr, count, flags } => {
                self.remap(caller, vaddr, count, flags).map(Reply::Mapped)
            }
            Request::Renew { frames } => self.renew(caller, frames).map(Reply::Number),
            Request::AllocateAnywhere { container, count, flags } => {
                self.allocate_anywhere(caller, container, count, flags).map(Reply::Placed)
            }
            Request::AllocateContiguous { frames, align_bits, limit_bits } => {
                self.allocate_contiguous(caller, frames, align_bits, limit_bits).map(Reply::Number)
            }
            Request::Copy {
                source,
                source_start,
                destination,
                destination_start,
                count,
                flags,
            } => {
                let source = pmserver_api::Frames { container: source, start: source_start, count };
                self.copy(caller, source, (destination, destination_start), flags)
                    .map(Reply::Number)
            }
            Request::CopyList { source, destination, ref pairs, flags } => {
                self.copy_list(caller, (source, destination), pairs, flags).map(Reply::Number)
            }
            Request::CreateWith { account, count, terms } => {
                self.create_with(caller, account, count, terms).map(Reply::Created)
            }
            Request::CreateFrom { account, source, terms } => {
                self.create_from(caller, account, source, terms).map(Reply::Created)
            }
            Request::CreateGather { account, source, ref frames, terms } => {
                self.create_gather(caller, account, source, frames, terms).map(Reply::Created)
            }
            Request::Attach { container, start, vaddr, count, flags } => {
                done(self.attach(caller, (container, start), vaddr, count, flags))
            }
            Request::Detach { vaddr } => done(self.detach(caller, vaddr)),
            Request::Grant { frames, rights } => {
                self.grant(caller, frames, rights).map(Reply::Granted)
            }
            Request::Ungrant { address, count } => {
                self.ungrant(caller, address, count).map(Reply::Number)
            }
            Request::EnsureTables { vaddr, count } => {
                self.ensure_tables(caller, vaddr, count).map(Reply::Number)
            }
            Request::AccountSplit { account, limit_pages, flags } => {
                self.account_split(caller, account, limit_pages, flags).map(Reply::Account)
            }
            Request::AccountDestroy { account } => done(self.account_destroy(caller, account)),
            Request::AccountRemove { account } => done(self.account_remove(caller, account)),
            Request::AccountSetLimits { account, limit_pages, flags } => {
                done(self.account_set_limits(caller, account, limit_pages, flags))
            }
            Request::AccountLend { account, peer, rights } => {
                self.account_lend(caller, account, peer, rights).map(Reply::Account)
            }
            Request::AccountRecall { lent } => done(self.account_recall(caller, lent)),
            Request::VspaceAccount { account } => done(self.vspace_account(caller, account)),
            Request::Mark { frames, marks } => self.mark(caller, frames, marks).map(Reply::Number),
            Request::ExtraRequest => Ok(Reply::ExtraRequest(self.extra_request(caller))),
            Request::Pin { frames, mode, ttl } => {
                self.pin(caller, frames, mode, ttl).map(Reply::Pinned)
            }
            Request::BusAddress { lease, number } => {
                self.bus_address(caller, lease, number).map(Reply::BusRun)
            }
            Request::DeviceReset { peer } => done(self.device_reset(caller, peer)),
            Request::SetHandler { container, start, count, handler, cookie } => self
                .set_handler(caller, container, (start, count), handler, cookie)
                .map(Reply::Range),
            Request::NextFault => Ok(Reply::Fault(self.next_fault(caller))),
            Request::Supply { fault, container, number } => {
                done(self.supply(caller, fault, container, number))
            }
            Request::Refuse { fault } => done(self.refuse(caller, fault)),
            Request::Disturb { what, cursor } => {
                self.disturb(caller, what, cursor).map(Reply::Disturbed)
            }
            Request::Inspect { book, cursor, part } => {
                self.inspect_book(caller, book, cursor, part).map(Reply::Row)
            }
            Request::Arm { share } => done(self.arm(caller, share)),
            Request::Disarm { share } => {
                self.disarm(caller, share).map(|was_armed| Reply::Number(was_armed.into()))
            }
            Request::Take { frames, vaddr, flags } => {
                self.take(caller, frames, vaddr, flags).map(Reply::Lease)
            }
        }
    }
}

/// Returns whether a request neither charges anything nor tells what is charged, or looks after
/// what is kept itself.
fn leaves_charges(request: &Request) -> bool {
    matches!(request, Request::Version | Request::WhoAmI | Request::Clock | Request::Unmap { .. })
        || matches!(request, Request::Map { frames, .. } if frames.count.get() == LARGE_FRAMES)
        || matches!(request, Request::Copy { flags, .. } if !flags.contains(CopyFlags::NEW))
}

fn done(result: Result<(), Failure>) -> Result<Reply, Failure> {
    result.map(|()| Reply::Done)
}
