// SPDX-License-Identifier: BSD-2-Clause
//! The accounts as a tree: that of the pool, and below it those of the peers.

use pmserver_client::{AccountInfo, ByteCount, PeerId, Pm, Transport};
use proto::Console;

use crate::error::ShellError;
use crate::layout::PEERS;

const KIB: u64 = 1024;

/// Prints all accounts, and what is free.
pub(crate) fn print_accounts<T: Transport>(
    pm: &Pm<T>,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    let [limit, used, frames, tables] = ["limit", "used", "frames", "tables"];
    let [slots, records, extra] = ["slots", "records", "extra"];
    console.print(format_args!(
        "KiB           {limit:>7} {used:>7} {frames:>7} {tables:>7} {slots:>7} {records:>7} \
         {extra:>7}\n"
    ));
    let pool = pm.pool().info()?;
    print_account(console, "", "pmserver", &pool);
    for (number, name) in PEERS {
        let Some(peer) = PeerId::new(number.into()) else { continue };
        print_account(console, "  ", name, &pm.account_of(peer).info()?);
    }
    console.print(format_args!("free          {:>7}\n", kib(pool.free)));
    Ok(())
}

fn print_account(console: &mut impl Console, indent: &str, name: &str, info: &AccountInfo) {
    let width = 13_usize.saturating_sub(indent.len());
    let [limit, used, frames, tables] = [info.limit, info.used, info.frames, info.tables].map(kib);
    let [slots, records, extra] = [info.slots, info.records, info.extra].map(kib);
    console.print(format_args!(
        "{indent}{name:width$} {limit:>7} {used:>7} {frames:>7} {tables:>7} {slots:>7} \
         {records:>7} {extra:>7}\n"
    ));
}

/// Accounts are charged for pages, so nothing is rounded.
fn kib(count: ByteCount) -> u64 {
    count.get().checked_div(KIB).unwrap_or_default()
}
