// SPDX-License-Identifier: BSD-2-Clause
//! The file server, and a file whose contents the scenarios know.

use fsserver_api::{FileHandle, FsError, ReadLength};
use pmserver_api::{
    AccountHandle, AccountInfo, ContainerHandle, Created, FrameState, MapFlags, Rights, ShareTerms,
    Shared,
};
use pmserver_client::{Error, Pm};
use proto::{AddressSpace, Message, Micros, PeerId, Transport, VirtAddr};

use crate::cast::Actor::Parent;
use crate::error::{Outcome, done, expect, fs, pm, same};
use crate::sabotage::Sabotage;
use crate::world::{LONG, Made, World, at, frames, page, vaddr};

/// Where the parent maps containers, followed by its page for paths.
const PARENT_WINDOW: VirtAddr = vaddr(0x1030_0000);
const PATH: VirtAddr = page(PARENT_WINDOW, CONTAINER_FRAMES);

/// Frames of the container that these scenarios lend.
pub(crate) const CONTAINER_FRAMES: u64 = 16;

/// The file that is read, as the image has it.
const KNOWN_PATH: &[u8] = b"/numbers/powers.txt";
const KNOWN_BYTES: &[u8] = include_bytes!("../../../../files/numbers/powers.txt");

const _: () = assert!(
    KNOWN_BYTES.len() > 8 * 4096 && KNOWN_BYTES.len() < 15 * 4096,
    "long enough to be interrupted, short enough to leave frames untouched"
);

/// All pages of the known file.
pub(crate) const ALL_PAGES: u64 = u64::MAX;

/// What a scenario lends to the file server.
pub(crate) struct Loan {
    /// The container.
    pub(crate) container: ContainerHandle,
    /// Its share.
    pub(crate) shared: Shared,
}

/// The file server as the parent has it.
pub(crate) struct Files<T: Transport> {
    /// Called through a client or, to sabotage the server, directly.
    transport: T,
    /// The file server's number at pmserver.
    pub(crate) peer: PeerId,
    path_weak: ContainerHandle,
}

impl<T: Transport> Files<T> {
    /// Makes a frame for paths, which stays lent and mapped, so that no baseline depends on the
    /// page tables of the window.
    pub(crate) fn new(parent: &Pm<impl Transport>, mut transport: T) -> Outcome<Self> {
        let identity = fsserver_api::Client::new(&mut transport).version();
        let peer = fs("asking for the version", identity)?.peer;
        let path_weak = done("setting the stage", path_frame(parent, peer))?;
        Ok(Self { transport, peer, path_weak })
    }

    /// Returns a client of the file server.
    pub(crate) const fn client(&mut self) -> fsserver_api::Client<&mut T> {
        fsserver_api::Client::new(&mut self.transport)
    }

    /// Sends the file server a request that the client has no method for.
    pub(crate) fn call_bare(&mut self, request: Message) -> Message {
        self.transport.call(request)
    }

    /// Tells the file server to misbehave.
    pub(crate) fn arm(&mut self, sabotage: Sabotage) -> Outcome {
        let reply = self.call_bare(sabotage.request());
        same("fsserver's answer to sabotage", reply.label(), 0)
    }

    /// Makes the file server read the known file into the container, from its first frame on.
    pub(crate) fn read_known(
        &mut self,
        file: FileHandle,
        weak: ContainerHandle,
    ) -> Result<u64, fsserver_api::CallError> {
        self.client().read(file, weak, 0, at(0), known_length()?)
    }

    /// The same, and lets the file server keep its lease and its mapping.
    pub(crate) fn read_known_standing(
        &mut self,
        file: FileHandle,
        weak: ContainerHandle,
    ) -> Result<u64, fsserver_api::CallError> {
        self.client().read_standing(file, weak, 0, at(0), known_length()?)
    }

    /// The same into a share that is armed.
    pub(crate) fn read_known_taken(
        &mut self,
        file: FileHandle,
        weak: ContainerHandle,
    ) -> Result<u64, fsserver_api::CallError> {
        self.client().read_taken(file, weak, 0, frames(CONTAINER_FRAMES), known_length()?)
    }
}

fn known_length() -> Result<ReadLength, FsError> {
    let length = u64::try_from(KNOWN_BYTES.len()).ok().and_then(ReadLength::new);
    length.ok_or(FsError::BadRange)
}

