// SPDX-License-Identifier: BSD-2-Clause
//! The accounts as a tree: that of the pool, below it those of the peers, and below them those that
//! were split off.

use pmserver_client::{AccountRow, PAGE_BYTES, Pm, RecordId, Transport};
use proto::Console;
use proto::limits::ACCOUNT_DEPTH_MAX;

use crate::books::Books;
use crate::error::ShellError;

/// KiB of a page.
const PAGE_KIB: u64 = PAGE_BYTES >> 10;

/// Columns of a name, and of the one before a number.
const NAME: usize = 13;

/// Prints all accounts, and what is free.
pub(crate) fn print_accounts<T: Transport>(
    pm: &Pm<T>,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    let books = Books::read(pm)?;
    let [limit, used, frames, tables] = ["limit", "used", "frames", "tables"];
    let [slots, records, extra] = ["slots", "records", "extra"];
    console.print(format_args!(
        "KiB           {limit:>7} {used:>7} {frames:>7} {tables:>7} {slots:>7} {records:>7} \
         {extra:>7}\n"
    ));
    print_below(console, &books, None, 0);
    let free = books.accounts.iter().map(|row| kib(row.free)).sum::<u64>();
    console.print(format_args!("free          {free:>7}\n"));
    Ok(())
}

/// Prints the accounts below one, each with those below it.
fn print_below(console: &mut impl Console, books: &Books, parent: Option<RecordId>, depth: usize) {
    if depth > ACCOUNT_DEPTH_MAX {
        return;
    }
    for row in books.accounts.iter().filter(|row| row.parent == parent) {
        print_account(console, depth, &books.account(Some(row.id)), row);
        print_below(console, books, Some(row.id), depth.saturating_add(1));
    }
}

fn print_account(console: &mut impl Console, depth: usize, name: &str, row: &AccountRow) {
    let indent = depth.saturating_mul(2);
    let width = NAME.saturating_sub(indent);
    let [limit, used, frames, tables] = [row.limit, row.used(), row.frames, row.tables].map(kib);
    let [slots, records, extra] = [row.slots, row.records, row.extra].map(kib);
    console.print(format_args!(
        "{:indent$}{name:width$} {limit:>7} {used:>7} {frames:>7} {tables:>7} {slots:>7} \
         {records:>7} {extra:>7}\n",
        ""
    ));
}

fn kib(pages: u32) -> u64 {
    u64::from(pages).saturating_mul(PAGE_KIB)
}
