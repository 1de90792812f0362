// SPDX-License-Identifier: BSD-2-Clause
//! Every method of the client, in the order of the operations' numbers, on a server that answers
//! once what it is told to.

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CallError, Calls, ContainerHandle, CopyFlags,
    DeallocateFlags, Disturbance, FaultHandle, FrameList, Frames, LeaseHandle, LimitFlags,
    LockMode, MapFlags, Marks, PairList, Reply, Request, Rights, ShareHandle, ShareTerms,
};
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};

/// Answers an operation, and where it is called again says that it is done.
pub(crate) struct Server {
    operation: u64,
    answer: Option<Message>,
}

impl Transport for Server {
    fn call(&mut self, request: Message) -> Message {
        assert_eq!(request.label() & 0xFFFF, self.operation);
        assert!(Request::decode(&request).is_ok(), "what a client sends can be understood");
        self.answer.take().unwrap_or_else(|| Reply::Done.encode())
    }
}

/// Has the client call an operation; returns what it is told, as the reply that says so.
pub(crate) fn told(operation: u64, answer: Message) -> Result<Reply, CallError> {
    let index = usize::try_from(operation - 1).unwrap();
    CALLS[index](&mut Calls::new(Server { operation, answer: Some(answer) }))
}

pub(crate) const OPERATIONS: u64 = 50;

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
    ShareTerms { peer: peer(), rights: Rights::READ, lease_max: SPAN }
}

const fn done((): ()) -> Reply {
    Reply::Done
}

type Call = fn(&mut Calls<Server>) -> Result<Reply, CallError>;

const CALLS: [Call; 50] = [
    |pm| pm.version().map(Reply::Number),
    |pm| pm.whoami().map(Reply::Identity),
    |pm| pm.clock().map(Reply::Time),
    |pm| pm.container_create(OWN).map(Reply::Container),
    |pm| pm.container_destroy(CONTAINER).map(done),
    |pm| pm.allocate(CONTAINER, FIRST, ONE, AllocateFlags::EXTRA).map(Reply::Number),
    |pm| pm.deallocate(CONTAINER, FIRST, ONE, DeallocateFlags::STRICT).map(Reply::Number),
    |pm| pm.share(CONTAINER, FIRST, 1, peer(), Rights::READ, SPAN).map(Reply::Shared),
    |pm| pm.unshare(ShareHandle::from_raw(5)).map(done),
    |pm| pm.lock(CONTAINER, FIRST, ONE, LockMode::Read, SPAN).map(Reply::Lease),
    |pm| pm.unlock(LEASE).map(done),
    |pm| pm.map(CONTAINER, FIRST, ONE, PAGE, READ).map(Reply::Mapped),
    |pm| pm.unmap(PAGE, ONE).map(Reply::Number),
    |pm| pm.status(CONTAINER, FIRST, ONE).map(Reply::Status),
    |pm| pm.account_info(OWN).map(Reply::AccountInfo),
    |pm| pm.register_recovery(PAGE, PAGE).map(done),
    |pm| pm.watch(peer(), SPAN).map(Reply::Time),
    |pm| pm.rescue().map(Reply::Rescued),
    |pm| pm.reclaim().map(Reply::Number),
    |pm| pm.remap(PAGE, ONE, READ).map(Reply::Mapped),
    |pm| pm.renew(CONTAINER, FIRST, ONE).map(Reply::Number),
    |pm| pm.allocate_anywhere(CONTAINER, ONE, AllocateFlags::DMA).map(Reply::Placed),
    |pm| pm.allocate_contiguous(CONTAINER, FIRST, ONE, 12, 32).map(Reply::Number),
    |pm| pm.copy((CONTAINER, FIRST), (CONTAINER, FIRST), ONE, CopyFlags::NEW).map(Reply::Number),
    |pm| {
        let pairs = PairList::new(&[(FIRST, FIRST)]).unwrap();
        pm.copy_list(CONTAINER, CONTAINER, pairs, CopyFlags::MOVE).map(Reply::Number)
    },
    |pm| pm.create_with(OWN, ONE, terms()).map(Reply::Created),
    |pm| pm.create_from(OWN, FRAMES, terms()).map(Reply::Created),
    |pm| {
        let frames = FrameList::new(&[FIRST]).unwrap();
        pm.create_gather(OWN, CONTAINER, frames, terms()).map(Reply::Created)
    },
    |pm| pm.attach(CONTAINER, FIRST, 1, PAGE, READ).map(done),
    |pm| pm.detach(PAGE).map(done),
    |pm| pm.grant(CONTAINER, FIRST, ONE, READ).map(Reply::Granted),
    |pm| pm.ungrant(0, ONE).map(Reply::Number),
    |pm| pm.ensure_tables(PAGE, ONE).map(Reply::Number),
    |pm| pm.account_split(OWN, 1, LimitFlags::EXTRA).map(Reply::Account),
    |pm| pm.account_destroy(OWN).map(done),
    |pm| pm.account_remove(OWN).map(done),
    |pm| pm.account_set_limits(OWN, 1, LimitFlags::EXTRA).map(done),
    |pm| pm.account_lend(OWN, peer(), AccountRights::READ).map(Reply::Account),
    |pm| pm.account_recall(OWN).map(done),
    |pm| pm.vspace_account(OWN).map(done),
    |pm| pm.mark(CONTAINER, FIRST, ONE, Marks::DISCARDABLE).map(Reply::Number),
    |pm| pm.extra_request().map(Reply::ExtraRequest),
    |pm| pm.pin(CONTAINER, FIRST, ONE, LockMode::Read, SPAN).map(Reply::Pinned),
    |pm| pm.bus_address(LEASE, FIRST).map(Reply::BusRun),
    |pm| pm.device_reset(peer()).map(done),
    |pm| pm.set_handler(CONTAINER, FIRST, 1, None, 0).map(done),
    |pm| pm.next_fault().map(Reply::Fault),
    |pm| pm.supply(FAULT, CONTAINER, FIRST).map(done),
    |pm| pm.refuse(FAULT).map(done),
    |pm| pm.disturb(Disturbance::Move, 0).map(Reply::Disturbed),
];