/// Makes the frame for paths, maps it and lends it to the file server, for good.
fn path_frame(parent: &Pm<impl Transport>, fsserver: PeerId) -> Result<ContainerHandle, Error> {
    let container = parent.account().create_container()?;
    container.allocate(0..1)?;
    let terms =
        ShareTerms { peer: fsserver, rights: Rights::READ, lease_max: Micros::new(0), once: false };
    container.map(0..1, PATH, MapFlags::READ | MapFlags::WRITE)?.into_pages();
    let share = container.share(0..1, terms)?;
    let weak = share.weak_handle();
    share.into_raw();
    container.into_raw();
    Ok(weak)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Returns the limit and the use of the file server's account, with nothing cached.
    pub(crate) fn fsserver_account(&mut self) -> Outcome<AccountInfo> {
        self.trim();
        let account = AccountHandle::of_peer(self.files.peer);
        self.info(account)
    }

    /// Makes the file server give up what it has cached, so that its account can be compared. One
    /// that does not run has nothing cached.
    pub(crate) fn trim(&mut self) {
        let _ = self.files.client().trim();
    }

    /// Opens the known file.
    pub(crate) fn open_known(&mut self) -> Outcome<FileHandle> {
        self.space.copy_out(KNOWN_PATH, PATH);
        let path = self.files.path_weak;
        fs("looking up the known file", self.files.client().lookup(path, KNOWN_PATH.len()))
    }

    /// Makes a container and lends it to the file server.
    pub(crate) fn lend(&mut self, rights: Rights) -> Outcome<Loan> {
        let terms = ShareTerms { peer: self.files.peer, rights, lease_max: LONG, once: false };
        let count = frames(CONTAINER_FRAMES);
        let created = self.calls(Parent).create_with(AccountHandle::OWN, count, terms);
        let Created { container, shared } = pm("making a container and lending it", created)?;
        self.remember(Made::Container(Parent, container))?;
        Ok(Loan { container, shared })
    }

    /// Lends a container once more.
    pub(crate) fn lend_again(
        &mut self,
        container: ContainerHandle,
        rights: Rights,
    ) -> Outcome<Shared> {
        let peer = self.files.peer;
        let shared =
            self.calls(Parent).share(container, at(0), CONTAINER_FRAMES, peer, rights, LONG);
        pm("sharing", shared)
    }

    /// Lends a container once more, to be taken.
    pub(crate) fn lend_once(&mut self, container: ContainerHandle) -> Outcome<Shared> {
        let peer = self.files.peer;
        let terms = ShareTerms { peer, rights: Rights::WRITE, lease_max: LONG, once: true };
        let shared = self.calls(Parent).share_on(container, at(0), CONTAINER_FRAMES, terms);
        pm("sharing", shared)
    }

    /// Fails unless as many bytes were read as the known file has.
    pub(crate) fn expect_known_length(bytes: u64) -> Outcome {
        same("bytes read", bytes, u64::try_from(KNOWN_BYTES.len()).unwrap_or(u64::MAX))
    }

    /// Fails unless the container has exactly its frames, and they are neither lent, locked nor
    /// mapped.
    pub(crate) fn expect_frames(&mut self, container: ContainerHandle) -> Outcome {
        let count = CONTAINER_FRAMES.saturating_add(1);
        let mut frames_in = |state| self.count_in(Parent, container, count, state);
        same("frames of the container", frames_in(FrameState::PRESENT)?, CONTAINER_FRAMES)?;
        same("frames still lent", frames_in(FrameState::SHARED)?, 0)?;
        same("frames still locked", frames_in(FrameState::LOCKED)?, 0)?;
        same("frames still mapped", frames_in(FrameState::MAPPED)?, 0)
    }

    /// Maps the container. Fails unless its first `pages` pages hold the known file, and everything
    /// after them, or after the end of the file, is zero.
    pub(crate) fn expect_contents(&mut self, container: ContainerHandle, pages: u64) -> Outcome {
        self.map(Parent, container, CONTAINER_FRAMES, PARENT_WINDOW, MapFlags::READ)?;
        let compared = self.compare(pages);
        self.unmap(Parent, PARENT_WINDOW, CONTAINER_FRAMES)?;
        compared
    }

    fn compare(&mut self, pages: u64) -> Outcome {
        let mut expected = KNOWN_BYTES.chunks(4096);
        for index in 0..CONTAINER_FRAMES {
            let mut bytes = [0; 4096];
            self.space.copy_in(page(PARENT_WINDOW, index), &mut bytes);
            let data = expected.next().filter(|_| index < pages).unwrap_or(&[]);
            expect(bytes.starts_with(data), "the container does not hold the file")?;
            let rest = bytes.iter().skip(data.len());
            expect(rest.copied().all(|byte| byte == 0), "a page that nobody wrote is not zero")?;
        }
        Ok(())
    }
}
