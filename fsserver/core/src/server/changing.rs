// SPDX-License-Identifier: BSD-2-Clause
//! Changes of the file system, as clients ask for them.

use alloc::vec::Vec;
use core::ops::Range;

use corosensei::stack::Stack;
use fsserver_api::{Change as Asks, Failure, FileHandle, FsError, ReadLength, Request, TwoPaths};
use fsserver_setup::{ClientConfig, Rights};
use fsserver_volume::Time;
use pmserver_client::{
    AddressSpace, ContainerHandle, CopyFlags, MapFlags, PAGE_BYTES, Pages, Transport, WeakContainer,
};
use proto::FrameNumber;

use super::FileServer;
use super::reading::regular;
use crate::cache::LEFT;
use crate::client::ClientId;
use crate::engine::Change;
use crate::known::hash_of;
use crate::lent::{copy_path, of_pm};
use crate::memory::Home;
use crate::under_way::{Then, Work};
use crate::{memory, path};

impl<T: Transport, A: AddressSpace + Clone, S: Stack + 'static> FileServer<T, A, S> {
    /// Returns what the file system is to do for a change. Paths that are lent are copied then.
    pub(super) fn change(&mut self, client: ClientId, change: Asks) -> Result<Work, Failure> {
        let ClientConfig { rights, root, .. } = self.setup.client(client.channel());
        if rights != Rights::Write {
            return Err(FsError::NotPermitted.into());
        }
        let (change, then) = match change {
            Asks::Write { file, container, offset, start, length } => {
                return self.write(client, (file, offset), (container, start), length);
            }
            Asks::Truncate { file, size_bytes } => {
                let (inode, ..) = regular(self.files.get(client, file)?)?;
                (Change::Truncate { inode, size_bytes }, Then::Resized(inode))
            }
            Asks::SetTimes { file, accessed_seconds, modified_seconds } => {
                let inode = self.files.get(client, file)?.inode;
                let time =
                    |seconds: Option<u32>| seconds.map(|seconds| Time { seconds, nanoseconds: 0 });
                let (accessed, modified) = (time(accessed_seconds), time(modified_seconds));
                (Change::SetTimes { inode, accessed, modified }, Then::Learn)
            }
            Asks::Create { path_bytes, .. } => {
                self.room(client)?;
                let path = self.path(path_bytes)?;
                (Change::Create(path), Then::Created)
            }
            Asks::MakeDir { path_bytes, .. } => {
                (Change::MakeDir(self.path(path_bytes)?), Then::Renamed)
            }
            Asks::Unlink { path_bytes, .. } => {
                (Change::Unlink(self.path(path_bytes)?), Then::Renamed)
            }
            Asks::RemoveDir { path_bytes, .. } => {
                (Change::RemoveDir(self.path(path_bytes)?), Then::Renamed)
            }
            Asks::Rename { paths, .. } => {
                let (from, to) = self.two_paths(paths)?;
                path::checked(&from)?;
                (Change::Rename(from, to), Then::Renamed)
            }
            Asks::Link { paths, .. } => {
                let (from, to) = self.two_paths(paths)?;
                path::checked(&from)?;
                (Change::Link(from, to), Then::Renamed)
            }
            Asks::Symlink { paths, .. } => {
                let (target, path) = self.two_paths(paths)?;
                if target.contains(&0) {
                    return Err(FsError::BadPath.into());
                }
                (Change::Symlink(target, path), Then::Renamed)
            }
        };
        Ok(Work::Change(root, change, then))
    }

    /// Returns what the file system is to do for a write.
    fn write(
        &mut self,
        client: ClientId,
        (file, offset): (FileHandle, u64),
        (container, start): (ContainerHandle, FrameNumber),
        length: ReadLength,
    ) -> Result<Work, Failure> {
        let (inode, ..) = regular(self.files.get(client, file)?)?;
        let bytes = u64::from(length.get());
        offset.checked_add(bytes).ok_or(FsError::TooLarge)?;
        let end = start.get().checked_add(bytes.div_ceil(PAGE_BYTES)).ok_or(FsError::BadRange)?;
        Ok(Work::Write { inode, offset, from: (container, start.get()..end), bytes })
    }

    /// Takes what is to be written by a logical copy, so that the client may change its frames.
    pub(super) fn take_written(
        &mut self,
        (container, frames): (ContainerHandle, Range<u64>),
    ) -> Result<Pages, Failure> {
        let all = memory::written();
        let count = frames.end.saturating_sub(frames.start);
        let to = all.start..all.start.saturating_add(count);
        loop {
            let lent = WeakContainer::from_handle(&self.pm, container);
            let own = self.memory.weak(&self.pm, Home::Own);
            let copied = lent.copy_with(frames.clone(), &own, to.start, CopyFlags::NEW);
            let mapped = copied.map_err(of_pm).and_then(|_| {
                // Nothing is written there: a page that can be loaded from needs no copy.
                self.memory.map(&self.pm, Home::Own, to.clone(), MapFlags::FORCE_READ)
            });
            let Err(failure) = mapped else { return mapped };
            self.drop_written();
            if !self.gives_way(failure, count.saturating_add(LEFT)) {
                return Err(failure);
            }
        }
    }

    /// Gives the memory back of what was written.
    pub(super) fn drop_written(&mut self) {
        self.memory.drop_frames(&self.pm, Home::Own, memory::written());
    }

    /// Copies the paths that are lent with a request: first copied, then looked at, as the client
    /// may change the container meanwhile. Returns what they are, in short; 0 if there are none.
    #[inline(always)]
    pub(super) fn copy_paths(&mut self, request: Request) -> Result<u64, Failure> {
        match request {
            Request::Lookup { container, path_bytes } => {
                self.copy_bytes(container, path_bytes.into())
            }
            Request::Change(change) => self.copy_paths_of(change),
            _ => Ok(0),
        }
    }

    #[cold]
    fn copy_paths_of(&mut self, change: Asks) -> Result<u64, Failure> {
        match change {
            Asks::Create { container, path_bytes }
            | Asks::MakeDir { container, path_bytes }
            | Asks::Unlink { container, path_bytes }
            | Asks::RemoveDir { container, path_bytes } => {
                self.copy_bytes(container, path_bytes.into())
            }
            Asks::Rename { container, paths }
            | Asks::Link { container, paths }
            | Asks::Symlink { container, paths } => {
                let second = usize::from(paths.second_bytes());
                self.copy_bytes(container, usize::from(paths.first_bytes()).saturating_add(second))
            }
            Asks::Write { .. } | Asks::Truncate { .. } | Asks::SetTimes { .. } => Ok(0),
        }
    }

    fn copy_bytes(&mut self, container: ContainerHandle, bytes: usize) -> Result<u64, Failure> {
        let to = self.page.get_mut(..bytes).ok_or(FsError::PathTooLong)?;
        copy_path(&self.pm, container, &self.space, to)?;
        Ok(hash_of(to))
    }

    /// Returns the path that was copied, checked.
    fn path(&self, bytes: u16) -> Result<Vec<u8>, Failure> {
        let path = self.page.get(..bytes.into()).ok_or(FsError::PathTooLong)?;
        Ok(path::checked(path)?.to_vec())
    }

    /// Returns the two paths that were copied; the second is checked.
    fn two_paths(&self, paths: TwoPaths) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let (first, second) = (usize::from(paths.first_bytes()), usize::from(paths.second_bytes()));
        let both = self.page.get(..first.saturating_add(second)).ok_or(FsError::PathTooLong)?;
        let (first, second) = both.split_at_checked(first).ok_or(FsError::PathTooLong)?;
        Ok((first.to_vec(), path::checked(second)?.to_vec()))
    }
}
