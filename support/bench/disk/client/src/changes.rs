// SPDX-License-Identifier: BSD-2-Clause
//! Writing, making files, and making changes last.
//!
//! The file system gathers changes and writes them to its journal after some of them, and now and
//! then it does more. So a figure is the mean of many operations, and of all of that.

use fsserver_api::FileHandle;
use pmserver_client::{PAGE_BYTES, Share};
use proto::FrameNumber;

use crate::meter::{BATCHES, Meter};
use crate::rival::Floors;
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FORCED, MIB, MIB_FRAMES, WINDOW, World, check, lend, length, touch,
};

/// The file, 2 MiB long.
const PATH: &[u8] = b"/data/two-mib.txt";
const NEW_PATH: &[u8] = b"/data/a new file";
const PARTS: u64 = 2;
/// How often each byte is copied: into the engine's heap. Whole blocks go to the disk from the
/// frames that were taken.
const COPIES: u64 = 1;

pub(crate) fn run(
    world: &mut World<'_>,
    table: &mut Table,
    floors: &Floors,
) -> Result<(), BenchError> {
    let container = world.container(MIB_FRAMES, true)?;
    let mapping = container.map(0..MIB_FRAMES, WINDOW.start(), FORCED)?;
    mapping.copy_out(&mut shm::OwnMemory, b"what is written", 0)?;
    touch(WINDOW.start(), MIB_FRAMES);
    let share = lend(&container, MIB_FRAMES, world.fsserver)?;
    let file = world.open(PATH)?;
    for (name, pages, times, floor) in
        [("write_64k", 16, 64, floors.write_64k), ("write_1m", MIB_FRAMES, 16, floors.write_1m)]
    {
        let mut meter = Meter::default();
        for _ in 0..BATCHES {
            for number in 0..times {
                meter.time(|| write(world, &share, file, (number, pages)))?;
            }
            meter.end_batch(1);
            world.fs.sync()?;
        }
        let copied = pages.saturating_mul(PAGE_BYTES).saturating_mul(COPIES);
        table.row(&Row { name, batch: pages, floor, copied, bound: 5 }, &meter);
    }
    let mut meter = Meter::default();
    for _ in 0..BATCHES {
        for number in 0..16 {
            write(world, &share, file, (number, 16))?;
            meter.time(|| world.fs.sync_file(file))?;
        }
        meter.end_batch(1);
    }
    let row = |name, floor| Row { name, batch: 1, floor, copied: 0, bound: 10 };
    table.row(&row("fsync", floors.flush), &meter);
    world.fs.close(file)?;
    create_unlink(world, table, &row("create_unlink", floors.call.saturating_mul(3)))?;
    share.unshare().map_err(|refused| refused.error)?;
    mapping.unmap().map_err(|refused| refused.error)?;
    Ok(container.destroy().map_err(|refused| refused.error)?)
}

/// Writes the parts of the file in turn.
fn write(
    world: &mut World<'_>,
    share: &Share<'_, pd::PpChannel>,
    file: FileHandle,
    (number, pages): (u64, u64),
) -> Result<(), BenchError> {
    let bytes = pages.saturating_mul(PAGE_BYTES);
    let offset = number.checked_rem(PARTS).unwrap_or_default().saturating_mul(MIB);
    let (weak, start) = (share.weak_handle(), FrameNumber::new(0));
    let written = world.fs.write(file, weak, offset, start, length(bytes)?)?;
    check(written == bytes, "a short write")
}

/// Makes an empty file, closes it and removes it.
fn create_unlink(world: &mut World<'_>, table: &mut Table, row: &Row) -> Result<(), BenchError> {
    let mut meter = Meter::default();
    for _ in 0..BATCHES {
        for _ in 0..64 {
            meter.time(|| {
                let file = world.create(NEW_PATH)?;
                world.fs.close(file)?;
                world.unlink(NEW_PATH)
            })?;
        }
        meter.end_batch(1);
        world.fs.sync()?;
    }
    table.row(row, &meter);
    Ok(())
}
