// SPDX-License-Identifier: BSD-2-Clause
//! Writes files and reads them back, if this client may write.

use fsserver_api::FsError;
use pmserver_client::{AddressSpace, Transport};
use proto::{Console, Waiter};

use crate::checksum::print_file;
use crate::error::DemoError;
use crate::transfer::Transfer;

/// Where the files are.
const FOLDER: &[u8] = b"written";

/// The files, and how large they are: less than a block, some blocks, more than one call writes.
const FILES: [(&[u8], u64); 3] = [
    (b"written/a line.txt", LINE_BYTES),
    (b"written/lines.txt", 100 * LINE_BYTES + 7),
    (b"written/many lines.txt", 30_000 * LINE_BYTES),
];

/// A file is written by this name, and has its own when it is complete.
const DRAFT: &[u8] = b"written/draft";

const LINE: &[u8; 64] = b"client-demo has lent this line, and the file server has taken it";
const LINE_BYTES: u64 = 64;

/// Writes the files, each in the place of one that an earlier run has left, and makes them last;
/// then reads them back and prints their checksums. Does nothing if this client may only read.
pub(crate) fn write_files<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    console: &mut impl Console,
) -> Result<(), DemoError> {
    match transfer.make_dir(FOLDER) {
        Err(DemoError::Fs(_, error)) => match error.refusal() {
            Some(FsError::NotPermitted | FsError::ReadOnly | FsError::Unsupported) => return Ok(()),
            Some(FsError::Exists) => {}
            _ => return Err(DemoError::Fs("making a folder", error)),
        },
        made => made?,
    }
    for (path, size_bytes) in FILES {
        let file = transfer.create(DRAFT)?;
        transfer.write(file, size_bytes, |to| {
            // A piece begins where a line does.
            for (byte, from) in to.iter_mut().zip(LINE.iter().cycle()) {
                *byte = *from;
            }
        })?;
        transfer.sync(file)?;
        transfer.close(file)?;
        transfer.rename(DRAFT, path)?;
    }
    transfer.sync_all()?;
    FILES.iter().try_for_each(|(path, _)| print_file(transfer, path, console))
}
