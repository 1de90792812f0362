// SPDX-License-Identifier: BSD-2-Clause
//! A clock that a domain reads without a call.

use proto::Micros;

use crate::regions::counter;

const MICROS_PER_SECOND: u64 = 1_000_000;

/// Returns the time by the processor's counter, in microseconds from any start, or `None` if the
/// processor does not say how fast it counts: on x86-64.
#[must_use]
pub fn own_time() -> Option<Micros> {
    let (ticks, per_second) = counter();
    micros(ticks, per_second?)
}

/// Converts ticks of a counter, with how many of them a second has, or `None` if that is 0.
#[must_use]
pub fn micros(ticks: u64, per_second: u64) -> Option<Micros> {
    let seconds = ticks.checked_div(per_second)?;
    let rest = ticks.checked_rem(per_second)?.saturating_mul(MICROS_PER_SECOND);
    let micros = seconds.saturating_mul(MICROS_PER_SECOND);
    Some(Micros::new(micros.saturating_add(rest.checked_div(per_second)?)))
}
