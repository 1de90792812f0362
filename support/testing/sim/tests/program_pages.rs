// SPDX-License-Identifier: BSD-2-Clause
//! Pages that came with a program: pmserver maps over none of them (PM-83, PM-220, D8), be it for a
//! mapping, in a region, or to look for page tables.
// Tests may fail by panicking.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

use std::cell::RefCell;
use std::rc::Rc;

use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, Calls, MapFlags, PmError, Request,
};
use pmserver_core::Server;
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use proto::{ByteCount, FrameCount, FrameNumber, Message, PeerId, Transport, VirtAddr};
use sim::machine::Architecture;
use sim::{BootPlan, Region, SimKernel, equal_parts};

/// Where the program has a page.
const PROGRAM: u64 = 0x0900_0000;
const BYTE: u8 = 0x5A;
const TABLE_BYTES: u64 = 2 << 20;
const FIRST: FrameNumber = FrameNumber::new(0);

#[derive(Clone)]
struct Peer(Rc<RefCell<Server<SimKernel>>>);

fn peer() -> PeerId {
    PeerId::new(1).unwrap()
}

fn vaddr(address: u64) -> VirtAddr {
    VirtAddr::new_page(address).unwrap()
}

impl Transport for Peer {
    fn call(&mut self, request: Message) -> Message {
        let mut server = self.0.borrow_mut();
        let reply = server.call(peer(), &request);
        server.check_invariants().unwrap();
        reply
    }
}

impl Peer {
    fn new(architecture: Architecture) -> Self {
        let region = Region { peer: peer(), vaddr: PROGRAM, contents: vec![BYTE] };
        let kernel = SimKernel::boot(&BootPlan {
            architecture,
            pool: equal_parts(22, 1),
            peers: vec![peer()],
            cspaces: vec![peer()],
            regions: vec![region],
        });
        let limit = ByteCount::new(1 << 20);
        let config = PeerConfig { peer: 1, name: "peer", limit, privileges: Privileges::empty() };
        Self(Rc::new(RefCell::new(Server::new(kernel, &[config]).unwrap())))
    }

    /// Panics unless the program's page is what it was.
    fn check(&self) {
        let mut byte = [0];
        let server = self.0.borrow();
        server.kernel().load(VSpace::Peer(peer()), PROGRAM, &mut byte).unwrap();
        assert_eq!((byte, server.kernel().machine().replaced_pages()), ([BYTE], 0));
    }
}

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

#[test]
fn nothing_is_mapped_over_the_program() {
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let domain = Peer::new(architecture);
        let mut pm = Calls::new(domain.clone());
        let container = pm.container_create(AccountHandle::OWN).unwrap();
        let two = FrameCount::new(2).unwrap();
        pm.allocate(container, FIRST, two, AllocateFlags::empty()).unwrap();
        let before = pm.account_info(AccountHandle::OWN).unwrap();

        assert_eq!(pm.ensure_tables(vaddr(PROGRAM), FrameCount::ONE), Ok(0));
        domain.check();
        for (page, flags) in [(0, MapFlags::READ), (0, MapFlags::WRITE), (1, MapFlags::WRITE)] {
            let at = vaddr(PROGRAM + page * 4096);
            let mapped = pm.map(container, FIRST, FrameCount::ONE, at, flags);
            assert_eq!(refusal(mapped), Some(PmError::Occupied));
            domain.check();
        }
        assert_eq!(pm.unmap(vaddr(PROGRAM), FrameCount::ONE), Ok(0));
        domain.check();
        assert_eq!(pm.account_info(AccountHandle::OWN), Ok(before));

        // A range that goes on behind the program's table.
        let last = vaddr(PROGRAM + TABLE_BYTES - 4096);
        assert_eq!(pm.ensure_tables(last, two), Ok(1));
        let mapped = pm.map(container, FIRST, two, last, MapFlags::WRITE);
        assert_eq!(refusal(mapped), Some(PmError::Occupied));
        let behind = vaddr(PROGRAM + TABLE_BYTES);
        pm.map(container, FIRST, FrameCount::ONE, behind, MapFlags::WRITE).unwrap();
        pm.unmap(last, two).unwrap();
        domain.check();
        assert_eq!(pm.account_info(AccountHandle::OWN), Ok(before));
    }
}

#[test]
fn a_region_shows_nothing_where_the_program_is() {
    let domain = Peer::new(Architecture::Aarch64);
    let mut pm = Calls::new(domain.clone());
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(container, FIRST, FrameCount::ONE, AllocateFlags::empty()).unwrap();
    let attach = Request::Attach {
        container,
        start: FIRST,
        count: 1,
        vaddr: vaddr(PROGRAM),
        flags: MapFlags::WRITE,
    };
    let _ = Peer::call(&mut domain.clone(), attach.encode());
    // The program's page is for loads only.
    assert!(!domain.0.borrow_mut().resolve(peer(), PROGRAM, AccessKind::Write));
    domain.check();
}
