// SPDX-License-Identifier: BSD-2-Clause
//! S9, S11, S56, S63: reading through a container that is lent.

use fsserver_api::{CallError, DirectoryCookie, FsError};
use pmserver_api::{DeallocateFlags, LockMode, MapFlags, PmError, Rights};
use proto::{AddressSpace, FrameCount, Transport};
use puppet_core::{Behaviour, OrderError};

use crate::cast::Actor::{Client, Parent, Server};
use crate::error::{Outcome, ScenarioError, between, did, expect, faults, fs, pm, refused, same};
use crate::files::{ALL_PAGES, CONTAINER_FRAMES, Loan};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames};

/// How often the client checks that the data it has validated is unchanged.
const LOOKS: u64 = 100_000;

/// The bytes of a path that S is told to read where it cannot.
const PATH_BYTES: usize = 8;
/// Where a listing begins.
const FIRST: DirectoryCookie = DirectoryCookie::START;
/// A time in which nobody has waited for a handler.
const AT_ONCE_MICROS: u64 = 200_000;

/// S9: "read path: create_with(16), S copies file data in, C unshares, maps: C sees data; container
/// still 16 frames; S cap invalid; S accounts unchanged."
pub(crate) fn s9<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let before = world.fsserver_account()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    let bytes = fs("reading", world.files.read_known(file, loan.shared.weak))?;
    World::<T, A>::expect_known_length(bytes)?;
    pm("unsharing", world.calls(Parent).unshare(loan.shared.share))?;

    expect(world.fsserver_account()? == before, "the account of S is not what it was")?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    let refusal = world.files.read_known(file, loan.shared.weak).err();
    expect(
        refusal.and_then(|error| error.pm_refusal()) == Some(PmError::InvalidCap),
        "S's handle is still valid after unshare",
    )?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    fs("closing", world.files.client().close(file))
}

/// S11: "Malicious S keeps its mapping and writes after replying: before unshare S's writes are
/// visible, after unshare returned S's next store faults; C's checksum taken after unshare is
/// stable for 10^5 attempts." The same with a capability that S was granted and maps itself.
pub(crate) fn s11<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 4)?;
    let shared = world.share(Client, container, Server, Rights::READ | Rights::WRITE)?;
    world.map(Server, shared.weak, 4, WINDOW, READ_WRITE)?;
    did("S filling the frames", world.puppet(Server).fill(WINDOW, 4, 11))?;
    world.map(Client, container, 4, WINDOW, MapFlags::READ)?;
    world.holds(Client, "what S wrote", WINDOW, 4, 11)?;
    let granted = world.calls(Server).grant(shared.weak, at(0), FrameCount::ONE, READ_WRITE);
    let granted = pm("granting S a frame", granted)?;
    pm("making tables", world.calls(Server).ensure_tables(WINDOW_2, FrameCount::ONE))?;
    let mapped = world.puppet(Server).map_granted(granted.address, WINDOW_2, READ_WRITE);
    did("S mapping the frame itself", mapped)?;
    world.writes(Server, "S writing by its capability", WINDOW_2, 0x5ec0)?;
    world.reads(Client, "what S wrote by its capability", WINDOW, 0x5ec0)?;
    world.writes(Server, "S writing before unshare", WINDOW, 0x5ec1)?;
    world.reads(Client, "what S wrote before unshare", WINDOW, 0x5ec1)?;

    pm("unsharing", world.calls(Client).unshare(shared.share))?;
    let validated = did("C reading", world.puppet(Client).sum(WINDOW, 4))?;
    faults("S storing after unshare", world.puppet(Server).store(WINDOW, 1))?;
    faults("S storing by its capability", world.puppet(Server).store(WINDOW_2, 1))?;
    let again = world.puppet(Server).map_granted(granted.address, WINDOW_2, READ_WRITE);
    let is_refused = again == Err(OrderError::Refused);
    expect(is_refused, "S has its capability after unshare")?;
    let changes = did("C looking again", world.puppet(Client).reload(WINDOW, LOOKS))?;
    same("changes that C has seen", changes, 0)?;
    faults("S storing later", world.puppet(Server).store(WINDOW, 2))?;
    pm("taking the tables back", world.calls(Server).unmap(WINDOW_2, FrameCount::ONE))?;
    let sum = did("C reading", world.puppet(Client).sum(WINDOW, 4))?;
    if sum == validated {
        Ok(())
    } else {
        Err(ScenarioError::Wrong("C's data changed after unshare"))
    }
}

