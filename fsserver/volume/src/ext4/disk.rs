// SPDX-License-Identifier: BSD-2-Clause
//! The disk, shared between the engine, which owns a handle of it, and the checks that read it
//! beside the engine. Counts what is logged, and remembers that a write failed.
//!
//! The engine writes a superblock that says that the journal is empty before it is: unmounting,
//! together with all that is still to be written to its place; and when it replays the log of that.
//! If the power failed then, the journal would not be replayed. So such a superblock is written
//! as one that says that the journal has to be replayed, and as it is when the engine has ended.
//!
//! Nor does it wait, when it has replayed the log, until all is in its place, before the journal's
//! superblock says that the log is empty. So there is a flush before each write of that.

use alloc::rc::Rc;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::ops::Range;

use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};

use super::bytes::{check, set};
use super::superblock;
use crate::block_device::{BLOCK_BYTES, BlockDevice, DeviceError};
use crate::error::Error;

/// [`BLOCK_BYTES`], as the type of an address.
const BLOCK: u64 = 512;

struct State<D> {
    device: D,
    may_write: bool,
    /// The blocks of the disk that the journal has; its superblock is the first.
    journal: Vec<Range<u64>>,
    logged_bytes: u64,
    has_failed: bool,
    /// Whether the engine shall be stopped when it has replayed the journal.
    stops_after_replay: bool,
    is_stopped: bool,
    /// What is to be written when the journal is empty, and where.
    clean: Option<(u64, Vec<u8>)>,
}

/// A handle of a disk.
pub(super) struct Disk<D>(Rc<RefCell<State<D>>>);

impl<D> Clone for Disk<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: BlockDevice> Disk<D> {
    pub(super) fn new(device: D, may_write: bool) -> Self {
        Self(Rc::new(RefCell::new(State {
            device,
            may_write,
            journal: Vec::new(),
            logged_bytes: 0,
            has_failed: false,
            stops_after_replay: false,
            is_stopped: false,
            clean: None,
        })))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.borrow().device.blocks().saturating_mul(BLOCK)
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.0.borrow().device.is_read_only()
    }

    /// Says where the journal is, and begins to count what is logged.
    pub(super) fn set_journal(&self, blocks: Vec<Range<u64>>) {
        let mut state = self.0.borrow_mut();
        state.journal = blocks;
        state.logged_bytes = 0;
    }

    pub(super) fn logged_bytes(&self) -> u64 {
        self.0.borrow().logged_bytes
    }

    /// Returns whether a write or flush has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.0.borrow().has_failed
    }

    /// Forgets failures: the engine that has seen them is gone.
    pub(super) fn start_anew(&self) {
        let mut state = self.0.borrow_mut();
        (state.has_failed, state.logged_bytes, state.clean) = (false, 0, None);
    }

    /// Says on the disk that the journal has to be replayed, before the engine logs something.
    pub(super) fn start_logging(&self) -> Result<(), Error> {
        let mut found = [0; superblock::BYTES];
        self.read_bytes(superblock::START, &mut found)?;
        match superblock::needing_recovery(&found) {
            Some(changed) => self.overwrite(superblock::START, &changed),
            None => Ok(()),
        }
    }

    /// Writes the superblock of a volume that was unmounted.
    pub(super) fn finish(&self) -> Result<(), Error> {
        let clean = self.0.borrow_mut().clean.take();
        let Some((first, bytes)) = clean else { return Ok(()) };
        self.overwrite(first.saturating_mul(BLOCK), &bytes)
    }

    /// Runs an engine up to the end of the replay. It ends with an error then.
    pub(super) fn stop_after_replay<R>(&self, run: impl FnOnce(Self) -> R) -> (R, bool) {
        self.0.borrow_mut().stops_after_replay = true;
        let result = run(self.clone());
        let mut state = self.0.borrow_mut();
        state.stops_after_replay = false;
        (result, core::mem::take(&mut state.is_stopped))
    }

    /// Fills `to` with bytes that lie anywhere.
    pub(super) fn read_bytes(&self, start: u64, to: &mut [u8]) -> Result<(), Error> {
        let length = u64::try_from(to.len()).unwrap_or(u64::MAX);
        let end = start.checked_add(length).filter(|end| *end <= self.bytes());
        let end = end.ok_or(Error::Damaged)?.div_ceil(BLOCK);
        let (first, skip) = (start >> 9, start & 511);
        let blocks = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut state = self.0.borrow_mut();
        if skip == 0 && to.len().is_multiple_of(BLOCK_BYTES) {
            return state.device.read(first, to).map_err(|_: DeviceError| Error::Io);
        }
        let mut whole = vec![0; blocks.saturating_mul(BLOCK_BYTES)];
        state.device.read(first, &mut whole).map_err(|_: DeviceError| Error::Io)?;
        let skip = usize::try_from(skip).unwrap_or(0);
        let bytes = whole.get(skip..skip.saturating_add(to.len())).ok_or(Error::Damaged)?;
        to.copy_from_slice(bytes);
        Ok(())
    }

    /// Overwrites whole blocks, and waits until they are there.
    pub(super) fn overwrite(&self, start: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.0.borrow_mut();
        let device = &mut state.device;
        let done = device.write(start >> 9, bytes).and_then(|()| device.flush());
        state.has_failed |= done.is_err();
        done.map_err(|_: DeviceError| Error::Io)
    }

    /// Overwrites bytes within one block of the disk, and waits until they are there.
    pub(super) fn patch(&self, start: u64, bytes: &[u8]) -> Result<(), Error> {
        let mut block = [0; BLOCK_BYTES];
        let (first, skip) = (start >> 9, usize::try_from(start & 511).unwrap_or(0));
        check(skip.saturating_add(bytes.len()) <= BLOCK_BYTES)?;
        let aligned = first.saturating_mul(BLOCK);
        self.read_bytes(aligned, &mut block)?;
        set(&mut block, skip, bytes);
        self.overwrite(aligned, &block)
    }
}

