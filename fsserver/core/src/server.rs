// SPDX-License-Identifier: BSD-2-Clause
//! Decodes a request, does what it asks, and answers it.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU64;

use fsserver_api::{
    CallError, DirectoryCookie, Failure, Feature, FileHandle, FileKind, FsError, Identity,
    PROTOCOL_VERSION, ReadLength, Reply, Request,
};
use pmserver_client::{
    AddressSpace, ContainerHandle, Message, Micros, PAGE_BYTES, PeerId, Pm, PmError, Transport,
    VirtAddr,
};
use proto::{FrameCount, FrameNumber};

use crate::cache::{CACHE_WINDOWS, Cache, WINDOW_BYTES, window_at};
use crate::ext4::{Disk, Inode, LastRuns, Places, find_path};
use crate::image::Image;
use crate::known::KnownPaths;
use crate::lent::{Lent, PageBuffer, TAKEN_WINDOW, WINDOW, copy_path, give_back, of_pm, take};
use crate::listing::Listing;
use crate::open_file::{ClientId, Content, OpenFile, OpenFiles, Room};
use crate::path;
use crate::read::copy_file;
use crate::standing::{STANDING_WINDOWS, Standing};
use crate::time::PmClock;

/// The file server.
pub struct FileServer<T: Transport, A: AddressSpace> {
    pm: Pm<T>,
    space: A,
    peer: PeerId,
    /// The file system, or why there is none: the answer to every request that needs it.
    disk: Result<Disk<A>, Failure>,
    places: Places,
    known: KnownPaths<Inode>,
    files: OpenFiles,
    standing: Standing,
    clock: PmClock,
    cache: Cache,
    page: Box<PageBuffer>,
}

/// What a client asks to be filled.
struct ReadRange {
    container: ContainerHandle,
    start: FrameNumber,
    offset: u64,
    length: ReadLength,
    how: How,
}

/// How frames are lent for a read.
#[derive(Clone, Copy)]
enum How {
    /// Locked and mapped for one call.
    Once,
    /// The same, and the lease and the mapping stay.
    Standing,
    /// So many are taken.
    Taken(FrameCount),
}

impl<T: Transport, A: AddressSpace + Clone> FileServer<T, A> {
    /// Returns a server of the image of `image_bytes` bytes at `image_vaddr`.
    ///
    /// May be called again after a recovery. It first unmaps what an unfinished call may have left
    /// in the window, and what stood; leases have ended then. It keeps nothing else of before. An
    /// image that cannot be read is no error here: clients are told so when they ask.
    ///
    /// # Errors
    /// [`FsError::PmRefused`] if pmserver refuses.
    pub fn new(
        pmserver: T,
        space: A,
        image_vaddr: VirtAddr,
        image_bytes: u64,
    ) -> Result<Self, FsError> {
        let pm = Pm::new(pmserver);
        for window in [WINDOW, STANDING_WINDOWS, TAKEN_WINDOW, CACHE_WINDOWS] {
            pm.unmap(window.start(), window.count()).map_err(|error| of_pm(error).error)?;
        }
        let peer = pm.whoami().map_err(|error| of_pm(error).error)?.peer;
        let now = pm.clock().map_err(|error| of_pm(error).error)?;
        let disk = Disk::load(Image::new(space.clone(), image_vaddr, image_bytes));
        let files = OpenFiles::new(now.get());
        let (places, known) = (Places::new(), KnownPaths::new());
        let (standing, clock, page) = (Standing::new(), PmClock::default(), Box::new([0; 4096]));
        let cache = Cache::new(None);
        Ok(Self { pm, space, peer, disk, places, known, files, standing, clock, cache, page })
    }

    /// Lets the server keep parts of files in memory of its own account, for
    /// [`Request::ReadLent`]. `container` is where it keeps the number of that memory: 0 at first,
    /// and the same place for the server that is made after a recovery.
    #[must_use]
    pub fn with_cache(mut self, container: &'static AtomicU64) -> Self {
        self.cache = Cache::new(Some(container));
        self
    }

    /// Answers a request that came in from `client` at `now`, on any clock that does not go back.
    /// Where the domain has none that it can read without a call, pmserver is asked.
    pub fn call(&mut self, client: ClientId, request: &Message, now: Option<Micros>) -> Message {
        match Request::decode(request) {
            Ok(request) => match self.serve(client, request, now) {
                Ok(reply) => reply.encode(),
                Err(failure) => failure.reply(),
            },
            Err(error) => CallError::reply(&error),
        }
    }

