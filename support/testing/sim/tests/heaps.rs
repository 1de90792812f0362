// SPDX-License-Identifier: BSD-2-Clause
//! The heaps of fsserver and client-demo must be mapped before they are used.
#![allow(clippy::unwrap_used)]

use pmserver_client::{PAGE_BYTES, Pages, PeerId, Pm};
use pmserver_core::kernel::VSpace;
use sim::testbed::Testbed;

/// Reserves a heap and returns how many of its pages cannot be stored to without a fault.
fn pages_that_fault(heap: Pages) -> u64 {
    let testbed = Testbed::new();
    Pm::new(testbed.channel(1)).reserve_heap(heap).unwrap();
    testbed.check();
    let vspace = VSpace::Peer(PeerId::new(1).unwrap());
    (0..heap.count())
        .map(|page| heap.start().checked_add(page.saturating_mul(PAGE_BYTES)).unwrap().get())
        .map(|page| {
            let stored =
                testbed.with_server(|server| server.kernel_mut().store(vspace, &[1], page));
            u64::from(stored.is_err())
        })
        .sum()
}

#[test]
fn fsserver_never_faults_in_its_heap() {
    // PM-87; as much of it as a testbed has.
    let some = Pages::new(fsserver_core::HEAP.start(), 1024).unwrap();
    assert_eq!(pages_that_fault(some), 0);
}

#[test]
fn client_demo_never_faults_in_its_heap() {
    // PM-87
    assert_eq!(pages_that_fault(client_demo_core::HEAP), 0);
}
