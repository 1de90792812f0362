// SPDX-License-Identifier: BSD-2-Clause
//! One round of data from fsserver, through a container that the client pays for.
//!
//! ```text
//!   share -> fsserver fills -> unshare -> map -> copy in -> unmap
//! ```
//!
//! The client never has the container mapped while it is lent, and never looks at it before
//! `unshare` returned: from then on nobody else can change it (protocol R9).

use fsserver_api::{FileHandle, ReadLength};
use pmserver_api::{AccountHandle, AllocateFlags, ContainerHandle, GrantMapper, MapFlags, Rights};
use proto::limits::LEASE_MICROS_MAX;
use proto::{
    AddressSpace, FrameCount, FrameNumber, Micros, PAGE_BYTES, PeerId, Transport, VirtAddr,
};

use crate::error::DemoError;
use crate::path_page::PathPage;

/// Where the container that data comes in is mapped.
pub const WINDOW_VADDR: u64 = 0x1030_0000;

/// Frames of the container that data comes in, 256 KiB: larger files take several rounds.
pub const DATA_FRAMES: u64 = 64;

/// Bytes that are copied in at a time.
const COPY_BYTES: usize = 4096;

/// The servers, and the two containers between the client and fsserver.
pub(crate) struct Transfer<'a, P: Transport, F: Transport, A: AddressSpace> {
    pm: &'a mut pmserver_api::Calls<P>,
    /// fsserver, for the calls that need no container.
    pub(crate) fs: &'a mut fsserver_api::Client<F>,
    space: &'a mut A,
    fsserver: PeerId,
    data: ContainerHandle,
    path: PathPage,
}

impl<'a, P: Transport, F: Transport, A: AddressSpace> Transfer<'a, P, F, A> {
    /// Makes the containers.
    pub(crate) fn new(
        pm: &'a mut pmserver_api::Calls<P>,
        fs: &'a mut fsserver_api::Client<F>,
        space: &'a mut A,
        grants: &mut impl GrantMapper,
        fsserver: PeerId,
    ) -> Result<Self, DemoError> {
        let data = data_container(pm)?;
        let path = PathPage::new(pm, grants, fsserver)?;
        Ok(Self { pm, fs, space, fsserver, data, path })
    }

    /// Gives everything back.
    pub(crate) fn finish(self) -> Result<(), DemoError> {
        self.path.give_back(self.pm)?;
        self.pm
            .container_destroy(self.data)
            .map_err(|error| DemoError::Pm("giving a container back", error))
    }

    /// Opens a file or directory by its path relative to the root.
    pub(crate) fn open(&mut self, path: &[u8]) -> Result<FileHandle, DemoError> {
        let path_bytes = self.path.write(self.space, path)?;
        self.fs
            .lookup(self.path.weak(), path_bytes)
            .map_err(|error| DemoError::Fs("looking up a path", error))
    }

    /// Closes a file or directory.
    pub(crate) fn close(&mut self, file: FileHandle) -> Result<(), DemoError> {
        self.fs.close(file).map_err(|error| DemoError::Fs("closing", error))
    }

    /// Lends the container for data to fsserver for one call.
    pub(crate) fn lend<R>(
        &mut self,
        call: impl FnOnce(
            &mut fsserver_api::Client<F>,
            ContainerHandle,
        ) -> Result<R, fsserver_api::CallError>,
    ) -> Result<R, DemoError> {
        let start = FrameNumber::new(0);
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        let shared = self
            .pm
            .share(self.data, start, DATA_FRAMES, self.fsserver, rights, lease_max)
            .map_err(|error| DemoError::Pm("sharing a container", error))?;
        let result = call(self.fs, shared.weak);
        self.pm
            .unshare(shared.share)
            .map_err(|error| DemoError::Pm("taking a container back", error))?;
        result.map_err(|error| DemoError::Fs("reading", error))
    }

    /// Hands the first `bytes` bytes of the container to `take`, in pieces of at most 4 KiB.
    pub(crate) fn copy_in(
        &mut self,
        bytes: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), DemoError>,
    ) -> Result<(), DemoError> {
        let Some(frames) = FrameCount::new(bytes.div_ceil(PAGE_BYTES)) else { return Ok(()) };
        if frames.get() > DATA_FRAMES {
            return Err(DemoError::ReadLength);
        }
        self.map_data(frames)?;
        let mut page = [0; COPY_BYTES];
        let mut done: u64 = 0;
        let mut result = Ok(());
        while let Some(left @ 1..) = bytes.checked_sub(done) {
            let length = usize::try_from(left.min(PAGE_BYTES)).unwrap_or(0);
            let piece = page.get_mut(..length).ok_or(DemoError::Layout)?;
            self.space.copy_in(address(WINDOW_VADDR.saturating_add(done))?, piece);
            result = take(piece);
            if result.is_err() {
                break;
            }
            done = done.saturating_add(left.min(PAGE_BYTES));
        }
        self.pm
            .unmap(address(WINDOW_VADDR)?, frames)
            .map_err(|error| DemoError::Pm("unmapping a container", error))?;
        result
    }

    fn map_data(&mut self, frames: FrameCount) -> Result<(), DemoError> {
        let mut done: u64 = 0;
        while let Some(left) = frames.get().checked_sub(done).and_then(FrameCount::new) {
            let vaddr = address(WINDOW_VADDR.saturating_add(done.saturating_mul(PAGE_BYTES)))?;
            let mapped = self
                .pm
                .map(self.data, FrameNumber::new(done), left, vaddr, MapFlags::READ)
                .map_err(|error| DemoError::Pm("mapping a container", error))?;
            done = done.saturating_add(mapped.count.max(1));
        }
        Ok(())
    }

    /// Hands the contents of a file to `take`, round by round.
    pub(crate) fn read(
        &mut self,
        file: FileHandle,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), DemoError> {
        let status =
            self.fs.stat(file).map_err(|error| DemoError::Fs("asking for a size", error))?;
        let mut offset = 0;
        while let Some(left @ 1..) = status.size_bytes.checked_sub(offset) {
            let asked = left.min(DATA_FRAMES.saturating_mul(PAGE_BYTES));
            let length = ReadLength::new(asked).ok_or(DemoError::Layout)?;
            let start = FrameNumber::new(0);
            let bytes = self.lend(|fs, weak| fs.read(file, weak, offset, start, length))?;
            if bytes != asked {
                return Err(DemoError::ReadLength);
            }
            self.copy_in(bytes, |piece| {
                take(piece);
                Ok(())
            })?;
            offset = offset.saturating_add(bytes);
        }
        Ok(())
    }
}

fn data_container<T: Transport>(
    pm: &mut pmserver_api::Calls<T>,
) -> Result<ContainerHandle, DemoError> {
    let failed = |error| DemoError::Pm("making a container", error);
    let container = pm.container_create(AccountHandle::OWN).map_err(failed)?;
    let count = FrameCount::new(DATA_FRAMES).ok_or(DemoError::Layout)?;
    pm.allocate(container, FrameNumber::new(0), count, AllocateFlags::empty()).map_err(failed)?;
    Ok(container)
}

fn address(vaddr: u64) -> Result<VirtAddr, DemoError> {
    VirtAddr::new(vaddr).ok_or(DemoError::Layout)
}
