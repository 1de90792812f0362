// SPDX-License-Identifier: BSD-2-Clause
//! The idler, as a protection domain below all others: it counts rounds of a loop while they wait.
//! So the processor never idles, its counter counts instructions, and those that were taken by
//! waiting are known.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::hint::black_box;

use idler::{MEASURED_ROUNDS, Word};
use pd::Finished;
use sel4_microkit::{Channel, protection_domain};

/// Who is told that it has begun, as the system file numbers it.
const READER: Channel = Channel::new(0);

#[protection_domain]
fn init() -> Finished {
    let start = pd::counter().0;
    count(0, MEASURED_ROUNDS);
    shm::store(Word::Ticks.address(), pd::counter().0.wrapping_sub(start));
    READER.notify();
    count(MEASURED_ROUNDS, u64::MAX);
    Finished
}

/// Counts from one number up to another: the same instructions, whoever calls it.
#[inline(never)]
fn count(from: u64, to: u64) {
    for round in black_box(from)..black_box(to) {
        shm::store(Word::Rounds.address(), round);
    }
}
