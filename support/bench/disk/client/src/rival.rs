// SPDX-License-Identifier: BSD-2-Clause
//! What fsserver is measured against: a client of the driver that reads into memory of its own, and
//! the rival, a server that copies between a cache of the same disk and a standing share.

use disk_rival::{Answer, Direction, Procedure, SHARE, Transfer};
use pd::OwnNotification;
use pmserver_client::PAGE_BYTES;
use proto::Waiter;
use proto::limits::BLOCK_BYTES;
use sel4_microkit::{Channel, MessageInfo, with_msg_regs_mut};

use crate::meter::{BATCHES, Meter};
use crate::table::{Row, Table};
use crate::world::{
    BUFFER, BenchError, FORCED, MIB, MIB_FRAMES, WINDOW, WINDOW_FRAMES, World, lend, touch,
};

/// The rival's channel, as the system file numbers it.
const RIVAL: Channel = Channel::new(5);

/// What is read in one batch: so many blocks from this one on, the middle of the disk.
const START: u64 = (8 << 20) / BLOCK_BYTES;
const BATCH_MIB: u64 = 16;
const WINDOW_BLOCKS: u64 = WINDOW_FRAMES * PAGE_BYTES / BLOCK_BYTES;
const MIB_BLOCKS: u64 = MIB / BLOCK_BYTES;
const PART_FRAMES: u64 = 16;
const PART_BLOCKS: u64 = PART_FRAMES * PAGE_BYTES / BLOCK_BYTES;
/// Operations of a batch that are not sweeps of the disk.
const TIMES: u64 = 8;

/// What the rival takes, and the driver alone, in instructions.
#[derive(Clone, Copy)]
pub(crate) struct Floors {
    /// A procedure that does nothing.
    pub(crate) call: u64,
    /// To read a mebibyte, through the driver alone and through the rival.
    pub(crate) raw_1m: u64,
    pub(crate) uncached_1m: u64,
    /// To read what the rival has cached.
    pub(crate) cached_64k: u64,
    pub(crate) cached_1m: u64,
    pub(crate) write_64k: u64,
    pub(crate) write_1m: u64,
    pub(crate) flush: u64,
}

impl Floors {
    /// Measures all of them. What the rival writes is what it has read from the same place.
    pub(crate) fn measure(world: &mut World<'_>, table: &mut Table) -> Result<Self, BenchError> {
        let raw_1m = raw(world, table)?;
        let mut times = |name, prepare: &[Step], steps: &[Step]| {
            let mut meter = Meter::default();
            for _ in 0..BATCHES {
                for _ in 0..TIMES {
                    run(prepare)?;
                    meter.time(|| run(steps))?;
                }
                meter.end_batch(1);
            }
            Ok::<_, BenchError>(table.floor(name, &meter))
        };
        use Step::{Call, CopyIn, CopyOut};
        let call = |procedure, blocks| Call(procedure, [START, blocks]);
        let read = |blocks: u64| Call(Procedure::Read, [blocks.saturating_mul(BLOCK_BYTES), 0]);
        let end = Call(Procedure::Nothing, [0, 0]);
        let part = [call(Procedure::Fetch, PART_BLOCKS), read(PART_BLOCKS)];
        let whole = [call(Procedure::Fetch, MIB_BLOCKS), read(MIB_BLOCKS)];
        let [fetch_1m, read_1m] = whole;
        let store_64k = [CopyIn(PART_FRAMES), call(Procedure::Store, PART_BLOCKS), end];
        let store_1m = [CopyIn(MIB_FRAMES), call(Procedure::Store, MIB_BLOCKS), end];
        let out = CopyOut(MIB_FRAMES);
        Ok(Self {
            call: times("call_disk", &[], &[end])?,
            raw_1m,
            uncached_1m: times("rival_1m_uncached", &[], &[fetch_1m, read_1m, out])?,
            cached_64k: times("rival_64k_disk", &part, &[read(PART_BLOCKS), CopyOut(PART_FRAMES)])?,
            cached_1m: times("rival_1m_disk", &whole, &[read_1m, out])?,
            write_64k: times("rival_write_64k", &part, &store_64k)?,
            write_1m: times("rival_write_1m", &whole, &store_1m)?,
            flush: times("rival_flush", &store_64k, &[call(Procedure::Flush, 0), end])?,
        })
    }
}

/// A step of what the rival's client does.
#[derive(Clone, Copy)]
enum Step {
    /// Calls the rival, again until what was begun before has ended.
    Call(Procedure, [u64; 2]),
    /// Copies so many frames out of the share, and looks at each.
    CopyOut(u64),
    /// Copies so many frames into the share.
    CopyIn(u64),
}

fn run(steps: &[Step]) -> Result<(), BenchError> {
    let bytes =
        |frames: u64| usize::try_from(frames.saturating_mul(PAGE_BYTES)).unwrap_or_default();
    for step in steps {
        match *step {
            Step::Call(procedure, arguments) => until_done(procedure, arguments)?,
            Step::CopyOut(frames) => {
                shm::copy(SHARE, BUFFER, bytes(frames));
                touch(BUFFER, frames);
            }
            Step::CopyIn(frames) => shm::copy(BUFFER, SHARE, bytes(frames)),
        }
    }
    Ok(())
}

fn until_done(procedure: Procedure, arguments: [u64; 2]) -> Result<(), BenchError> {
    loop {
        with_msg_regs_mut(|registers| {
            registers.iter_mut().zip(arguments).for_each(|(register, value)| *register = value);
        });
        let reply = RIVAL.pp_call(MessageInfo::new(procedure.label(), 2));
        match Answer::of_label(reply.label()) {
            Some(Answer::Done) => return Ok(()),
            Some(Answer::Busy) => OwnNotification.wait(),
            Some(Answer::Refused) | None => return Err(BenchError::Rival),
        }
    }
}

/// Reads blocks through the driver into a container, 2 MiB after 2 MiB, and looks at each page.
fn raw(world: &mut World<'_>, table: &mut Table) -> Result<u64, BenchError> {
    let container = world.container(WINDOW_FRAMES, true)?;
    let share = lend(&container, WINDOW_FRAMES, world.driver)?;
    let mut meter = Meter::default();
    for _ in 0..BATCHES {
        for number in 0..BATCH_MIB / 2 {
            let block = START.saturating_add(number.saturating_mul(WINDOW_BLOCKS));
            meter.time(|| {
                let (blocks, lent) = ((block, WINDOW_BLOCKS), share.weak_handle());
                let mut transfer = Transfer::begin(&mut world.disk, Direction::Read, lent, blocks)?;
                loop {
                    OwnNotification.wait();
                    if transfer.wake(&mut world.disk)? {
                        break;
                    }
                }
                let mapping = container.map(0..WINDOW_FRAMES, WINDOW.start(), FORCED)?;
                touch(WINDOW.start(), WINDOW_FRAMES);
                mapping.unmap().map_err(|refused| refused.error)?;
                Ok::<_, BenchError>(())
            })?;
        }
        meter.end_batch(2);
    }
    share.unshare().map_err(|refused| refused.error)?;
    container.destroy().map_err(|refused| refused.error)?;
    let row = Row { name: "disk_raw_read", batch: MIB_FRAMES, floor: 0, copied: 0, bound: 5 };
    table.row(&row, &meter);
    Ok(meter.instructions())
}
