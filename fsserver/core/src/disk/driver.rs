// SPDX-License-Identifier: BSD-2-Clause
//! A disk behind a driver (block-protocol.md). What the file system reads into private memory goes
//! by way of frames that were lent to the driver; what is read into the cache goes there at once.

use alloc::vec::Vec;
use core::ops::Range;

use block_api::{BlockCount, BlockError, CallError, Client, Completion, Geometry, Place, Tag};
use fsserver_api::{Failure, FsError};
use fsserver_volume::{BLOCK_BYTES, DeviceError};
use pmserver_client::{AddressSpace, Error, PAGE_BYTES, Pages, Pm, PmError, Transport};
use proto::limits::{CALL_FRAMES_MAX, FRAME_BLOCKS, LARGE_FRAMES};

use super::{Disk, Piece, Target, Wait};
use crate::memory::{self, Handles, Home, Memory, TRANSFER_FRAMES};

/// How often a request is made again that the driver could not do in time: it has reset the disk.
const TRIES_MAX: u32 = 3;

/// Requests of one transfer that are under way at the same time: as many as one share has leases.
const REQUESTS: usize = 4;

/// How many frames a request has at most; if it is refused, the next number holds for its parts:
/// those of a large frame, those that are pinned one by one, and those that can be pinned for sure.
const FRAMES: [u64; 3] = [LARGE_FRAMES, CALL_FRAMES_MAX, TRANSFER_FRAMES];

/// A request to the driver.
#[derive(Clone, Copy)]
struct Request {
    direction: Direction,
    /// The first block of the disk.
    block: u64,
    count: u64,
    /// In which lent container.
    home: Home,
    /// The first block of it.
    at: u64,
}

const FLUSH: Request =
    Request { direction: Direction::Flush, block: 0, count: 0, home: Home::Own, at: 0 };

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
    Flush,
}

/// The disk.
pub(crate) struct Driver<T: Transport, A> {
    client: Client<T>,
    space: A,
    geometry: Geometry,
    lent: Handles,
    /// Where the frames for what goes by way of them are mapped.
    transfer: Pages,
    /// Addresses of private bytes that the lent memory has, too, and from which byte of it on.
    copy: (Range<usize>, u64),
    next_tag: u32,
}

impl<T: Transport, A: AddressSpace> Driver<T, A> {
    /// Returns the disk of a driver, to which the memory is lent.
    pub(crate) fn new<P: Transport>(
        space: A,
        driver: T,
        (pm, memory): (&Pm<P>, &Memory),
    ) -> Result<Self, Failure> {
        let mut client = Client::new(driver);
        let failed = |_: CallError| FsError::DiskFailed;
        let peer = client.version().map_err(failed)?.peer;
        let geometry = client.geometry().map_err(failed)?;
        // What was under way before a recovery. Its frames are gone, and what has yet to end is
        // told later, by numbers that nobody waits for.
        while client.completed().map_err(failed)?.waiting > 0 {}
        let lent = memory.lend(pm, peer)?;
        let transfer = memory::place_of(&memory::transfer())?;
        let next_tag = memory.tag_seed();
        Ok(Self { client, space, geometry, lent, transfer, copy: (0..0, 0), next_tag })
    }

