// SPDX-License-Identifier: BSD-2-Clause
//! Does the jobs, one after the other.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use fsserver_api::{Failure, FsError};
use fsserver_volume::partition::{self, Part};
use fsserver_volume::{
    Access, BLOCK_BYTES, Clock, Error, Ext4, Feature, Inode, RUNS_MAX, Time, Volume,
};
use pmserver_client::Pages;

use super::Ended;
use super::device::Device;
use super::failure::{failure_of, status_of};
use super::job::{Answer, Change, Found, Job};
use super::walk;
use crate::disk::{Disk, Piece, Target};
use crate::memory::Home;

/// Blocks of 512 bytes that a job may read that changes nothing: 32 MiB.
const BLOCKS_MAX: u64 = 1 << 16;
/// Blocks that may be read to mount, or to change something: 512 MiB.
const BLOCKS_OF_CHANGE_MAX: u64 = 1 << 20;
/// Bytes that are copied through private memory at a time.
const STEP_BYTES: usize = 64 << 10;
const MICROS_PER_SECOND: u64 = 1_000_000;
static ZEROS: [u8; 4096] = [0; 4096];

/// The time, as the last change was told it. It begins with the latest time that the root directory
/// knows: nothing here knows what year it is.
#[derive(Clone, Default)]
struct SharedClock(Arc<AtomicU64>);

impl Clock for SharedClock {
    fn now(&self) -> Time {
        let seconds = u32::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        Time { seconds, nanoseconds: 0 }
    }
}

type OnDisk<'y, D> = Ext4<Part<Device<'y, D>>, SharedClock>;

/// The volume, and what is under it.
pub(super) struct Files<'y, D: Disk> {
    device: Device<'y, D>,
    clock: SharedClock,
    /// What was the time when the clock of pmserver began.
    began_seconds: u64,
    mounted: Option<Mounted<'y, D>>,
}

struct Mounted<'y, D: Disk> {
    volume: OnDisk<'y, D>,
    /// The byte of the disk at which it begins.
    start: u64,
    /// Why it can only be read, if so.
    read_only: Option<Failure>,
    /// It has to be mounted again.
    is_lost: bool,
}

impl<'y, D: Disk> Files<'y, D> {
    pub(super) fn new(device: Device<'y, D>) -> Self {
        Self { device, clock: SharedClock::default(), began_seconds: 0, mounted: None }
    }

    /// Does a job.
    pub(super) fn run(&mut self, job: Job) -> Ended {
        self.device.allow(BLOCKS_OF_CHANGE_MAX);
        if let Err(failure) = self.mount() {
            return Ended { answer: Err(failure), is_lost: false };
        }
        let is_change = matches!(job, Job::Change { .. } | Job::Sync);
        if !is_change {
            self.device.allow(BLOCKS_MAX);
        }
        let mut answer = self.run_mounted(job);
        if answer.is_err() && self.device.is_exhausted() {
            answer = Err(FsError::TooManyBlocks.into());
        }
        let has_failed = matches!(&answer, Err(failure) if failure.error == FsError::DiskFailed);
        let mut is_lost = false;
        if let Some(mounted) = &mut self.mounted {
            // A change that has failed may be there in part.
            is_lost = mounted.volume.has_failed() || (is_change && has_failed);
            mounted.is_lost = is_lost;
        }
        Ended { answer, is_lost }
    }

    /// Mounts the volume, or mounts it again if a write has failed.
    fn mount(&mut self) -> Result<(), Failure> {
        if let Some(mounted) = &mut self.mounted {
            if mounted.is_lost {
                mounted.volume.mount_again().map_err(failure_of)?;
                mounted.is_lost = false;
            }
            return Ok(());
        }
        let mut device = self.device.clone();
        let blocks = partition::find(&mut device).map_err(failure_of)?;
        let start = blocks.start.saturating_mul(bytes_of(BLOCK_BYTES));
        let mount = |access| {
            let part = Part::new(self.device.clone(), blocks.clone());
            Ext4::mount(part, self.clock.clone(), access)
        };
        let (mut volume, read_only) = match mount(Access::Write) {
            Ok(volume) => (volume, None),
            Err(error @ Error::Unsupported(_)) => {
                (mount(Access::Read).map_err(failure_of)?, Some(failure_of(error)))
            }
            Err(Error::ReadOnly) => {
                (mount(Access::Read).map_err(failure_of)?, Some(FsError::ReadOnly.into()))
            }
            Err(error) => return Err(failure_of(error)),
        };
        let root = volume.root();
        let status = volume.status(root).map_err(failure_of)?;
        self.began_seconds = status.modified_seconds.max(status.changed_seconds).into();
        self.clock.0.store(self.began_seconds, Ordering::Relaxed);
        self.mounted = Some(Mounted { volume, start, read_only, is_lost: false });
        Ok(())
    }

