// SPDX-License-Identifier: BSD-2-Clause
//! Copies a range of a file into a lent container.

use ext4_view::File;
use fsserver_api::{Failure, FsError};
use pmserver_client::{AddressSpace, PAGE_BYTES, Transport};
use proto::limits::CALL_FRAMES_MAX;

use crate::lent::{Lent, PageBuffer};
use crate::volume::of_reader;

/// The most bytes that one call skips on its way to an offset.
const SKIP_BYTES_MAX: u64 = CALL_FRAMES_MAX * PAGE_BYTES;

/// A regular file at a position.
///
/// The ext4 reader only walks forward through the blocks of a file. A read that continues where the
/// last one ended costs nothing extra. Any other read first skips the blocks up to its offset, from
/// the position or from the start, at most [`SKIP_BYTES_MAX`] per call. It skips by reading: the
/// reader's own `seek_to` goes any distance in one call, and ignores errors.
pub(crate) struct Cursor {
    file: File,
    /// Whether a read failed. Then the reader must go back to the start before the next read: it
    /// panics if it is asked to continue.
    is_broken: bool,
}

impl Cursor {
    /// Returns the file at its start.
    pub(crate) fn new(file: File) -> Self {
        Self { file, is_broken: false }
    }

    /// Goes to an offset, which is not past the end of the file.
    ///
    /// # Errors
    /// [`FsError::Again`] with the position reached, if one call is not enough.
    pub(crate) fn go_to(&mut self, offset: u64, page: &mut PageBuffer) -> Result<(), Failure> {
        if self.is_broken || self.file.position() > offset {
            self.is_broken = true;
            self.file.seek_to(0).map_err(of_reader)?;
            self.is_broken = false;
        }
        let start = self.file.position();
        while let Some(left @ 1..) = offset.checked_sub(self.file.position()) {
            if self.file.position().saturating_sub(start) >= SKIP_BYTES_MAX {
                return Err(Failure { error: FsError::Again, detail: self.file.position() });
            }
            if self.fill(left, page)?.is_empty() {
                return Err(FsError::ImageDamaged.into());
            }
        }
        Ok(())
    }

    /// Copies `bytes` bytes from the position on to the start of the lent frames. Returns how many
    /// were copied: fewer at the end of the file.
    pub(crate) fn copy_to<T: Transport>(
        &mut self,
        lent: &Lent<'_, T>,
        bytes: u64,
        page: &mut PageBuffer,
        space: &mut impl AddressSpace,
    ) -> Result<u64, Failure> {
        let mut done = 0;
        while let Some(left @ 1..) = bytes.checked_sub(done) {
            let data = self.fill(left, page)?;
            let length = u64::try_from(data.len()).unwrap_or(0);
            if length == 0 {
                break;
            }
            lent.copy_out(space, data, done)?;
            done = done.saturating_add(length);
        }
        Ok(done)
    }

    /// Reads the next `bytes` bytes, at most a page, and returns those that the file has.
    fn fill<'a>(&mut self, bytes: u64, page: &'a mut PageBuffer) -> Result<&'a [u8], FsError> {
        let wanted = usize::try_from(bytes.min(PAGE_BYTES)).unwrap_or(0);
        let mut done: usize = 0;
        // Blocks may be smaller than pages, and the reader stops at the end of each.
        while let Some(rest @ [_, ..]) = page.get_mut(done..wanted) {
            match self.file.read_bytes(rest) {
                Ok(0) => break,
                Ok(length) => done = done.saturating_add(length),
                Err(error) => {
                    self.is_broken = true;
                    return Err(of_reader(error));
                }
            }
        }
        Ok(page.get(..done).unwrap_or(&[]))
    }
}
