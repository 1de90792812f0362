// SPDX-License-Identifier: BSD-2-Clause
//! The headers that are committed are those that the tables make.
#![allow(clippy::expect_used)] // A test may fail by panicking.

#[test]
fn the_headers_are_those_of_the_tables() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
    for (name, made) in c_headers::headers() {
        let committed = std::fs::read_to_string(format!("{folder}/{name}")).expect("it is there");
        let differs = committed.lines().zip(made.lines()).position(|(one, other)| one != other);
        assert!(
            committed == made,
            "{name} differs from line {:?} on: cargo run -p c-headers -- support/c/include",
            differs.map(|line| line.saturating_add(1))
        );
    }
}
