// SPDX-License-Identifier: BSD-2-Clause
//! Brings the entries of a directory into a lent container.

use ext4_view::{DirEntry, ReadDir};
use fsserver_api::{DirectoryCookie, DirectoryEntry, EntryError, Failure, FsError, Listed};
use proto::AddressSpace;

use crate::lent::{Lent, PageBuffer};
use crate::volume::{kind_of, of_reader};

/// A directory at an entry. It only goes forward: the reader has no way back but a new lookup.
pub(crate) struct Listing {
    entries: ReadDir,
    /// The entry that did not fit into the last container.
    held_back: Option<DirEntry>,
    /// Entries that were handed out.
    position: u64,
    /// Whether reading failed: the next call must not go on as if nothing was missing.
    is_damaged: bool,
}

impl Listing {
    /// Returns the directory at its first entry.
    pub(crate) fn new(entries: ReadDir) -> Self {
        Self { entries, held_back: None, position: 0, is_damaged: false }
    }

    /// Says whether the listing can go on at `cookie`.
    pub(crate) fn check(&self, cookie: DirectoryCookie) -> Result<(), FsError> {
        if self.is_damaged {
            return Err(FsError::ImageDamaged);
        }
        if cookie.raw() == self.position { Ok(()) } else { Err(FsError::StaleCookie) }
    }

    /// Writes entries to the start of the lent frames, for as long as they fit into `capacity`
    /// bytes.
    pub(crate) fn copy_to<A: AddressSpace>(
        &mut self,
        lent: &Lent,
        capacity: u64,
        page: &mut PageBuffer,
        space: &mut A,
    ) -> Result<Listed, Failure> {
        let mut flushed: u64 = 0;
        let mut buffered: usize = 0;
        let is_end = loop {
            let Some(entry) = self.next_entry()? else { break true };
            let kind = kind_of(entry.file_type().map_err(of_reader)?);
            let name = entry.file_name();
            let encoded = DirectoryEntry::new(kind, name.as_ref())
                .map_err(|_: EntryError| FsError::ImageDamaged)?;
            let room = usize::try_from(capacity.saturating_sub(flushed)).unwrap_or(usize::MAX);
            let end = room.min(page.len());
            if let Some(bytes) = page.get_mut(buffered..end).and_then(|to| encoded.encode(to)) {
                buffered = buffered.saturating_add(bytes);
                self.position = self.position.saturating_add(1);
                continue;
            }
            self.held_back = Some(entry);
            if buffered == 0 || room <= page.len() {
                break false;
            }
            flushed = flushed.saturating_add(flush(lent, flushed, page, &mut buffered, space)?);
        };
        if buffered > 0 {
            flushed = flushed.saturating_add(flush(lent, flushed, page, &mut buffered, space)?);
        }
        let next = (!is_end).then_some(DirectoryCookie::from_raw(self.position));
        Ok(Listed { bytes: flushed, next })
    }

    fn next_entry(&mut self) -> Result<Option<DirEntry>, FsError> {
        if let Some(entry) = self.held_back.take() {
            return Ok(Some(entry));
        }
        loop {
            match self.entries.next() {
                None => return Ok(None),
                Some(Err(error)) => {
                    self.is_damaged = true;
                    return Err(of_reader(error));
                }
                Some(Ok(entry)) if matches!(entry.file_name().as_ref(), b"." | b"..") => {}
                Some(Ok(entry)) => return Ok(Some(entry)),
            }
        }
    }
}

/// Copies what is buffered to the lent frames and returns how much it was.
fn flush<A: AddressSpace>(
    lent: &Lent,
    offset: u64,
    page: &PageBuffer,
    buffered: &mut usize,
    space: &mut A,
) -> Result<u64, FsError> {
    let bytes = page.get(..*buffered).unwrap_or(&[]);
    space.copy_out(bytes, lent.address(offset)?);
    *buffered = 0;
    Ok(u64::try_from(bytes.len()).unwrap_or(0))
}
