// SPDX-License-Identifier: BSD-2-Clause
//! Reads files and directories into lent containers.

use core::ops::Range;

use corosensei::stack::Stack;
use fsserver_api::{DirectoryCookie, Failure, FileHandle, FsError, ReadLength, Reply};
use fsserver_volume::{Entry, Inode};
use pmserver_client::{AddressSpace, ContainerHandle, Micros, PAGE_BYTES, Pm, Transport};
use proto::{FrameCount, FrameNumber};

use super::FileServer;
use super::asking::left_in;
use crate::cache::{Cache, Key, WINDOW_BYTES, window_at};
use crate::client::ClientId;
use crate::lent::{Lent, give_back, of_pm, take};
use crate::listing::Listing;
use crate::open_file::{Content, OpenFile};
use crate::read::copy_file;
use crate::under_way::{Asked, Work};

/// What a client asks to be filled.
#[derive(Clone, Copy)]
pub(super) struct ReadRange {
    pub(super) file: FileHandle,
    pub(super) container: ContainerHandle,
    pub(super) start: FrameNumber,
    pub(super) offset: u64,
    pub(super) length: ReadLength,
    pub(super) how: How,
}

/// How frames are lent for a read.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// Locked and mapped for one call.
    Once,
    /// The same, and the lease and the mapping stay.
    Standing,
    /// So many are taken.
    Taken(FrameCount),
}

impl<T: Transport, A: AddressSpace + Clone, S: Stack + 'static> FileServer<T, A, S> {
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        asked: Asked,
        range: &ReadRange,
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        let ReadRange { file, offset, length, .. } = *range;
        let (inode, size, hint) = regular(self.files.get(asked.client, file)?)?;
        let bytes = left_of(size, offset)?.min(length.get().into());
        let Some(frames) = FrameCount::new(bytes.div_ceil(PAGE_BYTES)) else {
            return Ok(Reply::Bytes(0));
        };
        let hint = *hint;
        let is_held = self.have(asked, inode, &hint, (offset, bytes))?;
        let found = (inode, hint, (bytes, frames));
        if is_held {
            self.copy_held(asked.client, *range, found, now)
        } else {
            self.copy(asked.client, range, found, now)
        }
    }

    /// Copies bytes of a file that are in the cache and held.
    #[cold]
    #[inline(never)]
    fn copy_held(
        &mut self,
        client: ClientId,
        range: ReadRange,
        found: (Inode, usize, (u64, FrameCount)),
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        let result = self.copy(client, &range, found, now);
        self.cache.release(&self.pm);
        result
    }

    /// Copies bytes of a file that are in the cache; how many, to how many frames, and where the
    /// first of them were found last.
    #[inline(always)]
    fn copy(
        &mut self,
        client: ClientId,
        range: &ReadRange,
        (inode, known, (bytes, frames)): (Inode, usize, (u64, FrameCount)),
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        let ReadRange { file, container, start, offset, how, .. } = *range;
        let mut hint = known;
        let (cache, space) = (&mut self.cache, &mut self.space);
        let (from, bytes_of) = ((inode, &mut hint), (offset, bytes));
        match how {
            How::Once => {
                fill(&self.pm, cache, from, bytes_of, (container, start, frames), space)?;
            }
            How::Standing => {
                let now = now.map_or_else(|| self.pm.clock().map_err(of_pm), Ok)?;
                let frames = (container, start, frames);
                let filling = self.standing.filling(&self.pm, client, frames, now)?;
                copy_file(cache, from, bytes_of, &filling, space)?;
            }
            How::Taken(frames) => {
                let now = self.clock.at(&self.pm, now)?;
                fill_taken(&self.pm, cache, from, bytes_of, (container, frames, now), space)?;
            }
        }
        if hint != known {
            self.moved_on((client, file), (known, hint))?;
        }
        Ok(Reply::Bytes(bytes))
    }

    pub(super) fn read_lent(
        &mut self,
        asked: Asked,
        (file, offset): (FileHandle, u64),
        to: (ContainerHandle, FrameNumber),
    ) -> Result<Reply, Failure> {
        window_at(offset)?;
        let (inode, size, hint) = regular(self.files.get(asked.client, file)?)?;
        let bytes = left_of(size, offset)?.min(WINDOW_BYTES);
        if bytes > 0 {
            let known = *hint;
            let mut hint = known;
            let is_held = self.have(asked, inode, &hint, (offset, bytes))?;
            let found = self.cache.find(Key::of(inode, offset), &mut hint);
            let lent = found.ok_or(FsError::Busy.into());
            let lent = lent.and_then(|_| self.cache.lend(&self.pm, &self.memory, hint, to));
            if is_held {
                self.cache.release(&self.pm);
            }
            lent?;
            if hint != known {
                self.moved_on((asked.client, file), (known, hint))?;
            }
        }
        Ok(Reply::Bytes(bytes))
    }

    /// Notes that a file was read in another place of the cache than before. If that is the window
    /// after the one before, and there is nothing else to do, the next one is read, too (FS-96).
    #[cold]
    fn moved_on(
        &mut self,
        (client, file): (ClientId, FileHandle),
        (before, now): (usize, usize),
    ) -> Result<(), Failure> {
        let (_, size, hint) = regular(self.files.get(client, file)?)?;
        *hint = now;
        let (Some(before), Some(key)) = (self.cache.key(before), self.cache.key(now)) else {
            return Ok(());
        };
        let next = key.next();
        let is_wanted = before.next() == key && left_in(next, size) > 0 && !self.cache.knows(next);
        if is_wanted && self.engine.takes_time() && !self.under_way.has_work() {
            self.under_way.push(None, Work::Fill { key: next, is_lasting: false });
            self.pump();
        }
        Ok(())
    }

    /// Makes sure that bytes of a file are in the cache. Returns whether some have to be released
    /// afterwards.
    #[inline(always)]
    fn have(
        &mut self,
        asked: Asked,
        inode: Inode,
        hint: &usize,
        (offset, bytes): (u64, u64),
    ) -> Result<bool, Failure> {
        let end = offset.saturating_add(bytes);
        let (mut key, mut is_held) = (Key::of(inode, offset), false);
        while key.start() < end {
            if !self.cache.has(key, *hint) {
                let from = offset.max(key.start()).saturating_sub(key.start());
                let to = end.saturating_sub(key.start()).min(WINDOW_BYTES);
                self.fetch(asked, key, from..to).inspect_err(|_| self.cache.release(&self.pm))?;
                is_held = true;
            }
            key.window = key.window.saturating_add(1);
        }
        Ok(is_held)
    }

    /// Makes sure that these bytes of a window are in the cache, and stay there for this call.
    #[cold]
    fn fetch(&mut self, asked: Asked, key: Key, bytes: Range<u64>) -> Result<(), Failure> {
        if self.cache.hold(&self.pm, &self.memory, key, &bytes) {
            return Ok(());
        }
        self.carry_out(asked, Work::Fill { key, is_lasting: false })?;
        let is_there =
            self.cache.has(key, 0) || self.cache.hold(&self.pm, &self.memory, key, &bytes);
        if is_there { Ok(()) } else { Err(FsError::Busy.into()) }
    }

    /// Writes entries of a directory into lent frames.
    pub(super) fn write_entries(
        &mut self,
        client: ClientId,
        (file, cookie): (FileHandle, DirectoryCookie),
        entries: &[Entry],
        (container, frames): (ContainerHandle, FrameCount),
    ) -> Result<Reply, Failure> {
        let (_, listing) = directory(self.files.get(client, file)?)?;
        listing.check(cookie)?;
        let lent = Lent::to_fill(&self.pm, container, FrameNumber::new(0), frames)?;
        let filling = lent.filling();
        let listed = listing.copy_to(entries, &filling, &mut self.page, &mut self.space)?;
        lent.release()?;
        Ok(Reply::Listed(listed))
    }

    /// Writes bytes, at most a page, into frame 0 of a lent container.
    pub(super) fn write_bytes(
        &mut self,
        container: ContainerHandle,
        from: &[u8],
    ) -> Result<Reply, Failure> {
        let lent = Lent::to_fill(&self.pm, container, FrameNumber::new(0), FrameCount::ONE)?;
        lent.filling().copy_out(&mut self.space, from, 0)?;
        lent.release()?;
        Ok(Reply::Bytes(u64::try_from(from.len()).unwrap_or_default()))
    }
}

