// SPDX-License-Identifier: BSD-2-Clause
//! Feeds bytes to [`sim::fuzz::core`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sim::fuzz::core(bytes));
