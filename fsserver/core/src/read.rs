// SPDX-License-Identifier: BSD-2-Clause
//! Brings a range of a file into a lent container.

use ext4_view::File;
use fsserver_api::{Failure, FsError};
use proto::limits::CALL_FRAMES_MAX;
use proto::{AddressSpace, PAGE_BYTES};

use crate::lent::{Lent, PageBuffer};
use crate::volume::of_reader;

/// Bytes that one call passes over at most on its way to an offset.
const SKIP_BYTES_MAX: u64 = CALL_FRAMES_MAX * PAGE_BYTES;

/// A regular file at a position.
///
/// The ext4 reader only walks forward through the blocks of a file. A read that goes on where the
/// last one ended costs nothing extra; another one passes over the blocks between, from the
/// position or from the start, at most [`SKIP_BYTES_MAX`] in a call. That is done by reading and
/// not by the reader's own `seek_to`, which goes any distance in one call and passes over errors in
/// silence.
pub(crate) struct Cursor {
    file: File,
    /// Whether a read failed: the reader must be taken back to the start before the next, as it
    /// panics where it is asked to go on.
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
    /// [`FsError::Again`] with the position where one call does not suffice.
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

    /// Copies `bytes` bytes from the position on to the start of the lent frames; returns how many
    /// there were before the end of the file.
    pub(crate) fn copy_to<A: AddressSpace>(
        &mut self,
        lent: &Lent,
        bytes: u64,
        page: &mut PageBuffer,
        space: &mut A,
    ) -> Result<u64, Failure> {
        let mut done = 0;
        while let Some(left @ 1..) = bytes.checked_sub(done) {
            let data = self.fill(left, page)?;
            let length = u64::try_from(data.len()).unwrap_or(0);
            if length == 0 {
                break;
            }
            space.copy_out(data, lent.address(done)?);
            done = done.saturating_add(length);
        }
        Ok(done)
    }

    /// Reads the next `bytes` bytes, or a page full of them, and returns what the file has of them.
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
