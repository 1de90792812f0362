// SPDX-License-Identifier: BSD-2-Clause
//! Memory that was promised to A, and what B and the server do to keep it from A: B takes all free
//! memory as extra frames, both hold leases on them, B gives them back and takes them again.

use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, DeallocateFlags, LockMode, PmError,
    Rights,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, Micros};

use super::action::Who;
use super::world::{LEASE_MICROS, ONE, Step, World, id, index, number};
use crate::stop::audit::PROMISE_MICROS;

/// More than the calls that one claim takes.
const CALLS_MAX: usize = 64;
/// A frame of A's that nothing else is done with.
const WANTED: usize = 9;

/// What B has beyond its limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extras {
    handle: ContainerHandle,
    /// The server's handle.
    weak: ContainerHandle,
    /// The first frame that is left, and the number of the next one.
    first: u64,
    next: u64,
    /// When the last lease on them ends.
    pub(super) deadline: u64,
}

/// A request for promised memory that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    since: u64,
    /// When it was told to ask again.
    pub(super) again: u64,
}

impl World {
    /// A asks for one frame, and frees it again.
    pub(super) fn promise(&mut self) -> Option<Step> {
        let handle = self.boxes[0].filter(|owned| !owned.is_dying)?.handle;
        let (wanted, none) = (number(WANTED), AllocateFlags::empty());
        let result = self.calls_of(Who::A).allocate(handle, wanted, ONE, none);
        let now = self.now();
        Some(match result {
            Ok(_) => {
                self.claim = None;
                let none = DeallocateFlags::empty();
                let freed = self.calls_of(Who::A).deallocate(handle, wanted, ONE, none);
                if freed.is_ok() { Step::Done } else { Step::Pending }
            }
            Err(CallError::Refused(failure)) if failure.error == PmError::Pending => {
                let since = self.claim.map_or(now, |claim| claim.since);
                self.claim = Some(Claim { since, again: failure.at.max(now) });
                Step::Pending
            }
            Err(_) => Step::Refused,
        })
    }

    /// B takes all memory that it can get.
    pub(super) fn extra(&mut self) -> Option<Step> {
        let mut extras = match self.extras {
            Some(extras) => extras,
            None => self.first_extras().ok()?,
        };
        let count = FrameCount::new(CALL_FRAMES_MAX).expect("a small number");
        let flags = AllocateFlags::PARTIAL | AllocateFlags::EXTRA;
        let next = FrameNumber::new(extras.next);
        extras.next += match self.calls_of(Who::B).allocate(extras.handle, next, count, flags) {
            Ok(done) => done,
            Err(CallError::Refused(failure)) => failure.done,
            Err(_) => 0,
        };
        self.extras = Some(extras);
        Some(Step::Pending)
    }

    fn first_extras(&mut self) -> Result<Extras, CallError> {
        let handle = self.calls_of(Who::B).container_create(AccountHandle::OWN)?;
        let (rights, longest) = (Rights::READ | Rights::LOCK, Micros::new(LEASE_MICROS));
        let server = id(Who::Server);
        let share =
            self.calls_of(Who::B).share(handle, number(0), u64::MAX, server, rights, longest);
        Ok(Extras { handle, weak: share?.weak, first: 0, next: 0, deadline: 0 })
    }

    /// B or the server locks them, for as long as it may.
    pub(super) fn extra_lock(&mut self, who: Who) -> Option<Step> {
        let extras = self.extras?;
        let handle = if who == Who::B { extras.handle } else { extras.weak };
        let count = FrameCount::new(CALL_FRAMES_MAX).expect("a small number");
        let (mode, ttl) = (LockMode::Exclusive, Micros::new(LEASE_MICROS));
        let first = FrameNumber::new(extras.first);
        let result = self.calls_of(who).lock(handle, first, count, mode, ttl);
        self.after(result, |world, lease| {
            if let Some(extras) = &mut world.extras {
                extras.deadline = extras.deadline.max(lease.deadline.get());
            }
        })
    }

    /// B gives back what it is asked for.
    pub(super) fn answer(&mut self) -> Option<Step> {
        let extras = self.extras?;
        let asked = self.calls_of(Who::B).extra_request().ok()?.count;
        let left = extras.next - extras.first;
        let count = FrameCount::new(asked.min(left).min(CALL_FRAMES_MAX))?;
        let (first, none) = (FrameNumber::new(extras.first), DeallocateFlags::empty());
        let result = self.calls_of(Who::B).deallocate(extras.handle, first, count, none);
        self.after(result, |world, _| {
            if let Some(extras) = &mut world.extras {
                extras.first += count.get();
            }
        })
    }

    /// Forgets the claim if A was told to ask again and lets time go on instead.
    pub(super) fn give_up(&mut self) {
        let now = self.now();
        self.claim = self.claim.filter(|claim| claim.again > now);
    }

    /// Says whether a claim is older than it may be.
    pub(super) fn check_claim(&self) -> Result<(), String> {
        match self.claim {
            Some(claim) if self.now() > claim.since + PROMISE_MICROS => {
                Err(format!("A waits for promised memory since {} us", self.now() - claim.since))
            }
            _ => Ok(()),
        }
    }

    /// Says what is wrong if A asks from now on, and nobody gives anything back.
    pub(super) fn check_promise(&self) -> Result<(), String> {
        let mut world = self.clone();
        if self.is_stopped[index(Who::A)] {
            return Ok(());
        }
        for _ in 0..CALLS_MAX {
            match world.promise() {
                None | Some(Step::Idle | Step::Done) => return Ok(()),
                Some(Step::Refused) => return Err("A is refused promised memory".to_owned()),
                Some(Step::Pending) => world.check_claim()?,
            }
            let wait = world.claim.map_or(0, |claim| claim.again.saturating_sub(world.now()));
            world.server.kernel().clock().advance(wait);
        }
        Err("A asks for promised memory again and again".to_owned())
    }

    /// What tells this state from others.
    pub(super) fn promised_key(&self) -> impl std::hash::Hash + use<> {
        let now = self.now();
        let claim = self.claim.map(|claim| (now - claim.since, claim.again.saturating_sub(now)));
        let extras = self.extras.map(|extras| extras.deadline.saturating_sub(now));
        (claim, extras, self.extras.map(|extras| extras.next - extras.first))
    }
}
