// SPDX-License-Identifier: BSD-2-Clause
//! Tests of `SimKernel`: what the `Kernel` trait requires, and the functions that tests rely on.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use pmserver_core::PageIndex;
use pmserver_core::kernel::{
    CapRights, FrameCap, Kernel, KernelError, ObjectKind, PageRights, SlotAddress, VSpace,
};
use proto::{PeerId, VirtAddr};
use sim::machine::Architecture;
use sim::{BootPlan, InvocationKind, PoolPart, SimKernel, equal_parts};

const MIB: u64 = 1 << 20;
const READ_WRITE: PageRights = PageRights { write: true, execute: false };
const READ_ONLY: PageRights = PageRights { write: false, execute: false };

fn page(number: u32) -> PageIndex {
    PageIndex::new(number)
}

fn vaddr(address: u64) -> VirtAddr {
    VirtAddr::new(address).unwrap()
}

fn client() -> VSpace {
    VSpace::Peer(PeerId::new(2).unwrap())
}

fn part(slot: u32, size_bits: u32) -> PoolPart {
    PoolPart { slot, size_bits }
}

/// A peer whose CSpace pmserver cannot change.
fn stranger() -> PeerId {
    PeerId::new(3).unwrap()
}

fn kernel(architecture: Architecture, pool: Vec<PoolPart>) -> SimKernel {
    let peers: Vec<PeerId> = (1..=3).filter_map(PeerId::new).collect();
    let cspaces = peers.iter().copied().filter(|&peer| peer != stranger()).collect();
    SimKernel::boot(&BootPlan { architecture, pool, peers, cspaces, regions: Vec::new() })
}

#[test]
fn pages_and_overhead_add_up_to_the_pool() {
    for (pool, overhead) in [
        (equal_parts(26, 1), 260),
        (equal_parts(20, 1), 7),
        (equal_parts(21, 3), 35),
        (vec![part(27, 20), part(9, 22), part(8, 12)], 35),
    ] {
        let pages: u32 = pool.iter().map(PoolPart::pages).sum();
        let kernel = kernel(Architecture::X86_64, pool.clone());
        assert_eq!(kernel.overhead_pages(), overhead, "{pool:?}");
        assert_eq!(kernel.page_count() + overhead, pages, "{pool:?}");
    }
}

#[test]
fn the_address_of_a_page_does_not_depend_on_the_object_made_from_it() {
    let unequal = vec![part(9, 21), part(8, 23), part(20, 14)];
    for pool in [equal_parts(22, 1), equal_parts(21, 3), unequal] {
        let mut kernel = kernel(Architecture::Aarch64, pool.clone());
        let last = kernel.page_count() - 1;
        for number in 0..last {
            if kernel.is_block(page(number)) {
                kernel.cut(page(number)).unwrap();
            }
        }
        for number in [0, 1, 511, 512, 513, last] {
            let at = kernel.physical_address(page(number));
            kernel.make(page(number), ObjectKind::CNode).unwrap();
            assert_eq!(kernel.physical_address(page(number)), at, "{pool:?} {number}");
            kernel.unmake(page(number)).unwrap();
            kernel.make(page(number), ObjectKind::Frame).unwrap();
            kernel.machine_mut().page_mut(at).0[7] = 0x5B;
            kernel.make(page(2), ObjectKind::Frame).unwrap();
            kernel.copy_page(page(number), page(2)).unwrap();
            let copy = kernel.physical_address(page(2));
            assert_eq!(kernel.machine().page(copy).0[7], 0x5B, "{pool:?} {number}");
            kernel.unmake(page(2)).unwrap();
        }
    }
}

#[test]
fn map_frame_reports_a_missing_table_and_succeeds_once_that_is_mapped() {
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let mut kernel = kernel(architecture, equal_parts(22, 1));
        let (frame, table, at) = (page(3), page(4), vaddr(0x1030_0000));
        kernel.make(frame, ObjectKind::Frame).unwrap();
        let map = |kernel: &mut SimKernel| {
            kernel.map_frame(FrameCap::Original(frame), client(), at, READ_WRITE)
        };
        assert_eq!(map(&mut kernel), Err(KernelError::TableMissing { span_bits: 21 }));
        kernel.make(table, ObjectKind::Table { span_bits: 21 }).unwrap();
        kernel.map_table(table, 21, client(), at).unwrap();
        let other = page(5);
        kernel.make(other, ObjectKind::Table { span_bits: 21 }).unwrap();
        let again = kernel.map_table(other, 21, client(), at);
        assert_eq!(again, Err(KernelError::AlreadyMapped));
        map(&mut kernel).unwrap();
        kernel.store(client(), b"hello", at.get() + 4090).unwrap();
        let mut bytes = [0; 5];
        kernel.load(client(), at.get() + 4090, &mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        kernel.unmap_frame(FrameCap::Original(frame)).unwrap();
        assert_eq!(kernel.load(client(), at.get() + 4090, &mut bytes), Err(at.get() + 4090));
        assert_eq!(kernel.store(VSpace::Own, b"x", at.get()), Err(at.get()), "mapped in the peer");
    }
}

#[test]
fn an_access_faults_at_the_first_byte_that_is_missing() {
    let mut kernel = SimKernel::new(4 * MIB);
    let (frame, table, at) = (page(0), page(1), vaddr(0x1030_0000));
    kernel.make(frame, ObjectKind::Frame).unwrap();
    kernel.make(table, ObjectKind::Table { span_bits: 21 }).unwrap();
    kernel.map_table(table, 21, client(), at).unwrap();
    kernel.map_frame(FrameCap::Original(frame), client(), at, READ_ONLY).unwrap();
    let mut bytes = [0; 200];
    assert_eq!(kernel.load(client(), at.get() + 4000, &mut bytes), Err(at.get() + 4096));
    assert_eq!(kernel.store(client(), &bytes, at.get()), Err(at.get()), "read-only");
    assert_eq!(kernel.load(client(), u64::MAX - 3, &mut bytes), Err(u64::MAX - 3));
}

