// SPDX-License-Identifier: BSD-2-Clause
//! What the table of operations says about a second call with the same arguments, right after one
//! that succeeded: of an idempotent operation it changes nothing, of any other it does.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, equal_peers, filled, frames, page, peer};
use pmserver_api::{
    AccessKind, AccountHandle, AccountInfo, AccountRights, AllocateFlags, Book, ContainerHandle,
    CopyFlags, DeallocateFlags, Disturbance, FrameList, FrameState, Frames, LimitFlags, LockMode,
    MapFlags, Marks, Operation, PairList, Request, Rights, ShareTerms, Shared,
};
use pmserver_core::Fault;
use pmserver_core::config::Privileges;
use pmserver_core::kernel::VSpace;
use proto::{ByteCount, Console, Message, Micros, PeerId, VirtAddr};
use sim::SimKernel;

const OWNER: u64 = 1;
const BORROWER: u64 = 2;
const BYSTANDER: u64 = 3;
const LONG: Micros = Micros::new(900_000);
/// Frames of the container, and pages from the window on that are looked at.
const FRAMES: u64 = 8;

/// A world with an owner of a container, which is mapped and shared with a borrower.
struct Stage {
    world: World,
    owner: Pm,
    borrower: Pm,
    container: ContainerHandle,
    shared: Shared,
}

/// A console that prints nothing.
struct Mute;

impl Console for Mute {
    fn write(&mut self, _: &[u8]) {}
}

/// Everything of a stage that a peer can see.
#[derive(Debug, PartialEq)]
struct Seen {
    accounts: Vec<AccountInfo>,
    states: Option<Vec<FrameState>>,
    bytes: Vec<Result<u8, u64>>,
}

/// What the second call of an idempotent operation replies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Second {
    /// The same as the first.
    Same,
    /// That there is nothing left to do: an error, or a lower count.
    NothingLeft,
    /// Something else, or it changes something: the operation is not idempotent.
    Differs,
    /// Anything: the operation is not idempotent, but the difference is not visible to peers.
    Unseen,
}
use Second::{Differs, NothingLeft, Same, Unseen};

impl Stage {
    fn new() -> Self {
        let peers = equal_peers::<3>(ByteCount::new(1 << 20), Privileges::all());
        let world = World::over(SimKernel::new(8 << 20), &peers);
        let (mut owner, borrower) = (world.as_peer(OWNER), world.as_peer(BORROWER));
        let container = filled(&mut owner, FRAMES);
        owner.map(container, at(0), frames(FRAMES), page(0), MapFlags::WRITE).unwrap();
        for number in 0..FRAMES {
            world.store(OWNER, u8::try_from(number).unwrap() + 1, page(number)).unwrap();
        }
        let shared =
            owner.share(container, at(0), FRAMES, peer(BORROWER), Rights::all(), LONG).unwrap();
        Self { world, owner, borrower, container, shared }
    }

    fn call(&self, caller: u64, request: &Request) -> Message {
        self.world.raw(caller, request.encode())
    }

    fn seen(&mut self) -> Seen {
        let own = (1..=BYSTANDER).map(|number| AccountHandle::of_peer(peer(number)));
        let accounts: Vec<AccountHandle> = own.chain([AccountHandle::POOL]).collect();
        let accounts = accounts.into_iter().map(|it| self.owner.account_info(it).unwrap());
        let accounts = accounts.collect();
        let states = self.owner.status(self.container, at(0), frames(FRAMES + 8));
        let states = states.ok().map(|status| status.frames.to_vec());
        let server = self.world.0.borrow();
        let vspaces = (1..=BYSTANDER).map(|number| VSpace::Peer(peer(number)));
        let bytes = vspaces.flat_map(|vspace| (0..2 * FRAMES).map(move |number| (vspace, number)));
        let bytes = bytes.map(|(vspace, number)| {
            let mut byte = [0];
            server.kernel().load(vspace, page(number).get(), &mut byte).map(|()| byte[0])
        });
        Seen { accounts, states, bytes: bytes.collect() }
    }

