// SPDX-License-Identifier: BSD-2-Clause
//! What is tried.

use core::fmt::Write;

use block_api::{BlockCount, BlockError, Client, Completed, Completion, Place, Tag};
use pmserver_client::{
    AddressSpace, ContainerHandle, MapFlags, Mapping, Micros, Pm, Rights, ShareTerms, Transport,
    VirtAddr,
};
use proto::Waiter;
use proto::limits::{BLOCK_BYTES, BLOCK_REQUEST_BLOCKS_MAX, LARGE_FRAMES, LEASE_MICROS_MAX};

use crate::failure::Failure;

/// The memory that is lent, and where it is mapped.
const FRAMES: u64 = 128;
const BLOCKS: u64 = FRAMES * 8;
const WINDOW: VirtAddr = VirtAddr::new(0x1000_0000).unwrap();
const LARGE_WINDOW: VirtAddr = VirtAddr::new(0x1020_0000).unwrap();

/// What make has written to block 0, and to that of a slow disk; and what it looks for in block 8.
pub const FIRST_LINE: &[u8] = b"make has written this\n";
/// See [`FIRST_LINE`].
pub const SLOW_LINE: &[u8] = b"make has slowed this down\n";
/// See [`FIRST_LINE`]: behind an IOMMU.
pub const CONFINED_LINE: &[u8] = b"make has confined this\n";
/// See [`FIRST_LINE`].
pub const LAST_LINE: &[u8] = b"the disk test has written this\n";
const LAST_BLOCK: u64 = 8;

/// Requests under way at the same time: as many as one share has leases. Each moves so many blocks.
const REQUESTS: u64 = 4;
const REQUEST_BLOCKS: u64 = BLOCKS / REQUESTS;
/// Blocks of a request that can always be made, whatever frames it is for.
const SMALL_REQUEST_BLOCKS: u64 = 64 * 8;
/// Where they go: in the second mebibyte of the disk, and with gaps.
const AREA: u64 = 2048;
const AREA_STEP: u64 = 1000;

/// The block of which make says that reading fails.
pub const BAD_BLOCK: u64 = 16_000;

/// How often the last line is written.
const TRIES_MAX: u32 = 10;

pub(crate) type Block = [u8; 512];

/// Which disk it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Quick,
    Slow,
    Confined,
}

/// The disk and the memory for it.
pub(crate) struct Rig<'pm, T: Transport, S, W> {
    pub(crate) disk: Client<T>,
    weak: ContainerHandle,
    pub(crate) mapping: &'pm Mapping<'pm, T>,
    pub(crate) memory: S,
    waiter: W,
}

/// Runs the test.
pub(crate) fn run<T: Transport>(
    pm: &Pm<T>,
    mut disk: Client<T>,
    (memory, waiter): (impl AddressSpace, impl Waiter),
    line: &mut impl Write,
) -> Result<(), Failure> {
    let identity = disk.version().map_err(|error| Failure::Refused("version", error))?;
    let geometry = disk.geometry().map_err(|error| Failure::Refused("geometry", error))?;
    let before = pm.account().info()?;

    let container = pm.account().create_container()?;
    container.allocate(0..FRAMES)?;
    let flags = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    let mapping = container.map(0..FRAMES, WINDOW, flags)?;
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let (peer, lease_max) = (identity.peer, Micros::new(LEASE_MICROS_MAX));
    let terms = ShareTerms { peer, rights, lease_max, once: false };
    let share = container.share(0..FRAMES, terms)?;
    let mut rig = Rig { disk, weak: share.weak_handle(), mapping: &mapping, memory, waiter };

    let kind = rig.kind()?;
    let moved = if kind == Kind::Slow {
        rig.a_slow_disk_is_reset()?
    } else {
        let moved = rig.what_was_written_is_read()?;
        rig.a_large_frame_is_read_at_once(pm, terms, kind == Kind::Confined)?;
        rig.parts_of_frames_move()?;
        rig.refusals_are_errors(geometry.blocks)?;
        rig.a_bad_block_costs_one_request()?;
        rig.the_rest_of_the_operations(geometry.features.has_discard)?;
        if kind == Kind::Confined {
            rig.a_driver_reaches_no_other_memory()?;
        }
        moved
    };
    rig.leave_a_line()?;

    share.unshare().map_err(|refused| refused.error)?;
    mapping.unmap().map_err(|refused| refused.error)?;
    container.destroy().map_err(|refused| refused.error)?;
    if pm.account().info()?.used != before.used {
        return Err(Failure::Wrong("the account is not where it was"));
    }
    let has = |is_there: bool| if is_there { "yes" } else { "no" };
    // The console reports no errors.
    let _ = writeln!(
        line,
        "disk: blocks {}, read-only {}, flush {}, discard {}; blocks moved {moved}",
        geometry.blocks,
        has(geometry.features.is_read_only),
        has(geometry.features.has_flush),
        has(geometry.features.has_discard),
    );
    Ok(())
}

