// SPDX-License-Identifier: BSD-2-Clause
//! How each action is done, and what the peers know afterwards.

use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, CopyFlags, DeallocateFlags, Disturbance, LockMode,
    MapFlags, Rights,
};
use proto::Micros;

use super::action::{Action, Box, Frame, Who};
use super::world::{
    Contents, FRAMES_MAX, LEASE_MICROS, Lease, ONE, Owned, Shared, Step, World, granted, id, index,
    number, owner,
};
use crate::machine::CapRights;

impl World {
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
            | Action::ExtraLock(who)
            | Action::Stop(who) => Some(who),
            Action::Promise => Some(Who::A),
            Action::Extra | Action::Answer => Some(Who::B),
            Action::Lock(..)
            | Action::Unlock(_)
            | Action::Pin(_)
            | Action::CopyAll(..)
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
            Action::Destroy(of) => self.destroy(of),
            Action::Share { of, write } => self.share(of, write),
            Action::Unshare(of) => self.unshare(of),
            Action::Map(who, of) => self.map(who, of),
            Action::Unmap(who, of) => self.unmap(who, of),
            Action::Store(who, of, frame) => self.store(who, of, frame),
            Action::Load(who, of, frame) => {
                let at = self.shape.window(of, frame);
                self.windows[index(who)][of].then(|| self.access(who, at, None))
            }
            Action::Lock(of, mode) => self.step_lock(of, mode),
            Action::Unlock(of) => self.unlock(of),
            Action::Pin(of) => self.pin(of),
            Action::Copy(who, from, to) => self.copy(who, from, to),
            Action::CopyAll(from, to) => self.copy_all(from, to),
            Action::Renew(of, frame) => self.renew(of, frame),
            Action::Deallocate(of, frame) => self.deallocate(of, frame),
            Action::Allocate(of, frame) => self.step_allocate(of, frame),
            Action::SetHandler(of, on) => self.set_handler(of, on),
            Action::NextFault => self.next_fault(),
            Action::Supply(from) => self.supply(from),
            Action::Refuse => self.refuse(),
            Action::Grant(who, of) => self.grant(who, of),
            Action::Ungrant(who) => self.ungrant(who),
            Action::DeviceReset => self.step_device_reset(),
            Action::Move => self.move_memory(),
            Action::Stop(who) => {
                self.stop(who);
                Some(Step::Done)
            }
            Action::Wait => self.wait(),
            Action::Reclaim => self.step_reclaim(),
            Action::Promise => self.promise(),
            Action::Extra => self.extra(),
            Action::ExtraLock(who) => self.extra_lock(who),
            Action::Answer => self.answer(),
        }
    }

    fn destroy(&mut self, of: Box) -> Option<Step> {
        let handle = self.boxes[of]?.handle;
        let result = self.calls_of(owner(of)).container_destroy(handle);
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

    fn unshare(&mut self, of: Box) -> Option<Step> {
        let share = self.boxes[of]?.share?.share;
        let result = self.calls_of(owner(of)).unshare(share);
        self.after(result, |world, ()| world.end_share(of))
    }

    fn map(&mut self, who: Who, of: Box) -> Option<Step> {
        let handle = self.handle(who, of)?;
        let (frames, flags) = (self.shape.all_frames(), self.shape.map_flags());
        let to = self.shape.window(of, 0);
        let result = self.calls_of(who).map(handle, number(0), frames, to, flags);
        let step = self.after(result, |_, _| ());
        self.windows[index(who)][of] |= !matches!(step, Some(Step::Refused));
        step
    }

    fn unmap(&mut self, who: Who, of: Box) -> Option<Step> {
        if !self.windows[index(who)][of] {
            return None;
        }
        let shape = self.shape;
        let result = self.calls_of(who).unmap(shape.window(of, 0), shape.all_frames());
        self.after(result, |world, _| world.windows[index(who)][of] = false)
    }

    fn step_lock(&mut self, of: Box, mode: LockMode) -> Option<Step> {
        let weak = self.boxes[of]?.share?.weak;
        let (frames, ttl) = (self.shape.all_frames(), Micros::new(LEASE_MICROS));
        let result = self.calls_of(Who::Server).lock(weak, number(0), frames, mode, ttl);
        self.after(result, |world, lease| {
            let deadline = lease.deadline.get();
            let handle = lease.lease;
            world.leases[of] = Some(Lease { handle, mode, deadline, frames: FRAMES_MAX });
        })
    }

    fn unlock(&mut self, of: Box) -> Option<Step> {
        let lease = self.leases[of]?.handle;
        let result = self.calls_of(Who::Server).unlock(lease);
        self.after(result, |world, ()| world.leases[of] = None)
    }

    fn pin(&mut self, of: Box) -> Option<Step> {
        let weak = self.boxes[of]?.share?.weak;
        let (mode, ttl) = (LockMode::Exclusive, Micros::new(LEASE_MICROS));
        let result = self.calls_of(Who::Server).pin(weak, number(0), ONE, mode, ttl);
        self.after(result, |world, pinned| {
            let (handle, deadline) = (pinned.lease.lease, pinned.lease.deadline.get());
            world.note_split(of);
            world.leases[of] = Some(Lease { handle, mode, deadline, frames: 1 });
        })
    }

    fn copy(
        &mut self,
        who: Who,
        (from, first): (Box, Frame),
        (to, second): (Box, Frame),
    ) -> Option<Step> {
        let (source, destination) = (self.handle(who, from)?, self.handle(who, to)?);
        let contents = self.boxes[from]?.frames[first];
        let [source, destination] = [(source, first), (destination, second)]
            .map(|(container, frame)| (container, self.shape.number(frame)));
        let result = self.calls_of(who).copy(source, destination, ONE, CopyFlags::empty());
        self.after(result, |world, _| {
            world.owned(to).frames[second] = contents;
            [from, to].iter().for_each(|of| world.note_split(*of));
        })
    }

    /// By the server.
    fn copy_all(&mut self, from: Box, to: Box) -> Option<Step> {
        let (source, destination) =
            (self.handle(Who::Server, from)?, self.handle(Who::Server, to)?);
        let (contents, frames) = (self.boxes[from]?.frames, self.shape.all_frames());
        let (source, destination) = ((source, number(0)), (destination, number(0)));
        let none = CopyFlags::empty();
        let result = self.calls_of(Who::Server).copy(source, destination, frames, none);
        let copied = match &result {
            Ok(copied) => *copied,
            Err(CallError::Refused(failure)) => failure.done,
            Err(_) => 0,
        };
        let shape = self.shape;
        let is_copied = |frame: &Frame| shape.number(*frame).get() < copied;
        for frame in (0..shape.frames).filter(is_copied) {
            self.owned(to).frames[frame] = contents[frame];
        }
        self.after(result, |_, _| ())
    }

    fn renew(&mut self, of: Box, frame: Frame) -> Option<Step> {
        let handle = self.boxes[of]?.handle;
        let at = self.shape.number(frame);
        let result = self.calls_of(owner(of)).renew(handle, at, ONE);
        self.after(result, |world, renewed| {
            if renewed > 0 {
                world.empty(of, frame);
            }
            world.note_split(of);
        })
    }

    fn deallocate(&mut self, of: Box, frame: Frame) -> Option<Step> {
        let handle = self.boxes[of]?.handle;
        let at = self.shape.number(frame);
        let strict = DeallocateFlags::STRICT;
        let result = self.calls_of(owner(of)).deallocate(handle, at, ONE, strict);
        self.after(result, |world, _| {
            world.owned(of).frames[frame] = Contents::Missing;
            world.note_split(of);
        })
    }

    fn step_allocate(&mut self, of: Box, frame: Frame) -> Option<Step> {
        let handle = self.boxes[of]?.handle;
        let at = self.shape.number(frame);
        let none = AllocateFlags::empty();
        let result = self.calls_of(owner(of)).allocate(handle, at, ONE, none);
        self.after(result, |world, _| {
            world.empty(of, frame);
            world.note_split(of);
        })
    }

    fn next_fault(&mut self) -> Option<Step> {
        let result = self.calls_of(Who::Server).next_fault();
        self.after(result, |world, fault| world.fault = fault.map(|fault| fault.fault))
    }

    fn supply(&mut self, from: Box) -> Option<Step> {
        let (fault, source) = (self.fault?, self.handle(Who::Server, from)?);
        let result = self.calls_of(Who::Server).supply(fault, source, number(0));
        self.after(result, |world, ()| world.fault = None)
    }

    fn refuse(&mut self) -> Option<Step> {
        let fault = self.fault?;
        let result = self.calls_of(Who::Server).refuse(fault);
        self.after(result, |world, ()| world.fault = None)
    }

    fn ungrant(&mut self, who: Who) -> Option<Step> {
        let (at, _) = self.grants[index(who)]?;
        let result = self.calls_of(who).ungrant(at, ONE);
        self.after(result, |world, _| world.grants[index(who)] = None)
    }

    fn step_device_reset(&mut self) -> Option<Step> {
        let result = self.janitor().device_reset(id(Who::Server));
        self.after(result, |_, ()| ())
    }

    fn move_memory(&mut self) -> Option<Step> {
        let result = self.janitor().disturb(Disturbance::Move, 0);
        self.after(result, |_, _| ())
    }

    fn wait(&mut self) -> Option<Step> {
        let now = self.now();
        let deadlines = self.leases.iter().flatten().map(|lease| lease.deadline);
        let deadlines = deadlines.chain(self.extras.map(|extras| extras.deadline));
        let deadlines = deadlines.chain(self.claim.map(|claim| claim.again));
        let next = deadlines.filter(|deadline| *deadline > now).min();
        let next = next.or_else(|| self.fault.map(|_| now + LEASE_MICROS))?;
        self.give_up();
        self.server.kernel().clock().advance(next - now);
        Some(Step::Done)
    }

    fn step_reclaim(&mut self) -> Option<Step> {
        let result = self.janitor().reclaim();
        self.after(result, |_, _| ())
    }

    fn create(&mut self, of: Box) -> Option<Step> {
        if self.boxes[of].is_some() {
            return None;
        }
        let who = owner(of);
        let created = self.calls_of(who).container_create(AccountHandle::OWN);
        let (all, none) = (self.shape.all_frames(), AllocateFlags::empty());
        let result = created.and_then(|handle| {
            self.calls_of(who).allocate(handle, number(0), all, none).map(|_| handle)
        });
        self.after(result, |world, handle| {
            let frames = [Contents::Known(0); FRAMES_MAX];
            world.boxes[of] = Some(Owned {
                handle,
                frames,
                share: None,
                has_handler: false,
                is_dying: false,
                is_split: false,
            });
        })
    }

    fn share(&mut self, of: Box, write: bool) -> Option<Step> {
        let owned = self.boxes[of].filter(|owned| owned.share.is_none())?;
        let mut rights = Rights::READ | Rights::LOCK;
        rights.set(Rights::WRITE, write);
        let (peer, longest) = (id(Who::Server), Micros::new(LEASE_MICROS));
        let result = self.calls_of(owner(of)).share(
            owned.handle,
            number(0),
            u64::MAX,
            peer,
            rights,
            longest,
        );
        self.after(result, |world, shared| {
            let (share, weak) = (shared.share, shared.weak);
            world.owned(of).share = Some(Shared { share, weak, write });
        })
    }

    fn set_handler(&mut self, of: Box, on: bool) -> Option<Step> {
        let owned = self.boxes[of].filter(|owned| owned.has_handler != on)?;
        let last = self.shape.last();
        let first = number(last);
        let handler = on.then(|| id(Who::Server));
        let result = self.calls_of(owner(of)).set_handler(owned.handle, first, 1, handler, 7);
        self.after(result, |world, _| {
            let owned = world.owned(of);
            owned.has_handler = on;
            if owned.frames[last] == Contents::Known(0) {
                owned.frames[last] = Contents::Supplied;
            }
        })
    }

    fn grant(&mut self, who: Who, of: Box) -> Option<Step> {
        let handle = self.handle(who, of).filter(|_| self.grants[index(who)].is_none())?;
        let flags = MapFlags::READ | MapFlags::WRITE;
        // The tables stay if the grant is refused.
        if self.calls_of(who).ensure_tables(granted(), ONE).is_err() {
            return Some(Step::Pending);
        }
        let result = self.calls_of(who).grant(handle, number(0), ONE, flags);
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
        let step = self.access(who, self.shape.window(of, frame), Some(tag));
        if let (Step::Done, Some(owned)) = (&step, &mut self.boxes[of]) {
            owned.frames[frame] = Contents::Known(tag);
        }
        Some(step)
    }
}