    fn split(&mut self) -> AccountHandle {
        self.owner.account_split(AccountHandle::OWN, 16, LimitFlags::empty()).unwrap()
    }

    /// Lends the frames once more, to be taken.
    fn once(&mut self) -> Shared {
        let once = ShareTerms { once: true, ..terms() };
        self.owner.share_on(self.container, at(0), FRAMES, once).unwrap()
    }

    fn range(&self, start: u64, count: u64) -> Frames {
        Frames { container: self.container, start: at(start), count: frames(count) }
    }

    /// Returns the fault of the borrower on a frame that the owner supplies.
    fn fault(&mut self) -> pmserver_api::FaultHandle {
        self.absent_and_touched();
        self.owner.next_fault().unwrap().unwrap().fault
    }

    fn absent_and_touched(&mut self) {
        let c = self.container;
        self.owner.deallocate(c, at(4), frames(1), DeallocateFlags::empty()).unwrap();
        self.owner.set_handler(c, at(4), 1, Some(peer(OWNER)), 7).unwrap();
        self.owner.allocate(c, at(4), frames(1), AllocateFlags::empty()).unwrap();
        self.borrower.map(self.shared.weak, at(4), frames(1), page(4), MapFlags::READ).unwrap();
        let touched = |server: &mut pmserver_core::Server<SimKernel>| {
            server.resolve(peer(BORROWER), page(4).get(), AccessKind::Read)
        };
        assert!(touched(&mut self.world.0.borrow_mut()), "the borrower waits");
    }
}

fn terms() -> ShareTerms {
    ShareTerms { peer: peer(BORROWER), rights: Rights::all(), lease_max: LONG, once: false }
}

/// Prepares a call of the operation that succeeds; returns the caller, the request, and what the
/// second call replies.
fn prepare(operation: Operation, stage: &mut Stage) -> (u64, Request, Second) {
    use Operation as Op;
    match operation {
        Op::Version
        | Op::WhoAmI
        | Op::Clock
        | Op::RegisterRecovery
        | Op::Watch
        | Op::Rescue
        | Op::Reclaim
        | Op::AccountInfo
        | Op::AccountSplit
        | Op::AccountDestroy
        | Op::AccountRemove
        | Op::AccountSetLimits
        | Op::AccountLend
        | Op::AccountRecall
        | Op::VspaceAccount
        | Op::ExtraRequest
        | Op::Disturb
        | Op::Inspect => server(operation, stage),
        Op::ContainerCreate
        | Op::ContainerDestroy
        | Op::Allocate
        | Op::Deallocate
        | Op::AllocateAnywhere
        | Op::AllocateContiguous
        | Op::Status
        | Op::Renew
        | Op::Mark
        | Op::Copy
        | Op::CopyList
        | Op::CreateWith
        | Op::CreateFrom
        | Op::CreateGather => contents(operation, stage),
        Op::Map
        | Op::Unmap
        | Op::Remap
        | Op::Attach
        | Op::Detach
        | Op::Grant
        | Op::Ungrant
        | Op::EnsureTables
        | Op::SetHandler
        | Op::NextFault
        | Op::Supply
        | Op::Refuse => mappings(operation, stage),
        Op::Share
        | Op::Unshare
        | Op::Lock
        | Op::Unlock
        | Op::Arm
        | Op::Disarm
        | Op::Take
        | Op::Pin
        | Op::BusAddress
        | Op::DeviceReset => leases(operation, stage),
    }
}

