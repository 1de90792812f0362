// SPDX-License-Identifier: BSD-2-Clause
//! The heaps of fsserver and client-demo must be mapped before they are used.
#![allow(clippy::unwrap_used)]

use pmserver_api::{CallError, Calls};
use pmserver_core::kernel::VSpace;
use proto::{PAGE_BYTES, PeerId};
use sim::testbed::{Channel, Testbed};

/// Reserves a heap and returns how many of its pages fault on a store.
fn pages_that_fault(
    reserve: fn(&mut Calls<Channel>) -> Result<(), CallError>,
    start: u64,
    frames: u64,
) -> usize {
    let testbed = Testbed::new();
    reserve(&mut Calls::new(testbed.channel(1))).unwrap();
    testbed.check();
    let vspace = VSpace::Peer(PeerId::new(1).unwrap());
    let pages = (start..).step_by(usize::try_from(PAGE_BYTES).unwrap());
    let stored = testbed.with_server(|server| {
        let kernel = server.kernel_mut();
        let pages = pages.take(usize::try_from(frames).unwrap());
        pages.filter(|page| kernel.store(vspace, &[1], *page).is_ok()).count()
    });
    usize::try_from(frames).unwrap().saturating_sub(stored)
}

#[test]
fn fsserver_never_faults_in_its_heap() {
    // PM-87
    let reserve = fsserver_core::reserve_heap;
    let (start, frames) = (fsserver_core::HEAP_VADDR, fsserver_core::HEAP_FRAMES);
    assert_eq!(pages_that_fault(reserve, start, frames), 0);
}

#[test]
fn client_demo_never_faults_in_its_heap() {
    // PM-87
    let reserve = client_demo_core::reserve_heap;
    let (start, frames) = (client_demo_core::HEAP_VADDR, client_demo_core::HEAP_FRAMES);
    assert_eq!(pages_that_fault(reserve, start, frames), 0);
}
