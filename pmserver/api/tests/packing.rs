// SPDX-License-Identifier: BSD-2-Clause
//! Which argument stands in which register and field, for every operation, as in the table of
//! support/docs/pm-protocol.md. That requests survive encoding and decoding does not show that.
#![allow(clippy::unwrap_used)]

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, Book, ContainerHandle, CopyFlags, DeallocateFlags,
    Disturbance, FaultHandle, FrameList, FrameState, Frames, LeaseHandle, LimitFlags, LockMode,
    MapFlags, Marks, PairList, RangeHandle, Request, Rights, ShareHandle, ShareTerms,
};
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, VirtAddr};

const ACCOUNT: AccountHandle = AccountHandle::from_raw(0xA);
const CONTAINER: ContainerHandle = ContainerHandle::from_raw(0xC);
const DESTINATION: ContainerHandle = ContainerHandle::from_raw(0xD);
const LEASE: LeaseHandle = LeaseHandle::from_raw(0xE);
const FAULT: FaultHandle = FaultHandle::from_raw(0xF);
const START: FrameNumber = FrameNumber::new(5);
const OTHER: FrameNumber = FrameNumber::new(6);
const COUNT: FrameCount = FrameCount::new(3).unwrap();
const FRAMES: Frames = Frames { container: CONTAINER, start: START, count: COUNT };
const VADDR: VirtAddr = VirtAddr::new(0x7000).unwrap();
const TTL: Micros = Micros::new(90);

fn peer() -> PeerId {
    PeerId::new(4).unwrap()
}

/// In a register: 4 | 2 << 16 | 99 << 32.
fn terms() -> ShareTerms {
    ShareTerms { peer: peer(), rights: Rights::WRITE, lease_max: Micros::new(99), once: false }
}

const TERMS: u64 = 4 | 2 << 16 | 99 << 32;

fn holds(rows: &[(Request, Message)]) {
    for (request, message) in rows {
        assert_eq!(request.encode(), *message, "{request:?}");
    }
}

#[test]
fn domain() {
    holds(&[
        (Request::Version, Message::new(1, [])),
        (Request::WhoAmI, Message::new(2, [])),
        (Request::Clock, Message::new(3, [])),
        (
            Request::RegisterRecovery { entry: VADDR, stack_top: VirtAddr::new(0x9001).unwrap() },
            Message::new(16, [0x7000, 0x9001]),
        ),
        (Request::Watch { peer: peer(), ttl: TTL }, Message::new(17, [4, 90])),
        (Request::Rescue, Message::new(18, [])),
        (Request::Reclaim, Message::new(19, [])),
        (Request::Disturb { what: Disturbance::Unmap, cursor: 8 }, Message::new(50, [1, 8])),
        (Request::Disturb { what: Disturbance::Move, cursor: 8 }, Message::new(50, [2, 8])),
        (Request::Inspect { book: Book::Leases, cursor: 8, part: 1 }, Message::new(54, [5, 8, 1])),
        (Request::Arm { share: ShareHandle::from_raw(6) }, Message::new(51, [6])),
        (Request::Disarm { share: ShareHandle::from_raw(6) }, Message::new(52, [6])),
    ]);
}

#[test]
fn containers() {
    let anywhere = AllocateFlags::DMA | AllocateFlags::PARTIAL;
    holds(&[
        (Request::ContainerCreate { account: ACCOUNT }, Message::new(4, [0xA])),
        (Request::ContainerDestroy { container: CONTAINER }, Message::new(5, [0xC])),
        (
            Request::Allocate { frames: FRAMES, flags: AllocateFlags::EXTRA },
            Message::new(6, [0xC, 5, 3, 4]),
        ),
        (
            Request::Deallocate { frames: FRAMES, flags: DeallocateFlags::STRICT },
            Message::new(7, [0xC, 5, 3, 1]),
        ),
        (Request::Status { frames: FRAMES }, Message::new(14, [0xC, 5, 3])),
        (Request::Renew { frames: FRAMES }, Message::new(21, [0xC, 5, 3])),
        (
            Request::AllocateAnywhere { container: CONTAINER, count: COUNT, flags: anywhere },
            Message::new(22, [0xC, 3, 8 | 1]),
        ),
        (
            Request::Mark { frames: FRAMES, marks: Marks::DISCARDABLE },
            Message::new(41, [0xC, 5, 3, 1]),
        ),
    ]);
}

