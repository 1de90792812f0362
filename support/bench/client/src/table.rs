// SPDX-License-Identifier: BSD-2-Clause
//! The lines that the bench prints.

use core::fmt::Arguments;

use console_api::Client;
use pd::PpChannel;
use proto::Console;

use crate::meter::{COUNTS_ENTRIES, Meter};
use crate::world::CONSOLE;

/// What the figures of a row are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Per {
    /// All that was measured at once.
    Call,
    /// A frame of it.
    Frame,
}

/// A row of the table, but for what was measured.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Frames that one measurement is about; 1 if it is not about frames.
    pub(crate) batch: u64,
    pub(crate) per: Per,
    /// Instructions that cannot be avoided, for one measurement.
    pub(crate) floor: u64,
    /// The client's calls to fsserver, and its faults, in one measurement.
    pub(crate) file_calls: u64,
    pub(crate) faults: u64,
    /// Bytes that programs copy in one measurement.
    pub(crate) copied: u64,
}

impl Row {
    /// A row about one call to pmserver.
    pub(crate) const fn call(name: &'static str, floor: u64) -> Self {
        let per = Per::Call;
        Self { name, batch: 1, per, floor, file_calls: 0, faults: 0, copied: 0 }
    }

    /// A row about so many frames, with figures per frame. The floor is that of all.
    pub(crate) const fn frames(name: &'static str, batch: u64, floor: u64) -> Self {
        Self { batch, per: Per::Frame, ..Self::call(name, floor) }
    }

    /// A row about so many frames, with figures for all of them.
    pub(crate) const fn batch(name: &'static str, batch: u64, floor: u64) -> Self {
        Self { batch, ..Self::call(name, floor) }
    }
}

/// Prints the lines.
pub(crate) struct Table(Client<PpChannel>);

impl Table {
    pub(crate) fn new() -> Self {
        Self(Client::new(PpChannel::new(CONSOLE)))
    }

    /// Prints a line.
    pub(crate) fn line(&mut self, text: Arguments<'_>) {
        self.0.print(format_args!("{text}\n"));
    }

    /// Prints what the kernel takes for something, in instructions each; returns it.
    pub(crate) fn floor(&mut self, name: &str, meter: &Meter, units: u64) -> u64 {
        let each = rounded(meter.instructions(), meter.times().saturating_mul(units));
        if !COUNTS_ENTRIES {
            self.line(format_args!("floor {name} instructions={each}"));
        }
        each
    }

    /// Prints a row.
    pub(crate) fn row(&mut self, row: &Row, meter: &Meter) {
        let Row { name, batch, floor, copied, .. } = row;
        let units = if row.per == Per::Frame { *batch } else { 1 };
        if COUNTS_ENTRIES {
            let (invocations, calls) = counts(row, meter);
            // In hundredths: some are made once for many frames.
            let [invocations, calls] =
                [invocations, calls].map(|count| rounded(count.saturating_mul(100), units));
            self.line(format_args!(
                "count {name} invocations_in_100={invocations} ipcs_in_100={calls}"
            ));
        } else {
            let all = meter.times().saturating_mul(units);
            let instructions = rounded(meter.instructions(), all);
            let [floor, copied] = [*floor, *copied].map(|figure| rounded(figure, units));
            self.line(format_args!(
                "row {name} batch={batch} per_frame={} instructions={instructions} floor={floor} \
                 copied={copied}",
                u8::from(row.per == Per::Frame),
            ));
        }
    }
}

/// Returns how many invocations pmserver has made, and how many calls and faults there were. A
/// server enters the kernel once for each request that it waits for, for each invocation that it
/// makes and for each call.
fn counts(row: &Row, meter: &Meter) -> (u64, u64) {
    let entries = meter.entries();
    let own_calls = entries.client.saturating_sub(row.faults);
    let of_fsserver = entries.fsserver.saturating_sub(row.file_calls);
    let to_pmserver = own_calls.saturating_sub(row.file_calls).saturating_add(of_fsserver);
    let requests = to_pmserver.saturating_add(row.faults);
    let invocations = entries.pmserver.saturating_sub(requests);
    (invocations, requests.saturating_add(row.file_calls))
}

fn rounded(sum: u64, count: u64) -> u64 {
    sum.saturating_add(count / 2).checked_div(count).unwrap_or_default()
}
