// SPDX-License-Identifier: BSD-2-Clause
//! Every reply survives encoding and decoding, and no message makes a caller panic.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

mod calls;

use calls::told;
use pmserver_api::{
    AccessKind, AccountHandle, AccountInfo, BusRun, CallError, ContainerHandle, Created, Disturbed,
    ExtraRequest, Failure, FaultHandle, FrameState, Granted, Identity, Lease, LeaseHandle,
    MapFlags, Mapped, Operation, PendingFault, Pinned, Placed, PmError, RangeHandle, Reply,
    RescueReport, Row, ShareHandle, Shared, Status,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use proto::limits::{MESSAGE_REGISTERS_MAX, STATUS_FRAMES_MAX};
use proto::{ByteCount, FrameNumber, Message, Micros, PeerId, ProtocolError};

/// Returns all replies of an operation.
fn replies_to(operation: Operation) -> BoxedStrategy<Reply> {
    match operation {
        Operation::Version
        | Operation::Allocate
        | Operation::Deallocate
        | Operation::Unmap
        | Operation::Reclaim
        | Operation::Renew
        | Operation::AllocateContiguous
        | Operation::Copy
        | Operation::CopyList
        | Operation::Ungrant
        | Operation::EnsureTables
        | Operation::Mark => any::<u64>().prop_map(Reply::Number).boxed(),
        Operation::WhoAmI => identities(),
        Operation::Clock | Operation::Watch => times().prop_map(Reply::Time).boxed(),
        Operation::ContainerCreate => {
            any::<u64>().prop_map(|raw| Reply::Container(ContainerHandle::from_raw(raw))).boxed()
        }
        Operation::Share => shares().prop_map(Reply::Shared).boxed(),
        Operation::Lock | Operation::Take => leases().prop_map(Reply::Lease).boxed(),
        Operation::Map | Operation::Remap => mapped(),
        Operation::Status => states(),
        Operation::AccountInfo => counts_of_pages(),
        Operation::Rescue => reports(),
        Operation::AllocateAnywhere => any::<(u64, u64)>()
            .prop_map(|(start, count)| {
                Reply::Placed(Placed { start: FrameNumber::new(start), count })
            })
            .boxed(),
        Operation::CreateWith | Operation::CreateFrom | Operation::CreateGather => {
            (any::<u64>(), shares())
                .prop_map(|(raw, shared)| {
                    Reply::Created(Created { container: ContainerHandle::from_raw(raw), shared })
                })
                .boxed()
        }
        Operation::Grant => (any::<(u64, u64)>(), rights())
            .prop_map(|((address, count), rights)| {
                Reply::Granted(Granted { address, count, rights })
            })
            .boxed(),
        Operation::AccountSplit | Operation::AccountLend => {
            any::<u64>().prop_map(|raw| Reply::Account(AccountHandle::from_raw(raw))).boxed()
        }
        Operation::ExtraRequest => (any::<(u64, u64)>(), times())
            .prop_map(|((count, sequence), deadline)| {
                Reply::ExtraRequest(ExtraRequest { count, deadline, sequence })
            })
            .boxed(),
        Operation::Pin => {
            (leases(), runs()).prop_map(|(lease, bus)| Reply::Pinned(Pinned { lease, bus })).boxed()
        }
        Operation::BusAddress => runs().prop_map(Reply::BusRun).boxed(),
        Operation::SetHandler => {
            any::<u64>().prop_map(|raw| Reply::Range(RangeHandle::from_raw(raw))).boxed()
        }
        Operation::NextFault => faults(),
        Operation::Disarm => (0u64..2).prop_map(Reply::Number).boxed(),
        Operation::Disturb => any::<(u64, u64)>()
            .prop_map(|(count, cursor)| Reply::Disturbed(Disturbed { count, cursor }))
            .boxed(),
        Operation::Inspect => any::<(u64, [u64; 3])>()
            .prop_map(|(cursor, words)| Reply::Row(Row { cursor, words }))
            .boxed(),
        Operation::ContainerDestroy
        | Operation::Unshare
        | Operation::Arm
        | Operation::Unlock
        | Operation::RegisterRecovery
        | Operation::Attach
        | Operation::Detach
        | Operation::AccountDestroy
        | Operation::AccountRemove
        | Operation::AccountSetLimits
        | Operation::AccountRecall
        | Operation::VspaceAccount
        | Operation::DeviceReset
        | Operation::Supply
        | Operation::Refuse => Just(Reply::Done).boxed(),
    }
}

fn times() -> impl Strategy<Value = Micros> {
    any::<u64>().prop_map(Micros::new)
}

fn rights() -> impl Strategy<Value = MapFlags> {
    any::<u16>().prop_map(MapFlags::from_bits_truncate)
}

fn identities() -> BoxedStrategy<Reply> {
    (1u64..32, any::<u64>())
        .prop_map(|(peer, account)| {
            let (peer, account) = (PeerId::new(peer).unwrap(), AccountHandle::from_raw(account));
            Reply::Identity(Identity { peer, account })
        })
        .boxed()
}

fn shares() -> impl Strategy<Value = Shared> {
    any::<(u64, u64)>().prop_map(|(share, weak)| Shared {
        share: ShareHandle::from_raw(share),
        weak: ContainerHandle::from_raw(weak),
    })
}

fn leases() -> impl Strategy<Value = Lease> {
    (any::<u64>(), times())
        .prop_map(|(lease, deadline)| Lease { lease: LeaseHandle::from_raw(lease), deadline })
}

fn runs() -> impl Strategy<Value = BusRun> {
    any::<(u64, u64)>().prop_map(|(address, frames)| BusRun { address, frames })
}

fn mapped() -> BoxedStrategy<Reply> {
    prop::collection::vec((1usize..=42, rights()), 0..=6)
        .prop_map(|runs| {
            let mut mapped = Mapped::default();
            for (count, rights) in runs {
                assert!((0..count).all(|_| mapped.push(rights)), "six runs fit");
            }
            Reply::Mapped(mapped)
        })
        .boxed()
}

fn states() -> BoxedStrategy<Reply> {
    let frames = prop::array::uniform24(any::<u16>().prop_map(FrameState::from_bits_truncate));
    (1..=STATUS_FRAMES_MAX, frames)
        .prop_map(|(count, frames)| Reply::Status(Status { count, frames }))
        .boxed()
}

fn counts_of_pages() -> BoxedStrategy<Reply> {
    // What is used is their sum: four of them fit in 32 bits.
    let pages = (0..u32::MAX / 4).prop_map(|pages| ByteCount::from_pages(pages.into()));
    prop::array::uniform8(pages)
        .prop_map(|[limit, frames, tables, slots, records, extra, promised, free]| {
            let used = [frames, tables, slots, records].map(ByteCount::get).iter().sum();
            Reply::AccountInfo(AccountInfo {
                limit,
                used: ByteCount::new(used),
                frames,
                tables,
                slots,
                records,
                extra,
                promised,
                free,
            })
        })
        .boxed()
}

/// 2^64 - 1 is not a time.
fn reports() -> BoxedStrategy<Reply> {
    (any::<u64>(), prop::option::of((0..u64::MAX).prop_map(Micros::new)))
        .prop_map(|(rescued, next_deadline)| {
            Reply::Rescued(RescueReport { rescued, next_deadline })
        })
        .boxed()
}

/// No fault has the number 0.
fn faults() -> BoxedStrategy<Reply> {
    let kinds = [AccessKind::Read, AccessKind::Write, AccessKind::Execute];
    let fault = (
        1..=u64::MAX,
        any::<u64>(),
        any::<u32>(),
        any::<u64>(),
        prop::sample::select(kinds.to_vec()),
    );
    prop::option::of(fault.prop_map(|(fault, range, cookie, number, access)| PendingFault {
        fault: FaultHandle::from_raw(fault),
        range: RangeHandle::from_raw(range),
        cookie,
        number: FrameNumber::new(number),
        access,
    }))
    .prop_map(Reply::Fault)
    .boxed()
}

#[test]
fn every_reply_comes_back() {
    for operation in Operation::ALL.iter().copied() {
        let mut runner = TestRunner::new(ProptestConfig::with_cases(100));
        let result = runner.run(&replies_to(operation), |reply| {
            let message = reply.encode();
            prop_assert_eq!(message.registers().len(), operation.registers().reply.len());
            prop_assert_eq!(told(operation, message), Ok(reply));
            Ok(())
        });
        result.unwrap();
    }
}

#[test]
fn every_error_comes_back_from_every_operation() {
    for operation in Operation::ALL.iter().copied() {
        for error in PmError::ALL {
            let failure = Failure { error, done: 3, at: 4 };
            assert_eq!(told(operation, failure.reply()), Err(CallError::Refused(failure)));
        }
        let errors = [ProtocolError::UnknownOperation, ProtocolError::WrongLength];
        for error in errors.map(CallError::Protocol) {
            assert_eq!(told(operation, error.reply()), Err(error));
        }
    }
}

#[test]
fn a_reply_that_is_none_is_told_as_such() {
    let bad = Err(CallError::Protocol(ProtocolError::BadReply));
    let longest = Message::from_wire(0, &[0; MESSAGE_REGISTERS_MAX]).unwrap();
    for operation in Operation::ALL.iter().copied() {
        assert_eq!(told(operation, longest), bad, "too many registers");
        assert_eq!(told(operation, Message::new(1, [0])), bad, "an error has two registers");
        assert_eq!(told(operation, Message::new(20, [0, 0])), bad, "there is no error 20");
    }
}

proptest! {
    #[test]
    fn no_reply_makes_a_client_panic(
        label in prop_oneof![Just(0), 0u64..20, 0xFF00u64..0xFF04, any::<u64>()],
        registers in prop::collection::vec(
            prop_oneof![0u64..40, any::<u64>()], 0..=MESSAGE_REGISTERS_MAX,
        ),
    ) {
        let reply = Message::from_wire(label, &registers).unwrap();
        for operation in Operation::ALL.iter().copied() {
            let _ = told(operation, reply);
        }
    }
}

#[test]
fn replies_stand_in_registers_as_the_table_says() {
    let shared = Shared { share: ShareHandle::from_raw(1), weak: ContainerHandle::from_raw(2) };
    let lease = Lease { lease: LeaseHandle::from_raw(3), deadline: Micros::new(4) };
    let bus = BusRun { address: 5, frames: 6 };
    let container = ContainerHandle::from_raw(7);
    let (both, start) = (MapFlags::READ | MapFlags::WRITE, FrameNumber::new(8));
    let mut mapped = Mapped::default();
    for rights in [both, both, MapFlags::READ, both] {
        assert!(mapped.push(rights));
    }
    let fault = PendingFault {
        fault: FaultHandle::from_raw(9),
        range: RangeHandle::from_raw(11),
        cookie: 10,
        number: start,
        access: AccessKind::Execute,
    };
    let mut frames = [FrameState::empty(); 24];
    frames[1] = FrameState::MAPPED;
    frames[4] = FrameState::PRESENT;
    let [limit, tables, free] = [1000, 60, 40].map(ByteCount::from_pages);
    let info = AccountInfo { limit, used: tables, tables, free, ..AccountInfo::default() };
    let rows = [
        (Reply::Created(Created { container, shared }), Message::new(0, [7, 1, 2])),
        (Reply::Pinned(Pinned { lease, bus }), Message::new(0, [3, 4, 5, 6])),
        (
            Reply::Mapped(mapped),
            Message::new(0, [4, 2 | 3 << 16 | 1 << 32 | 1 << 48, 1 | 3 << 16, 0]),
        ),
        (Reply::Fault(Some(fault)), Message::new(0, [9, 11, 10 | 2 << 32, 8])),
        (Reply::Fault(None), Message::new(0, [0; 4])),
        (
            Reply::Status(Status { count: 5, frames }),
            Message::new(0, [5, 128 << 16, 1, 0, 0, 0, 0]),
        ),
        (Reply::AccountInfo(info), Message::new(0, [1000, 60, 0, 40 << 32])),
        (Reply::Placed(Placed { start, count: 2 }), Message::new(0, [8, 2])),
        (
            Reply::Rescued(RescueReport { rescued: 2, next_deadline: None }),
            Message::new(0, [2, u64::MAX]),
        ),
    ];
    for (reply, message) in rows {
        assert_eq!(reply.encode(), message, "{reply:?}");
    }
}
