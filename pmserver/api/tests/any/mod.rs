// SPDX-License-Identifier: BSD-2-Clause
//! Any request at all: for each operation, every argument that its types allow.

use pmserver_api::{
    AccountHandle, Book, ContainerHandle, Disturbance, FaultHandle, FrameList, Frames, LeaseHandle,
    LockMode, Operation, PairList, Request, ShareHandle, ShareTerms,
};
use proptest::prelude::*;
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};

const USER_PAGES: u64 = (1 << 47) / PAGE_BYTES;

/// Returns all requests for an operation.
pub(crate) fn requests(operation: Operation) -> BoxedStrategy<Request> {
    match operation {
        Operation::Version => Just(Request::Version).boxed(),
        Operation::WhoAmI => Just(Request::WhoAmI).boxed(),
        Operation::Clock => Just(Request::Clock).boxed(),
        Operation::ContainerCreate => {
            account().prop_map(|account| Request::ContainerCreate { account }).boxed()
        }
        Operation::ContainerDestroy => {
            container().prop_map(|container| Request::ContainerDestroy { container }).boxed()
        }
        Operation::Allocate => (frames(), bits())
            .prop_map(|(frames, flags)| Request::Allocate { frames, flags })
            .boxed(),
        Operation::Deallocate => (frames(), bits())
            .prop_map(|(frames, flags)| Request::Deallocate { frames, flags })
            .boxed(),
        Operation::Share => (container(), number(), any::<u64>(), terms())
            .prop_map(|(container, start, count, terms)| Request::Share {
                container,
                start,
                count,
                terms,
            })
            .boxed(),
        Operation::Unshare => any::<u64>()
            .prop_map(|share| Request::Unshare { share: ShareHandle::from_raw(share) })
            .boxed(),
        Operation::Lock => (frames(), mode(), time())
            .prop_map(|(frames, mode, ttl)| Request::Lock { frames, mode, ttl })
            .boxed(),
        Operation::Unlock => lease().prop_map(|lease| Request::Unlock { lease }).boxed(),
        Operation::Map => (frames(), page(), bits())
            .prop_map(|(frames, vaddr, flags)| Request::Map { frames, vaddr, flags })
            .boxed(),
        Operation::Unmap => {
            (page(), count()).prop_map(|(vaddr, count)| Request::Unmap { vaddr, count }).boxed()
        }
        Operation::Status => frames().prop_map(|frames| Request::Status { frames }).boxed(),
        Operation::AccountInfo => {
            account().prop_map(|account| Request::AccountInfo { account }).boxed()
        }
        Operation::RegisterRecovery => (address(), address())
            .prop_map(|(entry, stack_top)| Request::RegisterRecovery { entry, stack_top })
            .boxed(),
        Operation::Watch => {
            (peer(), time()).prop_map(|(peer, ttl)| Request::Watch { peer, ttl }).boxed()
        }
        Operation::Rescue => Just(Request::Rescue).boxed(),
        Operation::Reclaim => Just(Request::Reclaim).boxed(),
        Operation::Remap => (page(), count(), bits())
            .prop_map(|(vaddr, count, flags)| Request::Remap { vaddr, count, flags })
            .boxed(),
        Operation::Renew => frames().prop_map(|frames| Request::Renew { frames }).boxed(),
        Operation::AllocateAnywhere => (container(), count(), bits())
            .prop_map(|(container, count, flags)| Request::AllocateAnywhere {
                container,
                count,
                flags,
            })
            .boxed(),
        Operation::AllocateContiguous => (frames(), 0u8..64, 0u8..=64)
            .prop_map(|(frames, align_bits, limit_bits)| Request::AllocateContiguous {
                frames,
                align_bits,
                limit_bits,
            })
            .boxed(),
        Operation::Copy => (frames(), container(), number(), bits())
            .prop_map(|(from, destination, to, flags)| Request::Copy {
                source: from.container,
                source_start: from.start,
                destination,
                destination_start: to,
                count: from.count,
                flags,
            })
            .boxed(),
        Operation::CopyList => (container(), container(), pairs(), bits())
            .prop_map(|(source, destination, pairs, flags)| Request::CopyList {
                source,
                destination,
                pairs,
                flags,
            })
            .boxed(),
        Operation::CreateWith => (account(), count(), terms())
            .prop_map(|(account, count, terms)| Request::CreateWith { account, count, terms })
            .boxed(),
        Operation::CreateFrom => (account(), frames(), terms())
            .prop_map(|(account, source, terms)| Request::CreateFrom { account, source, terms })
            .boxed(),
        Operation::CreateGather => (account(), container(), list(), terms())
            .prop_map(|(account, source, frames, terms)| Request::CreateGather {
                account,
                source,
                frames,
                terms,
            })
            .boxed(),
        Operation::Attach => (container(), number(), page(), any::<u32>(), bits())
            .prop_map(|(container, start, vaddr, count, flags)| Request::Attach {
                container,
                start,
                vaddr,
                count,
                flags,
            })
            .boxed(),
        Operation::Detach => page().prop_map(|vaddr| Request::Detach { vaddr }).boxed(),
        Operation::Grant => (frames(), bits())
            .prop_map(|(frames, rights)| Request::Grant { frames, rights })
            .boxed(),
        Operation::Ungrant => (any::<u64>(), count())
            .prop_map(|(address, count)| Request::Ungrant { address, count })
            .boxed(),
        Operation::EnsureTables => (page(), count())
            .prop_map(|(vaddr, count)| Request::EnsureTables { vaddr, count })
            .boxed(),
        Operation::AccountSplit => (account(), any::<u32>(), bits())
            .prop_map(|(account, limit_pages, flags)| Request::AccountSplit {
                account,
                limit_pages,
                flags,
            })
            .boxed(),
        Operation::AccountDestroy => {
            account().prop_map(|account| Request::AccountDestroy { account }).boxed()
        }
        Operation::AccountRemove => {
            account().prop_map(|account| Request::AccountRemove { account }).boxed()
        }
        Operation::AccountSetLimits => (account(), any::<u32>(), bits())
            .prop_map(|(account, limit_pages, flags)| Request::AccountSetLimits {
                account,
                limit_pages,
                flags,
            })
            .boxed(),
        Operation::AccountLend => (account(), peer(), bits())
            .prop_map(|(account, peer, rights)| Request::AccountLend { account, peer, rights })
            .boxed(),
        Operation::AccountRecall => {
            account().prop_map(|lent| Request::AccountRecall { lent }).boxed()
        }
        Operation::VspaceAccount => {
            account().prop_map(|account| Request::VspaceAccount { account }).boxed()
        }
        Operation::Mark => {
            (frames(), bits()).prop_map(|(frames, marks)| Request::Mark { frames, marks }).boxed()
        }
        Operation::ExtraRequest => Just(Request::ExtraRequest).boxed(),
        Operation::Pin => (frames(), mode(), time())
            .prop_map(|(frames, mode, ttl)| Request::Pin { frames, mode, ttl })
            .boxed(),
        Operation::BusAddress => (lease(), number())
            .prop_map(|(lease, number)| Request::BusAddress { lease, number })
            .boxed(),
        Operation::DeviceReset => peer().prop_map(|peer| Request::DeviceReset { peer }).boxed(),
        Operation::SetHandler => (container(), number(), any::<u64>(), handler(), any::<u32>())
            .prop_map(|(container, start, count, handler, cookie)| Request::SetHandler {
                container,
                start,
                count,
                handler,
                cookie,
            })
            .boxed(),
        Operation::NextFault => Just(Request::NextFault).boxed(),
        Operation::Supply => (fault(), container(), number())
            .prop_map(|(fault, container, number)| Request::Supply { fault, container, number })
            .boxed(),
        Operation::Refuse => fault().prop_map(|fault| Request::Refuse { fault }).boxed(),
        Operation::Disturb => (disturbance(), any::<u64>())
            .prop_map(|(what, cursor)| Request::Disturb { what, cursor })
            .boxed(),
        Operation::Inspect => (prop::sample::select(&Book::ALL[..]), any::<u64>(), any::<u8>())
            .prop_map(|(book, cursor, part)| Request::Inspect {
                book,
                cursor,
                part: part % book.parts(),
            })
            .boxed(),
        Operation::Arm => any::<u64>()
            .prop_map(|share| Request::Arm { share: ShareHandle::from_raw(share) })
            .boxed(),
        Operation::Disarm => any::<u64>()
            .prop_map(|share| Request::Disarm { share: ShareHandle::from_raw(share) })
            .boxed(),
        Operation::Take => (frames(), page(), bits())
            .prop_map(|(frames, vaddr, flags)| Request::Take { frames, vaddr, flags })
            .boxed(),
    }
}

fn address() -> impl Strategy<Value = VirtAddr> {
    (0..USER_PAGES * PAGE_BYTES).prop_map(|n| VirtAddr::new(n).unwrap())
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    prop_oneof![Just(Disturbance::Unmap), Just(Disturbance::Move)]
}

fn list() -> impl Strategy<Value = FrameList> {
    prop::collection::vec(number(), 1..=FrameList::MOST)
        .prop_map(|list| FrameList::new(&list).unwrap())
}

fn pairs() -> impl Strategy<Value = PairList> {
    prop::collection::vec((number(), number()), 1..=PairList::MOST)
        .prop_map(|list| PairList::new(&list).unwrap())
}

fn fault() -> impl Strategy<Value = FaultHandle> {
    any::<u64>().prop_map(FaultHandle::from_raw)
}

fn handler() -> impl Strategy<Value = Option<PeerId>> {
    prop::option::of(peer())
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
    (peer(), bits(), any::<u32>(), any::<bool>()).prop_map(|(peer, rights, lease, once)| {
        ShareTerms { peer, rights, lease_max: Micros::new(lease.into()), once }
    })
}
