// SPDX-License-Identifier: BSD-2-Clause
//! Runs the scenarios one after the other and prints how they went.

use proto::{AddressSpace, Console, Transport};

use crate::accounts::{s41, s42};
use crate::allocate::{s1, s2, s3, s4, s5, s7, s8};
use crate::armed::s64;
use crate::baseline::Baseline;
use crate::cast::Cast;
use crate::confused_handler::s59;
use crate::copies::{s23, s24, s28, s46};
use crate::dma::{s19, s20, s21, s55};
use crate::error::Outcome;
use crate::exhaustion::s49;
use crate::exit::{s25, s26, s38, s39, s40};
use crate::handlers::s48;
use crate::hostile::{s12, s51, s58};
use crate::large::s65;
use crate::leases::{s15, s16, s17, s18, s22};
use crate::malformed::s50;
use crate::pressure::{s29, s30, s31, s32, s33, s34};
use crate::promised::s57;
use crate::read_path::{s9, s11, s56, s63};
use crate::repair::{s44, s47};
use crate::server_cancelled::s14;
use crate::server_death::{s10, s53, s61, s62};
use crate::server_hangs::s54;
use crate::tables::{s35, s36};
use crate::world::World;
use crate::worst_cases::s60;

type Scenario<T, A> = (&'static str, fn(&mut World<T, A>) -> Outcome);

/// Returns every scenario, in the order of the numbers but for the last.
fn scenarios<T: Transport, A: AddressSpace>() -> [Scenario<T, A>; 58] {
    [
        ("S1", s1),
        ("S2", s2),
        ("S3", s3),
        ("S4", s4),
        ("S5", s5),
        ("S7", s7),
        ("S8", s8),
        ("S9", s9),
        ("S10", s10),
        ("S11", s11),
        ("S12", s12),
        ("S14", s14),
        ("S15", s15),
        ("S16", s16),
        ("S17", s17),
        ("S18", s18),
        ("S19", s19),
        ("S20", s20),
        ("S21", s21),
        ("S22", s22),
        ("S23", s23),
        ("S24", s24),
        ("S25", s25),
        ("S26", s26),
        ("S28", s28),
        ("S29", s29),
        ("S30", s30),
        ("S31", s31),
        ("S32", s32),
        ("S33", s33),
        ("S34", s34),
        ("S35", s35),
        ("S36", s36),
        ("S38", s38),
        ("S39", s39),
        ("S40", s40),
        ("S41", s41),
        ("S42", s42),
        ("S44", s44),
        ("S46", s46),
        ("S47", s47),
        ("S48", s48),
        ("S49", s49),
        ("S50", s50),
        ("S51", s51),
        ("S53", s53),
        ("S54", s54),
        ("S55", s55),
        ("S56", s56),
        ("S57", s57),
        ("S58", s58),
        ("S59", s59),
        ("S60", s60),
        ("S61", s61),
        ("S63", s63),
        ("S64", s64),
        ("S65", s65),
        // After it there is no file server.
        ("S62", s62),
    ]
}

/// Returns the names of all scenarios, in the order in which they run.
pub fn names<T: Transport, A: AddressSpace>() -> impl Iterator<Item = &'static str> {
    scenarios::<T, A>().into_iter().map(|(name, _)| name)
}

/// Runs every scenario and returns whether all passed. The last line is `PASS`, or `FAIL: ` and
/// why.
pub fn run<T: Transport, A: AddressSpace, C: Console>(
    channels: Cast<T>,
    fsserver: T,
    space: A,
    console: &mut C,
) -> bool {
    run_chosen(channels, fsserver, space, console, |_| true)
}

/// Runs only the scenarios that are chosen by their names; see [`run`].
pub fn run_chosen<T: Transport, A: AddressSpace, C: Console>(
    channels: Cast<T>,
    fsserver: T,
    space: A,
    console: &mut C,
    is_chosen: impl Fn(&str) -> bool,
) -> bool {
    match World::new(channels, fsserver, space) {
        Ok(mut world) => run_all(&mut world, console, is_chosen),
        Err(error) => {
            console.print(format_args!("FAIL: {error}\n"));
            false
        }
    }
}

fn run_all<T: Transport, A: AddressSpace, C: Console>(
    world: &mut World<T, A>,
    console: &mut C,
    is_chosen: impl Fn(&str) -> bool,
) -> bool {
    let (mut passed, mut failed): (u32, u32) = (0, 0);
    for (name, scenario) in scenarios().into_iter().filter(|(name, _)| is_chosen(name)) {
        match run_one(world, scenario) {
            Ok(()) => {
                passed = passed.saturating_add(1);
                console.print(format_args!("{name} ok\n"));
            }
            Err(error) => {
                failed = failed.saturating_add(1);
                console.print(format_args!("{name} FAIL: {error}\n"));
            }
        }
    }
    console.print(format_args!("{passed} passed, {failed} failed\n"));
    match failed {
        0 => console.print(format_args!("PASS\n")),
        _ => {
            let all = passed.saturating_add(failed);
            console.print(format_args!("FAIL: {failed} of {all} scenarios\n"));
        }
    }
    failed == 0
}

/// Runs a scenario and undoes what it has made. Fails unless every account is what it was.
fn run_one<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    scenario: fn(&mut World<T, A>) -> Outcome,
) -> Outcome {
    let before = Baseline::read(world)?;
    let outcome = scenario(world);
    let has_died = world.clear();
    outcome.and_then(|()| before.expect(world, has_died))
}