#[test]
fn copies() {
    let list = FrameList::new(&[OTHER, START]).unwrap();
    let pairs = PairList::new(&[(START, OTHER), (OTHER, START)]).unwrap();
    let copy = Request::Copy {
        source: CONTAINER,
        source_start: START,
        destination: DESTINATION,
        destination_start: OTHER,
        count: COUNT,
        flags: CopyFlags::SHARED,
    };
    let copy_list = Request::CopyList {
        source: CONTAINER,
        destination: DESTINATION,
        pairs,
        flags: CopyFlags::NEW | CopyFlags::ATOMIC,
    };
    let gather =
        Request::CreateGather { account: ACCOUNT, source: CONTAINER, frames: list, terms: terms() };
    holds(&[
        (copy, Message::new(24 | 3 << 16 | 2 << 32, [0xC, 5, 0xD, 6])),
        (copy_list, Message::new(25 | 9 << 32, [0xC, 0xD, 5, 6, 6, 5])),
        (
            Request::CreateWith { account: ACCOUNT, count: COUNT, terms: terms() },
            Message::new(26, [0xA, 3, TERMS]),
        ),
        (
            Request::CreateFrom { account: ACCOUNT, source: FRAMES, terms: terms() },
            Message::new(27 | 3 << 16, [0xA, 0xC, 5, TERMS]),
        ),
        (gather, Message::new(28, [0xA, 0xC, TERMS, 6, 5])),
    ]);
}

#[test]
fn sharing() {
    let share =
        Request::Share { container: CONTAINER, start: START, count: 1 << 40, terms: terms() };
    let unshare = Request::Unshare { share: ShareHandle::from_raw(0xB) };
    holds(&[
        (share, Message::new(8, [0xC, 5, 1 << 40, TERMS])),
        (unshare, Message::new(9, [0xB])),
        (
            Request::Lock { frames: FRAMES, mode: LockMode::Read, ttl: TTL },
            Message::new(10, [0xC, 5, 3, 90]),
        ),
        (
            Request::Lock { frames: FRAMES, mode: LockMode::Exclusive, ttl: TTL },
            Message::new(10, [0xC, 5, 3 | 1 << 16, 90]),
        ),
        (Request::Unlock { lease: LEASE }, Message::new(11, [0xE])),
    ]);
}

#[test]
fn mappings() {
    let attach = Request::Attach {
        container: CONTAINER,
        start: START,
        vaddr: VADDR,
        count: 70_000,
        flags: MapFlags::EXECUTE,
    };
    holds(&[
        (
            Request::Map { frames: FRAMES, vaddr: VADDR, flags: MapFlags::WRITE },
            Message::new(12, [0xC, 5, 0x7000, 3 | 2 << 16]),
        ),
        (Request::Unmap { vaddr: VADDR, count: COUNT }, Message::new(13, [0x7000, 3])),
        (
            Request::Remap { vaddr: VADDR, count: COUNT, flags: MapFlags::READ },
            Message::new(20, [0x7000, 3, 1]),
        ),
        (attach, Message::new(29, [0xC, 5, 0x7000, 70_000 | 8 << 32])),
        (Request::Detach { vaddr: VADDR }, Message::new(30, [0x7000])),
        (
            Request::Grant { frames: FRAMES, rights: MapFlags::FORCE_WRITE },
            Message::new(31, [0xC, 5, 3, 4]),
        ),
        (Request::Ungrant { address: 1 << 63, count: COUNT }, Message::new(32, [1 << 63, 3])),
        (Request::EnsureTables { vaddr: VADDR, count: COUNT }, Message::new(33, [0x7000, 3])),
    ]);
}

#[test]
fn handlers() {
    let named = |handler| Request::SetHandler {
        container: CONTAINER,
        start: START,
        count: 1 << 40,
        handler,
        cookie: 77,
    };
    holds(&[
        (named(Some(peer())), Message::new(46, [0xC, 5, 1 << 40, 4 | 77 << 32])),
        (named(None), Message::new(46, [0xC, 5, 1 << 40, 77 << 32])),
        (Request::NextFault, Message::new(47, [])),
        (
            Request::Supply { fault: FAULT, container: CONTAINER, number: OTHER },
            Message::new(48, [0xF, 0xC, 6]),
        ),
        (Request::Refuse { fault: FAULT }, Message::new(49, [0xF])),
    ]);
}

