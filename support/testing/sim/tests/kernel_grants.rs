// SPDX-License-Identifier: BSD-2-Clause
//! Tests of `SimKernel`: capabilities in a peer's CSpace, notifications, devices, copies of pages.
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
use sim::machine::{
    Architecture, CapRights as Rights, Error, Invocation, LookupFault, Place, Source, Transfer,
};
use sim::{BootPlan, DeviceFault, InvocationKind, SimKernel, equal_parts};

const MIB: u64 = 1 << 20;
const READ_WRITE: PageRights = PageRights { write: true, execute: false };
const VADDR: u64 = 0x1030_0000;
/// The address of a peer's grants in its CSpace, which is part of the container protocol.
const GRANTS: u64 = 40 << 58;
const EMPTY: Error = Error::InvalidCapability(0);

const FRAME: PageIndex = PageIndex::new(0);
const NODE: PageIndex = PageIndex::new(1);
const TABLE: PageIndex = PageIndex::new(2);
const OTHER: PageIndex = PageIndex::new(3);

fn peer(number: u64) -> PeerId {
    PeerId::new(number).unwrap()
}

fn slot(index: u8) -> SlotAddress {
    SlotAddress { node: NODE, index }
}

/// Returns a kernel in which peer 2 has a CNode with a frame in slot 5, and a page table to map it.
fn granted(rights: CapRights) -> SimKernel {
    let mut kernel = SimKernel::new(4 * MIB);
    let at = VirtAddr::new(VADDR).unwrap();
    kernel.make(FRAME, ObjectKind::Frame).unwrap();
    kernel.make(NODE, ObjectKind::CNode).unwrap();
    kernel.make(TABLE, ObjectKind::Table { span_bits: 21 }).unwrap();
    kernel.map_table(TABLE, 21, VSpace::Peer(peer(2)), at).unwrap();
    kernel.install_grants(peer(2), NODE).unwrap();
    kernel.derive(FRAME, slot(5), rights).unwrap();
    kernel
}

fn load(kernel: &SimKernel) -> Result<u8, u64> {
    let mut byte = [0xFF];
    kernel.load(VSpace::Peer(peer(2)), VADDR, &mut byte).map(|()| byte[0])
}

fn store(kernel: &mut SimKernel, byte: u8) -> Result<(), u64> {
    kernel.store(VSpace::Peer(peer(2)), &[byte], VADDR)
}

#[test]
fn a_peer_can_map_a_frame_that_was_granted_to_it() {
    let mut kernel = granted(CapRights::All);
    assert_eq!(kernel.grant_address(5), GRANTS | 5);
    assert_eq!(load(&kernel), Err(VADDR));
    kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
    store(&mut kernel, 7).unwrap();
    assert_eq!(load(&kernel), Ok(7));
    assert_eq!(kernel.machine().page(kernel.physical_address(FRAME)).0[0], 7);
    let others = kernel.map_granted(peer(1), GRANTS | 5, VADDR, Rights::ALL);
    assert_eq!(others, Err(EMPTY), "only peer 2 has it");
}

#[test]
fn a_read_only_capability_cannot_be_mapped_writable() {
    let mut kernel = granted(CapRights::Read);
    kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
    assert_eq!(load(&kernel), Ok(0));
    assert_eq!(store(&mut kernel, 7), Err(VADDR));
}

#[test]
fn a_revoked_grant_is_no_longer_mapped() {
    type Revoke = fn(&mut SimKernel) -> Result<(), KernelError>;
    let ways: [Revoke; 3] = [
        |kernel| kernel.delete(slot(5)),
        |kernel| kernel.unmake(FRAME),
        |kernel| kernel.unmake(NODE),
    ];
    for revoke in ways {
        let mut kernel = granted(CapRights::All);
        kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
        revoke(&mut kernel).unwrap();
        assert_eq!(load(&kernel), Err(VADDR));
        assert_eq!(kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL), Err(EMPTY));
    }
}

#[test]
fn after_the_page_of_a_cnode_is_unmade_another_cnode_can_replace_it() {
    let mut kernel = granted(CapRights::All);
    kernel.make(OTHER, ObjectKind::CNode).unwrap();
    assert_eq!(kernel.install_grants(peer(2), OTHER), Err(KernelError::Refused));
    kernel.unmake(NODE).unwrap();
    kernel.make(NODE, ObjectKind::Frame).unwrap();
    kernel.install_grants(peer(2), OTHER).unwrap();
    kernel.derive(FRAME, SlotAddress { node: OTHER, index: 127 }, CapRights::All).unwrap();
    kernel.map_granted(peer(2), GRANTS | 127, VADDR, Rights::ALL).unwrap();
    assert_eq!(kernel.count(InvocationKind::Mint), 3);
}

