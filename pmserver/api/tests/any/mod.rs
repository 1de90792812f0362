// SPDX-License-Identifier: BSD-2-Clause
//! Any request at all: for each operation, by its number, every argument that its types allow.

use pmserver_api::{
    AccountHandle, ContainerHandle, Disturbance, FaultHandle, FrameList, Frames, LeaseHandle,
    LockMode, PairList, Request, ShareHandle, ShareTerms,
};
use proptest::prelude::*;
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};

const USER_PAGES: u64 = (1 << 47) / PAGE_BYTES;

/// An operation's number and its requests.
pub(crate) type Operation = (u64, BoxedStrategy<Request>);

/// Every operation of the protocol.
pub(crate) fn operations() -> Vec<Operation> {
    let parts = [
        domain(),
        containers(),
        copies(),
        sharing(),
        mappings(),
        handlers(),
        accounts(),
        devices(),
    ];
    parts.into_iter().flatten().collect()
}

fn operation<S>(
    number: u64,
    arguments: S,
    request: impl Fn(S::Value) -> Request + 'static,
) -> Operation
where
    S: Strategy + 'static,
{
    (number, arguments.prop_map(request).boxed())
}

fn domain() -> Vec<Operation> {
    let address = || (0..USER_PAGES * PAGE_BYTES).prop_map(|n| VirtAddr::new(n).unwrap());
    let what = prop_oneof![Just(Disturbance::Unmap), Just(Disturbance::Move)];
    vec![
        operation(1, Just(()), |()| Request::Version),
        operation(2, Just(()), |()| Request::WhoAmI),
        operation(3, Just(()), |()| Request::Clock),
        operation(16, (address(), address()), |(entry, stack_top)| Request::RegisterRecovery {
            entry,
            stack_top,
        }),
        operation(17, (peer(), time()), |(peer, ttl)| Request::Watch { peer, ttl }),
        operation(18, Just(()), |()| Request::Rescue),
        operation(19, Just(()), |()| Request::Reclaim),
        operation(50, (what, any::<u64>()), |(what, cursor)| Request::Disturb { what, cursor }),
    ]
}

fn containers() -> Vec<Operation> {
    vec![
        operation(4, account(), |account| Request::ContainerCreate { account }),
        operation(5, container(), |container| Request::ContainerDestroy { container }),
        operation(6, (frames(), bits()), |(frames, flags)| Request::Allocate { frames, flags }),
        operation(7, (frames(), bits()), |(frames, flags)| Request::Deallocate { frames, flags }),
        operation(14, frames(), |frames| Request::Status { frames }),
        operation(21, frames(), |frames| Request::Renew { frames }),
        operation(22, (container(), count(), bits()), |(container, count, flags)| {
            Request::AllocateAnywhere { container, count, flags }
        }),
        operation(41, (frames(), bits()), |(frames, marks)| Request::Mark { frames, marks }),
    ]
}

fn copies() -> Vec<Operation> {
    let list = prop::collection::vec(number(), 1..=FrameList::MOST)
        .prop_map(|list| FrameList::new(&list).unwrap());
    let pairs = prop::collection::vec((number(), number()), 1..=PairList::MOST)
        .prop_map(|list| PairList::new(&list).unwrap());
    vec![
        operation(
            24,
            (frames(), container(), number(), bits()),
            |(from, destination, to, flags)| Request::Copy {
                source: from.container,
                source_start: from.start,
                destination,
                destination_start: to,
                count: from.count,
                flags,
            },
        ),
        operation(
            25,
            (container(), container(), pairs, bits()),
            |(source, destination, pairs, flags)| Request::CopyList {
                source,
                destination,
                pairs,
                flags,
            },
        ),
        operation(26, (account(), count(), terms()), |(account, count, terms)| {
            Request::CreateWith { account, count, terms }
        }),
        operation(27, (account(), frames(), terms()), |(account, source, terms)| {
            Request::CreateFrom { account, source, terms }
        }),
        operation(
            28,
            (account(), container(), list, terms()),
            |(account, source, frames, terms)| Request::CreateGather {
                account,
                source,
                frames,
                terms,
            },
        ),
    ]
}

fn sharing() -> Vec<Operation> {
    vec![
        operation(
            8,
            (container(), number(), any::<u64>(), terms()),
            |(container, start, count, terms)| Request::Share { container, start, count, terms },
        ),
        operation(9, (any::<u64>(), bits()), |(share, flags)| Request::Unshare {
            share: ShareHandle::from_raw(share),
            flags,
        }),
        operation(10, (frames(), mode(), time()), |(frames, mode, ttl)| Request::Lock {
            frames,
            mode,
            ttl,
        }),
        operation(11, lease(), |lease| Request::Unlock { lease }),
    ]
}

