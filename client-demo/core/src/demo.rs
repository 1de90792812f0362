// SPDX-License-Identifier: BSD-2-Clause
//! The course of the demo.

use pmserver_api::GrantMapper;
use proto::{AddressSpace, Console, PeerId, Transport};
use sha2::{Digest, Sha256};

use crate::accounts::Accounts;
use crate::error::DemoError;
use crate::line::{print, print_checksum};
use crate::transfer::Transfer;
use crate::walk::regular_files;

/// Reads every file of the image, prints what there is to print, and returns whether all went well.
/// The last line is `PASS`, or `FAIL: ` and why.
pub fn run<P: Transport, F: Transport, A: AddressSpace, G: GrantMapper, C: Console>(
    pm: &mut pmserver_api::Calls<P>,
    fs: &mut fsserver_api::Client<F>,
    space: &mut A,
    grants: &mut G,
    console: &mut C,
) -> bool {
    match demo(pm, fs, space, grants, console) {
        Ok(()) => {
            console.write(b"PASS\n");
            true
        }
        Err(error) => {
            if print(console, format_args!("FAIL: {error}")).is_err() {
                console.write(b"FAIL: out of memory\n");
            }
            false
        }
    }
}

fn demo<P: Transport, F: Transport, A: AddressSpace, G: GrantMapper, C: Console>(
    pm: &mut pmserver_api::Calls<P>,
    fs: &mut fsserver_api::Client<F>,
    space: &mut A,
    grants: &mut G,
    console: &mut C,
) -> Result<(), DemoError> {
    let fsserver =
        fs.version().map_err(|error| DemoError::Fs("asking for the version", error))?.peer;
    let before = Accounts::read(pm, fsserver)?;
    before.print(console)?;
    read_everything(pm, fs, space, grants, console, fsserver)?;
    let after = Accounts::read(pm, fsserver)?;
    after.print(console)?;
    before.check_unchanged(&after)
}

fn read_everything<P: Transport, F: Transport, A: AddressSpace, G: GrantMapper, C: Console>(
    pm: &mut pmserver_api::Calls<P>,
    fs: &mut fsserver_api::Client<F>,
    space: &mut A,
    grants: &mut G,
    console: &mut C,
    fsserver: PeerId,
) -> Result<(), DemoError> {
    let mut transfer = Transfer::new(pm, fs, space, grants, fsserver)?;
    let result = print_checksums(&mut transfer, console);
    let finished = transfer.finish();
    result.and(finished)
}

fn print_checksums<P: Transport, F: Transport, A: AddressSpace, C: Console>(
    transfer: &mut Transfer<'_, P, F, A>,
    console: &mut C,
) -> Result<(), DemoError> {
    for path in regular_files(transfer)? {
        match checksum(transfer, &path) {
            Ok(digest) => print_checksum(console, &digest, &path)?,
            Err(error) => {
                print(console, format_args!("cannot read {}", path.escape_ascii()))?;
                return Err(error);
            }
        }
    }
    Ok(())
}

fn checksum<P: Transport, F: Transport, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, A>,
    path: &[u8],
) -> Result<[u8; 32], DemoError> {
    let file = transfer.open(path)?;
    let mut hasher = Sha256::new();
    let read = transfer.read(file, |piece| hasher.update(piece));
    let closed = transfer.close(file);
    // The first thing that went wrong is the one to tell.
    read.and(closed).map(|()| hasher.finalize().into())
}
