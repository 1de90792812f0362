// SPDX-License-Identifier: BSD-2-Clause
//! S44, S47: mappings that pmserver suspends at any time are repaired when they are touched.

use pmserver_api::{Disturbance, FrameState, MapFlags, Rights};
use proto::{AddressSpace, Micros, Transport};
use puppet_core::Behaviour;

use crate::cast::Actor::{Client, Parent, Server};
use crate::error::{Outcome, did, done, fs, pm, same};
use crate::world::{READ_WRITE, WINDOW, WINDOW_2, World, at};

/// S44: "forced spontaneous unmap of everything during a workload: clients with pager continue,
/// data identical." The same if frames are moved.
pub(crate) fn s44<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    const PAGES: u64 = 8;
    let container = world.filled_container(Client, PAGES)?;
    let weak = world.share(Client, container, Server, Rights::READ)?.weak;
    world.map(Client, container, PAGES, WINDOW, READ_WRITE)?;
    world.map(Server, weak, PAGES, WINDOW, MapFlags::READ)?;
    let paged = world.filled_container(Client, PAGES)?;
    let count = u32::try_from(PAGES).unwrap_or(u32::MAX);
    world.attach(Client, paged, count, WINDOW_2)?;
    for seed in 1..5 {
        for what in [Disturbance::Unmap, Disturbance::Move] {
            did("C writing", world.puppet(Client).fill(WINDOW, PAGES, seed))?;
            world.disturb(what)?;
            world.holds(Server, "what S reads", WINDOW, PAGES, seed)?;
            did("C writing to a region", world.puppet(Client).fill(WINDOW_2, PAGES, seed))?;
            world.disturb(what)?;
            world.holds(Client, "what C reads", WINDOW, PAGES, seed)?;
            world.holds(Client, "what C reads of a region", WINDOW_2, PAGES, seed)?;
        }
    }
    // The file server and its client have been disturbed as well.
    let file = world.open_known()?;
    fs("closing", world.files.client().close(file))
}

/// S47: "pager bootstrap: last pager's own page unmapped by server: served by attach (O18); no
/// recursion, no hang."
pub(crate) fn s47<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let own = world.filled_container(Server, 1)?;
    world.attach(Server, own, 1, WINDOW_2)?;
    world.writes(Server, "the pager using its page", WINDOW_2, 47)?;
    let source = world.filled_container(Server, 2)?;
    world.map(Server, source, 2, WINDOW, READ_WRITE)?;
    did("filling what is supplied", world.puppet(Server).fill(WINDOW, 2, 48))?;

    let container = world.filled_container(Client, 2)?;
    let server = world.peer(Server);
    let handled = world.calls(Client).set_handler(container, at(0), 2, Some(server), 47);
    pm("naming the pager", handled)?;
    world.map(Client, container, 2, WINDOW, READ_WRITE)?;
    let supply =
        Behaviour::Supply { container: source, delay: Micros::new(0), touch: Some(WINDOW_2) };
    did("telling the pager what to do", world.puppet(Server).behave(supply))?;
    world.disturb(Disturbance::Unmap)?;
    world.holds(Client, "what the pager supplied", WINDOW, 2, 48)?;
    let report = did("asking the pager", world.puppet(Server).report())?;
    same("faults that the pager answered", report.answers, 2)?;
    same("how its last answer was taken", report.status, 0)?;
    world.reads(Server, "the pager's own page", WINDOW_2, 47)?;
    same("absent frames", world.count_in(Client, container, 2, FrameState::ABSENT)?, 0)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes pmserver suspend all mappings, or move all frames, as it may do at any time.
    pub(crate) fn disturb(&mut self, what: Disturbance) -> Outcome {
        done("disturbing", self.pm(Parent).disturb(what)).map(drop)
    }

    /// Makes it do one step of that. Returns where the next one begins, or 0 at the end.
    pub(crate) fn disturb_step(&mut self, what: Disturbance, cursor: u64) -> Outcome<u64> {
        let step = self.calls(Parent).disturb(what, cursor);
        pm("disturbing", step).map(|disturbed| disturbed.cursor)
    }
}