/// PM-210: the holder can use the capabilities in the CNode, but cannot copy or pass them on.
#[test]
fn the_holder_cannot_invoke_the_cnode_of_its_grants() {
    let mut kernel = granted(CapRights::All);
    let to = Place { index: 7, depth: 7 };
    let copy = |root| Invocation::Transfer {
        to,
        from: Source { root, index: 5, depth: 7 },
        how: Transfer::Copy(Rights::ALL),
    };
    let operations = |root| {
        [copy(root), Invocation::Delete(to), Invocation::Revoke(Place { index: 5, depth: 7 })]
    };
    for operation in operations(GRANTS | 5) {
        let of_frame = kernel.invoke_as(peer(2), GRANTS | 5, &operation);
        assert_eq!(of_frame, Err(Error::IllegalOperation), "a frame has no {operation:?}");
        let of_empty = kernel.invoke_as(peer(2), GRANTS, &operation);
        assert_eq!(of_empty, Err(EMPTY), "{operation:?}");
        // Any set bit between the two indices mismatches the guard, so no address can end early.
        for bit in 7..58 {
            let address = GRANTS | 1 << bit | 5;
            let missed = kernel.invoke_as(peer(2), address, &operation);
            let Err(Error::CapFault(LookupFault::GuardMismatch { .. })) = missed else {
                panic!("{address:#x}: {missed:?}")
            };
        }
        // To address the slot of the CNode, it would need a capability to its own root CNode.
        let own = kernel.invoke_as(peer(2), 480, &operation);
        assert_eq!(own, Err(EMPTY));
    }
    kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
}

#[test]
fn grants_cannot_be_installed_without_a_capability_to_the_cspace() {
    let peers: Vec<PeerId> = (1..=2).filter_map(PeerId::new).collect();
    let pool = equal_parts(22, 1);
    let mut kernel = SimKernel::boot(&BootPlan {
        architecture: Architecture::Aarch64,
        pool,
        cspaces: vec![peer(1)],
        peers,
        regions: Vec::new(),
    });
    kernel.make(NODE, ObjectKind::CNode).unwrap();
    assert_eq!(kernel.install_grants(peer(2), NODE), Err(KernelError::Refused));
    assert_eq!(kernel.install_grants(peer(9), NODE), Err(KernelError::Refused));
    kernel.install_grants(peer(1), NODE).unwrap();
}

#[test]
fn several_notifications_of_a_peer_are_reported_once() {
    let mut kernel = SimKernel::new(4 * MIB);
    kernel.fail_nth(Some(1));
    kernel.notify(peer(3));
    kernel.notify(peer(1));
    kernel.notify(peer(3));
    kernel.notify(peer(31));
    assert_eq!(kernel.take_notifications(), [peer(1), peer(3)]);
    assert_eq!(kernel.take_notifications(), []);
    assert!(kernel.make(FRAME, ObjectKind::Frame).is_err(), "signals never fail");
    assert_eq!(kernel.count(InvocationKind::Signal), 4);
}

#[test]
fn a_device_without_an_iommu_can_write_everywhere() {
    let mut kernel = granted(CapRights::All);
    kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
    assert!(!kernel.confines(peer(1)));
    kernel.bus_map(peer(1), FRAME, CapRights::All).unwrap();
    kernel.bus_unmap(peer(1), FRAME).unwrap();
    let address = kernel.physical_address(FRAME);
    kernel.device_write(peer(1), address, &[9]).unwrap();
    assert_eq!((load(&kernel), kernel.device_faults()), (Ok(9), &[][..]));
}

