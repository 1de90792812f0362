// SPDX-License-Identifier: BSD-2-Clause
//! A small system: the real server over the simulated kernel, two clients, a file server, and what
//! they know: their handles, and what they last wrote.

use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, Calls, ContainerHandle, CopyFlags,
    DeallocateFlags, Disturbance, FaultHandle, LeaseHandle, LockMode, MapFlags, PmError, Rights,
    ShareHandle,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::{ByteCount, Console, FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, VirtAddr};

use super::action::{Action, Box, Frame, Who};
use crate::direct::Direct;
use crate::kernel::SimKernel;
use crate::loader::{BootPlan, equal_parts};
use crate::machine::{Architecture, CapRights};
use crate::stop::audit::JANITOR_NUMBER;

const POOL_BITS: u32 = 20;
const LIMIT: ByteCount = ByteCount::new(40 * PAGE_BYTES);
/// Frames of a container.
pub(super) const FRAMES: usize = 3;
/// The longest lease.
pub(super) const LEASE_MICROS: u64 = 1_000_000;
/// How often an access is tried again after a repair.
const TRIES_MAX: usize = 4;
const ONE: FrameCount = FrameCount::ONE;

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
    pub(super) frames: [Contents; FRAMES],
    pub(super) share: Option<Shared>,
    pub(super) has_handler: bool,
    /// It is being destroyed, and a lease is in the way.
    pub(super) is_dying: bool,
}

/// A share with the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shared {
    share: ShareHandle,
    pub(super) weak: ContainerHandle,
    pub(super) write: bool,
}

impl Shared {
    pub(super) const fn handle(self) -> ShareHandle {
        self.share
    }
}

/// A lease or pin of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    handle: LeaseHandle,
    pub(super) mode: LockMode,
    pub(super) deadline: u64,
    /// How many of the first frames it covers.
    pub(super) frames: usize,
}

/// A system and what its programs know.
#[derive(Clone)]
pub(super) struct World {
    pub(super) server: Server<SimKernel>,
    pub(super) boxes: [Option<Owned>; 2],
    pub(super) leases: [Option<Lease>; 2],
    /// Which peer has mapped which container.
    pub(super) windows: [[bool; 2]; 3],
    /// The address of a grant, and of which container it is.
    pub(super) grants: [Option<(u64, Box)>; 3],
    pub(super) fault: Option<FaultHandle>,
    pub(super) is_stopped: [bool; 3],
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

fn number(frame: Frame) -> FrameNumber {
    FrameNumber::new(frame as u64)
}

/// Where a peer maps a container's frame.
pub(super) fn window(of: Box, frame: Frame) -> VirtAddr {
    address(0x1000_0000 + of as u64 * 0x10_0000 + frame as u64 * PAGE_BYTES)
}

/// Where a peer maps the frame that it was granted.
pub(super) fn granted() -> VirtAddr {
    address(0x1080_0000)
}

/// Where an owner looks at its container in the end.
pub(super) fn last_window(of: Box, frame: Frame) -> VirtAddr {
    address(0x1040_0000 + of as u64 * 0x10_0000 + frame as u64 * PAGE_BYTES)
}

fn address(address: u64) -> VirtAddr {
    VirtAddr::new(address).expect("it lies in user space")
}

fn all_frames() -> FrameCount {
    FrameCount::new(FRAMES as u64).expect("a small number")
}

impl World {
    pub(super) fn new() -> Self {
        let peer = |peer, name, limit, privileges| PeerConfig { peer, name, limit, privileges };
        let janitor = Privileges::READ_ACCOUNTS
            .union(Privileges::SUPERVISE)
            .union(Privileges::SET_POLICY)
            .union(Privileges::DISTURB);
        let peers = [
            peer(1, "a", LIMIT, Privileges::empty()),
            peer(2, "b", LIMIT, Privileges::empty()),
            peer(3, "server", LIMIT, Privileges::DMA),
            peer(JANITOR_NUMBER as u8, "janitor", ByteCount::new(4 * PAGE_BYTES), janitor),
        ];
        let ids: Vec<PeerId> =
            [1, 2, 3, JANITOR_NUMBER].into_iter().filter_map(PeerId::new).collect();
        let mut kernel = SimKernel::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: equal_parts(POOL_BITS, 1),
            peers: ids.clone(),
            cspaces: ids,
            regions: Vec::new(),
        });
        kernel.stop_time();
        let server = Server::new(kernel, &peers).expect("the pool is large enough");
        Self {
            server,
            boxes: [None; 2],
            leases: [None; 2],
            windows: [[false; 2]; 3],
            grants: [None; 3],
            fault: None,
            is_stopped: [false; 3],
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

    pub(super) fn calls(&mut self, who: Who) -> Calls<Direct<'_>> {
        Calls::new(Direct(&mut self.server, id(who)))
    }

