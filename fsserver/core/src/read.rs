// SPDX-License-Identifier: BSD-2-Clause
//! Copies a range of a file into a lent container.

use fsserver_api::{Failure, FsError};
use pmserver_client::{AddressSpace, PAGE_BYTES, Transport};

use crate::ext4::{Contents, Disk, Inode};
use crate::lent::{Lent, PageBuffer};

/// Copies `bytes` bytes of a file, from `offset` on, to the start of the lent frames. The file has
/// as many.
pub(crate) fn copy_file<T: Transport, A: AddressSpace>(
    disk: &Disk<A>,
    file: &Inode,
    (offset, bytes): (u64, u64),
    lent: &Lent<'_, T>,
    page: &mut PageBuffer,
    space: &mut A,
) -> Result<(), Failure> {
    let mut contents = Contents::new(disk, file)?;
    let mut done = 0;
    while let Some(left @ 1..) = bytes.checked_sub(done) {
        let length = usize::try_from(left.min(PAGE_BYTES)).unwrap_or(0);
        let data = page.get_mut(..length).ok_or(FsError::BadRange)?;
        contents.read(offset.saturating_add(done), data)?;
        lent.copy_out(space, data, done)?;
        done = done.saturating_add(PAGE_BYTES);
    }
    Ok(())
}
