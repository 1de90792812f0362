// SPDX-License-Identifier: BSD-2-Clause
//! Follows paths. A symbolic link is followed unless it is the last component. Nothing leads out of
//! the directory that is the root of who asks.

use alloc::vec::Vec;

use fsserver_api::{Failure, Feature, FsError};
use fsserver_volume::{Error, Inode, Kind, Status, Volume};
use proto::limits::PATH_BYTES_MAX;

use super::failure::failure_of;

const SYMLINKS_MAX: u32 = 40;
/// Components of a path that are looked up, those of symbolic links included.
const COMPONENTS_MAX: u32 = 1000;

/// What is done with a symbolic link at the end of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// It is what was looked for.
    Found,
    /// It is followed.
    Followed,
}

/// Finds what a path leads to.
pub(super) fn find(
    volume: &mut impl Volume,
    root: &str,
    path: &[u8],
) -> Result<(Inode, Status), Failure> {
    walk(volume, root, path, Last::Found)
}

/// Finds the place of a name in its directory; `error` if the path has none, as that of the root.
pub(super) fn place<'p>(
    volume: &mut impl Volume,
    root: &str,
    path: &'p [u8],
    error: FsError,
) -> Result<(Inode, &'p [u8]), Failure> {
    match find_parent(volume, root, path)? {
        (_, b"" | b".") => Err(error.into()),
        place => Ok(place),
    }
}

/// Finds the place of a name for what is no directory: a path with a slash at its end has none.
pub(super) fn file_place<'p>(
    volume: &mut impl Volume,
    root: &str,
    path: &'p [u8],
) -> Result<(Inode, &'p [u8]), Failure> {
    let place = place(volume, root, path, FsError::Exists)?;
    if path.ends_with(b"/") { Err(FsError::IsADirectory.into()) } else { Ok(place) }
}

/// Fails if one of these paths has a slash at its end and what has this name is no directory.
pub(super) fn check_slash(
    volume: &mut impl Volume,
    paths: &[&[u8]],
    parent: Inode,
    name: &[u8],
) -> Result<(), Failure> {
    if !paths.iter().any(|path| path.ends_with(b"/")) {
        return Ok(());
    }
    if lookup(volume, parent, name)?.1.kind == Kind::Directory {
        Ok(())
    } else {
        Err(FsError::NotADirectory.into())
    }
}

/// Finds the directory in which the last component of a path is, or could be. Returns it with that
/// component.
fn find_parent<'p>(
    volume: &mut impl Volume,
    root: &str,
    path: &'p [u8],
) -> Result<(Inode, &'p [u8]), Failure> {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last.saturating_add(1));
    let path = path.get(..end).unwrap_or_default();
    let start = path.iter().rposition(|byte| *byte == b'/').map_or(0, |at| at.saturating_add(1));
    let (parent, name) = path.split_at_checked(start).ok_or(FsError::BadPath)?;
    let (inode, status) = walk(volume, root, parent, Last::Followed)?;
    if status.kind != Kind::Directory {
        return Err(FsError::NotADirectory.into());
    }
    Ok((inode, name))
}

/// The part of a path that is still to be followed, in reverse.
struct Rest(Vec<u8>);

impl Rest {
    fn prepend(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        if self.0.len().saturating_add(bytes.len()) > PATH_BYTES_MAX {
            return Err(FsError::PathTooLong);
        }
        self.0.extend(bytes.iter().rev());
        Ok(())
    }

    /// Goes past separators and returns whether there were any.
    fn skip_separators(&mut self) -> bool {
        let before = self.0.len();
        while self.0.last() == Some(&b'/') {
            self.0.pop();
        }
        self.0.len() < before
    }

    fn take(&mut self, name: &mut Vec<u8>) {
        name.clear();
        while let Some(byte) = self.0.pop_if(|byte| *byte != b'/') {
            name.push(byte);
        }
    }
}

fn walk(
    volume: &mut impl Volume,
    root: &str,
    path: &[u8],
    last: Last,
) -> Result<(Inode, Status), Failure> {
    let top = top(volume, root)?;
    let mut rest = Rest(Vec::new());
    rest.prepend(path)?;
    let mut at = top;
    let (mut symlinks, mut components) = (0_u32, 0_u32);
    let mut is_directory_asked = rest.skip_separators();
    let mut name = Vec::new();
    while !rest.0.is_empty() {
        if at.1.kind != Kind::Directory {
            return Err(FsError::NotADirectory.into());
        }
        components = components.saturating_add(1);
        if components > COMPONENTS_MAX {
            return Err(FsError::PathTooLong.into());
        }
        rest.take(&mut name);
        let is_here = name == b"." || (name == b".." && at.0 == top.0);
        let found = if is_here { at } else { lookup(volume, at.0, &name)? };
        is_directory_asked = rest.skip_separators();
        let is_last = rest.0.is_empty() && last == Last::Found;
        if found.1.kind != Kind::Symlink || is_last {
            at = found;
            continue;
        }
        symlinks = symlinks.saturating_add(1);
        if symlinks > SYMLINKS_MAX {
            return Err(Feature::ManySymlinks.into());
        }
        let target = volume.read_link(found.0).map_err(failure_of)?;
        rest.prepend(b"/")?;
        rest.prepend(&target)?;
        if rest.skip_separators() {
            at = top;
        }
    }
    if is_directory_asked && at.1.kind != Kind::Directory {
        return Err(FsError::NotADirectory.into());
    }
    Ok(at)
}

/// Finds the directory at which paths begin.
fn top(volume: &mut impl Volume, root: &str) -> Result<(Inode, Status), Failure> {
    let root_inode = volume.root();
    let mut at = (root_inode, status(volume, root_inode)?);
    for name in root.split('/').filter(|name| !name.is_empty()) {
        at = lookup(volume, at.0, name.as_bytes())?;
    }
    if at.1.kind == Kind::Directory { Ok(at) } else { Err(FsError::NotADirectory.into()) }
}

fn lookup(
    volume: &mut impl Volume,
    directory: Inode,
    name: &[u8],
) -> Result<(Inode, Status), Failure> {
    let inode = volume.lookup(directory, name).map_err(failure_of)?;
    Ok((inode, status(volume, inode)?))
}

fn status(volume: &mut impl Volume, inode: Inode) -> Result<Status, Failure> {
    volume.status(inode).map_err(|error: Error| failure_of(error))
}
