// SPDX-License-Identifier: BSD-2-Clause
//! Reading a file in three ways, each beside a rival that copies through a standing share.
//!
//! *Strict*: when the client looks, nobody else has access to the bytes: arm, read, disarm. The
//! mapping of the client stays all the time; the server takes the frames and gives them back. (4
//! KiB as a program reads that does not know of this: share, read, unshare; the mapping is made
//! again after the server's lease took it away.) *Standing*: the share stays, and the server's
//! lease and its mapping; the server could still write. *Lent*: the server copies logically from
//! what it has cached.

use fsserver_api::{FileHandle, ReadLength};
use pmserver_api::{ContainerHandle, MapFlags, Rights, ShareTerms, Shared};
use proto::{AddressSpace, FrameCount, Micros, PAGE_BYTES, PeerId, VirtAddr};
use shm::OwnMemory;

use crate::floors::{BUFFER, Floors, SHARE};
use crate::meter::{Meter, ROUNDS};
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FSSERVER_PEER, LARGE_WINDOW, LONG, READ_WRITE, World, allocate, at, deallocate,
    map, page, rival_read, sweep, touch, unmap,
};

/// The file that the bench reads, 2 MiB long; make writes it.
const PATH: &[u8] = b"/data/two-mib.txt";
const FILE_FRAMES: u64 = 512;
const STANDING_FRAMES: u64 = 16;
/// How the file begins.
const FIRST_BYTES: &[u8; 8] = b"1\n2\n3\n4\n";
/// How often fsserver copies each byte: from its image into the container.
const FSSERVER_COPIES: u64 = 1;
const ROUNDS_OF_MANY: u64 = 4;
/// Where the page of the path is mapped.
const PATH_PAGE: VirtAddr = VirtAddr::new_page(0x1001_0000).unwrap();

pub(crate) fn run(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let file = lookup(world, table, floors)?;
    let buffer = world.container(STANDING_FRAMES, true)?;
    map(&mut world.pm, buffer, STANDING_FRAMES, LARGE_WINDOW, READ_WRITE)?;
    for (name, pages) in [("read_4k_standing", 1), ("read_64k_standing", STANDING_FRAMES)] {
        standing(world, table, (name, pages), file, buffer)?;
    }
    locked(world, table, file, buffer)?;
    unmap(&mut world.pm, LARGE_WINDOW, STANDING_FRAMES)?;
    world.pm.container_destroy(buffer)?;
    // A large frame: it is taken as a whole.
    let buffer = world.container(FILE_FRAMES, true)?;
    map(&mut world.pm, buffer, FILE_FRAMES, LARGE_WINDOW, READ_WRITE)?;
    for (name, pages) in
        [("read_64k_strict", 16), ("read_256k_strict", 64), ("read_1m_strict", 256)]
    {
        strict(world, table, (name, pages), file, buffer)?;
    }
    unmap(&mut world.pm, LARGE_WINDOW, FILE_FRAMES)?;
    world.pm.container_destroy(buffer)?;
    lent(world, table, file)?;
    rivals(table);
    Ok(())
}

/// Reads a page as a program does that shares it only for the read.
fn locked(
    world: &mut World,
    table: &mut Table,
    file: FileHandle,
    buffer: ContainerHandle,
) -> Result<(), BenchError> {
    let mut meter = Meter::default();
    for _ in 0..ROUNDS_OF_MANY {
        meter.time(|| {
            let shared = world.share(buffer, 1, FSSERVER_PEER)?;
            let done = read(world, file, shared.weak, 1);
            world.pm.unshare(shared.share)?;
            look(world, 1).and(done)
        })?;
        check()?;
    }
    row(table, "read_4k_strict", 1, &meter);
    Ok(())
}