    fn serve(
        &mut self,
        client: ClientId,
        request: Request,
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        // pmserver would let fsserver use what another client has lent it. This client must not:
        // for it, that number names nothing.
        if let Some(container) = request.container() {
            if !client.owns(container) {
                return Err(PmError::InvalidCap.into());
            }
            if !matches!(request, Request::Read { stands: true, .. }) {
                self.standing.end(&self.pm, container);
            }
        }
        match request {
            Request::Version => {
                Ok(Reply::Identity(Identity { version: PROTOCOL_VERSION, peer: self.peer }))
            }
            Request::Lookup { container, path_bytes } => self.lookup(client, container, path_bytes),
            Request::LookupShort { path } => {
                let room = self.files.room(client)?;
                let path = path.bytes();
                let inode = find(&self.disk, &self.places, &mut self.known, path)?;
                self.open(room, inode)
            }
            Request::Stat { file } => Ok(Reply::Status(self.files.get(client, file)?.status)),
            Request::ReadDir { file, container, frames, cookie } => {
                self.read_dir(client, file, container, frames, cookie)
            }
            Request::ReadTaken { file, container, offset, frames, length } => {
                let (start, how) = (FrameNumber::new(0), How::Taken(frames));
                let range = ReadRange { container, start, offset, length, how };
                self.read(client, file, &range, now)
            }
            Request::ReadLent { file, container, offset, start } => {
                self.read_lent(client, (file, offset), (container, start))
            }
            Request::Read { file, container, offset, start, length, stands } => {
                let how = if stands { How::Standing } else { How::Once };
                let range = ReadRange { container, start, offset, length, how };
                let result = self.read(client, file, &range, now);
                if stands && result.is_err() {
                    self.standing.end(&self.pm, container);
                }
                result
            }
            Request::Close { file } => {
                self.files.close(client, file)?;
                Ok(Reply::Done)
            }
            Request::Release { .. } => Ok(Reply::Done),
            // Nothing is changed, so all is on the disk.
            Request::SyncFile { file } => {
                self.files.get(client, file)?;
                Ok(Reply::Done)
            }
            Request::Sync => Ok(Reply::Done),
            Request::Change(_) | Request::Space | Request::ReadLink { .. } => {
                Err(FsError::ReadOnly.into())
            }
        }
    }

    fn lookup(
        &mut self,
        client: ClientId,
        container: ContainerHandle,
        path_bytes: u16,
    ) -> Result<Reply, Failure> {
        let room = self.files.room(client)?;
        // Copied first, then checked: the client may change the container meanwhile.
        let path = self.page.get_mut(..path_bytes.into()).ok_or(FsError::PathTooLong)?;
        copy_path(&self.pm, container, &self.space, path)?;
        let inode = find(&self.disk, &self.places, &mut self.known, path)?;
        self.open(room, inode)
    }

    fn open(&mut self, room: Room, inode: Inode) -> Result<Reply, Failure> {
        let status = inode.status();
        let content = match inode.kind {
            FileKind::Regular => Content::File(inode, LastRuns::default()),
            FileKind::Directory => Content::Directory(Listing::new(inode)),
            FileKind::Symlink => Content::Other(Feature::Symlink),
            FileKind::Special => Content::Other(Feature::Special),
        };
        Ok(Reply::File(self.files.insert(room, OpenFile { status, content })?))
    }

    fn read_dir(
        &mut self,
        client: ClientId,
        file: FileHandle,
        container: ContainerHandle,
        frames: FrameCount,
        cookie: DirectoryCookie,
    ) -> Result<Reply, Failure> {
        let Content::Directory(listing) = &mut self.files.get(client, file)?.content else {
            return Err(FsError::NotADirectory.into());
        };
        listing.check(cookie)?;
        let start = FrameNumber::new(0);
        let disk = self.disk.as_ref().map_err(|failure| *failure)?;
        disk.start_call();
        let lent = Lent::to_fill(&self.pm, container, start, frames)?;
        let listed = listing.copy_to(disk, &lent.filling(), &mut self.page, &mut self.space)?;
        lent.release()?;
        Ok(Reply::Listed(listed))
    }

