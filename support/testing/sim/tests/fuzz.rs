// SPDX-License-Identifier: BSD-2-Clause
//! Short runs of the fuzzers with fixed seeds (S52); `sim fuzz` does longer runs.
#![allow(clippy::panic)]

use sim::fuzz::{Plan, Tally, fuzz};

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

/// Operations, and how often each has to succeed and do something in the runs below: about half of
/// what was measured. Seeds are fixed, so a change that makes runs vacuous is seen.
const LEAST: [(&str, u64); 46] = [
    ("(load)", 400),
    ("(store)", 250),
    ("AccountDestroy", 50),
    ("AccountLend", 10),
    ("AccountRecall", 3),
    ("AccountRemove", 15),
    ("AccountSetLimits", 40),
    ("AccountSplit", 80),
    ("Allocate", 300),
    ("AllocateAnywhere", 40),
    ("AllocateContiguous", 30),
    ("Attach", 80),
    ("BusAddress", 20),
    ("ContainerCreate", 120),
    ("ContainerDestroy", 250),
    ("Copy", 450),
    ("CopyList", 60),
    ("CreateFrom", 25),
    ("CreateGather", 70),
    ("CreateWith", 50),
    ("Deallocate", 70),
    ("Detach", 80),
    ("DeviceReset", 70),
    ("Disturb", 80),
    ("EnsureTables", 8),
    ("Grant", 50),
    ("Lock", 140),
    ("Map", 350),
    ("Mark", 40),
    ("NextFault", 45),
    ("Pin", 35),
    ("Reclaim", 140),
    ("Refuse", 3),
    ("RegisterRecovery", 150),
    ("Remap", 80),
    ("Renew", 70),
    ("SetHandler", 500),
    ("Share", 150),
    ("Status", 5000),
    ("Supply", 30),
    ("Ungrant", 30),
    ("Unlock", 60),
    ("Unmap", 380),
    ("Unshare", 270),
    ("VspaceAccount", 6),
    ("Watch", 45),
];

#[test]
fn most_operations_get_there() {
    // Three seeds of each shape of systems, one of those with large pools, which take long.
    // `rescue` and `extra_request` have something to tell too rarely to be counted here.
    let mut tally = Tally::default();
    for seed in (10..40).filter(|seed| *seed < 20 || seed % 10 < 8) {
        match fuzz("pm", &Plan { operations: 500, ..Plan::of(seed) }) {
            Ok(reached) => tally.add(&reached),
            Err(line) => panic!("{line}"),
        }
    }
    for (operation, least) in LEAST {
        let successes = tally.successes(operation);
        assert!(successes >= least, "{operation} succeeded {successes} times\n{tally}");
    }
}

/// Some seeds of the systems that have large frames; of each count about half of what was measured.
#[test]
fn large_frames_are_made_and_split() {
    let mut tally = Tally::default();
    for seed in [29, 49, 68] {
        match fuzz("pm", &Plan { operations: 300, ..Plan::of(seed) }) {
            Ok(reached) => tally.add(&reached),
            Err(line) => panic!("{line}"),
        }
    }
    for (what, least) in [("(large, made)", 4), ("(large, split)", 3)] {
        let times = tally.successes(what);
        assert!(times >= least, "{what}: {times}\n{tally}");
    }
}
