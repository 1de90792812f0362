// SPDX-License-Identifier: BSD-2-Clause
//! What is left to do of a request, and how it is cut into transfers.
//!
//! A transfer's memory is one run on the bus. Frames that do not follow each other there are in
//! several runs, and pmserver tells each when it is asked for the first frame of it.

use pmserver_client::{BusRun, PAGE_BYTES};
use proto::limits::{BLOCK_BYTES, FRAME_BLOCKS};

use crate::device::{BusRange, Limits, Transfer};

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the disk into memory.
    Read,
    /// From memory to the disk.
    Write,
}

/// Pinned memory, from the next block to be moved on.
pub(crate) struct Memory {
    /// The frame of that block.
    pub(crate) frame: u64,
    /// How many blocks of the frame come before it.
    pub(crate) skip: u64,
    /// Where the frame is on the bus, as far as pmserver has told.
    pub(crate) run: BusRun,
}

/// What is left of a request: what no transfer was begun for.
pub(crate) enum Work {
    /// Nothing.
    Nothing,
    /// Blocks to move.
    Blocks { direction: Direction, block: u64, count: u64, memory: Memory },
    /// A flush.
    Flush,
    /// Blocks to discard.
    Discard { block: u64, count: u32 },
}

impl Work {
    /// Returns the frame of which the bus address has to be known before the next transfer.
    pub(crate) const fn needs_address(&self) -> Option<u64> {
        match self {
            Self::Blocks {
                memory: Memory { frame, run: BusRun { frames: 0, .. }, .. }, ..
            } => Some(*frame),
            _ => None,
        }
    }

    /// Learns where the frame is that [`Self::needs_address`] names.
    pub(crate) const fn set_address(&mut self, told: BusRun) {
        if let Self::Blocks { memory, .. } = self {
            memory.run = told;
        }
    }

    /// Returns the next transfer, if something is left.
    pub(crate) fn next(&self, limits: &Limits) -> Option<Transfer> {
        match *self {
            Self::Nothing => None,
            Self::Blocks { direction, block, count, ref memory } => {
                let run_blocks = memory.run.frames.saturating_mul(FRAME_BLOCKS);
                let most = limits.bytes.checked_div(BLOCK_BYTES)?;
                let blocks = count.min(run_blocks.saturating_sub(memory.skip)).min(most);
                let bytes = u32::try_from(blocks.saturating_mul(BLOCK_BYTES)).ok()?;
                let skipped = memory.skip.saturating_mul(BLOCK_BYTES);
                let range = BusRange { address: memory.run.address.checked_add(skipped)?, bytes };
                Some(match direction {
                    Direction::Read => Transfer::Read { block, to: range },
                    Direction::Write => Transfer::Write { block, from: range },
                })
            }
            Self::Flush => Some(Transfer::Flush),
            Self::Discard { block, count } => {
                Some(Transfer::Discard { block, count: count.min(limits.discard_blocks) })
            }
        }
    }

    /// Takes a transfer off, which [`Self::next`] has returned: it was begun.
    pub(crate) fn take_off(&mut self, begun: &Transfer) {
        match (&mut *self, begun) {
            (
                Self::Blocks { block, count, memory, .. },
                Transfer::Read { to: range, .. } | Transfer::Write { from: range, .. },
            ) => {
                let blocks = u64::from(range.bytes).checked_div(BLOCK_BYTES).unwrap_or_default();
                *block = block.saturating_add(blocks);
                *count = count.saturating_sub(blocks);
                memory.pass(blocks);
                if *count > 0 {
                    return;
                }
            }
            (Self::Discard { block, count }, Transfer::Discard { count: begun, .. }) => {
                *block = block.saturating_add((*begun).into());
                *count = count.saturating_sub(*begun);
                if *count > 0 {
                    return;
                }
            }
            _ => {}
        }
        *self = Self::Nothing;
    }
}

impl Memory {
    fn pass(&mut self, blocks: u64) {
        let passed = self.skip.saturating_add(blocks);
        let frames = passed.checked_div(FRAME_BLOCKS).unwrap_or_default();
        self.skip = passed.checked_rem(FRAME_BLOCKS).unwrap_or_default();
        self.frame = self.frame.saturating_add(frames);
        self.run.frames = self.run.frames.saturating_sub(frames);
        self.run.address = self.run.address.saturating_add(frames.saturating_mul(PAGE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    const LIMITS: Limits = Limits { bytes: 6 * 512, discard_blocks: 10 };

    /// Cuts up work, with a run of bus addresses for each frame that one is asked for.
    fn transfers(mut work: Work, mut told: impl FnMut(u64) -> BusRun) -> Vec<Transfer> {
        let mut list = Vec::new();
        loop {
            if let Some(frame) = work.needs_address() {
                work.set_address(told(frame));
            }
            let Some(next) = work.next(&LIMITS) else { return list };
            work.take_off(&next);
            list.push(next);
        }
    }

    #[test]
    fn a_transfer_is_in_one_run_and_within_the_limits() {
        let run = BusRun { address: 0x1_0000, frames: 1 };
        let memory = Memory { frame: 4, skip: 5, run };
        let work = Work::Blocks { direction: Direction::Read, block: 100, count: 20, memory };
        let list = transfers(work, |frame| match frame {
            5 => BusRun { address: 0x5_0000, frames: 2 },
            7 => BusRun { address: 0x6_0000, frames: 9 },
            frame => panic!("frame {frame} was told"),
        });
        let read = |block, address, blocks: u32| Transfer::Read {
            block,
            to: BusRange { address, bytes: blocks * 512 },
        };
        assert_eq!(
            list,
            [
                read(100, 0x1_0A00, 3),
                read(103, 0x5_0000, 6),
                read(109, 0x5_0C00, 6),
                read(115, 0x5_1800, 4),
                read(119, 0x6_0000, 1),
            ]
        );
    }

    #[test]
    fn a_discard_is_cut_up_and_a_flush_is_not() {
        let list = transfers(Work::Discard { block: 7, count: 23 }, |_| unreachable!());
        let discard = |block, count| Transfer::Discard { block, count };
        assert_eq!(list, [discard(7, 10), discard(17, 10), discard(27, 3)]);
        assert_eq!(transfers(Work::Flush, |_| unreachable!()), [Transfer::Flush]);
        assert_eq!(transfers(Work::Nothing, |_| unreachable!()), []);
    }
}