/// Operations on the caller, its accounts and the server.
fn server(operation: Operation, stage: &mut Stage) -> (u64, Request, Second) {
    let account = AccountHandle::OWN;
    let write = MapFlags::WRITE;
    let owner = |request, second| (OWNER, request, second);
    match operation {
        Operation::Version => owner(Request::Version, Same),
        Operation::WhoAmI => owner(Request::WhoAmI, Same),
        Operation::Clock => owner(Request::Clock, Same),
        Operation::RegisterRecovery => {
            let (entry, stack_top) = (VirtAddr::new(0x20_0000), VirtAddr::new(0x30_0000));
            let (entry, stack_top) = (entry.unwrap(), stack_top.unwrap());
            owner(Request::RegisterRecovery { entry, stack_top }, Same)
        }
        Operation::Watch => owner(Request::Watch { peer: peer(BORROWER), ttl: LONG }, Differs),
        Operation::Rescue => owner(Request::Rescue, Same),
        Operation::Reclaim => {
            for _ in 0..3 {
                let doomed = filled(&mut stage.borrower, 60);
                stage.borrower.map(doomed, at(0), frames(60), page(0), write).unwrap();
                stage.borrower.unmap(page(0), frames(60)).unwrap();
            }
            let fault = Fault::Access { address: 0xdead_b000, kind: AccessKind::Read };
            stage.world.0.borrow_mut().fault(peer(BORROWER), fault, &mut Mute);
            owner(Request::Reclaim, Differs)
        }
        Operation::AccountInfo => owner(Request::AccountInfo { account }, Same),
        Operation::AccountSplit => {
            let flags = LimitFlags::empty();
            owner(Request::AccountSplit { account, limit_pages: 4, flags }, Differs)
        }
        Operation::AccountDestroy => {
            owner(Request::AccountDestroy { account: stage.split() }, NothingLeft)
        }
        Operation::AccountRemove => {
            owner(Request::AccountRemove { account: stage.split() }, NothingLeft)
        }
        Operation::AccountSetLimits => {
            let (account, flags) = (stage.split(), LimitFlags::empty());
            owner(Request::AccountSetLimits { account, limit_pages: 20, flags }, Same)
        }
        Operation::AccountLend => {
            let (account, rights) = (stage.split(), AccountRights::all());
            owner(Request::AccountLend { account, peer: peer(BORROWER), rights }, Differs)
        }
        Operation::AccountRecall => {
            let account = stage.split();
            let rights = AccountRights::all();
            let lent = stage.owner.account_lend(account, peer(BORROWER), rights).unwrap();
            owner(Request::AccountRecall { lent }, NothingLeft)
        }
        // A peer that has mapped nothing: others are refused.
        Operation::VspaceAccount => (BYSTANDER, Request::VspaceAccount { account }, Same),
        Operation::ExtraRequest => owner(Request::ExtraRequest, Same),
        Operation::Disturb => {
            owner(Request::Disturb { what: Disturbance::Unmap, cursor: 0 }, Unseen)
        }
        Operation::Inspect => {
            owner(Request::Inspect { book: Book::Containers, cursor: 0, part: 0 }, Same)
        }
        other => panic!("{other:?} belongs to another function"),
    }
}

