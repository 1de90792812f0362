// SPDX-License-Identifier: BSD-2-Clause
//! pmserver's core over the simulated kernel, called through the wire form.

use model::{Access, Answer, Fate};
use pmserver_api::{AccessKind, Request};
use pmserver_core::config::CallGraph;
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::limits::CALL_WORK_MAX;
use proto::{Console, Micros, PAGE_BYTES, PeerId, VirtAddr};

use super::decode::decode;
use super::shape::Shape;
use super::subject::{Failed, Outcome, Subject};
use crate::kernel::{LargeFrames, SimKernel};

/// Where the second copy of a page's word is: it shows whether the whole page was copied.
const LAST_WORD: u64 = PAGE_BYTES - 8;
/// A step that needs all of what one may do ends after so much.
const MUCH_WORK: u64 = CALL_WORK_MAX / 12;
/// What an access that faults costs.
const FAULT_MICROS: u64 = 3;

/// The server, and its peers' memory.
pub(crate) struct CoreSubject {
    server: Server<SimKernel>,
}

struct Quiet;

impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

impl CoreSubject {
    pub(crate) fn new(shape: Shape) -> Self {
        let kernel = SimKernel::new(shape.pool_bytes());
        let server = Server::new(kernel, &shape.configs()).expect("the pool is large enough");
        let calls = shape.channels().fold(CallGraph::NONE, |all, (from, to)| all.with(from, to));
        Self { server: server.with_calls(calls) }
    }

    pub(crate) const fn server_mut(&mut self) -> &mut Server<SimKernel> {
        &mut self.server
    }
}

const fn kind(access: Access) -> AccessKind {
    match access {
        Access::Load => AccessKind::Read,
        Access::Store(_) => AccessKind::Write,
    }
}

impl Subject for CoreSubject {
    fn now(&self) -> Micros {
        self.server.kernel().clock().now()
    }

    fn advance(&mut self, micros: u64) {
        self.server.kernel().clock().advance(micros);
    }

    fn call(&mut self, peer: PeerId, request: &Request) -> Result<Answer, String> {
        decode(request, self.server.call(peer, &request.encode()))
    }

    fn touch(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Result<u64, Failed> {
        let (vspace, page) = (VSpace::Peer(peer), vaddr.page().get());
        let mut words = [0; 2];
        for (word, at) in words.iter_mut().zip([page, page + LAST_WORD]) {
            if let Access::Store(value) = access {
                let kernel = self.server.kernel_mut();
                kernel.store(vspace, &value.to_le_bytes(), at).map_err(|_| Failed::Faulted)?;
            }
            let mut bytes = [0; 8];
            let kernel = self.server.kernel();
            kernel.load(vspace, at, &mut bytes).map_err(|_| Failed::Faulted)?;
            *word = u64::from_le_bytes(bytes);
        }
        let [first, last] = words;
        if first == last {
            return Ok(first);
        }
        Err(Failed::Torn(format!("the page begins with {first:#x} and ends with {last:#x}")))
    }

    fn resolve(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> bool {
        self.advance(FAULT_MICROS);
        self.server.resolve(peer, vaddr.get(), kind(access))
    }

    fn fault(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Outcome {
        self.advance(FAULT_MICROS);
        let fault = Fault::Access { address: vaddr.get(), kind: kind(access) };
        match self.server.fault(peer, fault, &mut Quiet) {
            FaultOutcome::Resumed => Outcome::Resumed,
            FaultOutcome::Redirected => Outcome::Ended(Fate::Redirected),
            FaultOutcome::Stopped => Outcome::Ended(Fate::Stopped),
        }
    }

    fn has_worked(&self) -> bool {
        self.server.work() > MUCH_WORK
    }

    fn large_frames(&self) -> LargeFrames {
        self.server.kernel().large_frames()
    }

    fn fail_nth(&mut self, n: Option<u64>) {
        self.server.kernel_mut().fail_nth(n);
    }

    fn check_work(&self) -> Result<(), String> {
        let work = self.server.work();
        if work > CALL_WORK_MAX {
            return Err(format!("it did {work}, more than {CALL_WORK_MAX} (PM-320)"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        self.server.check_invariants().map_err(|broken| broken.to_string())
    }
}
