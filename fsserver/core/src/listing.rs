// SPDX-License-Identifier: BSD-2-Clause
//! Copies the entries of a directory into a lent container.

use fsserver_api::{DirectoryCookie, DirectoryEntry, EntryError, Failure, FsError, Listed};
use fsserver_volume::{Cursor, Entry};
use pmserver_client::{AddressSpace, Transport};

use crate::engine::kind_of;
use crate::lent::{Filling, PageBuffer};

/// Entries that the file system is asked for at a time.
pub(crate) const ENTRIES_MAX: usize = 1024;

/// A directory at an entry. It only goes forward: to go back, a client looks the directory up
/// again.
#[derive(Clone, Copy)]
pub(crate) struct Listing {
    at: Cursor,
    /// How many entries were written to containers.
    position: u64,
}

impl Listing {
    /// Returns a directory at its first entry.
    pub(crate) const fn new() -> Self {
        Self { at: Cursor::START, position: 0 }
    }

    /// Returns where the next entry is.
    pub(crate) const fn at(&self) -> Cursor {
        self.at
    }

    /// Fails unless the listing can continue at `cookie`.
    pub(crate) fn check(&self, cookie: DirectoryCookie) -> Result<(), FsError> {
        if cookie.raw() == self.position { Ok(()) } else { Err(FsError::StaleCookie) }
    }

    /// Writes entries into the lent frames, from their start, as many as fit. They are those from
    /// [`Self::at`] on. The listing stays where it is if this fails.
    pub(crate) fn copy_to<T: Transport>(
        &mut self,
        entries: &[Entry],
        lent: &Filling<'_, T>,
        page: &mut PageBuffer,
        space: &mut impl AddressSpace,
    ) -> Result<Listed, Failure> {
        let mut listing = *self;
        let mut output = Output { lent, page, flushed: 0, buffered: 0 };
        let mut is_end = entries.is_empty();
        for entry in entries {
            if !matches!(entry.name.as_slice(), b"." | b"..") {
                if !output.push(entry, space)? {
                    is_end = false;
                    break;
                }
                listing.position = listing.position.saturating_add(1);
            }
            listing.at = entry.next;
            is_end = entry.next.is_end();
        }
        output.flush(space)?;
        let bytes = output.flushed;
        *self = listing;
        let next = (!is_end).then_some(DirectoryCookie::from_raw(self.position));
        Ok(Listed { bytes, next })
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
    fn push(&mut self, entry: &Entry, space: &mut impl AddressSpace) -> Result<bool, Failure> {
        let encoded = DirectoryEntry::new(kind_of(entry.kind), &entry.name)
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