/// Operations on containers and the contents of frames.
fn contents(operation: Operation, stage: &mut Stage) -> (u64, Request, Second) {
    let account = AccountHandle::OWN;
    let container = stage.container;
    let none = AllocateFlags::empty();
    let owner = |request, second| (OWNER, request, second);
    match operation {
        Operation::ContainerCreate => owner(Request::ContainerCreate { account }, Differs),
        Operation::ContainerDestroy => owner(Request::ContainerDestroy { container }, NothingLeft),
        Operation::Allocate => {
            owner(Request::Allocate { frames: stage.range(FRAMES, 2), flags: none }, NothingLeft)
        }
        Operation::Deallocate => {
            let flags = DeallocateFlags::empty();
            owner(Request::Deallocate { frames: stage.range(1, 2), flags }, NothingLeft)
        }
        Operation::AllocateAnywhere => {
            owner(Request::AllocateAnywhere { container, count: frames(2), flags: none }, Differs)
        }
        Operation::AllocateContiguous => {
            let frames = stage.range(FRAMES, 2);
            owner(
                Request::AllocateContiguous { frames, align_bits: 0, limit_bits: 64 },
                NothingLeft,
            )
        }
        Operation::Status => owner(Request::Status { frames: stage.range(0, FRAMES) }, Same),
        Operation::Renew => owner(Request::Renew { frames: stage.range(0, 2) }, Same),
        Operation::Mark => {
            let (frames, marks) = (stage.range(0, 2), Marks::DISCARDABLE);
            owner(Request::Mark { frames, marks }, Same)
        }
        Operation::Copy => {
            let (source_start, destination_start) = (at(0), at(1));
            let (source, destination, count) = (container, container, frames(3));
            let flags = CopyFlags::empty();
            owner(
                Request::Copy {
                    source,
                    source_start,
                    destination,
                    destination_start,
                    count,
                    flags,
                },
                Differs,
            )
        }
        Operation::CopyList => {
            let pairs = PairList::new(&[(at(1), at(2)), (at(0), at(1))]).unwrap();
            let (source, destination, flags) = (container, container, CopyFlags::empty());
            owner(Request::CopyList { source, destination, pairs, flags }, Differs)
        }
        Operation::CreateWith => {
            owner(Request::CreateWith { account, count: frames(2), terms: terms() }, Differs)
        }
        Operation::CreateFrom => {
            let source = stage.range(0, 2);
            owner(Request::CreateFrom { account, source, terms: terms() }, Differs)
        }
        Operation::CreateGather => {
            let frames = FrameList::new(&[at(0), at(3)]).unwrap();
            let (source, terms) = (container, terms());
            owner(Request::CreateGather { account, source, frames, terms }, Differs)
        }
        other => panic!("{other:?} belongs to another function"),
    }
}

/// Operations on address spaces and faults.
fn mappings(operation: Operation, stage: &mut Stage) -> (u64, Request, Second) {
    let container = stage.container;
    let write = MapFlags::WRITE;
    let owner = |request, second| (OWNER, request, second);
    match operation {
        Operation::Map => {
            let frames = stage.range(0, 2);
            owner(Request::Map { frames, vaddr: page(FRAMES), flags: write }, NothingLeft)
        }
        Operation::Unmap => owner(Request::Unmap { vaddr: page(0), count: frames(2) }, NothingLeft),
        Operation::Remap => {
            owner(Request::Remap { vaddr: page(0), count: frames(2), flags: MapFlags::READ }, Same)
        }
        Operation::Attach => {
            let (start, vaddr, count, flags) = (at(0), page(FRAMES), 4, write);
            owner(Request::Attach { container, start, vaddr, count, flags }, NothingLeft)
        }
        Operation::Detach => {
            stage.owner.attach(container, at(0), 4, page(FRAMES), write).unwrap();
            owner(Request::Detach { vaddr: page(FRAMES) }, NothingLeft)
        }
        Operation::Grant => {
            let frames = stage.range(0, 2);
            owner(Request::Grant { frames, rights: MapFlags::READ }, Differs)
        }
        Operation::Ungrant => {
            let granted = stage.owner.grant(container, at(0), frames(2), MapFlags::READ).unwrap();
            owner(Request::Ungrant { address: granted.address, count: frames(2) }, NothingLeft)
        }
        Operation::EnsureTables => {
            let vaddr = VirtAddr::new_page(0x4000_0000).unwrap();
            owner(Request::EnsureTables { vaddr, count: frames(2) }, NothingLeft)
        }
        Operation::SetHandler => {
            let (start, count, cookie) = (at(FRAMES), 4, 7);
            let handler: Option<PeerId> = Some(peer(BORROWER));
            owner(Request::SetHandler { container, start, count, handler, cookie }, NothingLeft)
        }
        Operation::NextFault => {
            stage.absent_and_touched();
            owner(Request::NextFault, Differs)
        }
        Operation::Supply => {
            let fault = stage.fault();
            owner(Request::Supply { fault, container, number: at(0) }, NothingLeft)
        }
        Operation::Refuse => owner(Request::Refuse { fault: stage.fault() }, NothingLeft),
        other => panic!("{other:?} belongs to another function"),
    }
}