    fn janitor(&mut self) -> Calls<Direct<'_>> {
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

    /// Does one step.
    pub(super) fn step(&mut self, action: Action) -> Step {
        let actor = match action {
            Action::Create(of)
            | Action::Destroy(of)
            | Action::Share { of, .. }
            | Action::Unshare(of)
            | Action::Renew(of, _)
            | Action::Deallocate(of, _)
            | Action::Allocate(of, _)
            | Action::SetHandler(of, _) => Some(owner(of)),
            Action::Map(who, _)
            | Action::Unmap(who, _)
            | Action::Store(who, ..)
            | Action::Load(who, ..)
            | Action::Copy(who, ..)
            | Action::Grant(who, _)
            | Action::Ungrant(who)
            | Action::Stop(who) => Some(who),
            Action::Lock(..)
            | Action::Unlock(_)
            | Action::Pin(_)
            | Action::NextFault
            | Action::Supply(_)
            | Action::Refuse => Some(Who::Server),
            Action::DeviceReset | Action::Move | Action::Wait | Action::Reclaim => None,
        };
        if actor.is_some_and(|who| self.is_stopped[index(who)]) {
            return Step::Idle;
        }
        self.attempt(action).unwrap_or(Step::Idle)
    }

    fn attempt(&mut self, action: Action) -> Option<Step> {
        match action {
            Action::Create(of) => self.create(of),
            Action::Destroy(of) => {
                let handle = self.boxes[of]?.handle;
                let result = self.calls(owner(of)).container_destroy(handle);
                let step = self.after(result, |world, ()| world.forget(of));
                match (&step, &mut self.boxes[of]) {
                    (Some(Step::Pending), Some(owned)) => owned.is_dying = true,
                    // Somebody else's call has finished it.
                    (Some(Step::Refused), Some(owned)) if owned.is_dying => {
                        self.forget(of);
                        return Some(Step::Done);
                    }
                    _ => {}
                }
                step
            }
            Action::Share { of, write } => self.share(of, write),
            Action::Unshare(of) => {
                let share = self.boxes[of]?.share?.share;
                let result = self.calls(owner(of)).unshare(share);
                self.after(result, |world, ()| world.end_share(of))
            }
            Action::Map(who, of) => {
                let handle = self.handle(who, of)?;
                let frames = all_frames();
                let flags = MapFlags::READ | MapFlags::WRITE;
                let result = self.calls(who).map(handle, number(0), frames, window(of, 0), flags);
                let step = self.after(result, |_, _| ());
                self.windows[index(who)][of] |= !matches!(step, Some(Step::Refused));
                step
            }
            Action::Unmap(who, of) => {
                if !self.windows[index(who)][of] {
                    return None;
                }
                let result = self.calls(who).unmap(window(of, 0), all_frames());
                self.after(result, |world, _| world.windows[index(who)][of] = false)
            }
            Action::Store(who, of, frame) => self.store(who, of, frame),
            Action::Load(who, of, frame) => {
                let at = window(of, frame);
                self.windows[index(who)][of].then(|| self.access(who, at, None))
            }
            Action::Lock(of, mode) => {
                let weak = self.boxes[of]?.share?.weak;
                let ttl = Micros::new(LEASE_MICROS);
                let result = self.calls(Who::Server).lock(weak, number(0), all_frames(), mode, ttl);
                self.after(result, |world, lease| {
                    let deadline = lease.deadline.get();
                    let handle = lease.lease;
                    world.leases[of] = Some(Lease { handle, mode, deadline, frames: FRAMES });
                })
            }
            Action::Unlock(of) => {
                let lease = self.leases[of]?.handle;
                let result = self.calls(Who::Server).unlock(lease);
                self.after(result, |world, ()| world.leases[of] = None)
            }
            Action::Pin(of) => {
                let weak = self.boxes[of]?.share?.weak;
                let (mode, ttl) = (LockMode::Exclusive, Micros::new(LEASE_MICROS));
                let result = self.calls(Who::Server).pin(weak, number(0), ONE, mode, ttl);
                self.after(result, |world, pinned| {
                    let (handle, deadline) = (pinned.lease.lease, pinned.lease.deadline.get());
                    world.leases[of] = Some(Lease { handle, mode, deadline, frames: 1 });
                })
            }
            Action::Copy(who, (from, first), (to, second)) => {
                let (source, destination) = (self.handle(who, from)?, self.handle(who, to)?);
                let contents = self.boxes[from]?.frames[first];
                let result = self.calls(who).copy(
                    (source, number(first)),
                    (destination, number(second)),
                    ONE,
                    CopyFlags::empty(),
                );
                self.after(result, |world, _| world.owned(to).frames[second] = contents)
            }
            Action::Renew(of, frame) => {
                let handle = self.boxes[of]?.handle;
                let result = self.calls(owner(of)).renew(handle, number(frame), ONE);
                self.after(result, |world, renewed| {
                    if renewed > 0 {
                        world.empty(of, frame);
                    }
                })
            }
            Action::Deallocate(of, frame) => {
                let handle = self.boxes[of]?.handle;
                let strict = DeallocateFlags::STRICT;
                let result = self.calls(owner(of)).deallocate(handle, number(frame), ONE, strict);
                self.after(result, |world, _| world.owned(of).frames[frame] = Contents::Missing)
            }
            Action::Allocate(of, frame) => {
                let handle = self.boxes[of]?.handle;
                let none = AllocateFlags::empty();
                let result = self.calls(owner(of)).allocate(handle, number(frame), ONE, none);
                self.after(result, |world, _| world.empty(of, frame))
            }
            Action::SetHandler(of, on) => self.set_handler(of, on),
            Action::NextFault => {
                let result = self.calls(Who::Server).next_fault();
                self.after(result, |world, fault| world.fault = fault.map(|fault| fault.fault))
            }
            Action::Supply(from) => {
                let (fault, source) = (self.fault?, self.handle(Who::Server, from)?);
                let result = self.calls(Who::Server).supply(fault, source, number(0));
                self.after(result, |world, ()| world.fault = None)
            }
            Action::Refuse => {
                let fault = self.fault?;
                let result = self.calls(Who::Server).refuse(fault);
                self.after(result, |world, ()| world.fault = None)
            }
            Action::Grant(who, of) => self.grant(who, of),
            Action::Ungrant(who) => {
                let (at, _) = self.grants[index(who)]?;
                let result = self.calls(who).ungrant(at, ONE);
                self.after(result, |world, _| world.grants[index(who)] = None)
            }
            Action::DeviceReset => {
                let result = self.janitor().device_reset(id(Who::Server));
                self.after(result, |_, ()| ())
            }
            Action::Move => {
                let result = self.janitor().disturb(Disturbance::Move, 0);
                self.after(result, |_, _| ())
            }
            Action::Stop(who) => {
                self.stop(who);
                Some(Step::Done)
            }
            Action::Wait => {
                let now = self.now();
                let deadlines = self.leases.iter().flatten().map(|lease| lease.deadline);
                let next = deadlines.filter(|deadline| *deadline > now).min();
                let next = next.or_else(|| self.fault.map(|_| now + LEASE_MICROS))?;
                self.server.kernel().clock().advance(next - now);
                Some(Step::Done)
            }
            Action::Reclaim => {
                let result = self.janitor().reclaim();
                self.after(result, |_, _| ())
            }
        }
    }

