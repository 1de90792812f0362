// SPDX-License-Identifier: BSD-2-Clause
//! How many instructions the idler has taken, for those who subtract them from what they measure
//! (decision 0053). The idler writes two words of a page that it shares with them.
#![no_std]
#![forbid(unsafe_code)]

use proto::VirtAddr;

/// Where the page is, in the idler and in who reads it.
pub const COUNTS: VirtAddr = VirtAddr::new_page(0x2900_0000).unwrap();

/// Rounds of the idler in which it finds out what a round takes.
pub const MEASURED_ROUNDS: u64 = 1 << 20;

/// A word of the page.
#[derive(Clone, Copy)]
pub enum Word {
    /// Rounds since the start.
    Rounds,
    /// Ticks of the processor's counter in [`MEASURED_ROUNDS`].
    Ticks,
}

impl Word {
    /// Returns where it is.
    #[must_use]
    pub fn address(self) -> usize {
        let skipped = match self {
            Self::Rounds => 0,
            Self::Ticks => 8,
        };
        usize::try_from(COUNTS.get()).unwrap_or_default().saturating_add(skipped)
    }
}

/// Returns what a round takes, in 16ths of an instruction, if a tick is so many instructions. A
/// compiler may do some rounds at a time, but no more than that.
#[must_use]
pub fn round_in_16ths(instructions_per_tick: u64) -> u64 {
    let ticks: u64 = shm::load(Word::Ticks.address());
    let all = ticks.saturating_mul(instructions_per_tick).saturating_mul(16);
    all.saturating_add(MEASURED_ROUNDS / 2).checked_div(MEASURED_ROUNDS).unwrap_or_default()
}

/// Returns how many rounds there were since the start.
#[must_use]
pub fn rounds() -> u64 {
    shm::load(Word::Rounds.address())
}
