// SPDX-License-Identifier: BSD-2-Clause
//! The bench of files on a disk: measures what operations of fsserver cost, beside a client of the
//! driver and a rival that copies, and prints a line for each. `support/bench/report` reads the
//! lines.
//!
//! While all wait for the disk, the idler runs; what it takes is subtracted (decision 0053).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod changes;
mod memory;
mod meter;
mod reads;
mod rival;
mod table;
mod world;

use pd::{Finished, PpChannel};
use pmserver_client::Pm;
use sel4_microkit::protection_domain;

use table::Table;
use world::{BenchError, CONSOLE, PMSERVER, World};

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let mut table = Table::new();
    match run(&mut table) {
        Ok(()) => table.line(format_args!("PASS")),
        Err(error) => table.line(format_args!("FAIL: {error:?}")),
    }
    Finished
}

fn run(table: &mut Table) -> Result<(), BenchError> {
    meter::begin();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let mut world = World::new(&pm)?;
    // Before anything is written by fsserver: the rival writes blocks that it has read.
    let floors = rival::Floors::measure(&mut world, table)?;
    reads::run(&mut world, table, &floors)?;
    memory::run(&mut world, table)?;
    changes::run(&mut world, table, &floors)
}