    fn read_lent(
        &mut self,
        client: ClientId,
        (file, offset): (FileHandle, u64),
        to: (ContainerHandle, FrameNumber),
    ) -> Result<Reply, Failure> {
        let window = window_at(offset)?;
        let OpenFile { status, content } = self.files.get(client, file)?;
        let (inode, runs) = regular(content)?;
        let bytes = left_of(status.size_bytes, offset)?.min(WINDOW_BYTES);
        if bytes > 0 {
            let disk = self.disk.as_ref().map_err(|failure| *failure)?;
            disk.start_call();
            let (file, range) = ((&*inode, runs), (window, bytes));
            self.cache.copy_window(&self.pm, disk, file, range, to, &mut self.space)?;
        }
        Ok(Reply::Bytes(bytes))
    }

    #[inline(always)]
    fn read(
        &mut self,
        client: ClientId,
        file: FileHandle,
        range: &ReadRange,
        now: Option<Micros>,
    ) -> Result<Reply, Failure> {
        let ReadRange { container, start, offset, length, how } = *range;
        let OpenFile { status, content } = self.files.get(client, file)?;
        let (inode, runs) = regular(content)?;
        let bytes = left_of(status.size_bytes, offset)?.min(length.get().into());
        let Some(frames) = FrameCount::new(bytes.div_ceil(PAGE_BYTES)) else {
            return Ok(Reply::Bytes(0));
        };
        let disk = self.disk.as_ref().map_err(|failure| *failure)?;
        disk.start_call();
        let (inode, space) = ((&*inode, runs), &mut self.space);
        match how {
            How::Once => {
                let frames = (container, start, frames);
                fill(&self.pm, disk, inode, (offset, bytes), frames, space)?;
            }
            How::Standing => {
                let now = now.map_or_else(|| self.pm.clock().map_err(of_pm), Ok)?;
                let frames = (container, start, frames);
                let filling = self.standing.filling(&self.pm, client, frames, now)?;
                copy_file(disk, inode, (offset, bytes), &filling, space)?;
            }
            How::Taken(frames) => {
                let now = self.clock.at(&self.pm, now)?;
                fill_taken(
                    &self.pm,
                    disk,
                    inode,
                    (offset, bytes),
                    (container, frames, now),
                    space,
                )?;
            }
        }
        Ok(Reply::Bytes(bytes))
    }
}

/// Returns how a file is read, if it is a regular one.
fn regular(content: &mut Content) -> Result<(&mut Inode, &mut LastRuns), Failure> {
    match content {
        Content::File(inode, runs) => Ok((inode, runs)),
        Content::Directory(_) => Err(FsError::IsADirectory.into()),
        Content::Other(feature) => Err((*feature).into()),
    }
}

/// Returns how many bytes a file has from an offset on.
fn left_of(size: u64, offset: u64) -> Result<u64, Failure> {
    size.checked_sub(offset).ok_or(Failure { error: FsError::PastEnd, detail: size })
}

/// Copies bytes of a file into frames that are locked and mapped for this.
#[inline(never)]
fn fill<T: Transport, A: AddressSpace>(
    pm: &Pm<T>,
    disk: &Disk<A>,
    file: (&Inode, &mut LastRuns),
    range: (u64, u64),
    (container, start, frames): (ContainerHandle, FrameNumber, FrameCount),
    space: &mut A,
) -> Result<(), Failure> {
    let lent = Lent::to_fill(pm, container, start, frames)?;
    copy_file(disk, file, range, &lent.filling(), space)?;
    lent.release()
}

/// Copies bytes of a file into frames that are taken for this.
#[inline(always)]
fn fill_taken<T: Transport, A: AddressSpace>(
    pm: &Pm<T>,
    disk: &Disk<A>,
    file: (&Inode, &mut LastRuns),
    range: (u64, u64),
    (container, frames, now): (ContainerHandle, FrameCount, Micros),
    space: &mut A,
) -> Result<(), Failure> {
    let (taken, filling) = take(pm, container, frames, now)?;
    copy_file(disk, file, range, &filling, space)?;
    give_back(taken)
}

/// Returns what a path leads to. The bytes are fsserver's own.
fn find<A: AddressSpace>(
    disk: &Result<Disk<A>, Failure>,
    places: &Places,
    known: &mut KnownPaths<Inode>,
    path: &[u8],
) -> Result<Inode, Failure> {
    // What is known was checked when it was found.
    if let Some(inode) = known.get(path) {
        return Ok(inode.clone());
    }
    let path = path::checked(path)?;
    let disk = disk.as_ref().map_err(|failure| *failure)?;
    disk.start_call();
    let inode = find_path(disk, places, path)?;
    known.put(path, inode.clone());
    Ok(inode)
}
