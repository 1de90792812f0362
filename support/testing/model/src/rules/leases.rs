// SPDX-License-Identifier: BSD-2-Clause
//! What leases and pins forbid, and how they end (PM-70 to PM-78, PM-273).

use pmserver_api::{ContainerHandle, LockMode, PmError};
use proto::limits::LARGE_FRAMES;
use proto::{Micros, PeerId};

use crate::answers::{Doubt, Expected};
use crate::state::{CellId, ContainerId, Kind, Lease, LeaseId, Model, Object, Place, Span, Via};

/// What an operation does with frames that a lease may cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Map them for reading: an exclusive lease of another holder forbids it, except of a take.
    Load,
    /// Map them for writing: any lease of another holder forbids it, except of a take.
    Store,
    /// Read them: an exclusive lease of another holder forbids it.
    Read,
    /// Write, replace or allocate them: any lease of another holder forbids it.
    Change,
    /// Free or renew them: any lease of another holder forbids it, and any pin.
    Remove,
    /// Share or move them: any lease forbids it.
    Alone,
}

impl Need {
    fn is_forbidden(self, lease: &Lease, via: Via) -> bool {
        let is_others = lease.via != via;
        match self {
            Self::Load => is_others && lease.is_exclusive && !lease.is_take,
            Self::Store => is_others && !lease.is_take,
            Self::Read => is_others && lease.is_exclusive,
            Self::Change => is_others,
            Self::Remove => is_others || lease.is_pin,
            Self::Alone => true,
        }
    }
}

/// What a caller asks for.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) mode: LockMode,
    pub(crate) is_pin: bool,
    pub(crate) is_take: bool,
}

fn latest<'a>(leases: impl Iterator<Item = &'a Lease>) -> Option<u64> {
    leases.map(|lease| lease.deadline.get()).max()
}

pub(crate) fn locked_until(deadline: Option<u64>) -> Result<(), Expected> {
    deadline.map_or(Ok(()), |until| Err(Expected::refused(PmError::Locked, 0, until)))
}