#[test]
fn a_device_behind_an_iommu_can_access_only_its_pages() {
    let mut kernel = SimKernel::new(4 * MIB).with_iommu();
    assert!(kernel.confines(peer(1)));
    let address = kernel.physical_address(FRAME);
    assert_eq!(kernel.physical_address(NODE), address + 4096);
    let fault = |bus_address| DeviceFault { peer: peer(1), bus_address };
    assert_eq!(kernel.device_write(peer(1), address, &[9]), Err(fault(address)));
    kernel.bus_map(peer(1), FRAME, CapRights::All).unwrap();
    assert_eq!(
        kernel.bus_map(peer(1), FRAME, CapRights::All),
        Err(KernelError::Refused),
        "already mapped"
    );
    kernel.device_write(peer(1), address + 4095, &[9]).unwrap();
    let across = kernel.device_write(peer(1), address + 4094, &[1, 2, 3]);
    assert_eq!(across, Err(fault(address + 4096)));
    assert_eq!(kernel.machine().page(address).0[4094..], [0, 9], "nothing was written");
    kernel.device_write(peer(2), address, &[9]).unwrap_err();
    kernel.bus_unmap(peer(1), FRAME).unwrap();
    assert_eq!(kernel.bus_unmap(peer(1), FRAME), Err(KernelError::Refused), "not mapped");
    kernel.device_write(peer(1), address, &[9]).unwrap_err();
    assert_eq!(kernel.device_faults().len(), 4);
    let mut bytes = [7; 2];
    assert_eq!(kernel.device_read(peer(1), address, &mut bytes), Err(fault(address)));
    kernel.bus_map(peer(1), FRAME, CapRights::Read).unwrap();
    assert_eq!(kernel.device_read(peer(1), address + 4095, &mut bytes), Err(fault(address + 4096)));
    assert_eq!(bytes, [7; 2], "nothing was read");
    kernel.device_read(peer(1), address + 4094, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 9]);
    kernel.device_write(peer(1), address, &[9]).unwrap_err();
    kernel.bus_unmap(peer(1), FRAME).unwrap();
    kernel.fail_nth(Some(1));
    kernel.bus_map(peer(1), FRAME, CapRights::All).unwrap_err();
    kernel.device_write(peer(1), address, &[9]).unwrap_err();
}

/// Copies of pages.
mod copies {
    use super::{
        CapRights, FRAME, FrameCap, GRANTS, Kernel, MIB, NODE, OTHER, ObjectKind, PageIndex,
        READ_WRITE, Rights, SimKernel, VADDR, VSpace, granted, load, peer, slot, store,
    };

    #[test]
    fn a_page_that_is_mapped_elsewhere_is_copied_and_stays_mapped() {
        let mut kernel = granted(CapRights::All);
        kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
        let window = kernel.window_address(FRAME);
        kernel.make(PageIndex::new(9), ObjectKind::Table { span_bits: 21 }).unwrap();
        kernel.map_table(PageIndex::new(9), 21, VSpace::Own, window).unwrap();
        kernel.map_frame(FrameCap::Original(FRAME), VSpace::Own, window, READ_WRITE).unwrap();
        store(&mut kernel, 7).unwrap();
        kernel.record_page_mut(FRAME).0[4095] = 8;
        kernel.make(OTHER, ObjectKind::Frame).unwrap();
        let before = kernel.invocations();
        kernel.copy_page(FRAME, OTHER).unwrap();
        assert_eq!(kernel.invocations() - before, 4);
        kernel.copy_page(FRAME, OTHER).unwrap();
        assert_eq!(kernel.invocations() - before, 6, "what is copied from is still mapped");
        let copy = kernel.machine().page(kernel.physical_address(OTHER));
        assert_eq!((copy.0[0], copy.0[4095], &copy.0[1..4095]), (7, 8, &[0; 4094][..]));
        assert_eq!((load(&kernel), kernel.record_page(FRAME).0[4095]), (Ok(7), 8));
        assert_eq!(kernel.machine().replaced_pages(), 0);
    }

    /// Puts a byte into a page and returns that of its copy.
    fn copied(kernel: &mut SimKernel, from: PageIndex, to: PageIndex, byte: u8) -> u8 {
        let [source, target] = [from, to].map(|page| kernel.physical_address(page));
        kernel.machine_mut().page_mut(source).0[9] = byte;
        kernel.copy_page(from, to).unwrap();
        kernel.machine().page(target).0[9]
    }

    /// Where pages are mapped that are copied to.
    const TARGET: u64 = 0x0FFF_F000;

    #[test]
    fn a_copy_that_fails_anywhere_does_not_disturb_the_next_one() {
        for n in 1..=4 {
            let mut kernel = SimKernel::new(4 * MIB);
            for page in [FRAME, OTHER, NODE] {
                kernel.make(page, ObjectKind::Frame).unwrap();
            }
            kernel.fail_nth(Some(n));
            kernel.copy_page(FRAME, OTHER).unwrap_err();
            // The next copy uses other pages, while the first may still be mapped.
            assert_eq!(copied(&mut kernel, OTHER, NODE, 5), 5);
            kernel.load(VSpace::Own, TARGET, &mut [0]).unwrap_err();
            assert_eq!(copied(&mut kernel, FRAME, OTHER, 6), 6);
            assert_eq!(kernel.machine().replaced_pages(), 0, "invocation {n}");
        }
    }