    fn run_mounted(&mut self, job: Job) -> Result<Answer, Failure> {
        let Some(Mounted { volume, start, read_only, .. }) = &mut self.mounted else {
            return Err(FsError::DiskFailed.into());
        };
        match job {
            Job::Find { root, path } => {
                let (inode, status) = walk::find(volume, root, &path)?;
                Ok(Answer::File(Found { inode, status: status_of(&status) }))
            }
            Job::Status(inode) => {
                let status = status_of(&volume.status(inode).map_err(failure_of)?);
                Ok(Answer::File(Found { inode, status }))
            }
            Job::List { directory, from, most } => {
                let entries = volume.read_dir(directory, from, most).map_err(failure_of)?;
                Ok(Answer::Entries(entries))
            }
            Job::ReadLink(inode) => Ok(Answer::Link(volume.read_link(inode).map_err(failure_of)?)),
            Job::Fill { inode, offset, bytes, target } => {
                let file = (inode, offset, bytes);
                let is_filled = fill(&self.device, volume, *start, file, &target);
                Ok(if is_filled.map_err(failure_of)? {
                    Answer::Done(None)
                } else {
                    Answer::Elsewhere
                })
            }
            Job::Change { root, change, now, open } => {
                if let Some(failure) = read_only {
                    return Err(*failure);
                }
                let seconds = now.get().checked_div(MICROS_PER_SECOND).unwrap_or(0);
                let seconds = self.began_seconds.saturating_add(seconds);
                self.clock.0.store(seconds, Ordering::Relaxed);
                make(&self.device, volume, (root, &open), change)
            }
            Job::Sync => volume.sync().map(|()| Answer::Done(None)).map_err(failure_of),
            Job::Release(inode) => {
                volume.release(inode);
                Ok(Answer::Done(None))
            }
            Job::Space => Ok(Answer::Space(volume.space())),
        }
    }
}

/// Reads bytes of a file into memory. Returns whether that is done.
fn fill<D: Disk>(
    device: &Device<'_, D>,
    volume: &mut OnDisk<'_, D>,
    start: u64,
    (inode, offset, bytes): (Inode, u64, u64),
    target: &Target,
) -> Result<bool, Error> {
    if !volume.is_clean(inode) {
        return copy_through(device, volume, (inode, offset, bytes), target);
    }
    let mut done = 0;
    while done < bytes {
        let left = bytes.saturating_sub(done);
        let runs = match volume.extents(inode, offset.saturating_add(done), left) {
            Err(Error::Unsupported(Feature::BlockMap)) => {
                return copy_through(device, volume, (inode, offset, bytes), target);
            }
            runs => runs?,
        };
        if runs.is_empty() {
            return Err(Error::Damaged);
        }
        let mut pieces = Vec::with_capacity(RUNS_MAX);
        for run in runs {
            let (at, end) = (done, done.saturating_add(run.bytes));
            match run.start {
                Some(from) => {
                    let from = start.saturating_add(from);
                    pieces.push(Piece { from, bytes: run.bytes, to: at });
                }
                None if target.is_clear => {}
                None => clear(device, target, at..end)?,
            }
            done = end;
        }
        device.with(|disk, wait| disk.fill(wait, &pieces, target)).map_err(|_| Error::Io)?;
    }
    Ok(true)
}

/// Makes bytes of the memory zero.
fn clear<D: Disk>(device: &Device<'_, D>, target: &Target, at: Range<u64>) -> Result<(), Error> {
    let mut from = at.start;
    while let Some(left @ 1..) = at.end.checked_sub(from) {
        let zeros = ZEROS.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
        device.with(|disk, _| disk.write_memory(target, zeros, from)).map_err(|_| Error::Io)?;
        from = from.saturating_add(bytes_of(zeros.len()));
    }
    Ok(())
}

/// Reads bytes of a file by way of private memory: if the disk does not have them yet, or not in
/// extents. Does nothing with memory that may be gone when the disk has been waited for: a store
/// would be a fault then. Returns whether it is done.
fn copy_through<D: Disk>(
    device: &Device<'_, D>,
    volume: &mut OnDisk<'_, D>,
    (inode, offset, bytes): (Inode, u64, u64),
    target: &Target,
) -> Result<bool, Error> {
    if target.home == Home::Extra {
        return Ok(false);
    }
    let mut buffer = vec![0; STEP_BYTES];
    let mut done = 0;
    while done < bytes {
        let most = usize::try_from(bytes.saturating_sub(done)).unwrap_or(usize::MAX);
        let to = buffer.get_mut(..most.min(STEP_BYTES)).unwrap_or_default();
        let read = volume.read(inode, offset.saturating_add(done), to)?;
        let read = to.get(..read).filter(|read| !read.is_empty()).ok_or(Error::Damaged)?;
        device.with(|disk, _| disk.write_memory(target, read, done)).map_err(|_| Error::Io)?;
        done = done.saturating_add(bytes_of(read.len()));
    }
    Ok(true)
}

