// SPDX-License-Identifier: BSD-2-Clause
//! Feeds bytes to fsserver, as changes of an image with right checksums.
#![no_main]

#[path = "../../../../fsserver/core/tests/fake/mod.rs"]
mod fake;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fake::changed::serve(bytes));
