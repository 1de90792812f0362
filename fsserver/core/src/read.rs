// SPDX-License-Identifier: BSD-2-Clause
//! Copies a range of a file into a lent container.

use fsserver_api::Failure;
use pmserver_client::{AddressSpace, PAGE_BYTES, Transport};
use proto::limits::FS_LEASE_PAGES;

use crate::ext4::{Contents, Disk, Inode, LastRun, Piece};
use crate::lent::Filling;

/// Bytes that are copied before the lease is looked at again.
const PIECE_BYTES_MAX: u64 = FS_LEASE_PAGES * PAGE_BYTES;

/// Copies `bytes` bytes of a file, from `offset` on, to the start of the lent frames. The file has
/// as many. They are copied once: from the image to where the client reads them. `run` is kept
/// between calls, as the image does not change.
pub(crate) fn copy_file<T: Transport, A: AddressSpace>(
    disk: &Disk<A>,
    (file, run): (&Inode, &mut LastRun),
    (offset, bytes): (u64, u64),
    lent: &Filling<'_, T>,
    space: &mut A,
) -> Result<(), Failure> {
    let mut contents = Contents::new(disk, file, run)?;
    let mut done = 0;
    while let Some(left @ 1..) = bytes.checked_sub(done) {
        let most = left.min(PIECE_BYTES_MAX);
        let Piece { at, bytes } = contents.piece(offset.saturating_add(done), most)?;
        match at {
            Some(at) => lent.copy_across(space, (at, bytes), done)?,
            None => lent.clear(space, done, bytes)?,
        }
        done = done.saturating_add(bytes);
    }
    Ok(())
}
