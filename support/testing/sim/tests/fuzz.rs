// SPDX-License-Identifier: BSD-2-Clause
//! Short runs of the fuzzers with seeds that are always the same (S52); `sim fuzz` runs longer
//! ones.
#![allow(clippy::panic)]

use sim::fuzz::{Plan, fuzz};

/// Runs a fuzzer with some seeds, and says which arguments repeat what it finds.
fn well(name: &str, seeds: std::ops::Range<u64>, operations: usize) {
    for seed in seeds {
        if let Err(line) = fuzz(name, &Plan { operations, ..Plan::of(seed) }) {
            panic!("{line}");
        }
    }
}

#[test]
fn the_server_answers_as_the_model_does() {
    well("pm", 1..9, 300);
}

#[test]
fn the_model_agrees_with_itself() {
    well("self", 1..60, 600);
}

#[test]
fn no_registers_stop_the_server() {
    // PM-2
    well("wire", 1..7, 600);
}

#[test]
fn a_wrong_model_is_found() {
    well("canary", 1..2, 300);
}