/// Reads 2 MiB by a logical copy of what fsserver has cached, into frames without memory, and maps
/// them.
fn lent(world: &mut World, table: &mut Table, file: FileHandle) -> Result<(), BenchError> {
    let buffer = world.container(FILE_FRAMES, false)?;
    let shared = world.share(buffer, FILE_FRAMES, FSSERVER_PEER)?;
    let mut meter = Meter::default();
    for round in 0..=ROUNDS_OF_MANY {
        let mut read = || -> Result<(), BenchError> {
            world.fs.read_lent(file, shared.weak, 0, at(0))?;
            map(&mut world.pm, buffer, FILE_FRAMES, LARGE_WINDOW, MapFlags::READ)?;
            touch(LARGE_WINDOW, FILE_FRAMES);
            Ok(())
        };
        // The first one fills the cache.
        if round == 0 {
            read()?
        } else {
            meter.time(read)?
        }
        if first_bytes() != *FIRST_BYTES {
            return Err(BenchError::Unexpected("other bytes"));
        }
        unmap(&mut world.pm, LARGE_WINDOW, FILE_FRAMES)?;
        deallocate(&mut world.pm, buffer, FILE_FRAMES)?;
        allocate(&mut world.pm, buffer, FILE_FRAMES)?;
    }
    row(table, "read_2m_lent", FILE_FRAMES, &meter);
    world.pm.unshare(shared.share)?;
    Ok(world.pm.container_destroy(buffer)?)
}

/// Reads the first and the next pages of the file in turn: under the server's lease the client
/// cannot overwrite what it has read.
fn standing(
    world: &mut World,
    table: &mut Table,
    (name, pages): (&'static str, u64),
    file: FileHandle,
    buffer: ContainerHandle,
) -> Result<(), BenchError> {
    let shared = world.share(buffer, pages, FSSERVER_PEER)?;
    let bytes = pages.saturating_mul(PAGE_BYTES);
    let length = ReadLength::new(bytes).ok_or(BenchError::Unexpected("a length"))?;
    let mut read = |offset| -> Result<(), BenchError> {
        let done = world.fs.read_standing(file, shared.weak, offset, at(0), length)?;
        touch(LARGE_WINDOW, pages);
        if done == bytes { Ok(()) } else { Err(BenchError::Unexpected("a short read")) }
    };
    read(bytes)?;
    let next = first_bytes();
    let mut meter = Meter::default();
    for round in 0..ROUNDS {
        let is_first = round.is_multiple_of(2);
        meter.time(|| read(if is_first { 0 } else { bytes }))?;
        if first_bytes() != if is_first { *FIRST_BYTES } else { next } || next == *FIRST_BYTES {
            return Err(BenchError::Unexpected("other bytes"));
        }
    }
    world.fs.release(shared.weak)?;
    world.pm.unshare(shared.share)?;
    row(table, name, pages, &meter);
    Ok(())
}

/// Reads the first pages of the file into a share that is armed for each read.
fn strict(
    world: &mut World,
    table: &mut Table,
    (name, pages): (&'static str, u64),
    file: FileHandle,
    buffer: ContainerHandle,
) -> Result<(), BenchError> {
    let peer = PeerId::new(FSSERVER_PEER).ok_or(BenchError::Unexpected("a peer"))?;
    let terms = ShareTerms { peer, rights: Rights::WRITE, lease_max: LONG, once: true };
    let Shared { share, weak } = world.pm.share_on(buffer, at(0), FILE_FRAMES, terms)?;
    let bytes = pages.saturating_mul(PAGE_BYTES);
    let length = ReadLength::new(bytes).ok_or(BenchError::Unexpected("a length"))?;
    let frames = FrameCount::new(FILE_FRAMES).ok_or(BenchError::Unexpected("frames"))?;
    let mut read = || -> Result<(), BenchError> {
        world.pm.arm(share)?;
        let done = world.fs.read_taken(file, weak, 0, frames, length)?;
        let was_armed = world.pm.disarm(share)?;
        touch(LARGE_WINDOW, pages);
        let is_whole = done == bytes && !was_armed;
        if is_whole { Ok(()) } else { Err(BenchError::Unexpected("a short read")) }
    };
    read()?;
    check()?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS_OF_MANY {
        meter.time(&mut read)?;
        check()?;
    }
    world.pm.unshare(share)?;
    row(table, name, pages, &meter);
    Ok(())
}

/// Reads the start of the file into the frames, in calls of at most 1 MiB.
fn read(
    world: &mut World,
    file: FileHandle,
    weak: ContainerHandle,
    pages: u64,
) -> Result<(), BenchError> {
    let mut done: u64 = 0;
    while let Some(left @ 1..) = pages.checked_sub(done) {
        let more = left.min(256);
        let [offset, bytes] = [done, more].map(|pages| pages.saturating_mul(PAGE_BYTES));
        let length = ReadLength::new(bytes).ok_or(BenchError::Unexpected("a length"))?;
        if world.fs.read(file, weak, offset, at(done), length)? != bytes {
            return Err(BenchError::Unexpected("a short read"));
        }
        done = done.saturating_add(more);
    }
    Ok(())
}

/// Makes the mapping again that the server's lease took away, and loads from each page.
fn look(world: &mut World, pages: u64) -> Result<(), BenchError> {
    sweep(pages, |done, more| {
        let remapped = world.pm.remap(page(LARGE_WINDOW, done), more, READ_WRITE)?;
        Ok(remapped.count)
    })?;
    touch(LARGE_WINDOW, pages);
    Ok(())
}

/// Looks a path up that fsserver has seen: in the message, and in a page.
fn lookup(world: &mut World, table: &mut Table, floors: &Floors) -> Result<FileHandle, BenchError> {
    let path = world.container(1, true)?;
    map(&mut world.pm, path, 1, PATH_PAGE, READ_WRITE)?;
    OwnMemory.copy_out(PATH, PATH_PAGE);
    let peer = PeerId::new(FSSERVER_PEER).ok_or(BenchError::Unexpected("a peer"))?;
    let shared = world.pm.share(path, at(0), 1, peer, Rights::READ, Micros::new(0))?;
    let mut file = world.fs.lookup(shared.weak, PATH.len())?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        world.fs.close(file)?;
        file = meter.time(|| world.fs.lookup(shared.weak, PATH.len()))?;
    }
    let row = |name| Row { file_calls: 1, ..Row::call(name, floors.call) };
    table.row(&row("lookup_known_page"), &meter);
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        world.fs.close(file)?;
        file = meter.time(|| world.fs.lookup_short(PATH))?;
    }
    table.row(&row("lookup_known"), &meter);
    Ok(file)
}

