// SPDX-License-Identifier: BSD-2-Clause
//! The whole program, from the first call to the last.

use fsserver_api::Client;
use pmserver_client::{AddressSpace, GrantMapper, Pm, Transport};
use proto::{Console, Waiter};
use sha2::{Digest, Sha256};

use crate::accounts::Accounts;
use crate::checksum::{checksum, print_file};
use crate::error::DemoError;
use crate::line::print;
use crate::transfer::Transfer;
use crate::walk::regular_files;
use crate::writing::write_files;

/// Reads every file, prints its checksum, writes some if this client may, and returns whether all
/// went well. The last line is `PASS`, or `FAIL: ` and why.
///
/// `pm` and `fs` are the connections to the two servers, `space` is the program's own memory, and
/// `grants` is the kernel, for the page that the program maps itself.
pub fn run<P: Transport, F: Transport, W: Waiter>(
    pm: &Pm<P>,
    fs: &mut Client<F, W>,
    space: &mut impl AddressSpace,
    grants: &mut impl GrantMapper,
    console: &mut impl Console,
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

fn demo<P: Transport, F: Transport, W: Waiter>(
    pm: &Pm<P>,
    fs: &mut Client<F, W>,
    space: &mut impl AddressSpace,
    grants: &mut impl GrantMapper,
    console: &mut impl Console,
) -> Result<(), DemoError> {
    // fsserver says under which number pmserver knows it: with that peer we share our containers.
    let identity = fs.version().map_err(|error| DemoError::Fs("asking for the version", error))?;
    let fsserver = identity.peer;

    let before = Accounts::read(pm, fsserver)?;
    before.print(console)?;

    let mut transfer = Transfer::new(pm, fs, space, grants, fsserver)?;
    print_checksums(&mut transfer, console)?;
    write_files(&mut transfer, console)?;
    transfer.finish()?;
    trim(fs)?;

    // All that was made is gone, and every charge for it refunded.
    let after = Accounts::read(pm, fsserver)?;
    after.print(console)?;
    before.check_unchanged(&after)
}

fn print_checksums<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    console: &mut impl Console,
) -> Result<(), DemoError> {
    let files = regular_files(transfer).or_else(|(directory, error)| {
        print(console, format_args!("cannot read /{}", directory.escape_ascii()))?;
        Err(error)
    })?;
    files.iter().try_for_each(|path| print_file(transfer, path, console))
}

/// Reads every file of the image and returns a checksum of all contents, in the order of the paths.
/// Prints nothing; all that it makes is gone afterwards, also where it fails.
///
/// # Errors
/// The first error.
pub fn digest<P: Transport, F: Transport, W: Waiter>(
    pm: &Pm<P>,
    fs: &mut Client<F, W>,
    space: &mut impl AddressSpace,
    grants: &mut impl GrantMapper,
) -> Result<[u8; 32], DemoError> {
    let identity = fs.version().map_err(|error| DemoError::Fs("asking for the version", error))?;
    let mut transfer = Transfer::new(pm, fs, space, grants, identity.peer)?;
    let mut hasher = Sha256::new();
    for path in regular_files(&mut transfer).map_err(|(_, error)| error)? {
        hasher.update(checksum(&mut transfer, &path)?);
    }
    transfer.finish()?;
    trim(fs)?;
    Ok(hasher.finalize().into())
}

/// Makes fsserver give up what it has cached, so that its account is where it was.
fn trim<F: Transport, W: Waiter>(fs: &mut Client<F, W>) -> Result<(), DemoError> {
    fs.trim().map_err(|error| DemoError::Fs("trimming the cache", error))
}
