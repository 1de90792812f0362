// SPDX-License-Identifier: BSD-2-Clause
//! Checksums of files.

use pmserver_client::{AddressSpace, Transport};
use proto::{Console, Waiter};
use sha2::{Digest, Sha256};

use crate::error::DemoError;
use crate::line::{print, print_checksum};
use crate::transfer::Transfer;

/// Reads a file and prints its checksum.
pub(crate) fn print_file<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    path: &[u8],
    console: &mut impl Console,
) -> Result<(), DemoError> {
    match checksum(transfer, path) {
        Ok(digest) => print_checksum(console, &digest, path),
        Err(error) => {
            print(console, format_args!("cannot read /{}", path.escape_ascii()))?;
            Err(error)
        }
    }
}

/// Reads a file and returns the checksum of its contents.
pub(crate) fn checksum<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    path: &[u8],
) -> Result<[u8; 32], DemoError> {
    let file = transfer.open(path)?;
    let mut hasher = Sha256::new();
    let read = transfer.read(file, |piece| hasher.update(piece));
    let closed = transfer.close(file);
    // If both fail, the first error is the one to report.
    read.and(closed).map(|()| hasher.finalize().into())
}
