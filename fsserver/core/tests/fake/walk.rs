// SPDX-License-Identifier: BSD-2-Clause
//! A client that reads all there is.

use fsserver_api::{CallError, Client, DirectoryCookie, DirectoryEntry, FileKind, ReadLength};
use pmserver_api::{ContainerHandle, Rights};
use proto::{FrameCount, FrameNumber};

use super::{Fs, Machine};

pub(crate) const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);

/// Where an image leads in circles, the walk ends after so many paths.
const PATHS_MAX: usize = 300;

/// Reads all there is to read and returns how often that failed. There must be a file system.
pub(crate) fn walk(machine: &Machine) -> u32 {
    let mut fs = machine.fs();
    let weak = machine.lend(80, RIGHTS);
    let mut failures = 0;
    let mut directories = vec![b"/".to_vec(), b"/link/c/".to_vec()];
    for _ in 0..PATHS_MAX {
        let Some(path) = directories.pop().filter(|path| path.len() < 200) else { break };
        if visit(machine, &mut fs, weak, &path, &mut directories).is_err() {
            failures += 1;
        }
        machine.assert_at_rest();
    }
    failures
}

fn visit(
    machine: &Machine,
    fs: &mut Client<Fs>,
    weak: ContainerHandle,
    path: &[u8],
    more: &mut Vec<Vec<u8>>,
) -> Result<(), CallError> {
    machine.write(weak, 0, path);
    let file = fs.lookup(weak, path.len())?;
    let status = fs.stat(file)?;
    let result = match status.kind {
        FileKind::Directory => {
            let frames = FrameCount::new(80).unwrap();
            let mut list = || fs.read_dir(file, weak, frames, DirectoryCookie::START);
            match list() {
                Ok(listed) => {
                    let bytes = machine.read(weak, listed.bytes as usize);
                    let mut rest = bytes.as_slice();
                    while !rest.is_empty() {
                        let (entry, after) = DirectoryEntry::decode(rest).unwrap();
                        more.push([path, b"/", entry.name()].concat());
                        rest = after;
                    }
                    Ok(())
                }
                // What failed once is tried again: it must fail again, not panic.
                Err(error) => {
                    assert_eq!(list(), Err(error));
                    Err(error)
                }
            }
        }
        _ => {
            let mut offset = 0;
            let length = ReadLength::new(80 * 4096).unwrap();
            let mut result = Ok(());
            for _ in 0..4 {
                match fs.read(file, weak, offset, FrameNumber::new(0), length) {
                    Ok(bytes) => offset += bytes,
                    Err(error) => result = Err(error),
                }
            }
            result
        }
    };
    fs.close(file)?;
    result
}
