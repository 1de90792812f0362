// SPDX-License-Identifier: BSD-2-Clause
//! Runs the scenarios one after the other and prints how they went.

use core::fmt::Write;

use proto::{AddressSpace, Console, LineWriter, Transport};

use crate::error::{Outcome, ScenarioError};
use crate::read_path::read_path;
use crate::server_cancelled::server_cancelled;
use crate::server_death::server_death;
use crate::world::World;

type Scenario<'a, P, F, A> = fn(&mut World<'a, P, F, A>) -> Outcome;

/// Runs every scenario and returns whether all passed. The last line is `PASS`, or `FAIL: ` and
/// why.
pub fn run<P: Transport, F: Transport, A: AddressSpace, C: Console>(
    pm: &mut pmserver_api::Client<P>,
    fs: &mut F,
    space: &mut A,
    console: &mut C,
) -> bool {
    match World::new(pm, fs, space) {
        Ok(mut world) => run_all(&mut world, console),
        Err(error) => {
            print(console, format_args!("FAIL: {error}\n"));
            false
        }
    }
}

fn run_all<'a, P: Transport, F: Transport, A: AddressSpace, C: Console>(
    world: &mut World<'a, P, F, A>,
    console: &mut C,
) -> bool {
    let scenarios: [(&str, Scenario<'a, P, F, A>); 3] =
        [("S9", read_path), ("S10", server_death), ("S14", server_cancelled)];
    let (mut passed, mut failed): (u32, u32) = (0, 0);
    for (name, scenario) in scenarios {
        match scenario(world) {
            Ok(()) => {
                passed = passed.saturating_add(1);
                print(console, format_args!("{name} ok\n"));
            }
            Err(error) => {
                failed = failed.saturating_add(1);
                print_failure(console, name, &error);
            }
        }
    }
    print(console, format_args!("{passed} passed, {failed} failed\n"));
    match failed {
        0 => print(console, format_args!("PASS\n")),
        _ => print(console, format_args!("FAIL: {failed} of {} scenarios\n", scenarios.len())),
    }
    failed == 0
}

fn print_failure(console: &mut impl Console, name: &str, error: &ScenarioError) {
    print(console, format_args!("{name} FAIL: {error}\n"));
}

fn print(console: &mut impl Console, text: core::fmt::Arguments<'_>) {
    // The console takes everything: its writer has no error.
    let _ = LineWriter(console).write_fmt(text);
}