/// Operations on shares and leases.
fn leases(operation: Operation, stage: &mut Stage) -> (u64, Request, Second) {
    let container = stage.container;
    let owner = |request, second| (OWNER, request, second);
    match operation {
        Operation::Share => {
            owner(Request::Share { container, start: at(0), count: 2, terms: terms() }, Differs)
        }
        Operation::Unshare => owner(Request::Unshare { share: stage.shared.share }, NothingLeft),
        Operation::Lock => {
            let frames = stage.range(0, 2);
            owner(Request::Lock { frames, mode: LockMode::Read, ttl: LONG }, Differs)
        }
        Operation::Unlock => {
            let lease = stage.owner.lock(container, at(0), frames(2), LockMode::Exclusive, LONG);
            owner(Request::Unlock { lease: lease.unwrap().lease }, NothingLeft)
        }
        Operation::Arm => owner(Request::Arm { share: stage.once().share }, Same),
        Operation::Disarm => {
            let share = stage.once().share;
            stage.owner.arm(share).unwrap();
            owner(Request::Disarm { share }, NothingLeft)
        }
        Operation::Take => {
            let shared = stage.once();
            stage.owner.arm(shared.share).unwrap();
            let (vaddr, flags) = (page(4), MapFlags::WRITE);
            let frames = Frames { container: shared.weak, start: at(0), count: frames(2) };
            (BORROWER, Request::Take { frames, vaddr, flags }, NothingLeft)
        }
        Operation::Pin => {
            let frames = stage.range(0, 2);
            owner(Request::Pin { frames, mode: LockMode::Read, ttl: LONG }, Differs)
        }
        Operation::BusAddress => {
            let pinned = stage.owner.pin(container, at(0), frames(2), LockMode::Read, LONG);
            let lease = pinned.unwrap().lease.lease;
            owner(Request::BusAddress { lease, number: at(0) }, Same)
        }
        Operation::DeviceReset => {
            let short = Micros::new(1);
            stage.owner.pin(container, at(0), frames(2), LockMode::Read, short).unwrap();
            stage.world.advance(10);
            owner(Request::DeviceReset { peer: peer(OWNER) }, Same)
        }
        other => panic!("{other:?} belongs to another function"),
    }
}

#[test]
fn a_second_call_changes_something_only_if_the_operation_is_not_idempotent() {
    let mut wrong = Vec::new();
    for operation in Operation::ALL {
        let mut stage = Stage::new();
        let (caller, request, second) = prepare(*operation, &mut stage);
        assert_eq!(request.operation(), *operation);
        assert_eq!(
            matches!(second, Same | NothingLeft),
            operation.is_idempotent(),
            "{operation:?}"
        );
        // Looking at frames ends what is overdue, which is not to count as an effect of the call.
        stage.seen();
        let first = stage.call(caller, &request);
        if first.label() != 0 {
            wrong.push((operation, second, first, first, false));
            continue;
        }
        let after_first = stage.seen();
        if second == Differs {
            // A deadline counts from the time of the call.
            stage.world.advance(1);
        }
        let again = stage.call(caller, &request);
        let after_second = stage.seen();
        let is_same = again == first;
        let is_unchanged = after_second == after_first;
        let holds = match second {
            Same => is_same && is_unchanged,
            NothingLeft => !is_same && is_unchanged,
            Differs => !is_same || !is_unchanged,
            Unseen => true,
        };
        if !holds {
            wrong.push((operation, second, first, again, is_unchanged));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
