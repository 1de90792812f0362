// SPDX-License-Identifier: BSD-2-Clause
//! Reading: what fsserver has cached, and what it has to read from the disk. *Strict* is as in the
//! bench without a disk: when the client looks, nobody else has access to the bytes. *Lent* is by
//! logical copy: nobody copies a byte.

use fsserver_api::{FileHandle, StrictReader};
use pmserver_client::{Container, MapFlags, PAGE_BYTES, Transport};
use proto::{FrameCount, FrameNumber};
use shm::OwnMemory;

use crate::meter::{BATCHES, Meter};
use crate::rival::Floors;
use crate::table::{Row, Table};
use crate::world::{
    BenchError, MIB, MIB_FRAMES, WINDOW, WINDOW_FRAMES, World, check, lend, length, touch,
};

/// The file: 32 MiB of lines with numbers, more than fsserver has room for. Who reads all of it
/// again and again finds nothing in the cache, which is always full.
pub(crate) const PATH: &[u8] = b"/data/thirty-two-mib.txt";
const FILE_MIB: u64 = 32;
/// Of which so much has room.
const CACHED_MIB: u64 = 16;
/// How it begins.
const FIRST_BYTES: &[u8; 8] = b"1\n2\n3\n4\n";
/// Reads of a batch.
const TIMES: u64 = 8;

pub(crate) fn run(
    world: &mut World<'_>,
    table: &mut Table,
    floors: &Floors,
) -> Result<(), BenchError> {
    let file = world.open(PATH)?;
    strict(world, table, floors, file)?;
    lent(world, table, floors, file)?;
    Ok(world.fs.close(file)?)
}

/// Reads as a client does that is the only one to have access then.
fn strict(
    world: &mut World<'_>,
    table: &mut Table,
    floors: &Floors,
    file: FileHandle,
) -> Result<(), BenchError> {
    let container = world.container(WINDOW_FRAMES, true)?;
    let frames = FrameCount::new(WINDOW_FRAMES).ok_or(BenchError::Unexpected("frames"))?;
    let mut reader = StrictReader::new(&container, frames, WINDOW.start(), world.fsserver)?;
    for (name, pages, floor) in [
        ("read_64k_strict_disk", 16, floors.cached_64k),
        ("read_1m_strict_disk", MIB_FRAMES, floors.cached_1m),
    ] {
        let mut meter = Meter::default();
        read(world, &mut reader, file, (0, pages))?;
        for _ in 0..BATCHES {
            for _ in 0..TIMES {
                meter.time(|| read(world, &mut reader, file, (0, pages)))?;
            }
            meter.end_batch(1);
        }
        let copied = pages.saturating_mul(PAGE_BYTES);
        table.row(&Row { name, batch: pages, floor, copied, bound: 2 }, &meter);
    }
    let mut meter = Meter::default();
    for round in 0..=BATCHES {
        if round == 1 {
            // Now the cache is full.
            meter = Meter::default();
        }
        for number in 0..FILE_MIB {
            let offset = number.saturating_mul(MIB);
            meter.time(|| read(world, &mut reader, file, (offset, MIB_FRAMES)))?;
        }
        meter.end_batch(1);
    }
    let (name, floor) = ("read_1m_uncached", floors.uncached_1m);
    table.row(&Row { name, batch: MIB_FRAMES, floor, copied: MIB, bound: 5 }, &meter);
    drop(reader);
    Ok(container.destroy().map_err(|refused| refused.error)?)
}

fn read<P: Transport>(
    world: &mut World<'_>,
    reader: &mut StrictReader<'_, P>,
    file: FileHandle,
    (offset, pages): (u64, u64),
) -> Result<(), BenchError> {
    let bytes = pages.saturating_mul(PAGE_BYTES);
    let read = reader.read(&mut world.fs, file, offset, length(bytes)?)?;
    touch(WINDOW.start(), pages);
    let mut first = [0; 8];
    read.copy_in(&OwnMemory, 0, &mut first)?;
    check(read.count() == bytes, "a short read")?;
    check((&first == FIRST_BYTES) == (offset == 0), "other bytes")
}

/// Reads by logical copy into frames without memory, and maps them: in the place of what was cached
/// before, and into memory that fsserver gets for it.
fn lent(
    world: &mut World<'_>,
    table: &mut Table,
    floors: &Floors,
    file: FileHandle,
) -> Result<(), BenchError> {
    let container = world.container(WINDOW_FRAMES, false)?;
    let share = lend(&container, WINDOW_FRAMES, world.fsserver)?;
    let weak = share.weak_handle();
    for (name, mib, is_first) in
        [("read_1m_uncached_lent", FILE_MIB, false), ("read_1m_first_lent", CACHED_MIB, true)]
    {
        let mut meter = Meter::default();
        for round in 0..BATCHES.saturating_mul(2) {
            if round == BATCHES {
                // So far there was memory that pmserver need not clear.
                meter = Meter::default();
            }
            if is_first {
                world.fs.trim()?;
            }
            // Up to the end of the file: nothing that is not used is read ahead.
            for number in (FILE_MIB.saturating_sub(mib) / 2)..FILE_MIB / 2 {
                let offset = number.saturating_mul(2).saturating_mul(MIB);
                let mut read = || -> Result<(), BenchError> {
                    world.fs.read_lent(file, weak, offset, FrameNumber::new(0))?;
                    look(&container)
                };
                meter.time(&mut read)?;
            }
            meter.end_batch(2);
        }
        let floor = floors.raw_1m;
        table.row(&Row { name, batch: MIB_FRAMES, floor, copied: 0, bound: 5 }, &meter);
    }
    share.unshare().map_err(|refused| refused.error)?;
    Ok(container.destroy().map_err(|refused| refused.error)?)
}

/// Looks at each page of a container.
fn look<P: Transport>(container: &Container<'_, P>) -> Result<(), BenchError> {
    let mapping = container.map(0..WINDOW_FRAMES, WINDOW.start(), MapFlags::READ)?;
    touch(WINDOW.start(), WINDOW_FRAMES);
    Ok(mapping.unmap().map_err(|refused| refused.error)?)
}