fn mappings() -> Vec<Operation> {
    let vspace = any::<u32>;
    vec![
        operation(12, (frames(), page(), bits(), vspace()), |(frames, vaddr, flags, vspace)| {
            Request::Map { frames, vaddr, flags, vspace }
        }),
        operation(13, (vspace(), page(), count()), |(vspace, vaddr, count)| Request::Unmap {
            vspace,
            vaddr,
            count,
        }),
        operation(20, (vspace(), page(), count(), bits()), |(vspace, vaddr, count, flags)| {
            Request::Remap { vspace, vaddr, count, flags }
        }),
        operation(
            29,
            (container(), number(), page(), any::<u32>(), bits(), any::<u16>()),
            |(container, start, vaddr, count, flags, vspace)| Request::Attach {
                container,
                start,
                vaddr,
                count,
                flags,
                vspace,
            },
        ),
        operation(30, (vspace(), page()), |(vspace, vaddr)| Request::Detach { vspace, vaddr }),
        operation(31, (frames(), bits()), |(frames, rights)| Request::Grant { frames, rights }),
        operation(32, (any::<u64>(), count()), |(address, count)| Request::Ungrant {
            address,
            count,
        }),
        operation(33, (vspace(), page(), count()), |(vspace, vaddr, count)| {
            Request::EnsureTables { vspace, vaddr, count }
        }),
    ]
}

fn handlers() -> Vec<Operation> {
    let fault = || any::<u64>().prop_map(FaultHandle::from_raw);
    let handler = prop::option::of(peer());
    vec![
        operation(
            46,
            (container(), number(), any::<u64>(), handler, any::<u32>()),
            |(container, start, count, handler, cookie)| Request::SetHandler {
                container,
                start,
                count,
                handler,
                cookie,
            },
        ),
        operation(47, Just(()), |()| Request::NextFault),
        operation(48, (fault(), container(), number()), |(fault, container, number)| {
            Request::Supply { fault, container, number }
        }),
        operation(49, fault(), |fault| Request::Refuse { fault }),
    ]
}

fn accounts() -> Vec<Operation> {
    vec![
        operation(15, account(), |account| Request::AccountInfo { account }),
        operation(34, (account(), any::<u32>(), bits()), |(account, limit_pages, flags)| {
            Request::AccountSplit { account, limit_pages, flags }
        }),
        operation(35, account(), |account| Request::AccountDestroy { account }),
        operation(36, account(), |account| Request::AccountRemove { account }),
        operation(37, (account(), any::<u32>(), bits()), |(account, limit_pages, flags)| {
            Request::AccountSetLimits { account, limit_pages, flags }
        }),
        operation(38, (account(), peer(), bits()), |(account, peer, rights)| {
            Request::AccountLend { account, peer, rights }
        }),
        operation(39, account(), |lent| Request::AccountRecall { lent }),
        operation(40, account(), |account| Request::VspaceAccount { account }),
        operation(42, Just(()), |()| Request::ExtraRequest),
    ]
}

fn devices() -> Vec<Operation> {
    vec![
        operation(23, (frames(), 0u8..64, 0u8..=64), |(frames, align_bits, limit_bits)| {
            Request::AllocateContiguous { frames, align_bits, limit_bits }
        }),
        operation(43, (frames(), mode(), time()), |(frames, mode, ttl)| Request::Pin {
            frames,
            mode,
            ttl,
        }),
        operation(44, (lease(), number()), |(lease, number)| Request::BusAddress { lease, number }),
        operation(45, peer(), |peer| Request::DeviceReset { peer }),
    ]
}

fn account() -> impl Strategy<Value = AccountHandle> {
    any::<u64>().prop_map(AccountHandle::from_raw)
}

fn container() -> impl Strategy<Value = ContainerHandle> {
    any::<u64>().prop_map(ContainerHandle::from_raw)
}

fn lease() -> impl Strategy<Value = LeaseHandle> {
    any::<u64>().prop_map(LeaseHandle::from_raw)
}

fn number() -> impl Strategy<Value = FrameNumber> {
    any::<u64>().prop_map(FrameNumber::new)
}

fn count() -> impl Strategy<Value = FrameCount> {
    (1..=CALL_FRAMES_MAX).prop_map(|count| FrameCount::new(count).unwrap())
}

fn frames() -> impl Strategy<Value = Frames> {
    (container(), number(), count()).prop_map(|(container, start, count)| Frames {
        container,
        start,
        count,
    })
}

fn page() -> impl Strategy<Value = VirtAddr> {
    (0..USER_PAGES).prop_map(|page| VirtAddr::new_page(page * PAGE_BYTES).unwrap())
}

fn peer() -> impl Strategy<Value = PeerId> {
    (1u64..32).prop_map(|peer| PeerId::new(peer).unwrap())
}

fn time() -> impl Strategy<Value = Micros> {
    any::<u64>().prop_map(Micros::new)
}

fn mode() -> impl Strategy<Value = LockMode> {
    prop_oneof![Just(LockMode::Read), Just(LockMode::Exclusive)]
}

fn bits<F: bitflags::Flags<Bits = u16> + std::fmt::Debug>() -> impl Strategy<Value = F> {
    any::<u16>().prop_map(F::from_bits_truncate)
}

/// The longest lease fits its field.
fn terms() -> impl Strategy<Value = ShareTerms> {
    (peer(), bits(), any::<u32>()).prop_map(|(peer, rights, lease)| ShareTerms {
        peer,
        rights,
        lease_max: Micros::new(lease.into()),
    })
}
