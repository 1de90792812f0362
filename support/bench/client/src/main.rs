// SPDX-License-Identifier: BSD-2-Clause
//! The bench: measures what operations of pmserver and fsserver cost, and what the kernel alone
//! takes for the same, and prints a line for each. `support/bench/report` reads the lines.
//!
//! On the release kernel the lines say instructions; on the benchmark kernel, which counts how
//! often each thread enters it, they say invocations and calls (decision 0034).
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod books;
mod calls;
mod faults;
mod floors;
mod mappings;
mod meter;
mod reads;
mod sharing;
mod table;
mod world;
mod worst;

use pd::Finished;
use sel4_microkit::protection_domain;

use floors::Floors;
use table::Table;
use world::{BenchError, CONSOLE, World};

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
    let mut world = World::new()?;
    books::boot(&mut world, table)?;
    let floors = Floors::measure(&mut world, table)?;
    calls::run(&mut world, table, &floors)?;
    mappings::run(&mut world, table, &floors)?;
    sharing::run(&mut world, table, &floors)?;
    faults::run(&mut world, table, &floors)?;
    reads::run(&mut world, table, &floors)?;
    worst::run(&mut world, table)?;
    books::per_frame(&mut world, table)
}