    #[test]
    fn what_is_left_of_a_refused_copy_does_not_outlive_its_page() {
        let mut kernel = SimKernel::new(4 * MIB);
        for page in [FRAME, OTHER] {
            kernel.make(page, ObjectKind::Frame).unwrap();
        }
        kernel.fail_nth(Some(4));
        kernel.copy_page(FRAME, OTHER).unwrap_err();
        kernel.unmake(OTHER).unwrap();
        kernel.make(OTHER, ObjectKind::Frame).unwrap();
        let (own, at) = (VSpace::Own, kernel.window_address(OTHER));
        kernel.make(NODE, ObjectKind::Table { span_bits: 21 }).unwrap();
        kernel.map_table(NODE, 21, own, at).unwrap();
        kernel.map_frame(FrameCap::Original(OTHER), own, at, READ_WRITE).unwrap();
        kernel.end_copies().unwrap();
        kernel.load(own, at.get(), &mut [0]).unwrap();
    }

    /// A page that was copied from, and is made anew, is not taken for the one that was mapped, nor
    /// is another that needs the same place.
    #[test]
    fn what_is_copied_from_is_mapped_as_long_as_it_is_the_same_page() {
        let mut kernel = SimKernel::new(4 * MIB);
        let places = kernel.overhead_pages() / 2;
        let again = PageIndex::new(FRAME.get() + places);
        for page in [FRAME, OTHER, again] {
            kernel.make(page, ObjectKind::Frame).unwrap();
        }
        assert_eq!(copied(&mut kernel, FRAME, OTHER, 1), 1);
        kernel.unmake(FRAME).unwrap();
        kernel.make(FRAME, ObjectKind::Frame).unwrap();
        assert_eq!(copied(&mut kernel, FRAME, OTHER, 2), 2);
        assert_eq!(copied(&mut kernel, again, OTHER, 3), 3);
        assert_eq!(copied(&mut kernel, FRAME, OTHER, 4), 4);
        assert_eq!(kernel.machine().replaced_pages(), 0);
    }

    #[test]
    fn a_page_that_is_prepared_is_copied_to_without_an_invocation() {
        for n in 0..4 {
            let mut kernel = SimKernel::new(4 * MIB);
            for page in [FRAME, OTHER] {
                kernel.make(page, ObjectKind::Frame).unwrap();
            }
            copied(&mut kernel, FRAME, OTHER, 1);
            kernel.fail_nth(Some(n).filter(|n| *n > 0));
            assert_eq!(kernel.prepare_copy(OTHER).is_err(), (1..3).contains(&n));
            kernel.fail_nth(None);
            let before = kernel.invocations();
            assert_eq!(copied(&mut kernel, FRAME, OTHER, 2), 2);
            let is_prepared = !(1..3).contains(&n);
            assert_eq!(kernel.invocations() - before, if is_prepared { 0 } else { 2 });
            // Another one that is made from the same page is not taken for it.
            kernel.unmake(OTHER).unwrap();
            kernel.copy_page(FRAME, OTHER).unwrap_err();
            kernel.make(OTHER, ObjectKind::Frame).unwrap();
            assert_eq!(copied(&mut kernel, FRAME, OTHER, 3), 3);
            kernel.prepare_copy(OTHER).unwrap();
            assert_eq!(copied(&mut kernel, FRAME, OTHER, 4), 4);
            assert_eq!(kernel.machine().replaced_pages(), 0);
        }
    }

    #[test]
    fn a_page_that_is_mapped_is_overwritten_and_stays_mapped() {
        for n in 0..=6 {
            let mut kernel = granted(CapRights::All);
            kernel.map_granted(peer(2), GRANTS | 5, VADDR, Rights::ALL).unwrap();
            kernel.make(OTHER, ObjectKind::Frame).unwrap();
            let address = kernel.physical_address(OTHER);
            kernel.machine_mut().page_mut(address).0[0] = 8;
            kernel.fail_nth(Some(n).filter(|n| *n > 0));
            let refused = kernel.overwrite_page(OTHER, FRAME).is_err();
            assert_eq!(refused, (1..5).contains(&n), "invocation {n}");
            if refused {
                kernel.overwrite_page(OTHER, FRAME).unwrap();
            }
            kernel.fail_nth(None);
            assert_eq!(load(&kernel), Ok(8));
            store(&mut kernel, 7).unwrap();
            kernel.end_copies().unwrap();
            kernel.load(VSpace::Own, TARGET, &mut [0]).unwrap_err();
            assert_eq!(kernel.machine().replaced_pages(), 0, "invocation {n}");
        }
    }

    #[test]
    fn only_frames_can_be_copied() {
        let mut kernel = granted(CapRights::All);
        kernel.copy_page(FRAME, NODE).unwrap_err();
        kernel.copy_page(NODE, FRAME).unwrap_err();
        kernel.copy_page(OTHER, FRAME).unwrap_err();
        kernel.make(OTHER, ObjectKind::Frame).unwrap();
        kernel.copy_page(FRAME, OTHER).unwrap();
        kernel.delete(slot(5)).unwrap();
    }
}