#[test]
fn accounts() {
    let (limit_pages, extra) = (1000, LimitFlags::EXTRA);
    holds(&[
        (Request::AccountInfo { account: ACCOUNT }, Message::new(15, [0xA])),
        (
            Request::AccountSplit { account: ACCOUNT, limit_pages, flags: extra },
            Message::new(34, [0xA, 1000, 1]),
        ),
        (Request::AccountDestroy { account: ACCOUNT }, Message::new(35, [0xA])),
        (Request::AccountRemove { account: ACCOUNT }, Message::new(36, [0xA])),
        (
            Request::AccountSetLimits {
                account: ACCOUNT,
                limit_pages,
                flags: extra | LimitFlags::EXCESS,
            },
            Message::new(37, [0xA, 1000, 3]),
        ),
        (
            Request::AccountLend { account: ACCOUNT, peer: peer(), rights: AccountRights::DESTROY },
            Message::new(38, [0xA, 4, 8]),
        ),
        (Request::AccountRecall { lent: ACCOUNT }, Message::new(39, [0xA])),
        (Request::VspaceAccount { account: ACCOUNT }, Message::new(40, [0xA])),
        (Request::ExtraRequest, Message::new(42, [])),
    ]);
}

#[test]
fn devices() {
    holds(&[
        (
            Request::AllocateContiguous { frames: FRAMES, align_bits: 21, limit_bits: 32 },
            Message::new(23, [0xC, 5, 3, 21 | 32 << 16]),
        ),
        (
            Request::Pin { frames: FRAMES, mode: LockMode::Exclusive, ttl: TTL },
            Message::new(43, [0xC, 5, 3 | 1 << 16, 90]),
        ),
        (Request::BusAddress { lease: LEASE, number: OTHER }, Message::new(44, [0xE, 6])),
        (Request::DeviceReset { peer: peer() }, Message::new(45, [4])),
    ]);
}

#[test]
fn flags_and_rights() {
    let bits =
        [AllocateFlags::PARTIAL, AllocateFlags::SQUASH, AllocateFlags::EXTRA, AllocateFlags::DMA];
    assert_eq!(bits.map(|flag| flag.bits()), [1, 2, 4, 8]);
    let bits = [CopyFlags::NEW, CopyFlags::SHARED, CopyFlags::MOVE, CopyFlags::ATOMIC];
    assert_eq!(bits.map(|flag| flag.bits()), [1, 2, 4, 8]);
    let bits = [MapFlags::READ, MapFlags::WRITE, MapFlags::FORCE_WRITE, MapFlags::EXECUTE];
    assert_eq!(bits.map(|flag| flag.bits()), [1, 2, 4, 8]);
    assert_eq!(MapFlags::FORCE_READ.bits(), 16);
    let bits = [Rights::READ, Rights::WRITE, Rights::LOCK];
    assert_eq!(bits.map(|right| right.bits()), [1, 2, 4]);
    let bits = [
        AccountRights::ALLOCATE,
        AccountRights::READ,
        AccountRights::SET,
        AccountRights::DESTROY,
        AccountRights::REMOVE,
    ];
    assert_eq!(bits.map(|right| right.bits()), [1, 2, 4, 8, 16]);
    let bits = [LimitFlags::EXTRA, LimitFlags::EXCESS];
    assert_eq!(bits.map(|flag| flag.bits()), [1, 2]);
    assert_eq!([DeallocateFlags::STRICT.bits(), Marks::DISCARDABLE.bits()], [1, 1]);
}

#[test]
fn states_of_a_frame() {
    let states = [
        FrameState::PRESENT,
        FrameState::BOUND,
        FrameState::COW,
        FrameState::SHARED,
        FrameState::LOCKED,
        FrameState::EXTRA,
        FrameState::DISCARDABLE,
        FrameState::MAPPED,
        FrameState::PINNED,
        FrameState::ABSENT,
        FrameState::DISCARDED,
        FrameState::TAKEN_OVER,
    ];
    assert_eq!(
        states.map(|state| state.bits()),
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
    );
}

#[test]
fn a_handle_says_who_made_the_object() {
    for maker in [1, 2, 31, 63] {
        // The number of the record is below, the generation above.
        let raw = 0x3FF << 34 | maker << 28 | 0xFFF_FFFF;
        assert_eq!(ContainerHandle::from_raw(raw).owner(), PeerId::new(maker));
        assert_eq!(RangeHandle::from_raw(raw).owner(), PeerId::new(maker));
    }
}
