// SPDX-License-Identifier: BSD-2-Clause
//! A small system: the real server over the simulated kernel, two clients, a file server, and what
//! they know: their handles, and what they last wrote.

use pmserver_api::{
    AccessKind, CallError, Calls, ContainerHandle, FaultHandle, LeaseHandle, LockMode, MapFlags,
    PmError, ShareHandle,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::{ByteCount, Console, FrameCount, FrameNumber, PAGE_BYTES, PeerId, VirtAddr};

use super::action::{Box, Frame, Who};
use super::promised::{Claim, Extras};
use crate::direct::Direct;
use crate::kernel::SimKernel;
use crate::loader::{BootPlan, equal_parts};
use crate::machine::Architecture;
use crate::stop::audit::JANITOR_NUMBER;

/// The most frames of a container that are looked at.
pub(super) const FRAMES_MAX: usize = 8;
/// The longest lease.
pub(super) const LEASE_MICROS: u64 = 1_000_000;
/// How often an access is tried again after a repair.
const TRIES_MAX: usize = 4;
pub(super) const ONE: FrameCount = FrameCount::ONE;

/// How large the containers of a system are, and its memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// So many frames of a container are looked at, each the first of so many.
    pub(super) frames: usize,
    step: u64,
    pool_bits: u32,
    limit_pages: u64,
    /// They may be in one record, which what is done with one of them splits.
    is_grouped: bool,
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Contents {
    /// There is no such frame.
    Missing,
    /// Each byte is this.
    Known(u8),
    /// Whatever a handler has supplied, or will.
    Supplied,
}

/// A container as its owner knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owned {
    pub(super) handle: ContainerHandle,
    pub(super) frames: [Contents; FRAMES_MAX],
    pub(super) share: Option<Shared>,
    pub(super) has_handler: bool,
    /// It is being destroyed, and a lease is in the way.
    pub(super) is_dying: bool,
    /// Something was done with one frame alone, and frames may be in groups.
    pub(super) is_split: bool,
}

/// A share with the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    pub(super) share: ShareHandle,
    pub(super) weak: ContainerHandle,
    pub(super) write: bool,
}

/// A lease or pin of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) handle: LeaseHandle,
    pub(super) mode: LockMode,
    pub(super) deadline: u64,
    /// How many of the first frames it covers.
    pub(super) frames: usize,
}

/// A system and what its programs know.
#[derive(Clone)]
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) server: Server<SimKernel>,
    pub(super) boxes: [Option<Owned>; 2],
    pub(super) leases: [Option<Lease>; 2],
    /// Which peer has mapped which container.
    pub(super) windows: [[bool; 2]; 3],
    /// The address of a grant, and of which container it is.
    pub(super) grants: [Option<(u64, Box)>; 3],
    pub(super) fault: Option<FaultHandle>,
    pub(super) is_stopped: [bool; 3],
    /// What B has allocated beyond its limit.
    pub(super) extras: Option<Extras>,
    /// A has asked for promised memory and not got it yet.
    pub(super) claim: Option<Claim>,
}

/// What came of a step.
pub(super) enum Step {
    /// It makes no sense in this state.
    Idle,
    /// It was done.
    Done,
    /// It was refused and must have changed nothing.
    Refused,
    /// It is to be called again, and may have done a part.
    Pending,
}

pub(super) struct Quiet;

impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

pub(super) const fn index(who: Who) -> usize {
    match who {
        Who::A => 0,
        Who::B => 1,
        Who::Server => 2,
    }
}

pub(super) fn id(who: Who) -> PeerId {
    PeerId::new(index(who) as u64 + 1).expect("a small number")
}

/// Who owns a container.
pub(super) const fn owner(of: Box) -> Who {
    if of == 0 { Who::A } else { Who::B }
}

pub(super) fn number(frame: Frame) -> FrameNumber {
    FrameNumber::new(frame as u64)
}

