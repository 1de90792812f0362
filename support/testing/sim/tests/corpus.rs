// SPDX-License-Identifier: BSD-2-Clause
//! The inputs that `make fuzz-coverage` has found, without its engine.
#![allow(clippy::unwrap_used, missing_docs)] // A test may fail by panicking.

/// Runs every input of a target.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/");
    let mut inputs: u64 = 0;
    for input in std::fs::read_dir(format!("{folder}{target}")).unwrap() {
        run(&std::fs::read(input.unwrap().path()).unwrap());
        inputs = inputs.saturating_add(1);
    }
    assert!(inputs > 0);
}

#[test]
fn any_registers_are_decoded_exactly_or_refused() {
    // PM-2, PM-3
    replay("decode", sim::fuzz::decode);
}

#[test]
fn server_and_model_give_the_same_replies() {
    replay("core", sim::fuzz::core);
}