#[test]
fn a_page_that_is_unmade_loses_everything_derived_from_it() {
    let mut kernel = SimKernel::new(4 * MIB);
    let (frame, node, table, at) = (page(0), page(1), page(2), vaddr(0x1030_0000));
    let slot = SlotAddress { node, index: 127 };
    kernel.make(frame, ObjectKind::Frame).unwrap();
    let twice = kernel.make(frame, ObjectKind::Frame);
    assert_eq!(twice, Err(KernelError::NotEnoughMemory));
    kernel.make(node, ObjectKind::CNode).unwrap();
    kernel.make(table, ObjectKind::Table { span_bits: 21 }).unwrap();
    kernel.map_table(table, 21, client(), at).unwrap();
    kernel.derive(frame, slot, CapRights::All).unwrap();
    assert_eq!(
        kernel.derive(frame, slot, CapRights::All),
        Err(KernelError::Refused),
        "the slot is occupied"
    );
    kernel.map_frame(FrameCap::Derived(slot), client(), at, READ_WRITE).unwrap();
    kernel.store(client(), b"secret", at.get()).unwrap();
    let elsewhere = vaddr(0x1030_1000);
    let moved = kernel.map_frame(FrameCap::Derived(slot), client(), elsewhere, READ_WRITE);
    assert_eq!(moved, Err(KernelError::Refused), "a capability has only one mapping");
    kernel.unmake(frame).unwrap();
    assert!(kernel.load(client(), at.get(), &mut [0]).is_err());
    kernel.make(frame, ObjectKind::Frame).unwrap();
    kernel.derive(frame, slot, CapRights::All).unwrap();
    kernel.map_frame(FrameCap::Derived(slot), client(), at, READ_WRITE).unwrap();
    let mut bytes = [1; 6];
    kernel.load(client(), at.get(), &mut bytes).unwrap();
    assert_eq!(bytes, [0; 6], "a new frame is all zero");
    kernel.unmake(node).unwrap();
    assert!(kernel.load(client(), at.get(), &mut [0]).is_err(), "the capability was in the CNode");
    assert_eq!(kernel.delete(slot), Err(KernelError::Refused), "the slot no longer exists");
}

#[test]
fn records_are_read_and_written_through_the_pool_window() {
    let mut kernel = SimKernel::new(4 * MIB);
    let (frame, table) = (page(9), page(10));
    kernel.make(frame, ObjectKind::Frame).unwrap();
    kernel.make(table, ObjectKind::Table { span_bits: 21 }).unwrap();
    let at = kernel.window_address(frame);
    assert_eq!(at.get(), 0x1000_0000 + 9 * 4096);
    kernel.map_table(table, 21, VSpace::Own, at).unwrap();
    kernel.map_frame(FrameCap::Original(frame), VSpace::Own, at, READ_WRITE).unwrap();
    kernel.record_page_mut(frame).0[4095] = 7;
    assert_eq!(kernel.record_page(frame).0[4095], 7);
    let mut bytes = [0];
    kernel.load(VSpace::Own, at.get() + 4095, &mut bytes).unwrap();
    assert_eq!(bytes, [7]);
}

#[test]
#[should_panic(expected = "a record page is mapped in the pool window")]
fn access_to_a_record_page_that_is_not_mapped_panics() {
    let _ = SimKernel::new(4 * MIB).record_page(page(0));
}

#[test]
fn the_nth_invocation_fails_once_and_changes_nothing() {
    let mut kernel = SimKernel::new(4 * MIB);
    kernel.fail_nth(Some(2));
    kernel.make(page(0), ObjectKind::Frame).unwrap();
    let refused = kernel.make(page(1), ObjectKind::Frame);
    assert_eq!(refused, Err(KernelError::NotEnoughMemory));
    kernel.make(page(1), ObjectKind::Frame).unwrap();
    kernel.fail_nth(Some(1));
    assert_eq!(kernel.unmake(page(1)), Err(KernelError::Refused));
    assert_eq!(kernel.make(page(1), ObjectKind::Frame), Err(KernelError::NotEnoughMemory));
    assert_eq!(kernel.count(InvocationKind::Retype), 4);
    assert_eq!((kernel.count(InvocationKind::Revoke), kernel.invocations()), (1, 5));
}

#[test]
fn a_redirected_thread_has_new_registers_but_is_not_resumed() {
    let mut kernel = SimKernel::new(4 * MIB);
    let peer = PeerId::new(1).unwrap();
    kernel.redirect(peer, vaddr(0x20_0000), vaddr(0x7000)).unwrap();
    let thread = kernel.thread(peer).unwrap();
    assert_eq!((thread.pc, thread.sp, thread.is_resumed), (0x20_0000, 0x7000, false));
    let nobody = PeerId::new(9).unwrap();
    assert!(kernel.redirect(nobody, vaddr(0), vaddr(0)).is_err());
}

#[test]
fn time_advances_with_every_invocation_and_never_by_itself() {
    let mut kernel = SimKernel::new(4 * MIB);
    let before = kernel.now();
    assert_eq!(kernel.now(), before);
    kernel.make(page(0), ObjectKind::Frame).unwrap();
    assert!(kernel.now() > before);
}
