// SPDX-License-Identifier: BSD-2-Clause
//! Copies a range of a file out of the cache into a lent container.

use fsserver_api::{Failure, FsError};
use fsserver_volume::Inode;
use pmserver_client::{AddressSpace, Transport};

use crate::cache::{Cache, Key, WINDOW_BYTES};
use crate::lent::Filling;

/// Copies `bytes` bytes of a file, from `offset` on, to the start of the lent frames. They are in
/// the cache, at `hint` if nothing has happened since the last read.
pub(crate) fn copy_file<T: Transport>(
    cache: &mut Cache,
    (inode, hint): (Inode, &mut usize),
    (offset, bytes): (u64, u64),
    lent: &Filling<'_, T>,
    space: &mut impl AddressSpace,
) -> Result<(), Failure> {
    let mut done = 0;
    while let Some(left @ 1..) = bytes.checked_sub(done) {
        let at = offset.saturating_add(done);
        let key = Key::of(inode, at);
        let window = cache.find(key, hint).ok_or(FsError::Busy)?;
        let skipped = at.saturating_sub(key.start());
        let most = left.min(WINDOW_BYTES.saturating_sub(skipped)).min(lent.bytes_at_once());
        let from = window.checked_add(skipped).ok_or(FsError::BadRange)?;
        lent.copy_across(space, (from, most), done)?;
        done = done.saturating_add(most);
    }
    Ok(())
}