    fn after<R>(
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

    fn owned(&mut self, of: Box) -> &mut Owned {
        self.boxes[of].as_mut().expect("the step needed it")
    }

    fn forget(&mut self, of: Box) {
        self.end_share(of);
        self.boxes[of] = None;
        self.drop_access(owner(of), of);
    }

    fn end_share(&mut self, of: Box) {
        if let Some(owned) = &mut self.boxes[of] {
            owned.share = None;
        }
        self.leases[of] = None;
        self.drop_access(Who::Server, of);
    }

    fn drop_access(&mut self, who: Who, of: Box) {
        self.windows[index(who)][of] = false;
        if self.grants[index(who)].is_some_and(|(_, granted)| granted == of) {
            self.grants[index(who)] = None;
        }
    }

    /// Says that a frame has no contents: zeros, or what a handler supplies.
    fn empty(&mut self, of: Box, frame: Frame) {
        let owned = self.owned(of);
        let is_absent = owned.has_handler && frame == FRAMES - 1;
        owned.frames[frame] = if is_absent { Contents::Supplied } else { Contents::Known(0) };
    }

    fn create(&mut self, of: Box) -> Option<Step> {
        if self.boxes[of].is_some() {
            return None;
        }
        let who = owner(of);
        let created = self.calls(who).container_create(AccountHandle::OWN);
        let result = created.and_then(|handle| {
            let none = AllocateFlags::empty();
            self.calls(who).allocate(handle, number(0), all_frames(), none).map(|_| handle)
        });
        self.after(result, |world, handle| {
            let frames = [Contents::Known(0); FRAMES];
            world.boxes[of] =
                Some(Owned { handle, frames, share: None, has_handler: false, is_dying: false });
        })
    }

    fn share(&mut self, of: Box, write: bool) -> Option<Step> {
        let owned = self.boxes[of].filter(|owned| owned.share.is_none())?;
        let mut rights = Rights::READ | Rights::LOCK;
        rights.set(Rights::WRITE, write);
        let (peer, longest) = (id(Who::Server), Micros::new(LEASE_MICROS));
        let result =
            self.calls(owner(of)).share(owned.handle, number(0), u64::MAX, peer, rights, longest);
        self.after(result, |world, shared| {
            let (share, weak) = (shared.share, shared.weak);
            world.owned(of).share = Some(Shared { share, weak, write });
        })
    }

    fn set_handler(&mut self, of: Box, on: bool) -> Option<Step> {
        let owned = self.boxes[of].filter(|owned| owned.has_handler != on)?;
        let last = number(FRAMES - 1);
        let handler = on.then(|| id(Who::Server));
        let result = self.calls(owner(of)).set_handler(owned.handle, last, 1, handler, 7);
        self.after(result, |world, _| {
            let owned = world.owned(of);
            owned.has_handler = on;
            if owned.frames[FRAMES - 1] == Contents::Known(0) {
                owned.frames[FRAMES - 1] = Contents::Supplied;
            }
        })
    }

    fn grant(&mut self, who: Who, of: Box) -> Option<Step> {
        let handle = self.handle(who, of).filter(|_| self.grants[index(who)].is_none())?;
        let flags = MapFlags::READ | MapFlags::WRITE;
        // The tables stay if the grant is refused.
        if self.calls(who).ensure_tables(granted(), ONE).is_err() {
            return Some(Step::Pending);
        }
        let result = self.calls(who).grant(handle, number(0), ONE, flags);
        let step = self.after(result, |world, grant| {
            world.grants[index(who)] = Some((grant.address, of));
            let write = grant.rights.contains(MapFlags::WRITE);
            let rights = CapRights { read: true, write };
            // A grant of a frame that is leased meanwhile has gone: then nothing is mapped.
            let _ = world.server.kernel_mut().map_granted(
                id(who),
                grant.address,
                granted().get(),
                rights,
            );
        });
        Some(if matches!(step, Some(Step::Done)) { Step::Done } else { Step::Pending })
    }

    fn store(&mut self, who: Who, of: Box, frame: Frame) -> Option<Step> {
        if !self.windows[index(who)][of] {
            return None;
        }
        let tag = index(who) as u8 + 1;
        let step = self.access(who, window(of, frame), Some(tag));
        if let (Step::Done, Some(owned)) = (&step, &mut self.boxes[of]) {
            owned.frames[frame] = Contents::Known(tag);
        }
        Some(step)
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
    fn stop(&mut self, who: Who) {
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