impl<T: Transport, S: AddressSpace, W: Waiter> Rig<'_, T, S, W> {
    /// Finds out which disk it is.
    fn kind(&mut self) -> Result<Kind, Failure> {
        self.read(0, 0, 1)?;
        self.wait("reading block 0", 1)?;
        let mut bytes: Block = [0; 512];
        self.mapping.copy_in(&self.memory, 0, &mut bytes)?;
        let lines =
            [(FIRST_LINE, Kind::Quick), (SLOW_LINE, Kind::Slow), (CONFINED_LINE, Kind::Confined)];
        let found = lines.into_iter().find(|(line, _)| bytes.starts_with(line));
        let (_, kind) = found.ok_or(Failure::Wrong("block 0 is not what make has written"))?;
        Ok(kind)
    }

    /// A disk that does two requests a second has no time for four. It is reset, and works on.
    fn a_slow_disk_is_reset(&mut self) -> Result<u64, Failure> {
        for number in 0..REQUESTS {
            self.read(number.saturating_mul(8), AREA, 8)?;
        }
        let (mut done, mut aborted): (u64, u64) = (0, 0);
        while done.saturating_add(aborted) < REQUESTS {
            for Completion { result, .. } in self.completed("reading from a slow disk")?.iter() {
                let sum = if result == Err(BlockError::Aborted) { &mut aborted } else { &mut done };
                *sum = sum.saturating_add(1);
            }
        }
        // On a busy host even the first may be late.
        (aborted > 0).then_some(0).ok_or(Failure::Wrong("a slow disk was not reset"))
    }

    /// Several requests at a time, each in its own frames; returns how many blocks were moved.
    fn what_was_written_is_read(&mut self) -> Result<u64, Failure> {
        for block in 0..BLOCKS {
            self.fill(block, block)?;
        }
        let starts = (0..REQUESTS).map(|number| {
            (
                number.saturating_mul(REQUEST_BLOCKS),
                AREA.saturating_add(number.saturating_mul(AREA_STEP)),
            )
        });
        for (offset, block) in starts.clone() {
            self.write(offset, block, REQUEST_BLOCKS)?;
        }
        self.wait("writing", REQUESTS)?;
        self.flush()?;
        for block in 0..BLOCKS {
            self.fill(block, u64::MAX)?;
        }
        for (offset, block) in starts {
            self.read(offset, block, REQUEST_BLOCKS)?;
        }
        self.wait("reading", REQUESTS)?;
        (0..BLOCKS).try_for_each(|block| self.expect(block, block))?;
        Ok(BLOCKS.saturating_mul(2))
    }

    /// All that was written, and the gaps, by one request.
    fn a_large_frame_is_read_at_once(
        &mut self,
        pm: &Pm<T>,
        terms: ShareTerms,
        is_confined: bool,
    ) -> Result<(), Failure> {
        let container = pm.account().create_container()?;
        container.allocate(0..LARGE_FRAMES)?;
        let share = container.share(0..LARGE_FRAMES, terms)?;
        let weak = core::mem::replace(&mut self.weak, share.weak_handle());
        // Behind an IOMMU a large frame is none, and a request has fewer frames (BLK-30).
        let step = if is_confined { SMALL_REQUEST_BLOCKS } else { BLOCK_REQUEST_BLOCKS_MAX };
        let mut offset: u64 = 0;
        while offset < BLOCK_REQUEST_BLOCKS_MAX {
            self.read(offset, AREA.saturating_add(offset), step)?;
            self.wait("reading into a large frame", 1)?;
            offset = offset.saturating_add(step);
        }
        self.weak = weak;
        share.unshare().map_err(|refused| refused.error)?;
        let mapping = container.map(0..LARGE_FRAMES, LARGE_WINDOW, MapFlags::READ)?;
        for block in 0..BLOCKS {
            let gaps = block.checked_div(REQUEST_BLOCKS).unwrap_or_default();
            let gaps = gaps.saturating_mul(AREA_STEP.saturating_sub(REQUEST_BLOCKS));
            let (mut written, mut read): (Block, Block) = ([0; 512], [1; 512]);
            self.mapping.copy_in(&self.memory, block.saturating_mul(512), &mut written)?;
            let there = block.saturating_add(gaps).saturating_mul(512);
            mapping.copy_in(&self.memory, there, &mut read)?;
            if written != read {
                return Err(Failure::Wrong("a large frame is not what was written"));
            }
        }
        mapping.unmap().map_err(|refused| refused.error)?;
        container.destroy().map_err(|refused| refused.error)?;
        Ok(())
    }

    /// Blocks that begin and end inside of frames, and what is beside them.
    fn parts_of_frames_move(&mut self) -> Result<(), Failure> {
        (0..24).try_for_each(|block| self.fill(block, 7777))?;
        self.read(5, AREA, 13)?;
        self.wait("reading parts of frames", 1)?;
        for block in 0..24 {
            let moved = (5..18).contains(&block);
            self.expect(block, if moved { block.saturating_sub(5) } else { 7777 })?;
        }
        self.write(5, AREA.saturating_add(1), 2)?;
        self.wait("writing a part of a frame", 1)?;
        self.read(0, AREA, 4)?;
        self.wait("reading it", 1)?;
        [0, 0, 1, 3].into_iter().zip(0..).try_for_each(|(seed, block)| self.expect(block, seed))
    }

    fn refusals_are_errors(&mut self, blocks: u64) -> Result<(), Failure> {
        let one = BlockCount::new(1).ok_or(Failure::Wrong("one block"))?;
        let here = Place { container: self.weak, offset: 0 };
        let nowhere = Place { container: self.weak, offset: BLOCKS };
        for (place, block, error) in
            [(here, blocks, BlockError::PastEnd), (nowhere, 0, BlockError::PmRefused)]
        {
            let refused = self.disk.read(place, block, one, Tag::new(0));
            if refused.err().and_then(|refused| refused.refusal()) != Some(error) {
                return Err(Failure::Wrong("what is not there was not refused"));
            }
        }
        Ok(())
    }

    /// What is read at the same time is not affected.
    fn a_bad_block_costs_one_request(&mut self) -> Result<(), Failure> {
        let (bad, good) = (Tag::new(1), Tag::new(2));
        for (tag, offset, block) in [(bad, 0, BAD_BLOCK.saturating_sub(3)), (good, 8, AREA)] {
            let place = Place { container: self.weak, offset };
            let queued = self.disk.read(place, block, of(8)?, tag);
            queued.map_err(|error| Failure::Refused("reading near a bad block", error))?;
        }
        let (mut of_bad, mut of_good) = (None, None);
        while of_bad.is_none() || of_good.is_none() {
            for Completion { tag, result } in self.completed("reading near a bad block")?.iter() {
                let of_it = if tag == bad { &mut of_bad } else { &mut of_good };
                *of_it = Some(result);
            }
        }
        match (of_bad, of_good) {
            (Some(Err(BlockError::Failed)), Some(Ok(()))) => Ok(()),
            _ => Err(Failure::Wrong("a bad block did not cost one request")),
        }
    }

    fn the_rest_of_the_operations(&mut self, has_discard: bool) -> Result<(), Failure> {
        if has_discard {
            let discarded = self.disk.discard(AREA, 1000, Tag::new(1));
            discarded.map_err(|error| Failure::Refused("discard", error))?;
            self.wait("discarding", 1)?;
        }
        self.flush()
    }

    fn leave_a_line(&mut self) -> Result<(), Failure> {
        self.fill(0, 0)?;
        self.mapping.copy_out(&mut self.memory, LAST_LINE, 0)?;
        // A slow disk on a busy host may need several tries.
        let mut tries: u32 = 0;
        loop {
            self.write(0, LAST_BLOCK, 1)?;
            match self.wait("writing the last line", 1) {
                Err(Failure::Ended(_, BlockError::Aborted)) if tries < TRIES_MAX => {
                    tries = tries.saturating_add(1);
                }
                result => break result?,
            }
        }
        self.flush()
    }

    pub(crate) fn read(&mut self, offset: u64, block: u64, count: u64) -> Result<(), Failure> {
        let (place, count) = (Place { container: self.weak, offset }, of(count)?);
        let queued = self.disk.read(place, block, count, Tag::new(1));
        queued.map_err(|error| Failure::Refused("read", error))
    }

    pub(crate) fn write(&mut self, offset: u64, block: u64, count: u64) -> Result<(), Failure> {
        let (place, count) = (Place { container: self.weak, offset }, of(count)?);
        let queued = self.disk.write(place, block, count, Tag::new(1));
        queued.map_err(|error| Failure::Refused("write", error))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.disk.flush(Tag::new(1)).map_err(|error| Failure::Refused("flush", error))?;
        self.wait("flushing", 1)
    }

    /// Sleeps until so many requests have ended.
    pub(crate) fn wait(&mut self, what: &'static str, requests: u64) -> Result<(), Failure> {
        let mut ended: u64 = 0;
        while ended < requests {
            for Completion { result, .. } in self.completed(what)?.iter() {
                result.map_err(|error| Failure::Ended(what, error))?;
                ended = ended.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Sleeps until requests have ended, and returns how.
    fn completed(&mut self, what: &'static str) -> Result<Completed, Failure> {
        loop {
            let completed = self.disk.completed().map_err(|error| Failure::Refused(what, error))?;
            if completed.iter().next().is_some() {
                return Ok(completed);
            }
            self.waiter.wait();
        }
    }

    pub(crate) fn fill(&mut self, block: u64, seed: u64) -> Result<(), Failure> {
        Ok(self.mapping.copy_out(&mut self.memory, &pattern(seed), at(block))?)
    }

    pub(crate) fn expect(&self, block: u64, seed: u64) -> Result<(), Failure> {
        let mut bytes: Block = [0; 512];
        self.mapping.copy_in(&self.memory, at(block), &mut bytes)?;
        let is_it = bytes == pattern(seed);
        is_it.then_some(()).ok_or(Failure::Wrong("a block has other bytes than were written"))
    }
}

fn of(count: u64) -> Result<BlockCount, Failure> {
    BlockCount::new(count).ok_or(Failure::Wrong("a request of too many blocks"))
}

pub(crate) fn at(block: u64) -> u64 {
    block.saturating_mul(BLOCK_BYTES)
}

/// Returns bytes that belong to a number.
fn pattern(seed: u64) -> Block {
    let mut block: Block = [0; 512];
    let mixed = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for (word, to) in (1_u64..).zip(block.as_chunks_mut::<8>().0) {
        *to = mixed.wrapping_mul(word).to_le_bytes();
    }
    block
}