/// Returns an open file, if it is a regular one: its inode, its size, and where in the cache it was
/// found last.
pub(super) fn regular(file: &mut OpenFile) -> Result<(Inode, u64, &mut usize), Failure> {
    match &mut file.content {
        Content::File(hint) => Ok((file.inode, file.status.size_bytes, hint)),
        Content::Directory(_) => Err(FsError::IsADirectory.into()),
        Content::Other(feature) => Err((*feature).into()),
    }
}

/// Returns an open file, if it is a directory: its inode, and where its listing is.
pub(super) fn directory(file: &mut OpenFile) -> Result<(Inode, &mut Listing), Failure> {
    match &mut file.content {
        Content::Directory(listing) => Ok((file.inode, listing)),
        _ => Err(FsError::NotADirectory.into()),
    }
}

/// Returns how many bytes a file has from an offset on.
fn left_of(size: u64, offset: u64) -> Result<u64, Failure> {
    size.checked_sub(offset).ok_or(Failure { error: FsError::PastEnd, detail: size })
}

/// Copies bytes of a file into frames that are locked and mapped for this.
#[inline(never)]
fn fill<T: Transport>(
    pm: &Pm<T>,
    cache: &mut Cache,
    file: (Inode, &mut usize),
    range: (u64, u64),
    (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
    space: &mut impl AddressSpace,
) -> Result<(), Failure> {
    let lent = Lent::to_fill(pm, container, start, frames)?;
    copy_file(cache, file, range, &lent.filling(), space)?;
    lent.release()
}

/// Copies bytes of a file into frames that are taken for this.
#[inline(always)]
fn fill_taken<T: Transport>(
    pm: &Pm<T>,
    cache: &mut Cache,
    file: (Inode, &mut usize),
    range: (u64, u64),
    (container, frames, now): (ContainerHandle, FrameCount, Micros),
    space: &mut impl AddressSpace,
) -> Result<(), Failure> {
    let (taken, filling) = take(pm, container, frames, now)?;
    copy_file(cache, file, range, &filling, space)?;
    give_back(taken)
}
