// SPDX-License-Identifier: BSD-2-Clause
//! The raw call of every operation, on a server that gives one answer, which the test chooses.

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, Book, CallError, Calls, ContainerHandle,
    CopyFlags, DeallocateFlags, Disturbance, FaultHandle, FrameList, Frames, LeaseHandle,
    LimitFlags, LockMode, MapFlags, Marks, Operation, PairList, Reply, Request, Rights,
    ShareHandle, ShareTerms,
};
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};

/// Gives its answer to the first call, and `Done` to every later one.
pub(crate) struct Server {
    operation: Operation,
    answer: Option<Message>,
}

impl Transport for Server {
    fn call(&mut self, request: Message) -> Message {
        assert_eq!(request.label() & 0xFFFF, u64::from(self.operation.number()));
        assert!(Request::decode(&request).is_ok(), "the request can be decoded");
        self.answer.take().unwrap_or_else(|| Reply::Done.encode())
    }
}

/// Calls an operation on a server that answers so, and returns what the call returns, as a reply.
pub(crate) fn told(operation: Operation, answer: Message) -> Result<Reply, CallError> {
    call(operation, &mut Calls::new(Server { operation, answer: Some(answer) }))
}

const OWN: AccountHandle = AccountHandle::OWN;
const CONTAINER: ContainerHandle = ContainerHandle::from_raw(7);
const ONE: FrameCount = FrameCount::ONE;
const FIRST: FrameNumber = FrameNumber::new(0);
const PAGE: VirtAddr = VirtAddr::ZERO;
const SPAN: Micros = Micros::new(1);
const FAULT: FaultHandle = FaultHandle::from_raw(8);
const LEASE: LeaseHandle = LeaseHandle::from_raw(9);
const READ: MapFlags = MapFlags::READ;
const FRAMES: Frames = Frames { container: CONTAINER, start: FIRST, count: ONE };

fn peer() -> PeerId {
    PeerId::new(1).unwrap()
}

fn terms() -> ShareTerms {
    ShareTerms { peer: peer(), rights: Rights::READ, lease_max: SPAN, once: false }
}

const fn done((): ()) -> Reply {
    Reply::Done
}

