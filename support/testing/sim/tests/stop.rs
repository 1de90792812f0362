// SPDX-License-Identifier: BSD-2-Clause
//! A sample of `sim stop`, which stops each domain at every call and refuses every invocation.
// Tests may fail by panicking.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod stage;

use sim::stop::{Choice, Play, sweep};

/// Runs a sample of the points of some plays.
fn expect_well(plays: &[Play], seed: u64, count: usize) {
    let report = sweep(plays, Choice::Sample { seed, count }, 2).unwrap();
    assert_eq!(report.runs(), count);
    assert!(report.is_well(), "{report}");
}

#[test]
fn the_demo_settles_whatever_is_stopped_or_refused() {
    let image = stage::example_image("stop demo");
    let plays = Play::all(&stage::small_demo_text(), &image).unwrap();
    expect_well(&plays, 1, 60);
}

#[test]
fn the_scenarios_settle_whatever_is_stopped_or_refused() {
    let image = stage::example_image("stop scenarios");
    let mut plays = Play::all(&stage::scenario_text(), &image).unwrap();
    // Each passes alone, too.
    expect_well(&plays, 1, 0);
    // These fill memory or wait, which takes long.
    plays.retain(|play| !["S29", "S30", "S31", "S32", "S48", "S49", "S54"].contains(&play.name()));
    expect_well(&plays, 1, 80);
}

#[test]
fn the_disk_test_settles_whatever_is_stopped_or_refused() {
    let plays = Play::all(&stage::disk_text(), &[]).unwrap();
    expect_well(&plays, 1, 60);
}

#[test]
fn a_puppet_that_hangs_where_it_recovers_ends_the_run() {
    let image = stage::example_image("stop hangs");
    let mut plays = Play::all(&stage::scenario_text(), &image).unwrap();
    plays.retain(|play| play.name() == "S54");
    // It is stopped when it has been told to hang, and not yet called by who waits only so long.
    let point = "stop:314:received:fault".parse().unwrap();
    let report = sweep(&plays, Choice::One(point), 1).unwrap();
    assert_eq!(report.runs(), 1);
    assert!(report.is_well(), "{report}");
}