/// S56: the pages that C lends, for the path and for the data, have a handler that does not answer,
/// are not there, are locked by C, or are not lent any more. S says so, and serves on.
pub(crate) fn s56<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let before = world.fsserver_account()?;
    let file = world.open_known()?;
    did("the handler waiting", world.puppet(Server).behave(Behaviour::Hold))?;
    for trap in [Trap::Handler, Trap::Missing, Trap::Locked, Trap::Unshared] {
        let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
        world.set(trap, &loan)?;
        let (weak, start) = (loan.shared.weak, world.now()?);
        let found = world.files.client().lookup(weak, PATH_BYTES).err();
        is_told(found, "S did not say that it cannot read the path")?;
        let read = world.files.read_known(file, weak).err();
        is_told(read, "S did not say that it cannot write the data")?;
        let refusal = world.files.client().read_dir(file, weak, FrameCount::ONE, FIRST).err();
        is_told(refusal, "S did not say that it cannot list")?;
        between("when that was", world.now()?, start, start.saturating_add(AT_ONCE_MICROS))?;
    }
    expect(world.fsserver_account()? == before, "the account of S is not what it was")?;
    fs("closing what was open before", world.files.client().close(file))?;
    let file = world.open_known()?;
    fs("closing", world.files.client().close(file))
}

/// Fails unless S has refused, and was not restarted over it.
fn is_told(error: Option<CallError>, what: &'static str) -> Outcome {
    let refusal = error.and_then(|error| error.refusal());
    expect(refusal.is_some_and(|error| error != FsError::Restarted), what)
}

/// Why the pages of a container cannot be used.
#[derive(Clone, Copy)]
enum Trap {
    Handler,
    Missing,
    Locked,
    Unshared,
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes the pages that were lent to the file server unusable.
    fn set(&mut self, trap: Trap, loan: &Loan) -> Outcome {
        let (container, count) = (loan.container, CONTAINER_FRAMES);
        let handler = self.peer(Server);
        let mut parent = self.calls(Parent);
        match trap {
            Trap::Handler => {
                let named = parent.set_handler(container, at(0), count, Some(handler), 56);
                pm("naming a handler", named).map(drop)
            }
            Trap::Missing => {
                let free = DeallocateFlags::empty();
                pm("freeing", parent.deallocate(container, at(0), frames(count), free)).map(drop)
            }
            Trap::Locked => {
                let mode = LockMode::Exclusive;
                let locked = parent.lock(container, at(0), frames(count), mode, LONG);
                pm("locking", locked).map(drop)
            }
            Trap::Unshared => pm("unsharing", parent.unshare(loan.shared.share)),
        }
    }
}

/// S63: reads after which S keeps its lease and its mapping: C sees each, can load and not write
/// meanwhile, and has its frames for itself when S has released them, or at the deadline.
pub(crate) fn s63<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let before = world.fsserver_account()?;
    let file = world.open_known()?;
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let loan = world.lend(rights)?;
    for _ in 0..3 {
        let bytes = fs("reading", world.files.read_known_standing(file, loan.shared.weak))?;
        World::<T, A>::expect_known_length(bytes)?;
        world.expect_contents(loan.container, ALL_PAGES)?;
    }
    let frame = FrameCount::ONE;
    let written = world.calls(Parent).map(loan.container, at(0), frame, WINDOW, READ_WRITE);
    refused("C mapping for writing", written, PmError::Locked)?;
    let unshared = world.calls(Parent).unshare(loan.shared.share);
    refused("C unsharing", unshared, PmError::Locked)?;
    fs("releasing", world.files.client().release(loan.shared.weak))?;
    pm("unsharing what was released", world.calls(Parent).unshare(loan.shared.share))?;
    expect(world.fsserver_account()? == before, "the account of S is not what it was")?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, ALL_PAGES)?;

    // The same with a server that is not asked to release.
    let shared = world.lend_again(loan.container, rights)?;
    fs("reading again", world.files.read_known_standing(file, shared.weak))?;
    let unshared = world.calls(Parent).unshare(shared.share);
    let failure = refused("C unsharing", unshared, PmError::Locked)?;
    world.wait_until(failure.at)?;
    pm("unsharing after the deadline", world.calls(Parent).unshare(shared.share))?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    let refusal = world.files.read_known_standing(file, shared.weak).err();
    expect(
        refusal.and_then(|error| error.pm_refusal()) == Some(PmError::InvalidCap),
        "S's handle is still valid after unshare",
    )?;
    expect(world.fsserver_account()? == before, "the account of S is not what it was")?;
    fs("closing", world.files.client().close(file))
}
