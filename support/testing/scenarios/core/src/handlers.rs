// SPDX-License-Identifier: BSD-2-Clause
//! S48: memory whose contents another actor supplies; and how an actor dies.

use pmserver_api::{ContainerHandle, FaultHandle, FrameState, PmError};
use proto::{AddressSpace, Micros, Transport};
use puppet_core::Behaviour;

use crate::cast::Actor::{self, Client, Mortal3, Parent, Server};
use crate::error::{Outcome, ScenarioError, between, did, faults, pm, refused, same, stopped};
use crate::world::{READ_WRITE, WINDOW, World, at, page, vaddr};

/// How long pmserver waits for a handler, and how much later a program may notice that.
const PATIENCE: u64 = 1_000_000;
const TOLERANCE: u64 = 1_000_000;
const AT_ONCE: Micros = Micros::new(0);
/// The most steps that it takes to tear down what an actor has.
const TEARDOWN_STEPS_MAX: u32 = 100;
/// Where the actor that dies is made to handle a fault.
const BAIT: proto::VirtAddr = vaddr(0x2800_0000);

/// S48: "virtual memory object: range with handler, handler answers / answers late / dies / maps
/// foreign cap: fault served / bounded fault timeout / faulting thread gets a fault, not a hang /
/// refused."
pub(crate) fn s48<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let source = world.filled_container(Server, 8)?;
    world.map(Server, source, 8, WINDOW, READ_WRITE)?;
    did("filling what is supplied", world.puppet(Server).fill(WINDOW, 8, 48))?;
    let object = world.filled_container(Client, 8)?;
    let server = world.peer(Server);
    let handled = world.calls(Client).set_handler(object, at(0), 8, Some(server), 48);
    pm("naming the handler", handled)?;
    same("absent frames", world.count_in(Client, object, 8, FrameState::ABSENT)?, 8)?;
    world.map(Client, object, 8, WINDOW, READ_WRITE)?;

    answers(world, source)?;
    answers_too_late(world, source)?;
    refuses_and_cheats(world, object)?;
    same("frames still absent", world.count_in(Client, object, 8, FrameState::ABSENT)?, 5)?;

    let start = world.now()?;
    world.kill(Mortal3)?;
    let bound = start.saturating_add(PATIENCE);
    between("when the death of a handler was told", world.now()?, start, bound)
}

/// The handler answers at once, then later, but within the time that it has.
fn answers<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    source: ContainerHandle,
) -> Outcome {
    let supply = Behaviour::Supply { container: source, delay: AT_ONCE, touch: None };
    did("telling the handler to answer", world.puppet(Server).behave(supply))?;
    world.holds(Client, "what was supplied", WINDOW, 1, 48)?;
    world.writes(Client, "a store to an absent frame", page(WINDOW, 1), 1)?;
    let delay = Micros::new(PATIENCE / 4);
    let supply = Behaviour::Supply { container: source, delay, touch: None };
    did("telling the handler to answer late", world.puppet(Server).behave(supply))?;
    let start = world.now()?;
    did("waiting for the handler", world.puppet(Client).load(page(WINDOW, 2)))?;
    let earliest = start.saturating_add(delay.get());
    between("when that was", world.now()?, earliest, earliest.saturating_add(PATIENCE))?;
    // What is supplied is a copy.
    world.writes(Server, "the handler writing later", WINDOW, 0)?;
    world.holds(Client, "what was supplied", WINDOW, 1, 48)
}

/// The handler asks for the fault, and never answers it.
fn answers_too_late<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    source: ContainerHandle,
) -> Outcome {
    did("telling the handler to wait", world.puppet(Server).behave(Behaviour::Hold))?;
    let start = world.now()?;
    faults("what is not supplied", world.puppet(Client).load(page(WINDOW, 3)))?;
    let deadline = start.saturating_add(PATIENCE);
    between("when that was", world.now()?, deadline, deadline.saturating_add(TOLERANCE))?;
    let report = did("asking the handler", world.puppet(Server).report())?;
    let fault = FaultHandle::from_raw(report.fault);
    let late = world.calls(Server).supply(fault, source, at(3));
    refused("answering too late", late, PmError::InvalidCap)?;
    let next = pm("asking for faults", world.calls(Server).next_fault())?;
    same("faults that are left", next.is_some().into(), 0)
}

/// The handler refuses, then tries to supply what is not its own.
fn refuses_and_cheats<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    object: ContainerHandle,
) -> Outcome {
    did("telling the handler to refuse", world.puppet(Server).behave(Behaviour::Refuse))?;
    let start = world.now()?;
    faults("what is refused", world.puppet(Client).store(page(WINDOW, 4), 1))?;
    between("when that was", world.now()?, start, start.saturating_add(PATIENCE))?;

    // A container of the client, which it has not lent to the handler.
    let supply = Behaviour::Supply { container: object, delay: AT_ONCE, touch: None };
    did("telling the handler to cheat", world.puppet(Server).behave(supply))?;
    faults("what is another's", world.puppet(Client).load(page(WINDOW, 4)))?;
    let report = did("asking the handler", world.puppet(Server).report())?;
    same("how that was taken", report.status, PmError::InvalidCap.status())
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes an actor die: it is asked to supply a frame, and faults over that without a recovery
    /// entry. The program that waits for the frame faults, and whoever calls the dead is told.
    pub(crate) fn kill(&mut self, actor: Actor) -> Outcome {
        let bait = self.filled_container(Client, 1)?;
        let peer = self.peer(actor);
        let handled = self.calls(Client).set_handler(bait, at(0), 1, Some(peer), 0);
        pm("baiting", handled)?;
        self.map(Client, bait, 1, BAIT, READ_WRITE)?;
        did("telling an actor to die", self.puppet(actor).behave(Behaviour::Die))?;
        faults("waiting for the dead", self.puppet(Client).load(BAIT))?;
        stopped("calling the dead", self.puppet(actor).report())?;
        self.bury()
    }

    /// Tears down what the dead had.
    pub(crate) fn bury(&mut self) -> Outcome {
        self.has_died = true;
        for _ in 0..TEARDOWN_STEPS_MAX {
            if pm("tearing down", self.calls(Parent).reclaim())? == 0 {
                return Ok(());
            }
        }
        Err(ScenarioError::Wrong("what the dead had is never torn down"))
    }
}
