// SPDX-License-Identifier: BSD-2-Clause
//! Copies the entries of a directory into a lent container.

use ext4_view::{DirEntry, ReadDir};
use fsserver_api::{DirectoryCookie, DirectoryEntry, EntryError, Failure, FsError, Listed};
use pmserver_client::{AddressSpace, Transport};

use crate::lent::{Lent, PageBuffer};
use crate::volume::{kind_of, of_reader};

/// A directory at an entry. It only goes forward: to go back, a client looks the directory up
/// again.
pub(crate) struct Listing {
    entries: ReadDir,
    /// The entry that did not fit into the last container.
    held_back: Option<DirEntry>,
    /// How many entries were written to containers.
    position: u64,
    /// Whether reading failed: the next call must not continue as if no entry were missing.
    is_damaged: bool,
}

impl Listing {
    /// Returns the directory at its first entry.
    pub(crate) fn new(entries: ReadDir) -> Self {
        Self { entries, held_back: None, position: 0, is_damaged: false }
    }

    /// Fails unless the listing can continue at `cookie`.
    pub(crate) fn check(&self, cookie: DirectoryCookie) -> Result<(), FsError> {
        if self.is_damaged {
            return Err(FsError::ImageDamaged);
        }
        if cookie.raw() == self.position { Ok(()) } else { Err(FsError::StaleCookie) }
    }

    /// Writes entries into the lent frames, from their start, as many as fit.
    pub(crate) fn copy_to<T: Transport>(
        &mut self,
        lent: &Lent<'_, T>,
        page: &mut PageBuffer,
        space: &mut impl AddressSpace,
    ) -> Result<Listed, Failure> {
        let mut flushed: u64 = 0;
        let mut buffered: usize = 0;
        let is_end = loop {
            let Some(entry) = self.next_entry()? else { break true };
            let kind = kind_of(entry.file_type().map_err(of_reader)?);
            let name = entry.file_name();
            let encoded = DirectoryEntry::new(kind, name.as_ref())
                .map_err(|_: EntryError| FsError::ImageDamaged)?;
            let room = usize::try_from(lent.bytes().saturating_sub(flushed)).unwrap_or(usize::MAX);
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

/// Copies the buffered bytes into the lent frames and returns how many there were.
fn flush<T: Transport>(
    lent: &Lent<'_, T>,
    offset: u64,
    page: &PageBuffer,
    buffered: &mut usize,
    space: &mut impl AddressSpace,
) -> Result<u64, Failure> {
    let bytes = page.get(..*buffered).unwrap_or(&[]);
    lent.copy_out(space, bytes, offset)?;
    *buffered = 0;
    Ok(u64::try_from(bytes.len()).unwrap_or(0))
}
