// SPDX-License-Identifier: BSD-2-Clause
//! The lines that the bench prints.

use core::fmt::{Arguments, Display, Formatter, Result};

use console_api::Client;
use pd::PpChannel;
use proto::Console;

use crate::meter::Meter;
use crate::world::CONSOLE;

/// A row of the table, but for what was measured.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Frames that it is about; 1 if it is not about frames.
    pub(crate) batch: u64,
    /// Instructions that cannot be avoided, or those of the rival.
    pub(crate) floor: u64,
    /// Bytes that programs copy.
    pub(crate) copied: u64,
    /// A figure is worse if it is more than so many percent above the accepted one: more than two
    /// where two runs differ by as much.
    pub(crate) bound: u64,
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

    /// Prints what the rival takes for something; returns it.
    pub(crate) fn floor(&mut self, name: &str, meter: &Meter) -> u64 {
        self.line(format_args!("floor {name} {}", Measured(meter)));
        meter.instructions()
    }

    /// Prints a row.
    pub(crate) fn row(&mut self, row: &Row, meter: &Meter) {
        let Row { name, batch, floor, copied, bound } = row;
        self.line(format_args!(
            "row {name} batch={batch} per_frame=0 floor={floor} copied={copied} bound={bound} {}",
            Measured(meter)
        ));
    }

    /// Prints how much memory something takes.
    pub(crate) fn memory(&mut self, name: &str, value: u64) {
        self.line(format_args!("memory {name} value={value}"));
    }
}

/// Prints what was measured. The report reads the first two; the others are for who reads the
/// lines.
struct Measured<'a>(&'a Meter);

impl Display for Measured<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self(meter) = self;
        let (each, spread, idle) = (meter.instructions(), meter.spread(), meter.idle());
        let [least, most] = meter.ends();
        write!(
            f,
            "instructions={each} spread_in_1000={spread} least={least} most={most} idle={idle}"
        )
    }
}
