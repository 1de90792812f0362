// SPDX-License-Identifier: BSD-2-Clause
//! Feeds bytes to [`sim::fuzz::decode`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sim::fuzz::decode(bytes));
