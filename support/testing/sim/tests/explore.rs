// SPDX-License-Identifier: BSD-2-Clause
//! The beginning of what `sim explore` searches: every order of what the peers of small systems can
//! do.
// Tests may fail by panicking.
#![allow(clippy::panic)]

use sim::explore::{explore, names};

/// How many states of each system.
const STATES: usize = 800;
/// The same of one whose states are large.
const LARGE_STATES: usize = 100;

#[test]
fn no_order_of_actions_breaks_an_invariant_or_a_promise() {
    for name in names() {
        let states = if name == "large" { LARGE_STATES } else { STATES };
        match explore(name, states) {
            Ok(reached) => assert!(reached.states >= states || reached.is_complete, "{reached}"),
            Err(sentence) => panic!("sim explore --system {sentence}"),
        }
    }
}
