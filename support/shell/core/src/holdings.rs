// SPDX-License-Identifier: BSD-2-Clause
//! Who holds what: containers, what of them is lent to whom, and what a domain has mapped.

use alloc::string::String;

use pmserver_client::{
    CURSOR_PEER_SHIFT, MapFlags, MappingRow, MappingState, PAGE_BYTES, Pm, RegionRow, Rights,
    ShareMarks, Transport,
};
use proto::Console;

use crate::books::Books;
use crate::error::ShellError;

/// Prints all containers.
pub(crate) fn print_containers<T: Transport>(
    pm: &Pm<T>,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    let books = Books::read(pm)?;
    let [name, account, frames, mapped, shares] =
        ["container", "account", "frames", "mapped", "shares"];
    console.print(format_args!(
        "{name:16} {account:13} {frames:>7} {mapped:>7} {shares:>7}  leases\n"
    ));
    for row in &books.containers {
        let (name, account) = (books.container(Some(row.id)), books.account(row.account));
        let (frames, ties, shares, leases) = (row.frames, row.ties, row.shares, row.leases);
        let end = if row.is_dying { " (ends)" } else { "" };
        console.print(format_args!(
            "{name:16} {account:13} {frames:>7} {ties:>7} {shares:>7} {leases:>7}{end}\n"
        ));
    }
    Ok(())
}

/// Prints all shares.
pub(crate) fn print_shares<T: Transport>(
    pm: &Pm<T>,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    let books = Books::read(pm)?;
    let [name, to, rights] = ["container", "lent to", "rights"];
    console.print(format_args!("{name:16} {to:13} {rights:6}  frames\n"));
    for row in &books.shares {
        let (name, peer) = (books.container(row.container), books.peer(row.peer));
        let rights = letters(&[
            (row.rights.contains(Rights::READ), 'r'),
            (row.rights.contains(Rights::WRITE), 'w'),
            (row.rights.contains(Rights::LOCK), 'l'),
            (row.marks.contains(ShareMarks::ONCE), '1'),
        ]);
        let (first, last) = (row.first.get(), row.last.get());
        console.print(format_args!("{name:16} {peer:13} {rights:6}  {first} to {last}\n"));
    }
    Ok(())
}

/// Prints what a domain has mapped, and where pages are mapped as they are touched.
pub(crate) fn print_map<T: Transport>(
    pm: &Pm<T>,
    name: &str,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    let books = Books::read(pm)?;
    let peer = books.peer_named(name).ok_or(ShellError::Usage("no domain has this name"))?.peer;
    let [address, pages, asked, now, of] = ["address", "pages", "asked", "now", "of"];
    console.print(format_args!("{address:>12} {pages:>6} {asked:5} {now:3}  {of:16} frames\n"));
    let from = u64::from(peer.get()) << CURSOR_PEER_SHIFT;
    let mut run: Option<MappingRow> = None;
    for row in pm.rows_from::<MappingRow>(from) {
        let row = row?;
        if row.peer != peer {
            break;
        }
        run = match run {
            Some(before) if goes_on(&before, &row) => {
                Some(MappingRow { pages: before.pages.saturating_add(row.pages), ..before })
            }
            before => {
                if let Some(before) = before {
                    print_run(console, &books, &before);
                }
                Some(row)
            }
        };
    }
    if let Some(run) = run {
        print_run(console, &books, &run);
    }
    for row in pm.rows_from::<RegionRow>(from) {
        let row = row?;
        if row.peer != peer {
            break;
        }
        let asked = letters(&[
            (row.flags.contains(MapFlags::READ), 'r'),
            (row.flags.contains(MapFlags::WRITE), 'w'),
            (row.flags.contains(MapFlags::EXECUTE), 'x'),
        ]);
        let (vaddr, pages, first) = (row.vaddr, row.pages, row.first.get());
        console.print(format_args!("{vaddr:#12x} {pages:>6} {asked:5} as touched, from {first}\n"));
    }
    Ok(())
}

/// Returns whether a run of pages goes on with the next row.
fn goes_on(before: &MappingRow, row: &MappingRow) -> bool {
    let pages = u64::from(before.pages);
    let is_next = before.vaddr.saturating_add(pages.saturating_mul(PAGE_BYTES)) == row.vaddr
        && before.first.get().saturating_add(pages) == row.first.get()
        && before.pages.checked_add(row.pages).is_some();
    let terms = |row: &MappingRow| (row.state, row.container, row.share);
    is_next && terms(before) == terms(row)
}

fn print_run(console: &mut impl Console, books: &Books, row: &MappingRow) {
    let has = |state| row.state.contains(state);
    let asked = letters(&[
        (has(MappingState::READ) || has(MappingState::WRITE), 'r'),
        (has(MappingState::WRITE), 'w'),
        (has(MappingState::EXECUTE), 'x'),
    ]);
    let now = letters(&[(has(MappingState::INSTALLED), 'r'), (has(MappingState::WRITABLE), 'w')]);
    let size = if has(MappingState::LARGE) { ", 2 MiB each" } else { "" };
    let lent = if row.share.is_some() { ", lent" } else { "" };
    let (vaddr, pages, first) = (row.vaddr, row.pages, row.first.get());
    let last = first.saturating_add(u64::from(pages)).saturating_sub(1);
    let of = books.container(row.container);
    console.print(format_args!(
        "{vaddr:#12x} {pages:>6} {asked:5} {now:3}  {of:16} {first} to {last}{lent}{size}\n"
    ));
}

/// Returns a letter for each of what is there, or a dash for nothing.
fn letters(of: &[(bool, char)]) -> String {
    let there: String = of.iter().filter(|(is_there, _)| *is_there).map(|(_, it)| *it).collect();
    if there.is_empty() { "-".into() } else { there }
}
