// SPDX-License-Identifier: BSD-2-Clause
//! Copies the entries of a directory into a lent container.

use fsserver_api::{DirectoryCookie, DirectoryEntry, EntryError, Failure, FsError, Listed};
use pmserver_client::{AddressSpace, Transport};

use crate::ext4::{Block, Disk, Entry, Inode, blocks_of, entry_at, read_entries};
use crate::lent::{Filling, PageBuffer};

/// A directory at an entry. It only goes forward: to go back, a client looks the directory up
/// again.
#[derive(Clone)]
pub(crate) struct Listing {
    directory: Inode,
    /// The block of the entry, and where in it the entry starts.
    at: (u64, usize),
    /// How many entries were written to containers.
    position: u64,
}

impl Listing {
    /// Returns the directory at its first entry.
    pub(crate) const fn new(directory: Inode) -> Self {
        Self { directory, at: (0, 0), position: 0 }
    }

    /// Fails unless the listing can continue at `cookie`.
    pub(crate) fn check(&self, cookie: DirectoryCookie) -> Result<(), FsError> {
        if cookie.raw() == self.position { Ok(()) } else { Err(FsError::StaleCookie) }
    }

    /// Writes entries into the lent frames, from their start, as many as fit and as one call may
    /// read blocks for. The listing stays where it is if this fails.
    pub(crate) fn copy_to<T: Transport, A: AddressSpace>(
        &mut self,
        disk: &Disk<A>,
        lent: &Filling<'_, T>,
        page: &mut PageBuffer,
        space: &mut A,
    ) -> Result<Listed, Failure> {
        let mut listing = self.clone();
        let mut output = Output { lent, page, flushed: 0, buffered: 0 };
        let is_end = match listing.fill(disk, &mut output, space) {
            // What was found until then is a part of the directory, too.
            Err(failure)
                if failure.error == FsError::TooManyBlocks && listing.position > self.position =>
            {
                false
            }
            result => result?,
        };
        output.flush(space)?;
        let bytes = output.flushed;
        *self = listing;
        let next = (!is_end).then_some(DirectoryCookie::from_raw(self.position));
        Ok(Listed { bytes, next })
    }

    /// Goes on to the end of the directory, or to the first entry that does not fit. Returns
    /// whether it is the end.
    fn fill<T: Transport, A: AddressSpace>(
        &mut self,
        disk: &Disk<A>,
        output: &mut Output<'_, '_, T>,
        space: &mut A,
    ) -> Result<bool, Failure> {
        let blocks = blocks_of(disk, &self.directory)?;
        let mut buffer: Block = [0; 4096];
        while self.at.0 < blocks {
            let bytes = read_entries(disk, &self.directory, self.at.0, &mut buffer)?;
            while self.at.1 < bytes.len() {
                let (entry, next) = entry_at(disk, bytes, self.at.1)?;
                if let Some(entry) = entry.filter(|entry| !matches!(entry.name, b"." | b"..")) {
                    if !output.push(disk, &entry, space)? {
                        return Ok(false);
                    }
                    self.position = self.position.saturating_add(1);
                }
                self.at.1 = next;
            }
            self.at = (self.at.0.saturating_add(1), 0);
        }
        Ok(true)
    }
}

/// Entries on their way into lent frames, through the page.
struct Output<'a, 'pm, T: Transport> {
    lent: &'a Filling<'pm, T>,
    page: &'a mut PageBuffer,
    flushed: u64,
    buffered: usize,
}

impl<T: Transport> Output<'_, '_, T> {
    /// Adds an entry, and returns whether it fits.
    fn push<A: AddressSpace>(
        &mut self,
        disk: &Disk<A>,
        entry: &Entry<'_>,
        space: &mut A,
    ) -> Result<bool, Failure> {
        let encoded = DirectoryEntry::new(entry.kind(disk)?, entry.name)
            .map_err(|_: EntryError| FsError::ImageDamaged)?;
        loop {
            let room = self.lent.bytes().saturating_sub(self.flushed);
            let end = usize::try_from(room).unwrap_or(usize::MAX).min(self.page.len());
            let to = self.page.get_mut(self.buffered..end);
            if let Some(bytes) = to.and_then(|to| encoded.encode(to)) {
                self.buffered = self.buffered.saturating_add(bytes);
                return Ok(true);
            }
            if self.buffered == 0 || end < self.page.len() {
                return Ok(false);
            }
            self.flush(space)?;
        }
    }

    /// Copies the bytes in the page to the lent frames.
    fn flush(&mut self, space: &mut impl AddressSpace) -> Result<(), Failure> {
        let bytes = self.page.get(..self.buffered).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(());
        }
        self.lent.look_at_lease();
        self.lent.copy_out(space, bytes, self.flushed)?;
        let length = u64::try_from(self.buffered).unwrap_or(0);
        self.flushed = self.flushed.saturating_add(length);
        self.buffered = 0;
        Ok(())
    }
}
