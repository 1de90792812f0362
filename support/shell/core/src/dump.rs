// SPDX-License-Identifier: BSD-2-Clause
//! The snapshot: all books, a line for each row, for programs that draw them.
//!
//! ```text
//!   snapshot version=1
//!   account id=50305 name=shell parent=50304 limit=8192 frames=833 …
//!   pages start=0 count=1040 state=reserved …
//!   end
//! ```
//!
//! A line is a word and `key=value` pairs, separated by single spaces. Values have no spaces; a new
//! key may come with any version, and a changed one raises the version. Counts are pages or frames,
//! `id`s name records, and 0 is none.

use alloc::string::String;

use pmserver_client::{
    BookRow, GrantRow, LeaseRow, MappingRow, PagesRow, PeerId, PeerRow, Pm, RecordId, RegionRow,
    Transport,
};
use proto::Console;

use crate::books::Books;
use crate::error::ShellError;

/// Raised if a key that is there means something else.
const VERSION: u32 = 1;

/// Prints the snapshot. Others run meanwhile: it is not of one moment.
pub(crate) fn print_snapshot<T: Transport>(
    pm: &Pm<T>,
    console: &mut impl Console,
) -> Result<(), ShellError> {
    console.print(format_args!("snapshot version={VERSION}\n"));
    let books = Books::read(pm)?;
    books.peers.iter().for_each(|row| print_peer(console, row));
    print_owned(console, &books);
    each::<LeaseRow, T>(pm, |row| {
        let (id, marks, pinned) = (row.id.get(), row.marks.bits(), row.pinned);
        let [container, share] = [row.container, row.share].map(number);
        let (holder, first, last) = (row.holder.get(), row.first.get(), row.last.get());
        console.print(format_args!(
            "lease id={id} holder={holder} container={container} share={share} first={first} \
             last={last} pinned={pinned} marks={marks}\n"
        ));
    })?;
    each::<MappingRow, T>(pm, |row| {
        let (peer, vaddr, pages, state) = (row.peer.get(), row.vaddr, row.pages, row.state.bits());
        let ([container, share], first) = ([row.container, row.share].map(number), row.first.get());
        console.print(format_args!(
            "mapping peer={peer} vaddr={vaddr:#x} pages={pages} state={state} \
             container={container} share={share} first={first}\n"
        ));
    })?;
    each::<GrantRow, T>(pm, |row| {
        let (peer, place, count, state) = (row.peer.get(), row.place, row.count, row.state.bits());
        let ([container, share], first) = ([row.container, row.share].map(number), row.first.get());
        console.print(format_args!(
            "grant peer={peer} place={place} count={count} state={state} \
             container={container} share={share} first={first}\n"
        ));
    })?;
    each::<RegionRow, T>(pm, |row| {
        let (peer, vaddr, pages, flags) = (row.peer.get(), row.vaddr, row.pages, row.flags.bits());
        let first = row.first.get();
        console.print(format_args!(
            "region peer={peer} vaddr={vaddr:#x} pages={pages} flags={flags} first={first}\n"
        ));
    })?;
    print_pages(pm, console)?;
    console.write(b"end\n");
    Ok(())
}

fn print_peer(console: &mut impl Console, row: &PeerRow) {
    let (id, name, privileges) = (row.peer.get(), plain(row.name.as_str()), row.privileges);
    let [account, payer] = [row.account, row.payer].map(number);
    let (tables, faults, stopped) = (row.tables, row.faults, u8::from(row.is_stopped));
    console.print(format_args!(
        "peer id={id} name={name} account={account} payer={payer} tables={tables} \
         faults={faults} stopped={stopped} privileges={privileges}\n"
    ));
}

/// Prints accounts, containers and shares.
fn print_owned(console: &mut impl Console, books: &Books) {
    for row in &books.accounts {
        let (id, name) = (row.id.get(), plain(&books.account(Some(row.id))));
        let (parent, maker) = (number(row.parent), row.maker.map_or(0, PeerId::get));
        let (limit, promised, frames, tables) = (row.limit, row.promised, row.frames, row.tables);
        let (slots, records, extra, own) = (row.slots, row.records, row.extra, row.own);
        let (free, marks) = (row.free, row.marks.bits());
        console.print(format_args!(
            "account id={id} name={name} parent={parent} maker={maker} limit={limit} \
             promised={promised} frames={frames} tables={tables} slots={slots} records={records} \
             extra={extra} own={own} free={free} marks={marks}\n"
        ));
    }
    for row in &books.containers {
        let (id, name) = (row.id.get(), plain(&books.container(Some(row.id))));
        let (owner, account, frames) = (row.owner.get(), number(row.account), row.frames);
        let (ties, shares, leases) = (row.ties, row.shares, row.leases);
        let dying = u8::from(row.is_dying);
        console.print(format_args!(
            "container id={id} name={name} owner={owner} account={account} frames={frames} \
             ties={ties} shares={shares} leases={leases} dying={dying}\n"
        ));
    }
    for row in &books.shares {
        let (id, container, peer) = (row.id.get(), number(row.container), row.peer.get());
        let (rights, marks) = (row.rights.bits(), row.marks.bits());
        let (first, last) = (row.first.get(), row.last.get());
        console.print(format_args!(
            "share id={id} container={container} peer={peer} rights={rights} first={first} \
             last={last} marks={marks}\n"
        ));
    }
}

/// Prints the pages of the pool, those in a row that are used in one way in one line.
fn print_pages<T: Transport>(pm: &Pm<T>, console: &mut impl Console) -> Result<(), ShellError> {
    let mut print = |row: &PagesRow| {
        let (start, count, state) = (row.start, row.pages, row.state.name());
        let (marks, [container, account]) =
            (row.marks.bits(), [row.container, row.account].map(number));
        console.print(format_args!(
            "pages start={start} count={count} state={state} marks={marks} \
             container={container} account={account}\n"
        ));
    };
    let mut run: Option<PagesRow> = None;
    each::<PagesRow, T>(pm, |row| {
        run = match run {
            Some(before)
                if (PagesRow { start: before.start, pages: before.pages, ..row }) == before
                    && before.start.saturating_add(before.pages) == row.start =>
            {
                Some(PagesRow { pages: before.pages.saturating_add(row.pages), ..before })
            }
            before => {
                before.iter().for_each(&mut print);
                Some(row)
            }
        };
    })?;
    run.iter().for_each(&mut print);
    Ok(())
}

/// Gives each row of a book to a function.
fn each<R: BookRow, T: Transport>(pm: &Pm<T>, mut with: impl FnMut(R)) -> Result<(), ShellError> {
    for row in pm.rows::<R>() {
        with(row?);
    }
    Ok(())
}

fn number(record: Option<RecordId>) -> u32 {
    record.map_or(0, RecordId::get)
}

/// Returns a name without what separates fields.
fn plain(name: &str) -> String {
    name.chars().map(|it| if it.is_whitespace() || it == '=' { '_' } else { it }).collect()
}
