// SPDX-License-Identifier: BSD-2-Clause
//! Takes a request, answers it.

use alloc::boxed::Box;

use fsserver_api::{
    CallError, DirectoryCookie, Failure, FileHandle, FsError, Identity, PROTOCOL_VERSION,
    ReadLength, Reply, Request,
};
use pmserver_api::{ContainerHandle, PmError};
use proto::{
    AddressSpace, FrameCount, FrameNumber, Message, PAGE_BYTES, PeerId, Transport, VirtAddr,
};

use crate::image::Image;
use crate::lent::{Lent, PageBuffer, Purpose, clear_window, of_pm};
use crate::listing::Listing;
use crate::open_file::{ClientId, Content, OpenFile, OpenFiles};
use crate::path;
use crate::read::Cursor;
use crate::volume::{Node, Volume};

/// The file server.
pub struct FileServer<T: Transport, A: AddressSpace> {
    pm: pmserver_api::Calls<T>,
    space: A,
    peer: PeerId,
    /// The file system, or why there is none: every request that needs it gets that for an answer.
    volume: Result<Volume, FsError>,
    files: OpenFiles,
    page: Box<PageBuffer>,
}

impl<T: Transport, A: AddressSpace + Clone + 'static> FileServer<T, A> {
    /// Returns a server of the image of `image_bytes` bytes at `image_vaddr`.
    ///
    /// May be called again after a recovery: it begins by taking out of the window what a call that
    /// did not end left there, and takes over nothing else. An image that cannot be read is no
    /// error here: clients are told so when they ask.
    ///
    /// # Errors
    /// [`FsError::PmRefused`] where pmserver does.
    pub fn new(
        pmserver: T,
        space: A,
        image_vaddr: VirtAddr,
        image_bytes: u64,
    ) -> Result<Self, FsError> {
        let mut pm = pmserver_api::Calls::new(pmserver);
        clear_window(&mut pm).map_err(|failure| failure.error)?;
        let peer = pm.whoami().map_err(|error| of_pm(error).error)?.peer;
        let now = pm.clock().map_err(|error| of_pm(error).error)?;
        let volume = Volume::load(Image::new(space.clone(), image_vaddr, image_bytes));
        let files = OpenFiles::new(now.get());
        Ok(Self { pm, space, peer, volume, files, page: Box::new([0; 4096]) })
    }

    /// Answers a request that came in from `client`.
    pub fn call(&mut self, client: ClientId, request: &Message) -> Message {
        match Request::decode(request) {
            Ok(request) => match self.serve(client, request) {
                Ok(reply) => reply.encode(),
                Err(failure) => failure.reply(),
            },
            Err(error) => CallError::reply(&error),
        }
    }

    fn serve(&mut self, client: ClientId, request: Request) -> Result<Reply, Failure> {
        // What another client lent is not this one's to have filled or read, though pmserver lets
        // fsserver do both: to this client the number names nothing.
        if request.container().is_some_and(|container| !client.owns(container)) {
            return Err(of_pm(PmError::InvalidCap.into()));
        }
        match request {
            Request::Version => {
                Ok(Reply::Identity(Identity { version: PROTOCOL_VERSION, peer: self.peer }))
            }
            Request::Lookup { container, path_bytes } => self.lookup(client, container, path_bytes),
            Request::Stat { file } => Ok(Reply::Status(self.files.get(client, file)?.status)),
            Request::ReadDir { file, container, frames, cookie } => {
                self.read_dir(client, file, container, frames, cookie)
            }
            Request::Read { file, container, offset, start, length } => {
                self.read(client, file, (container, start), offset, length)
            }
            Request::Close { file } => {
                self.files.close(client, file)?;
                Ok(Reply::Done)
            }
        }
    }

    fn lookup(
        &mut self,
        client: ClientId,
        container: ContainerHandle,
        path_bytes: u16,
    ) -> Result<Reply, Failure> {
        self.files.check_room(client)?;
        let start = FrameNumber::new(0);
        let lent = Lent::take(&mut self.pm, container, start, FrameCount::ONE, Purpose::CopyFrom)?;
        // Copied first, checked then: the client may change the container meanwhile (decision D10).
        let path = self.page.get_mut(..path_bytes.into()).ok_or(FsError::PathTooLong)?;
        self.space.copy_in(lent.address(0)?, path);
        lent.give_back(&mut self.pm)?;
        let path = path::checked(path)?;
        let (node, status) = self.volume.as_ref().map_err(|error| *error)?.open(path)?;
        let content = match node {
            Node::File(file) => Content::File(Cursor::new(file)),
            Node::Directory(entries) => Content::Directory(Listing::new(entries)),
            Node::Other => Content::Other,
        };
        Ok(Reply::File(self.files.insert(client, OpenFile { status, content })?))
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
        let lent = Lent::take(&mut self.pm, container, start, frames, Purpose::Fill)?;
        let capacity = frames.get().saturating_mul(PAGE_BYTES);
        let result = listing.copy_to(&lent, capacity, &mut self.page, &mut self.space);
        lent.give_back(&mut self.pm)?;
        Ok(Reply::Listed(result?))
    }

    fn read(
        &mut self,
        client: ClientId,
        file: FileHandle,
        (container, start): (ContainerHandle, FrameNumber),
        offset: u64,
        length: ReadLength,
    ) -> Result<Reply, Failure> {
        let OpenFile { status, content } = self.files.get(client, file)?;
        let cursor = match content {
            Content::File(cursor) => cursor,
            Content::Directory(_) => return Err(FsError::IsADirectory.into()),
            Content::Other => return Err(FsError::Unsupported.into()),
        };
        let size = status.size_bytes;
        let left =
            size.checked_sub(offset).ok_or(Failure { error: FsError::PastEnd, detail: size })?;
        let bytes = left.min(length.get().into());
        let Some(frames) = FrameCount::new(bytes.div_ceil(PAGE_BYTES)) else {
            return Ok(Reply::Bytes(0));
        };
        cursor.go_to(offset, &mut self.page)?;
        let lent = Lent::take(&mut self.pm, container, start, frames, Purpose::Fill)?;
        let result = cursor.copy_to(&lent, bytes, &mut self.page, &mut self.space);
        lent.give_back(&mut self.pm)?;
        Ok(Reply::Bytes(result?))
    }
}