fn call(operation: Operation, pm: &mut Calls<Server>) -> Result<Reply, CallError> {
    match operation {
        Operation::Version => pm.version().map(Reply::Number),
        Operation::WhoAmI => pm.whoami().map(Reply::Identity),
        Operation::Clock => pm.clock().map(Reply::Time),
        Operation::ContainerCreate => pm.container_create(OWN).map(Reply::Container),
        Operation::ContainerDestroy => pm.container_destroy(CONTAINER).map(done),
        Operation::Allocate => {
            pm.allocate(CONTAINER, FIRST, ONE, AllocateFlags::EXTRA).map(Reply::Number)
        }
        Operation::Deallocate => {
            pm.deallocate(CONTAINER, FIRST, ONE, DeallocateFlags::STRICT).map(Reply::Number)
        }
        Operation::Share => {
            pm.share(CONTAINER, FIRST, 1, peer(), Rights::READ, SPAN).map(Reply::Shared)
        }
        Operation::Unshare => pm.unshare(ShareHandle::from_raw(5)).map(done),
        Operation::Lock => pm.lock(CONTAINER, FIRST, ONE, LockMode::Read, SPAN).map(Reply::Lease),
        Operation::Unlock => pm.unlock(LEASE).map(done),
        Operation::Map => pm.map(CONTAINER, FIRST, ONE, PAGE, READ).map(Reply::Mapped),
        Operation::Unmap => pm.unmap(PAGE, ONE).map(Reply::Number),
        Operation::Status => pm.status(CONTAINER, FIRST, ONE).map(Reply::Status),
        Operation::AccountInfo => pm.account_info(OWN).map(Reply::AccountInfo),
        Operation::RegisterRecovery => pm.register_recovery(PAGE, PAGE).map(done),
        Operation::Watch => pm.watch(peer(), SPAN).map(Reply::Time),
        Operation::Rescue => pm.rescue().map(Reply::Rescued),
        Operation::Reclaim => pm.reclaim().map(Reply::Number),
        Operation::Remap => pm.remap(PAGE, ONE, READ).map(Reply::Mapped),
        Operation::Renew => pm.renew(CONTAINER, FIRST, ONE).map(Reply::Number),
        Operation::AllocateAnywhere => {
            pm.allocate_anywhere(CONTAINER, ONE, AllocateFlags::DMA).map(Reply::Placed)
        }
        Operation::AllocateContiguous => {
            pm.allocate_contiguous(CONTAINER, FIRST, ONE, 12, 32).map(Reply::Number)
        }
        Operation::Copy => {
            pm.copy((CONTAINER, FIRST), (CONTAINER, FIRST), ONE, CopyFlags::NEW).map(Reply::Number)
        }
        Operation::CopyList => {
            let pairs = PairList::new(&[(FIRST, FIRST)]).unwrap();
            pm.copy_list(CONTAINER, CONTAINER, pairs, CopyFlags::MOVE).map(Reply::Number)
        }
        Operation::CreateWith => pm.create_with(OWN, ONE, terms()).map(Reply::Created),
        Operation::CreateFrom => pm.create_from(OWN, FRAMES, terms()).map(Reply::Created),
        Operation::CreateGather => {
            let frames = FrameList::new(&[FIRST]).unwrap();
            pm.create_gather(OWN, CONTAINER, frames, terms()).map(Reply::Created)
        }
        Operation::Attach => pm.attach(CONTAINER, FIRST, 1, PAGE, READ).map(done),
        Operation::Detach => pm.detach(PAGE).map(done),
        Operation::Grant => pm.grant(CONTAINER, FIRST, ONE, READ).map(Reply::Granted),
        Operation::Ungrant => pm.ungrant(0, ONE).map(Reply::Number),
        Operation::EnsureTables => pm.ensure_tables(PAGE, ONE).map(Reply::Number),
        Operation::AccountSplit => pm.account_split(OWN, 1, LimitFlags::EXTRA).map(Reply::Account),
        Operation::AccountDestroy => pm.account_destroy(OWN).map(done),
        Operation::AccountRemove => pm.account_remove(OWN).map(done),
        Operation::AccountSetLimits => pm.account_set_limits(OWN, 1, LimitFlags::EXTRA).map(done),
        Operation::AccountLend => {
            pm.account_lend(OWN, peer(), AccountRights::READ).map(Reply::Account)
        }
        Operation::AccountRecall => pm.account_recall(OWN).map(done),
        Operation::VspaceAccount => pm.vspace_account(OWN).map(done),
        Operation::Mark => pm.mark(CONTAINER, FIRST, ONE, Marks::DISCARDABLE).map(Reply::Number),
        Operation::ExtraRequest => pm.extra_request().map(Reply::ExtraRequest),
        Operation::Pin => pm.pin(CONTAINER, FIRST, ONE, LockMode::Read, SPAN).map(Reply::Pinned),
        Operation::BusAddress => pm.bus_address(LEASE, FIRST).map(Reply::BusRun),
        Operation::DeviceReset => pm.device_reset(peer()).map(done),
        Operation::SetHandler => pm.set_handler(CONTAINER, FIRST, 1, None, 0).map(Reply::Range),
        Operation::NextFault => pm.next_fault().map(Reply::Fault),
        Operation::Supply => pm.supply(FAULT, CONTAINER, FIRST).map(done),
        Operation::Refuse => pm.refuse(FAULT).map(done),
        Operation::Disturb => pm.disturb(Disturbance::Move, 0).map(Reply::Disturbed),
        Operation::Inspect => pm.inspect(Book::Pages, 0, 0).map(Reply::Row),
        Operation::Arm => pm.arm(ShareHandle::from_raw(1)).map(done),
        Operation::Disarm => {
            pm.disarm(ShareHandle::from_raw(1)).map(|was_armed| Reply::Number(was_armed.into()))
        }
        Operation::Take => pm.take(CONTAINER, FIRST, ONE, PAGE, READ).map(Reply::Lease),
    }
}