impl<D: BlockDevice> State<D> {
    /// If this is a superblock that says that the journal is empty, keeps it and returns one that
    /// does not.
    fn needing_recovery(&mut self, first: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        let start = superblock::START.checked_sub(first.checked_mul(BLOCK)?)?;
        let start = usize::try_from(start).ok()?;
        let found = bytes.get(start..start.checked_add(superblock::BYTES)?)?;
        let needing = superblock::needing_recovery(found);
        self.clean = needing.is_some().then(|| (first, bytes.to_vec()));
        let mut changed = bytes.to_vec();
        set(&mut changed, start, &needing?);
        Some(changed)
    }

    fn note_write(&mut self, first: u64, bytes: usize) {
        if self.journal.iter().any(|blocks| blocks.contains(&first)) {
            let bytes = u64::try_from(bytes).unwrap_or(0);
            self.logged_bytes = self.logged_bytes.saturating_add(bytes);
        }
        self.is_stopped |= self.stops_after_replay && self.is_journal_superblock(first);
    }

    fn is_journal_superblock(&self, first: u64) -> bool {
        self.journal.first().is_some_and(|blocks| blocks.start == first)
    }
}

impl<D: BlockDevice> BlockIo for Disk<D> {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let mut state = self.0.borrow_mut();
        // After a failure the order of writes is lost: none follows.
        if !state.may_write || state.has_failed || state.is_stopped {
            return Err(Ext4Error::io());
        }
        let is_after_all = state.is_journal_superblock(sector.raw());
        let flushed = if is_after_all { state.device.flush() } else { Ok(()) };
        let changed = state.needing_recovery(sector.raw(), buffer);
        let bytes = changed.as_deref().unwrap_or(buffer);
        let done = flushed.and_then(|()| state.device.write(sector.raw(), bytes));
        state.has_failed |= done.is_err();
        done.map_err(|_: DeviceError| Ext4Error::io())?;
        state.note_write(sector.raw(), buffer.len());
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let mut state = self.0.borrow_mut();
        if state.is_stopped {
            return Err(Ext4Error::io());
        }
        state.device.read(sector.raw(), buffer).map_err(|_: DeviceError| Ext4Error::io())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(512, self.0.borrow().device.blocks())
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let read_only = !self.0.borrow().may_write;
        DeviceCapabilities { read_only, flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        let mut state = self.0.borrow_mut();
        if !state.may_write {
            return Ok(());
        }
        if state.has_failed {
            return Err(Ext4Error::io());
        }
        let done = state.device.flush();
        state.has_failed |= done.is_err();
        done.map_err(|_: DeviceError| Ext4Error::io())
    }
}
