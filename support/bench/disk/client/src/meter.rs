// SPDX-License-Identifier: BSD-2-Clause
//! Measures instructions that somebody takes between two readings of the processor's counter: all
//! of them but the idler's. QEMU makes an instruction counter of it (`-icount shift=0`).

use pd::OwnNotification;
use proto::Waiter;

/// Instructions per second: one a nanosecond.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;
/// Measurements of nothing, which tell what measuring takes.
const EMPTY_ROUNDS: u32 = 64;

/// How often everything is measured.
pub(crate) const BATCHES: usize = 9;

/// Waits until the idler knows what a round of it takes. Called first.
pub(crate) fn begin() {
    OwnNotification.wait();
}

/// Measurements of the same operation, in batches.
#[derive(Default)]
pub(crate) struct Meter {
    /// The instructions of one operation, in the mean of each batch.
    batches: [u64; BATCHES],
    done: usize,
    now: Batch,
    /// What the idler has taken in all of them, and how many operations there were.
    idle: u64,
    times: u64,
}

#[derive(Clone, Copy, Default)]
struct Batch {
    busy: u64,
    times: u64,
}

impl Meter {
    /// Does `operation` and adds what it took.
    pub(crate) fn time<R>(&mut self, operation: impl FnOnce() -> R) -> R {
        let (rounds, start) = (idler::rounds(), pd::counter().0);
        let result = core::hint::black_box(operation());
        let (end, rounds_after) = (pd::counter().0, idler::rounds());
        let all = end.wrapping_sub(start).saturating_mul(per_tick());
        let rounds = rounds_after.wrapping_sub(rounds);
        let idle = rounds.saturating_mul(idler::round_in_16ths(per_tick())) / 16;
        self.now.busy = self.now.busy.saturating_add(all.saturating_sub(idle));
        self.now.times = self.now.times.saturating_add(1);
        self.idle = self.idle.saturating_add(idle);
        self.times = self.times.saturating_add(1);
        result
    }

    /// Ends a batch of measurements, each of which was about so many units.
    pub(crate) fn end_batch(&mut self, units: u64) {
        let Batch { busy, times } = core::mem::take(&mut self.now);
        let busy = busy.saturating_sub(times.saturating_mul(of_nothing()));
        if let Some(batch) = self.batches.get_mut(self.done) {
            *batch = rounded(busy, times.saturating_mul(units));
            self.done = self.done.saturating_add(1);
        }
        self.batches.get_mut(..self.done).unwrap_or_default().sort_unstable();
    }

    /// Returns the instructions of a unit: the median of all batches.
    pub(crate) fn instructions(&self) -> u64 {
        self.batches.get(self.done / 2).copied().unwrap_or_default()
    }

    /// Returns how far the middle half of the batches is apart, in thousandths of the median.
    pub(crate) fn spread(&self) -> u64 {
        let at = |quarter: usize| {
            let last = self.done.saturating_sub(1);
            self.batches.get(last.saturating_mul(quarter) / 4).copied().unwrap_or_default()
        };
        let apart = at(3).saturating_sub(at(1)).saturating_mul(1000);
        rounded(apart, self.instructions())
    }

    /// Returns the fewest and the most instructions of a unit in a batch.
    pub(crate) fn ends(&self) -> [u64; 2] {
        [0, self.done.saturating_sub(1)]
            .map(|index| self.batches.get(index).copied().unwrap_or_default())
    }

    /// Returns the instructions of the idler in one measurement.
    pub(crate) fn idle(&self) -> u64 {
        rounded(self.idle, self.times)
    }
}

/// Returns what measuring takes.
fn of_nothing() -> u64 {
    let mut empty = Meter::default();
    for _ in 0..EMPTY_ROUNDS {
        empty.time(|| ());
    }
    rounded(empty.now.busy, empty.now.times)
}

/// Returns how many instructions a tick of the counter is.
fn per_tick() -> u64 {
    match pd::counter().1 {
        Some(per_second) => INSTRUCTIONS_PER_SECOND.checked_div(per_second).unwrap_or(1),
        // The time stamp counter of QEMU's processor counts nanoseconds.
        None => 1,
    }
}

pub(crate) fn rounded(sum: u64, count: u64) -> u64 {
    sum.saturating_add(count / 2).checked_div(count).unwrap_or_default()
}