    /// Makes requests, and returns when all have ended.
    fn carry_out(&mut self, wait: Wait<'_>, requests: &[Request]) -> Result<(), DeviceError> {
        let mut under_way: Vec<(Tag, Request, u32)> = Vec::with_capacity(REQUESTS);
        let mut left: Vec<(Request, u32)> =
            requests.iter().rev().map(|request| (*request, 1)).collect();
        let mut result = Ok(());
        while !(left.is_empty() && under_way.is_empty()) {
            while under_way.len() < REQUESTS
                && result.is_ok()
                && let Some((request, tries)) = left.pop()
            {
                match self.begin(&request) {
                    Ok(tag) => under_way.push((tag, request, tries)),
                    // Something else is in the way until one has ended.
                    Err(error) if !under_way.is_empty() && !is_too_large(error) => {
                        left.push((request, tries));
                        break;
                    }
                    Err(_) => match request.smaller() {
                        Some(parts) => {
                            left.extend(parts.into_iter().rev().map(|part| (part, tries)));
                        }
                        None => result = Err(DeviceError),
                    },
                }
            }
            if result.is_err() {
                left.clear();
            }
            if under_way.is_empty() {
                continue;
            }
            let before = under_way.len();
            self.collect(|Completion { tag, result: ended }| {
                let Some(index) = under_way.iter().position(|(under, ..)| *under == tag) else {
                    return;
                };
                let (_, request, tries) = under_way.swap_remove(index);
                match ended {
                    Ok(()) => {}
                    Err(BlockError::Aborted) if tries < TRIES_MAX => {
                        left.push((request, tries.saturating_add(1)));
                    }
                    Err(_) => result = Err(DeviceError),
                }
            })?;
            if under_way.len() == before {
                wait();
            }
        }
        result
    }

    /// Tells what has ended.
    fn collect(&mut self, mut ended: impl FnMut(Completion)) -> Result<(), DeviceError> {
        loop {
            let completed = self.client.completed().map_err(|_: CallError| DeviceError)?;
            completed.iter().for_each(&mut ended);
            if completed.waiting == 0 {
                return Ok(());
            }
        }
    }

    fn begin(&mut self, request: &Request) -> Result<Tag, CallError> {
        let tag = Tag::new(self.next_tag);
        self.next_tag = self.next_tag.wrapping_add(1);
        let Request { direction, block, count, home, at } = *request;
        if direction == Direction::Flush {
            return self.client.flush(tag).map(|()| tag);
        }
        let count = BlockCount::new(count).ok_or(BlockError::BadRange)?;
        let place = Place { container: self.lent.of(home), offset: at };
        match direction {
            Direction::Write => self.client.write(place, block, count, tag),
            _ => self.client.read(place, block, count, tag),
        }
        .map(|()| tag)
    }

    /// Moves blocks between the disk and fsserver's own frames, `at` a block of these.
    fn transfer(
        &mut self,
        wait: Wait<'_>,
        direction: Direction,
        (block, bytes): (u64, usize),
        at: u64,
    ) -> Result<(), DeviceError> {
        let (count, home) = (blocks_of(bytes), Home::Own);
        let requests = Request { direction, block, count, home, at }.divide(LARGE_FRAMES);
        self.carry_out(wait, &requests)
    }

    /// Returns at which block of the lent memory there are the same bytes.
    fn copied(&self, private: &[u8]) -> Option<u64> {
        let (copy, at) = &self.copy;
        let addresses = private.as_ptr_range();
        let (start, end) = (addresses.start.addr(), addresses.end.addr());
        let skipped = start.checked_sub(copy.start).filter(|_| end <= copy.end)?;
        let at = at.checked_add(u64::try_from(skipped).ok()?)?;
        at.is_multiple_of(BLOCK_BYTES.try_into().ok()?).then_some(at >> block_bits())
    }
}

impl<T: Transport, A: AddressSpace> Disk for Driver<T, A> {
    type Space = A;

    fn space(&mut self) -> &mut A {
        &mut self.space
    }

    fn blocks(&self) -> u64 {
        self.geometry.blocks
    }

    fn is_read_only(&self) -> bool {
        self.geometry.features.is_read_only
    }

    fn read(&mut self, wait: Wait<'_>, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        let mut block = first;
        for part in to.chunks_mut(transfer_bytes()) {
            self.transfer(wait, Direction::Read, (block, part.len()), transfer_at())?;
            self.transfer.copy_in(&self.space, 0, part).map_err(|_: Error| DeviceError)?;
            block = block.saturating_add(blocks_of(part.len()));
        }
        Ok(())
    }

