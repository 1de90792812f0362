// SPDX-License-Identifier: BSD-2-Clause
//! Whom the bench calls, and its memory.

use fsserver_api::{FileHandle, ReadLength, StrictError};
use pd::{OwnNotification, PpChannel};
use pmserver_client::{
    Container, ContainerHandle, MapFlags, Micros, PAGE_BYTES, Pages, PeerId, Pm, Rights, Share,
    ShareTerms, VirtAddr,
};
use proto::limits::LEASE_MICROS_MAX;
use shm::OwnMemory;

/// The channels, as the system file numbers them.
pub(crate) const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
pub(crate) const CONSOLE: usize = 2;
const DISK: usize = 4;

/// A window of 2 MiB.
pub(crate) const WINDOW: Pages =
    Pages::new(VirtAddr::new(0x1100_0000).unwrap(), WINDOW_FRAMES).unwrap();
pub(crate) const WINDOW_FRAMES: u64 = 512;
/// Where the page of the path is mapped.
const PATH_PAGE: Pages = Pages::new(VirtAddr::new(0x1001_0000).unwrap(), 1).unwrap();
/// Where the client puts what the rival has read, and has what it is to write.
pub(crate) const BUFFER: VirtAddr = VirtAddr::new_page(0x2840_0000).unwrap();

pub(crate) const READ_WRITE: MapFlags = MapFlags::READ.union(MapFlags::WRITE);
pub(crate) const FORCED: MapFlags = READ_WRITE.union(MapFlags::FORCE_WRITE);

/// A mebibyte, and how many frames it has.
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const MIB_FRAMES: u64 = MIB / PAGE_BYTES;

/// Why the bench cannot go on.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code)] // Printed.
pub(crate) enum BenchError {
    Pm(pmserver_client::Error),
    Fs(fsserver_api::CallError),
    Disk(block_api::CallError),
    /// A procedure of the rival was refused.
    Rival,
    /// What a call returned is not what the row needs.
    Unexpected(&'static str),
}

impl From<pmserver_client::Error> for BenchError {
    fn from(error: pmserver_client::Error) -> Self {
        Self::Pm(error)
    }
}

impl From<fsserver_api::CallError> for BenchError {
    fn from(error: fsserver_api::CallError) -> Self {
        Self::Fs(error)
    }
}

impl From<block_api::CallError> for BenchError {
    fn from(error: block_api::CallError) -> Self {
        Self::Disk(error)
    }
}

impl From<StrictError> for BenchError {
    fn from(error: StrictError) -> Self {
        match error {
            StrictError::Pm(error) => Self::Pm(error),
            StrictError::Fs(error) => Self::Fs(error),
        }
    }
}

/// Everybody whom the bench calls.
pub(crate) struct World<'pm> {
    pub(crate) pm: &'pm Pm<PpChannel>,
    pub(crate) fs: fsserver_api::Client<PpChannel, OwnNotification>,
    pub(crate) disk: block_api::Client<PpChannel>,
    pub(crate) fsserver: PeerId,
    pub(crate) driver: PeerId,
    /// The page of the path, as fsserver knows it.
    path: ContainerHandle,
}

impl<'pm> World<'pm> {
    pub(crate) fn new(pm: &'pm Pm<PpChannel>) -> Result<Self, BenchError> {
        let mut fs = fsserver_api::Client::waiting(PpChannel::new(FSSERVER), OwnNotification);
        let mut disk = block_api::Client::new(PpChannel::new(DISK));
        let (fsserver, driver) = (fs.version()?.peer, disk.version()?.peer);
        let page = pm.account().create_container()?;
        page.allocate(0..1)?;
        page.map(0..1, PATH_PAGE.start(), FORCED)?.into_pages();
        let (_, path) = lend(&page, 1, fsserver)?.into_raw();
        page.into_raw();
        let path = ContainerHandle::from_raw(path);
        Ok(Self { pm, fs, disk, fsserver, driver, path })
    }

    /// Opens a file.
    pub(crate) fn open(&mut self, path: &[u8]) -> Result<FileHandle, BenchError> {
        let at = self.write_path(path)?;
        Ok(self.fs.lookup(at, path.len())?)
    }

    /// Makes a file and opens it.
    pub(crate) fn create(&mut self, path: &[u8]) -> Result<FileHandle, BenchError> {
        let at = self.write_path(path)?;
        Ok(self.fs.create(at, path.len())?)
    }

    /// Removes the name of a file.
    pub(crate) fn unlink(&mut self, path: &[u8]) -> Result<(), BenchError> {
        let at = self.write_path(path)?;
        Ok(self.fs.unlink(at, path.len())?)
    }

    fn write_path(&self, path: &[u8]) -> Result<ContainerHandle, BenchError> {
        PATH_PAGE.copy_out(&mut OwnMemory, path, 0)?;
        Ok(self.path)
    }

    /// Makes a container with so many frames, which have memory or not.
    pub(crate) fn container(
        &self,
        frames: u64,
        has_memory: bool,
    ) -> Result<Container<'pm, PpChannel>, BenchError> {
        let container = self.pm.account().create_container()?;
        container.allocate(0..frames)?;
        if has_memory {
            container.map(0..frames, WINDOW.start(), FORCED)?.unmap().map_err(|no| no.error)?;
        }
        Ok(container)
    }
}

/// Lends the first frames of a container.
pub(crate) fn lend<'pm>(
    container: &Container<'pm, PpChannel>,
    frames: u64,
    peer: PeerId,
) -> Result<Share<'pm, PpChannel>, BenchError> {
    let lease_max = Micros::new(LEASE_MICROS_MAX);
    let terms = ShareTerms { peer, rights: Rights::all(), lease_max, once: false };
    Ok(container.share(0..frames, terms)?)
}

/// Loads a word of each page.
pub(crate) fn touch(from: VirtAddr, frames: u64) {
    let frames = usize::try_from(frames).unwrap_or_default();
    let from = usize::try_from(from.get()).unwrap_or_default();
    for word in (from..).step_by(4096).take(frames) {
        let _: u64 = shm::load(word);
    }
}

pub(crate) fn length(bytes: u64) -> Result<ReadLength, BenchError> {
    ReadLength::new(bytes).ok_or(BenchError::Unexpected("a length"))
}

pub(crate) fn check(is_it: bool, what: &'static str) -> Result<(), BenchError> {
    is_it.then_some(()).ok_or(BenchError::Unexpected(what))
}