impl Shape {
    /// Single frames, in accounts with little room.
    pub(super) const SINGLE: Self =
        Self { frames: 3, step: 1, pool_bits: 20, limit_pages: 40, is_grouped: false };
    /// The frames of one cluster, in accounts with room for it.
    pub(super) const CLUSTER: Self =
        Self { frames: 8, step: 1, pool_bits: 22, limit_pages: 320, is_grouped: true };
    /// Some of those of a large frame.
    pub(super) const LARGE: Self =
        Self { frames: 2, step: 256, pool_bits: 26, limit_pages: 3000, is_grouped: true };

    pub(super) fn number(self, frame: Frame) -> FrameNumber {
        FrameNumber::new(frame as u64 * self.step)
    }

    /// With which flags all frames are mapped: a large frame is made by a forced mapping.
    pub(super) fn map_flags(self) -> MapFlags {
        let forced = if self.is_large() { MapFlags::FORCE_WRITE } else { MapFlags::empty() };
        MapFlags::READ | MapFlags::WRITE | forced
    }

    pub(super) fn is_large(self) -> bool {
        self.step > 1
    }

    pub(super) fn last(self) -> Frame {
        self.frames - 1
    }

    pub(super) fn all_frames(self) -> FrameCount {
        FrameCount::new(self.frames as u64 * self.step).expect("a small number")
    }

    /// Where a peer maps a container's frame.
    pub(super) fn window(self, of: Box, frame: Frame) -> VirtAddr {
        self.place(0x1000_0000, of, frame)
    }

    /// Where an owner looks at its container in the end.
    pub(super) fn last_window(self, of: Box, frame: Frame) -> VirtAddr {
        self.place(0x1040_0000, of, frame)
    }

    fn place(self, first: u64, of: Box, frame: Frame) -> VirtAddr {
        let apart = 0x10_0000.max(self.all_frames().get() * PAGE_BYTES);
        address(first + of as u64 * apart + self.number(frame).get() * PAGE_BYTES)
    }
}

/// Where a peer maps the frame that it was granted.
pub(super) fn granted() -> VirtAddr {
    address(0x1080_0000)
}

fn address(address: u64) -> VirtAddr {
    VirtAddr::new(address).expect("it lies in user space")
}

