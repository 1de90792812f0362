// SPDX-License-Identifier: BSD-2-Clause
//! What is charged to fsserver for files that are open, and for what it caches.

use fsserver_api::FileHandle;
use pmserver_client::ContainerHandle;
use proto::FrameNumber;

use crate::meter::rounded;
use crate::reads;
use crate::table::Table;
use crate::world::{BenchError, MIB, MIB_FRAMES, World, check, lend, length};

/// Files that are open at a time, all the same one.
const OPEN: usize = 32;
/// Small files, of a few bytes each: so few that all of them are cached, and all that there are.
const FEW: u64 = 32;
const MANY: u64 = 128;

pub(crate) fn run(world: &mut World<'_>, table: &mut Table) -> Result<(), BenchError> {
    let container = world.container(MIB_FRAMES, true)?;
    let share = lend(&container, MIB_FRAMES, world.fsserver)?;
    let weak = share.weak_handle();

    let file = world.open(reads::PATH)?;
    let before = used(world)?;
    let mut open = [None; OPEN];
    for place in &mut open {
        *place = Some(world.open(reads::PATH)?);
    }
    let charged = used(world)?.saturating_sub(before);
    table.memory("open_file_bytes", rounded(charged, u64::try_from(OPEN).unwrap_or_default()));
    open.into_iter().flatten().try_for_each(|file| world.fs.close(file))?;

    world.fs.trim()?;
    let before = used(world)?;
    for offset in [0, MIB] {
        world.fs.read(file, weak, offset, FrameNumber::new(0), length(MIB)?)?;
    }
    let cached = used(world)?.saturating_sub(before);
    table.memory("cached_page_bytes", rounded(cached, MIB_FRAMES.saturating_mul(2)));

    let few = charged_for_small(world, weak, FEW)?;
    table.memory("cached_small_file_bytes", rounded(few, FEW));
    // Many take no more than there is room for.
    let many = charged_for_small(world, weak, MANY)?;
    table.memory("small_files_cached", rounded(many.saturating_mul(FEW), few));
    share.unshare().map_err(|refused| refused.error)?;
    Ok(container.destroy().map_err(|refused| refused.error)?)
}

/// Reads so many small files, and returns what fsserver is charged for that.
fn charged_for_small(
    world: &mut World<'_>,
    weak: ContainerHandle,
    count: u64,
) -> Result<u64, BenchError> {
    world.fs.trim()?;
    let before = used(world)?;
    for number in 0..count {
        let file = small(world, number)?;
        let bytes = world.fs.read(file, weak, 0, FrameNumber::new(0), length(MIB)?)?;
        check(bytes > 0, "a small file")?;
        world.fs.close(file)?;
    }
    Ok(used(world)?.saturating_sub(before))
}

fn small(world: &mut World<'_>, number: u64) -> Result<FileHandle, BenchError> {
    let digit = |by: u64| {
        let digit = number.checked_div(by).and_then(|number| number.checked_rem(10));
        b'0'.saturating_add(digit.and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default())
    };
    let mut path = *b"/small/000";
    if let Some(digits) = path.last_chunk_mut() {
        *digits = [digit(100), digit(10), digit(1)];
    }
    world.open(&path)
}

/// Returns the bytes that fsserver is charged.
fn used(world: &World<'_>) -> Result<u64, BenchError> {
    Ok(world.pm.account_of(world.fsserver).info()?.used.get())
}
