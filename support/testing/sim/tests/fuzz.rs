// SPDX-License-Identifier: BSD-2-Clause
//! Short runs of the fuzzers with fixed seeds (S52); `sim fuzz` does longer runs.
#![allow(clippy::panic)]

use sim::fuzz::{Plan, fuzz};

/// Runs a fuzzer with some seeds. A failure prints the arguments that reproduce it.
fn expect_success(name: &str, seeds: std::ops::Range<u64>, operations: usize) {
    for seed in seeds {
        if let Err(line) = fuzz(name, &Plan { operations, ..Plan::of(seed) }) {
            panic!("{line}");
        }
    }
}

#[test]
fn server_and_model_give_the_same_replies() {
    expect_success("pm", 1..9, 300);
}

#[test]
fn the_model_agrees_with_itself() {
    expect_success("self", 1..60, 600);
}

#[test]
fn no_register_values_crash_the_server() {
    // PM-2
    expect_success("wire", 1..7, 600);
}

#[test]
fn a_wrong_model_is_detected() {
    expect_success("canary", 1..2, 300);
}