/// Makes a change.
fn make<D: Disk>(
    device: &Device<'_, D>,
    volume: &mut OnDisk<'_, D>,
    (root, open): (&str, &[Inode]),
    change: Change,
) -> Result<Answer, Failure> {
    let changed = match change {
        Change::Write { inode, offset, from, bytes } => {
            write(device, volume, (inode, offset), (from, bytes)).map_err(failure_of)?;
            Some(inode)
        }
        Change::Truncate { inode, size_bytes } => {
            volume.truncate(inode, size_bytes).map_err(failure_of)?;
            Some(inode)
        }
        Change::SetTimes { inode, accessed, modified } => {
            volume.set_times(inode, accessed, modified).map_err(failure_of)?;
            Some(inode)
        }
        Change::Create(path) => {
            let (parent, name) = walk::file_place(volume, root, &path)?;
            Some(volume.create(parent, name).map_err(failure_of)?)
        }
        Change::MakeDir(path) => {
            let (parent, name) = walk::place(volume, root, &path, FsError::Exists)?;
            volume.make_dir(parent, name).map_err(failure_of)?;
            None
        }
        Change::Symlink(target, path) => {
            let (parent, name) = walk::file_place(volume, root, &path)?;
            volume.symlink(parent, name, &target).map_err(failure_of)?;
            None
        }
        Change::Link(path, new) => {
            let (inode, _) = walk::find(volume, root, &path)?;
            let (parent, name) = walk::file_place(volume, root, &new)?;
            volume.link(inode, parent, name).map_err(failure_of)?;
            None
        }
        Change::Unlink(path) => {
            let (parent, name) = walk::place(volume, root, &path, FsError::IsADirectory)?;
            walk::check_slash(volume, &[&path], parent, name)?;
            let held = hold(volume, open, parent, name)?;
            return finish(volume, held, |volume| volume.unlink(parent, name));
        }
        Change::RemoveDir(path) => {
            let (parent, name) = walk::place(volume, root, &path, FsError::Busy)?;
            let held = hold(volume, open, parent, name)?;
            return finish(volume, held, |volume| volume.remove_dir(parent, name));
        }
        Change::Rename(from, to) => {
            let (parent, name) = walk::place(volume, root, &from, FsError::Busy)?;
            let (new_parent, new_name) = walk::place(volume, root, &to, FsError::Busy)?;
            walk::check_slash(volume, &[&from, &to], parent, name)?;
            let held = match hold(volume, open, new_parent, new_name) {
                Err(failure) if failure.error == FsError::NotFound => None,
                held => held?,
            };
            return finish(volume, held, |volume| {
                volume.rename(parent, name, new_parent, new_name)
            });
        }
    };
    let Some(inode) = changed else { return Ok(Answer::Done(None)) };
    let status = status_of(&volume.status(inode).map_err(failure_of)?);
    Ok(Answer::File(Found { inode, status }))
}

/// Keeps what a name stands for, if it is open, so that it is there after the name is gone. Returns
/// it then.
fn hold(
    volume: &mut impl Volume,
    open: &[Inode],
    parent: Inode,
    name: &[u8],
) -> Result<Option<Inode>, Failure> {
    let inode = volume.lookup(parent, name).map_err(failure_of)?;
    if !open.contains(&inode) {
        return Ok(None);
    }
    volume.open(inode).map_err(failure_of)?;
    Ok(Some(inode))
}

/// Removes a name, and lets go of what it stood for if that is still there.
fn finish<V: Volume>(
    volume: &mut V,
    held: Option<Inode>,
    remove: impl FnOnce(&mut V) -> Result<(), Error>,
) -> Result<Answer, Failure> {
    let result = remove(volume).map_err(failure_of);
    let is_gone = |volume: &mut V, inode| matches!(volume.status(inode), Ok(at) if at.links == 0);
    match held {
        Some(inode) if result.is_err() || !is_gone(volume, inode) => {
            volume.release(inode);
            result.map(|()| Answer::Done(None))
        }
        held => result.map(|()| Answer::Done(held)),
    }
}

/// Writes bytes of mapped pages to a file.
fn write<D: Disk>(
    device: &Device<'_, D>,
    volume: &mut OnDisk<'_, D>,
    (inode, offset): (Inode, u64),
    (from, bytes): (Pages, u64),
) -> Result<(), Error> {
    let size_bytes = volume.status(inode)?.size_bytes;
    let mut buffer = vec![0; STEP_BYTES.min(usize::try_from(bytes).unwrap_or(STEP_BYTES))];
    let mut done = 0;
    while done < bytes {
        let most = usize::try_from(bytes.saturating_sub(done)).unwrap_or(usize::MAX);
        let part = buffer.get_mut(..most.min(STEP_BYTES)).unwrap_or_default();
        device.with(|disk, _| disk.read_memory(from, done, part)).map_err(|_| Error::Io)?;
        device.with(|disk, _| disk.note_copy(Some((part, done))));
        let written = volume.write(inode, offset.saturating_add(done), part);
        device.with(|disk, _| disk.note_copy(None));
        if let Err(error) = written {
            // What was appended goes. What was overwritten stays.
            if error != Error::Io && volume.status(inode)?.size_bytes > size_bytes {
                volume.truncate(inode, size_bytes)?;
            }
            return Err(error);
        }
        done = done.saturating_add(bytes_of(part.len()));
    }
    Ok(())
}

fn bytes_of(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
