// SPDX-License-Identifier: BSD-2-Clause
//! A model of a disk: it does several transfers at a time, ends them in another order, and keeps
//! what is written in a cache that a power cut empties.
//!
//! Moves data to and from the machine's memory by bus address, when a transfer ends: what is in
//! memory between its beginning and its end does not count. Time is virtual, and what is left to
//! chance follows from a seed. Knows nothing of domains: somebody calls [`Disk::run`] as time goes
//! on, and passes on the interrupt.
//!
//! ```text
//!   begin --> under way --(its time comes)--> ended, interrupt --> told
//!                |  hang: a part is done           | bad block: a part is done
//!                v                                 v
//!              reset                             failed
//! ```

mod medium;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use block_api::{DiskFeatures, Geometry};
use block_core::{Broken, Device, Limits, Refusal, RequestIndex, Transfer};
use fastrand::Rng;
use proto::PeerId;
use proto::limits::BLOCK_BYTES;

use self::medium::Medium;
use crate::clock::Clock;
use crate::kernel::SimKernel;

/// Transfers at a time, and what each is at most: little, so that requests are in several.
const ROOM: usize = 6;
const LIMITS: Limits = Limits { bytes: 64 << 10, discard_blocks: 256 };

/// Virtual time of a transfer: at least this, and so much more for each block; then chance adds up
/// to as much again as a small one takes.
const TRANSFER_MICROS: u64 = 80;
const BLOCK_MICROS: u64 = 1;
const CHANCE_MICROS: u64 = 160;

/// What a disk is like when a system starts.
#[derive(Clone, Debug)]
pub struct DiskPlan {
    /// What is on it: whole blocks, which disks can share.
    pub contents: Arc<[u8]>,
    /// What it can do. Without a flush it has no cache: what is written lasts.
    pub features: DiskFeatures,
    /// How much time there is at least between the ends of two transfers, in microseconds.
    pub pace_micros: u64,
    /// What chance follows from.
    pub seed: u64,
}

impl DiskPlan {
    /// Returns the plan of a disk that can do everything, as fast as it can.
    #[must_use]
    pub fn new(contents: impl Into<Arc<[u8]>>) -> Self {
        let features = DiskFeatures { is_read_only: false, has_flush: true, has_discard: true };
        Self { contents: contents.into(), features, pace_micros: 0, seed: 1 }
    }
}

/// A disk. All clones are the same disk: one is the driver's, one the test's.
#[derive(Clone)]
pub struct Disk(Rc<RefCell<State>>);

struct State {
    clock: Clock,
    /// The domain whose device it is.
    peer: PeerId,
    features: DiskFeatures,
    pace_micros: u64,
    random: Rng,
    medium: Medium,
    under_way: Vec<UnderWay>,
    ended: VecDeque<(RequestIndex, bool)>,
    /// When the last transfer ends of those that were begun.
    last_end: u64,
    /// Whether an interrupt was raised and not acknowledged.
    is_raised: bool,
    bad_blocks: Range<u64>,
    /// Whether nothing ends.
    hangs: bool,
    /// How many resets are still to fail, and whether the last one did.
    resets_to_fail: u32,
    is_broken: bool,
}

struct UnderWay {
    request: RequestIndex,
    transfer: Transfer,
    /// Never, if the disk hangs.
    end: Option<u64>,
    /// The writes that it makes last, if it is a flush: those that ended before it began.
    writes: u64,
}

impl Disk {
    pub(crate) fn new(plan: &DiskPlan, peer: PeerId, clock: Clock) -> Self {
        Self(Rc::new(RefCell::new(State {
            clock,
            peer,
            features: plan.features,
            pace_micros: plan.pace_micros,
            random: Rng::with_seed(plan.seed),
            medium: Medium::new(Arc::clone(&plan.contents), plan.features.has_flush),
            under_way: Vec::new(),
            ended: VecDeque::new(),
            last_end: 0,
            is_raised: false,
            bad_blocks: 0..0,
            hangs: false,
            resets_to_fail: 0,
            is_broken: false,
        })))
    }

    /// Returns what is read from it now, cached or not.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        self.0.borrow().medium.contents()
    }

    /// Returns what would be on it if the power was cut now. Of each block that was written to
    /// since the last flush, the seed chooses what is there: what lasts, or what any write of it
    /// has written, whatever became of other blocks.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Vec<u8> {
        self.0.borrow().medium.after_power_cut(seed)
    }

    /// Returns how many blocks were written.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.0.borrow().medium.writes()
    }

    /// Notes what a power cut would leave after so many blocks were written, for
    /// [`Self::take_cut`]; the disk itself goes on.
    pub fn cut(&self, writes: u64, seed: u64) {
        self.0.borrow_mut().medium.cut(writes, seed);
    }

    /// Returns what the cut has left, once, if it has come.
    #[must_use]
    pub fn take_cut(&self) -> Option<Vec<u8>> {
        self.0.borrow_mut().medium.take_cut()
    }

    /// Makes transfers of these blocks fail, and of no others; they get as far as there.
    pub fn spoil(&self, blocks: Range<u64>) {
        self.0.borrow_mut().bad_blocks = blocks;
    }

    /// Lets nothing end any more, until a reset.
    pub fn hang(&self) {
        self.0.borrow_mut().hangs = true;
    }

    /// Makes so many resets fail. After one that fails, what was under way goes on, but nobody is
    /// told.
    pub fn fail_resets(&self, count: u32) {
        self.0.borrow_mut().resets_to_fail = count;
    }

    /// Returns when the next transfer ends, if one is under way and will.
    pub(crate) fn next_end(&self) -> Option<u64> {
        self.0.borrow().under_way.iter().filter_map(|it| it.end).min()
    }

    /// Does what had to be done until now. Returns whether that raised the interrupt.
    pub(crate) fn run(&self, kernel: &mut SimKernel) -> bool {
        let mut state = self.0.borrow_mut();
        let now = state.clock.now().get();
        let was_raised = state.is_raised;
        while let Some(index) = state.next_until(now) {
            state.complete(index, kernel);
        }
        state.is_raised && !was_raised
    }
}