impl World {
    pub(super) fn new(shape: Shape) -> Self {
        let limit = ByteCount::new(shape.limit_pages * PAGE_BYTES);
        let peer = |peer, name, limit, privileges| PeerConfig { peer, name, limit, privileges };
        let janitor = Privileges::READ_ACCOUNTS
            .union(Privileges::SUPERVISE)
            .union(Privileges::SET_POLICY)
            .union(Privileges::DISTURB);
        let peers = [
            peer(1, "a", limit, Privileges::empty()),
            peer(2, "b", limit, Privileges::EXTRA),
            peer(3, "server", limit, Privileges::DMA),
            peer(JANITOR_NUMBER as u8, "janitor", ByteCount::new(4 * PAGE_BYTES), janitor),
        ];
        let ids: Vec<PeerId> =
            [1, 2, 3, JANITOR_NUMBER].into_iter().filter_map(PeerId::new).collect();
        let mut kernel = SimKernel::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: equal_parts(shape.pool_bits, 1),
            peers: ids.clone(),
            cspaces: ids,
            regions: Vec::new(),
        });
        kernel.stop_time();
        let server = Server::new(kernel, &peers).expect("the pool is large enough");
        Self {
            shape,
            server,
            boxes: [None; 2],
            leases: [None; 2],
            windows: [[false; 2]; 3],
            grants: [None; 3],
            fault: None,
            is_stopped: [false; 3],
            extras: None,
            claim: None,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.server.kernel().clock().now().get()
    }

    /// Returns whether a lease has run out, or something is being destroyed.
    pub(super) fn has_something_due(&self) -> bool {
        let now = self.now();
        self.leases.iter().flatten().any(|lease| lease.deadline <= now)
            || self.boxes.iter().flatten().any(|owned| owned.is_dying)
    }

    pub(super) fn calls_of(&mut self, who: Who) -> Calls<Direct<'_>> {
        Calls::new(Direct(&mut self.server, id(who)))
    }

    pub(super) fn janitor(&mut self) -> Calls<Direct<'_>> {
        let janitor = PeerId::new(JANITOR_NUMBER).expect("a small number");
        Calls::new(Direct(&mut self.server, janitor))
    }

    /// Returns a peer's handle to a container.
    pub(super) fn handle(&self, who: Who, of: Box) -> Option<ContainerHandle> {
        let owned = self.boxes[of]?;
        if who == owner(of) {
            return Some(owned.handle);
        }
        (who == Who::Server).then_some(owned.share?.weak)
    }

    pub(super) fn after<R>(
        &mut self,
        result: Result<R, CallError>,
        done: impl FnOnce(&mut Self, R),
    ) -> Option<Step> {
        Some(match result {
            Ok(value) => {
                done(self, value);
                Step::Done
            }
            Err(CallError::Refused(failure))
                if failure.error == PmError::Pending || failure.done > 0 =>
            {
                Step::Pending
            }
            Err(_) => Step::Refused,
        })
    }

    pub(super) fn owned(&mut self, of: Box) -> &mut Owned {
        self.boxes[of].as_mut().expect("the step needed it")
    }

    /// Notes that something was done with one frame of a container.
    pub(super) fn note_split(&mut self, of: Box) {
        let is_grouped = self.shape.is_grouped;
        self.boxes[of].iter_mut().for_each(|owned| owned.is_split = is_grouped);
    }

    pub(super) fn forget(&mut self, of: Box) {
        self.end_share(of);
        self.boxes[of] = None;
        self.drop_access(owner(of), of);
    }

    pub(super) fn end_share(&mut self, of: Box) {
        if let Some(owned) = &mut self.boxes[of] {
            owned.share = None;
        }
        self.leases[of] = None;
        self.drop_access(Who::Server, of);
    }

    pub(super) fn drop_access(&mut self, who: Who, of: Box) {
        self.windows[index(who)][of] = false;
        if self.grants[index(who)].is_some_and(|(_, granted)| granted == of) {
            self.grants[index(who)] = None;
        }
    }

    /// Says that a frame has no contents: zeros, or what a handler supplies.
    pub(super) fn empty(&mut self, of: Box, frame: Frame) {
        let last = self.shape.last();
        let owned = self.owned(of);
        let is_absent = owned.has_handler && frame == last;
        owned.frames[frame] = if is_absent { Contents::Supplied } else { Contents::Known(0) };
    }

    /// Loads a byte, or stores one.
    pub(super) fn access(&mut self, who: Who, at: VirtAddr, tag: Option<u8>) -> Step {
        let (vspace, kind) = match tag {
            None => (VSpace::Peer(id(who)), AccessKind::Read),
            Some(_) => (VSpace::Peer(id(who)), AccessKind::Write),
        };
        for _ in 0..TRIES_MAX {
            let result = match tag {
                None => self.server.kernel().load(vspace, at.get(), &mut [0]),
                Some(tag) => self.server.kernel_mut().store(vspace, &[tag], at.get()),
            };
            if result.is_ok() {
                return Step::Done;
            }
            if !self.server.resolve(id(who), at.get(), kind) {
                return Step::Refused;
            }
        }
        Step::Pending
    }

    /// Stops a peer: all that it owns and holds goes.
    pub(super) fn stop(&mut self, who: Who) {
        while self.server.fault(id(who), Fault::Other, &mut Quiet) != FaultOutcome::Stopped {}
        self.is_stopped[index(who)] = true;
        for of in 0..2 {
            if owner(of) == who {
                // Borrowers have access until it is torn down.
                if let Some(owned) = &mut self.boxes[of] {
                    owned.is_dying = true;
                }
            } else if who == Who::Server {
                self.end_share(of);
            }
            self.drop_access(who, of);
        }
    }
}
