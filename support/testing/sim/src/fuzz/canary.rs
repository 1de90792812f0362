// SPDX-License-Identifier: BSD-2-Clause
//! Models that are wrong on purpose. Each has to be found, or the fuzzer finds nothing.

use super::run::Mistake;
use super::{Plan, Tally, go};

const MISTAKES: [Mistake; 5] = [
    Mistake::RenewKeeps,
    Mistake::StoreIsLost,
    Mistake::ShareStays,
    Mistake::LeasesStay,
    Mistake::AccountStays,
];

/// How many seeds are tried for each mistake: not every run shows it.
const SEEDS_MAX: u64 = 20;

/// Returns an error where a mistake is not found.
pub(super) fn canary(plan: &Plan) -> Result<Tally, String> {
    for mistake in MISTAKES {
        let is_found = |seed| {
            let plan = Plan { seed, ..plan.clone() };
            let is_well = |mistake| go(&plan, mistake).is_ok();
            // The run has to be well without the mistake.
            !is_well(mistake) && is_well(Mistake::None)
        };
        let mut seeds = (0..SEEDS_MAX).map(|more| plan.seed.wrapping_add(more));
        if !seeds.any(is_found) {
            return Err(format!(
                "sim fuzz canary {:#x} : {mistake:?} is not found with {SEEDS_MAX} seeds",
                plan.seed
            ));
        }
    }
    Ok(Tally::default())
}