impl State {
    /// Returns the transfer that ends first, if it does until `now`.
    fn next_until(&self, now: u64) -> Option<usize> {
        let all = self.under_way.iter().enumerate();
        let ends = all.filter_map(|(index, it)| Some((it.end.filter(|end| *end <= now)?, index)));
        ends.min().map(|(_, index)| index)
    }

    /// Does a transfer whose time has come. While the disk hangs, does a part of it.
    fn complete(&mut self, index: usize, kernel: &mut SimKernel) {
        let UnderWay { request, transfer, writes, .. } = self.under_way[index];
        let (block, blocks) = range(&transfer);
        if self.hangs {
            self.under_way[index].end = None;
            let blocks = self.random.u64(0..=blocks);
            self.move_blocks(&transfer, block..block + blocks, kernel);
            return;
        }
        self.under_way.remove(index);
        let is_done = self.move_blocks(&transfer, block..block + blocks, kernel);
        if transfer == Transfer::Flush {
            self.medium.flush(writes);
        }
        if !self.is_broken {
            self.ended.push_back((request, is_done));
            self.is_raised = true;
        }
    }

    /// Moves the first blocks of a transfer, as far as it gets. Returns whether it got to the end.
    fn move_blocks(
        &mut self,
        transfer: &Transfer,
        blocks: Range<u64>,
        kernel: &mut SimKernel,
    ) -> bool {
        let addresses = (0..).step_by(BLOCK_BYTES as usize);
        blocks.zip(addresses).all(|(block, offset)| {
            if self.bad_blocks.contains(&block) {
                return false;
            }
            match transfer {
                Transfer::Read { to, .. } => {
                    let bytes = self.medium.read(block);
                    kernel.device_write(self.peer, to.address + offset, &bytes).is_ok()
                }
                Transfer::Write { from, .. } => {
                    let mut bytes = [0; BLOCK_BYTES as usize];
                    let read = kernel.device_read(self.peer, from.address + offset, &mut bytes);
                    read.map(|()| self.medium.write(block, bytes)).is_ok()
                }
                // What is discarded reads as anything.
                Transfer::Discard { .. } => {
                    let noise = std::array::from_fn(|_| self.random.u8(..));
                    self.medium.write(block, noise);
                    true
                }
                Transfer::Flush => true,
            }
        })
    }
}

/// Returns the first block of a transfer, and how many there are.
fn range(transfer: &Transfer) -> (u64, u64) {
    match *transfer {
        Transfer::Read { block, to: range } | Transfer::Write { block, from: range } => {
            (block, u64::from(range.bytes) / BLOCK_BYTES)
        }
        Transfer::Discard { block, count } => (block, count.into()),
        Transfer::Flush => (0, 0),
    }
}

impl Device for Disk {
    fn geometry(&self) -> Geometry {
        let state = self.0.borrow();
        Geometry { blocks: state.medium.block_count(), features: state.features }
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn begin(&mut self, request: RequestIndex, transfer: &Transfer) -> Result<(), Refusal> {
        let state = &mut *self.0.borrow_mut();
        if state.is_broken {
            return Err(Refusal::Broken);
        }
        if state.under_way.len() == ROOM {
            return Err(Refusal::Full);
        }
        let (_, blocks) = range(transfer);
        let chance = state.random.u64(0..CHANCE_MICROS);
        let now = state.clock.now().get();
        let end = now + TRANSFER_MICROS + blocks * BLOCK_MICROS + chance;
        let end = match state.pace_micros {
            0 => end,
            pace => end.max(state.last_end + pace),
        };
        state.last_end = end;
        let (transfer, writes) = (*transfer, state.medium.writes());
        state.under_way.push(UnderWay { request, transfer, end: Some(end), writes });
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<(RequestIndex, bool)>, Broken> {
        let mut state = self.0.borrow_mut();
        if state.is_broken { Err(Broken) } else { Ok(state.ended.pop_front()) }
    }

    fn acknowledge(&mut self) {
        self.0.borrow_mut().is_raised = false;
    }

    fn reset(&mut self) -> Result<(), Broken> {
        let state = &mut *self.0.borrow_mut();
        state.ended.clear();
        state.is_broken = state.resets_to_fail > 0;
        if state.is_broken {
            state.resets_to_fail -= 1;
            return Err(Broken);
        }
        state.under_way.clear();
        state.last_end = state.clock.now().get();
        state.hangs = false;
        state.is_raised = false;
        Ok(())
    }
}
