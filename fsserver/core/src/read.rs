// SPDX-License-Identifier: BSD-2-Clause
//! Copies a range of a file into a lent container.

use fsserver_api::Failure;
use pmserver_client::{AddressSpace, Transport};

use crate::ext4::{Contents, Disk, Inode, LastRuns, Piece};
use crate::lent::Filling;

/// Copies `bytes` bytes of a file, from `offset` on, to the start of the lent frames. The file has
/// as many. They are copied once: from the image to where the client reads them. `runs` are kept
/// between calls, as the image does not change.
pub(crate) fn copy_file<T: Transport, A: AddressSpace>(
    disk: &Disk<A>,
    (file, runs): (&Inode, &mut LastRuns),
    (offset, bytes): (u64, u64),
    lent: &Filling<'_, T>,
    space: &mut A,
) -> Result<(), Failure> {
    let mut contents = Contents::new(disk, file, runs)?;
    let mut done = 0;
    while let Some(left @ 1..) = bytes.checked_sub(done) {
        let most = left.min(lent.bytes_at_once());
        let Piece { at, bytes } = contents.piece(offset.saturating_add(done), most)?;
        match at {
            Some(at) => lent.copy_across(space, (at, bytes), done)?,
            None => lent.clear(space, done, bytes)?,
        }
        done = done.saturating_add(bytes);
    }
    Ok(())
}