/// Checks that the first bytes have arrived, and overwrites them, so that the next read brings them
/// again.
fn check() -> Result<(), BenchError> {
    let bytes = first_bytes();
    OwnMemory.copy_out(&[0; 8], LARGE_WINDOW);
    if &bytes == FIRST_BYTES { Ok(()) } else { Err(BenchError::Unexpected("other bytes")) }
}

/// Returns the first bytes that have arrived.
fn first_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    OwnMemory.copy_in(LARGE_WINDOW, &mut bytes);
    bytes
}

fn row(table: &mut Table, name: &'static str, pages: u64, meter: &Meter) {
    let bytes = pages.saturating_mul(PAGE_BYTES);
    let row = Row {
        batch: pages,
        file_calls: pages.div_ceil(256),
        copied: bytes.saturating_mul(FSSERVER_COPIES),
        ..Row::call(name, rival(pages, true).instructions_each())
    };
    table.row(&row, meter);
}

/// The floors of reading: a rival whose client copies the bytes out of the share, as it must if
/// they are not to change any more, and one whose client uses them there.
fn rivals(table: &mut Table) {
    for (copying, in_place, pages) in [
        ("rival_4k", "rival_in_place_4k", 1),
        ("rival_64k", "rival_in_place_64k", 16),
        ("rival_256k", "rival_in_place_256k", 64),
        ("rival_1m", "rival_in_place_1m", 256),
        ("rival_2m", "rival_in_place_2m", 512),
    ] {
        table.floor(copying, &rival(pages, true), 1);
        table.floor(in_place, &rival(pages, false), 1);
    }
}

fn rival(pages: u64, copies_out: bool) -> Meter {
    let bytes = usize::try_from(pages.saturating_mul(PAGE_BYTES)).unwrap_or_default();
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        meter.time(|| {
            rival_read(bytes);
            if copies_out {
                shm::copy(SHARE, BUFFER, bytes);
            }
            touch(if copies_out { BUFFER } else { SHARE }, pages);
        });
    }
    meter
}