impl Model {
    pub(crate) fn active_leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.values().filter(|lease| lease.is_active())
    }

    /// Refuses what a lease on the range itself forbids, with the latest deadline.
    pub(crate) fn check_leases(
        &self,
        id: ContainerId,
        via: Via,
        (start, last): Span,
        need: Need,
    ) -> Result<(), Expected> {
        let on_range = self.active_leases().filter(|lease| lease.overlaps(id, start, last));
        locked_until(latest(on_range.filter(|lease| need.is_forbidden(lease, via))))
    }

    /// Refuses what a lease on another frame forbids that a frame is really shared with, whoever
    /// holds it (PM-78).
    pub(crate) fn check_sharers(&self, place: Place, need: Need) -> Result<(), Expected> {
        if matches!(need, Need::Load | Need::Read) {
            return Ok(());
        }
        let others: Vec<Place> =
            self.members(place).into_iter().filter(|other| *other != place).collect();
        let covers = |lease: &&Lease| others.iter().any(|other| lease.covers(*other));
        let is_in_way = |lease: &&Lease| need != Need::Store || !lease.is_take;
        locked_until(latest(self.active_leases().filter(covers).filter(is_in_way)))
    }

    /// Returns the latest deadline of the pins on a frame or on one that it is really shared with.
    pub(crate) fn pinned(&self, place: Place, test: impl Fn(&Lease) -> bool) -> Option<u64> {
        let members = self.members(place);
        let pins = self.active_leases().filter(|lease| lease.is_pin && test(lease));
        latest(pins.filter(|lease| members.iter().any(|member| lease.covers(*member))))
    }

    /// Returns whether the memory of a cell is pinned, be it by another frame that shares it
    /// copy-on-write. That one may have memory of its own already.
    pub(crate) fn is_memory_pinned(&self, cell: CellId) -> Doubt {
        let members: Vec<Place> = self.contents.members(cell).iter().copied().collect();
        let by_siblings = self.is_under_pin(&self.contents.siblings(cell));
        self.is_under_pin(&members).max(by_siblings.min(self.contents.is_shared(cell)))
    }

    fn is_under_pin(&self, places: &[Place]) -> Doubt {
        let pins = self.leases.values().filter(|it| it.is_pin && it.is_over != Doubt::Yes);
        let pins = pins.filter(|lease| places.iter().any(|place| lease.covers(*place)));
        pins.map(|lease| Doubt::there(!lease.is_active())).max().unwrap_or_default()
    }

    /// Ends the leases whose deadline has passed.
    pub(crate) fn end_leases(&mut self) {
        let is_over = |lease: &Lease| lease.is_active() && lease.deadline <= self.now;
        let ended: Vec<LeaseId> =
            self.leases.iter().filter(|(_, lease)| is_over(lease)).map(|(id, _)| *id).collect();
        ended.into_iter().for_each(|id| self.end_lease(id));
    }

    /// Ends the leases of a peer at once (PM-76).
    pub(crate) fn end_leases_of(&mut self, holder: PeerId) {
        let all = self.leases.iter();
        let ended: Vec<LeaseId> = all
            .filter(|(_, lease)| lease.is_over != Doubt::Yes && lease.holder == holder)
            .map(|(id, _)| *id)
            .collect();
        ended.into_iter().for_each(|id| self.end_lease(id));
    }

    /// Ends the pins without a deadline on a container (PM-461).
    pub(crate) fn end_lasting_pins(&mut self, container: ContainerId) {
        let is_lasting =
            |lease: &Lease| lease.container == container && lease.deadline == Micros::NEVER;
        let lasting = self.leases.iter().filter(|(_, lease)| is_lasting(lease));
        let lasting: Vec<LeaseId> =
            lasting.filter(|(_, lease)| lease.is_active()).map(|(id, _)| *id).collect();
        lasting.into_iter().for_each(|id| self.end_lease(id));
    }

    /// Returns whether a pin of as many frames as a large one has ends at a time: what needs a part
    /// of them waits for that (PM-460).
    pub(crate) fn is_large_pin_until(&self, until: u64) -> bool {
        let is_large = |lease: &Lease| lease.is_pin && lease.frames() == LARGE_FRAMES;
        self.leases.values().any(|lease| {
            let is_late = lease.deadline <= self.now && until == self.now.get() + 1;
            is_large(lease) && (lease.deadline.get() == until || is_late)
        })
    }

    fn end_lease(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.get_mut(&id) else { return };
        if lease.is_take {
            // It is unmapped when the container is used next (PM-436).
            lease.is_over = Doubt::Perhaps;
            let via = lease.via;
            self.names.forget(Object::Lease(id));
            self.doubt_mappings(via);
            return;
        }
        if !lease.is_pin {
            self.leases.remove(&id);
            self.names.forget(Object::Lease(id));
            return;
        }
        // What it keeps is moved when the container is used next (PM-273).
        lease.is_over = Doubt::Perhaps;
        let (container, range) = (lease.container, (lease.start, lease.last));
        self.set_taken_over(container, range, Doubt::Perhaps);
    }

    /// Ends the pins and takes of a container whose deadline has passed, before something is done
    /// with it.
    pub(crate) fn take_over(&mut self, container: ContainerId) {
        let is_past =
            |lease: &Lease| lease.container == container && lease.is_take && !lease.is_active();
        let past = self.leases.iter().filter(|(_, lease)| is_past(lease));
        let past: Vec<(LeaseId, Via)> = past.map(|(id, lease)| (*id, lease.via)).collect();
        // If the kernel refuses, it is tried again, and nothing is told.
        self.is_lost |= self.is_kernel_unsure && !past.is_empty();
        for (id, via) in past {
            self.leases.remove(&id);
            self.unmap_through(via);
        }
        self.end_late_pins(|lease| lease.container == container);
    }

    /// Ends the pins on a frame, or on one that it is really shared with, whose deadline has
    /// passed, before something is done with it.
    pub(crate) fn take_over_frame(&mut self, place: Place) {
        let members = self.members(place);
        self.end_late_pins(|lease| members.iter().any(|member| lease.covers(*member)));
    }

    fn end_late_pins(&mut self, test: impl Fn(&Lease) -> bool) {
        let is_late = |lease: &&mut Lease| lease.is_pin && lease.is_over == Doubt::Perhaps;
        let late: Vec<(ContainerId, Span)> = self
            .leases
            .values_mut()
            .filter(is_late)
            .filter(|lease| test(lease))
            .map(|lease| {
                lease.is_over = Doubt::Yes;
                (lease.container, (lease.start, lease.last))
            })
            .collect();
        for (container, range) in late {
            self.set_taken_over(container, range, Doubt::Yes);
        }
    }

    /// Returns whether a container has pins that are over and have yet to be ended.
    pub(crate) fn has_late_pins(&self, caller: PeerId, handle: ContainerHandle) -> bool {
        let object = self.names.find(caller, Kind::Container, handle.raw());
        let is_late = |lease: &Lease| {
            lease.is_pin
                && lease.is_over == Doubt::Perhaps
                && object == Some(Object::Container(lease.container))
        };
        self.leases.values().any(is_late)
    }

    /// Gives the frames of a pin that has ended the state TAKEN_OVER; their grants are taken back.
    fn set_taken_over(&mut self, container: ContainerId, range: Span, doubt: Doubt) {
        let Some(_) = self.containers.get(&container) else { return };
        for number in self.numbers(container, range) {
            let members = self.members((container, number));
            let cell = self.cell((container, number)).expect("it has a number");
            let moved = [self.contents.siblings(cell), members.clone()].concat();
            for member in members {
                if let Some(frame) = self.frame_mut(member) {
                    frame.is_taken_over = frame.is_taken_over.max(doubt);
                }
            }
            if doubt.surely() {
                self.strip_grants(&moved);
                continue;
            }
            self.doubt_grants(&moved);
        }
    }
}