    fn write(&mut self, wait: Wait<'_>, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        if let Some(at) = self.copied(from) {
            return self.transfer(wait, Direction::Write, (first, from.len()), at);
        }
        let mut block = first;
        for part in from.chunks(transfer_bytes()) {
            self.transfer.copy_out(&mut self.space, part, 0).map_err(|_: Error| DeviceError)?;
            self.transfer(wait, Direction::Write, (block, part.len()), transfer_at())?;
            block = block.saturating_add(blocks_of(part.len()));
        }
        Ok(())
    }

    fn note_copy(&mut self, copy: Option<(&[u8], u64)>) {
        self.copy = copy.map_or((0..0, 0), |(private, at)| {
            let addresses = private.as_ptr_range();
            let start = memory::written().start.saturating_mul(PAGE_BYTES);
            (addresses.start.addr()..addresses.end.addr(), start.saturating_add(at))
        });
    }

    fn flush(&mut self, wait: Wait<'_>) -> Result<(), DeviceError> {
        if !self.geometry.features.has_flush {
            return Ok(());
        }
        self.carry_out(wait, &[FLUSH])
    }

    fn fill(
        &mut self,
        wait: Wait<'_>,
        pieces: &[Piece],
        target: &Target,
    ) -> Result<(), DeviceError> {
        let first = target.first_frame.saturating_mul(FRAME_BLOCKS);
        let requests = pieces.iter().flat_map(|piece| {
            let request = Request {
                direction: Direction::Read,
                block: piece.from >> block_bits(),
                count: blocks_of(usize::try_from(piece.bytes).unwrap_or(usize::MAX)),
                home: target.home,
                at: first.saturating_add(piece.to >> block_bits()),
            };
            request.divide(LARGE_FRAMES)
        });
        let requests: Vec<Request> = requests.collect();
        self.carry_out(wait, &requests)
    }
}

impl Request {
    /// Divides it into requests of at most so many frames, whichever block of one they begin in.
    fn divide(self, frames: u64) -> Vec<Self> {
        let (mut parts, mut done) = (Vec::new(), 0);
        while done < self.count {
            let at = self.at.saturating_add(done);
            let left = self.count.saturating_sub(done);
            let is_large = frames == LARGE_FRAMES && is_whole(at, left);
            let most = if is_large { frames } else { frames.min(CALL_FRAMES_MAX) };
            let in_frame = at.checked_rem(FRAME_BLOCKS).unwrap_or(0);
            let count = left.min(most.saturating_mul(FRAME_BLOCKS).saturating_sub(in_frame));
            parts.push(Self { block: self.block.saturating_add(done), count, at, ..self });
            done = done.saturating_add(count);
        }
        parts
    }

    /// Divides it into requests of fewer frames than it has, if there are such.
    fn smaller(self) -> Option<Vec<Self>> {
        let in_frame = self.at.checked_rem(FRAME_BLOCKS).unwrap_or(0);
        let frames = in_frame.saturating_add(self.count).div_ceil(FRAME_BLOCKS);
        FRAMES.into_iter().find(|fewer| *fewer < frames).map(|fewer| self.divide(fewer))
    }
}

/// Returns whether blocks from there on are pinned with the whole of a large frame (BLK-31).
fn is_whole(at: u64, blocks: u64) -> bool {
    at.is_multiple_of(LARGE_FRAMES * FRAME_BLOCKS) && blocks > CALL_FRAMES_MAX * FRAME_BLOCKS
}

/// Returns whether a request was refused because so many frames cannot be pinned.
fn is_too_large(error: CallError) -> bool {
    let CallError::Refused(failure) = error else { return false };
    failure.pm_refusal() == Some(PmError::TooMany)
}

fn blocks_of(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u64::MAX)
}

const fn block_bits() -> u32 {
    BLOCK_BYTES.trailing_zeros()
}

/// Returns the first block of the frames for transfers.
fn transfer_at() -> u64 {
    memory::transfer().start.saturating_mul(FRAME_BLOCKS)
}

fn transfer_bytes() -> usize {
    let bytes = TRANSFER_FRAMES.saturating_mul(PAGE_BYTES);
    usize::try_from(bytes).unwrap_or(BLOCK_BYTES)
}
