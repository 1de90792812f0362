// SPDX-License-Identifier: BSD-2-Clause
//! What the scenarios work with: the servers, the client's memory, a file that they know, and the
//! accounts of all who take part.

use fsserver_api::{FileHandle, FsError, ReadLength};
use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, ContainerHandle, FrameState, MapFlags, Rights,
    Shared,
};
use proto::limits::LEASE_MICROS_MAX;
use proto::{
    AddressSpace, FrameCount, FrameNumber, Message, Micros, PAGE_BYTES, PeerId, Transport, VirtAddr,
};

use crate::error::{Outcome, ScenarioError, expect, fs, pm};
use crate::sabotage::Sabotage;

/// Where the client maps containers, and behind them its page for paths.
const WINDOW_VADDR: u64 = 0x1030_0000;
const PATH_VADDR: u64 = WINDOW_VADDR + CONTAINER_FRAMES * PAGE_BYTES;

/// Frames of the container that every scenario lends.
pub(crate) const CONTAINER_FRAMES: u64 = 16;

/// The file that is read, as it stands in the image.
const KNOWN_PATH: &[u8] = b"/numbers/powers.txt";
const KNOWN_BYTES: &[u8] = include_bytes!("../../../files/numbers/powers.txt");

const _: () = assert!(
    KNOWN_BYTES.len() > 8 * 4096 && KNOWN_BYTES.len() < 15 * 4096,
    "long enough to be interrupted, short enough to leave frames untouched"
);

/// As many pages of the known file as there are.
pub(crate) const ALL_PAGES: u64 = u64::MAX;

/// Accounts at one time: the client's, fsserver's, and the pool.
pub(crate) type Baseline = [AccountInfo; 3];

/// What a scenario lends.
pub(crate) struct Loan {
    /// The container.
    pub(crate) container: ContainerHandle,
    /// Its share.
    pub(crate) shared: Shared,
}

/// The client's side of the system.
pub(crate) struct World<'a, P: Transport, F: Transport, A: AddressSpace> {
    /// pmserver.
    pub(crate) pm: &'a mut pmserver_api::Client<P>,
    /// fsserver, which is called through a client or, to sabotage it, bare.
    transport: &'a mut F,
    space: &'a mut A,
    /// fsserver's number at pmserver.
    pub(crate) fsserver: PeerId,
    path_weak: ContainerHandle,
}

impl<'a, P: Transport, F: Transport, A: AddressSpace> World<'a, P, F, A> {
    /// Sets the stage: one frame for paths that stays lent and mapped, so that no baseline depends
    /// on the page tables of the window.
    pub(crate) fn new(
        pm_client: &'a mut pmserver_api::Client<P>,
        transport: &'a mut F,
        space: &'a mut A,
    ) -> Outcome<Self> {
        let identity = fsserver_api::Client::new(&mut *transport).version();
        let fsserver = fs("asking for the version", identity)?.peer;
        let step = "setting the stage";
        let path = pm(step, pm_client.container_create(AccountHandle::OWN))?;
        let start = FrameNumber::new(0);
        let none = AllocateFlags::empty();
        pm(step, pm_client.allocate(path, start, FrameCount::ONE, none))?;
        let flags = MapFlags::READ | MapFlags::WRITE;
        pm(step, pm_client.map(path, start, FrameCount::ONE, address(PATH_VADDR)?, flags))?;
        let no_lease = Micros::new(0);
        let shared = pm(step, pm_client.share(path, start, 1, fsserver, Rights::READ, no_lease))?;
        Ok(Self { pm: pm_client, transport, space, fsserver, path_weak: shared.weak })
    }

    /// Returns a client of fsserver.
    pub(crate) fn fs(&mut self) -> fsserver_api::Client<&mut F> {
        fsserver_api::Client::new(&mut *self.transport)
    }

    /// Sends fsserver a request that no client has a method for.
    pub(crate) fn call_bare(&mut self, request: Message) -> Message {
        self.transport.call(request)
    }

    /// Tells fsserver to misbehave.
    pub(crate) fn arm(&mut self, sabotage: Sabotage) -> Outcome {
        let reply = self.call_bare(sabotage.request());
        expect(reply.label() == 0, "fsserver cannot be sabotaged")
    }

    /// Reads the accounts.
    pub(crate) fn baseline(&mut self) -> Outcome<Baseline> {
        let fsserver = AccountHandle::of_peer(self.fsserver);
        let mut info = |account| pm("reading an account", self.pm.account_info(account));
        Ok([info(AccountHandle::OWN)?, info(fsserver)?, info(AccountHandle::POOL)?])
    }

    /// Says whether fsserver's account is what it was.
    pub(crate) fn expect_server_account(&mut self, before: &Baseline) -> Outcome {
        let [_, fsserver, _] = self.baseline()?;
        let [_, fsserver_before, _] = before;
        expect(fsserver == *fsserver_before, "the account of S is not what it was")
    }

    /// Opens the known file.
    pub(crate) fn open_known(&mut self) -> Outcome<FileHandle> {
        self.space.copy_out(KNOWN_PATH, address(PATH_VADDR)?);
        let path = self.path_weak;
        fs("looking up the known file", self.fs().lookup(path, KNOWN_PATH.len()))
    }

    /// Makes a container and lends it to fsserver.
    pub(crate) fn lend(&mut self, rights: Rights) -> Outcome<Loan> {
        let container = pm("making a container", self.pm.container_create(AccountHandle::OWN))?;
        let done = pm("allocating", self.allocate_all(container))?;
        expect(done == CONTAINER_FRAMES, "allocate did not do all")?;
        let shared = pm("sharing", self.share(container, rights))?;
        Ok(Loan { container, shared })
    }

    /// Lends a container once more.
    pub(crate) fn share(
        &mut self,
        container: ContainerHandle,
        rights: Rights,
    ) -> Result<Shared, pmserver_api::CallError> {
        let start = FrameNumber::new(0);
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        self.pm.share(container, start, CONTAINER_FRAMES, self.fsserver, rights, lease_max)
    }

    /// Allocates all frames of a container.
    pub(crate) fn allocate_all(
        &mut self,
        container: ContainerHandle,
    ) -> Result<u64, pmserver_api::CallError> {
        let count = FrameCount::new(CONTAINER_FRAMES).ok_or(pmserver_api::PmError::Invalid)?;
        self.pm.allocate(container, FrameNumber::new(0), count, AllocateFlags::empty())
    }

    /// Has fsserver read the known file into the container, from its first frame on.
    pub(crate) fn read_known(
        &mut self,
        file: FileHandle,
        weak: ContainerHandle,
    ) -> Result<u64, fsserver_api::CallError> {
        let length = u64::try_from(KNOWN_BYTES.len()).ok().and_then(ReadLength::new);
        let length = length.ok_or(FsError::BadRange)?;
        self.fs().read(file, weak, 0, FrameNumber::new(0), length)
    }

    /// Says whether `bytes` is the length of the known file.
    pub(crate) fn expect_known_length(bytes: u64) -> Outcome {
        expect(usize::try_from(bytes) == Ok(KNOWN_BYTES.len()), "S read another length")
    }

    /// Says whether the container has its frames, all of them, no more, and lent to nobody.
    pub(crate) fn expect_frames(&mut self, container: ContainerHandle) -> Outcome {
        let count = CONTAINER_FRAMES.checked_add(1).and_then(FrameCount::new);
        let count = count.ok_or(ScenarioError::Wrong("too many frames"))?;
        let status =
            pm("asking for the frames", self.pm.status(container, FrameNumber::new(0), count))?;
        let mut states = status.frames.iter();
        for _ in 0..CONTAINER_FRAMES {
            let state = states.next().copied().unwrap_or_default();
            expect(state.contains(FrameState::PRESENT), "the container has lost a frame")?;
            let traces = FrameState::SHARED | FrameState::LOCKED | FrameState::MAPPED;
            expect(!state.intersects(traces), "a frame is still lent, locked or mapped")?;
        }
        let beyond = states.next().copied().unwrap_or_default();
        expect(!beyond.contains(FrameState::PRESENT), "the container has grown")
    }

    /// Maps the container and says whether its first `pages` pages hold the known file and all the
    /// others, and what follows the end of the file, zeros.
    pub(crate) fn expect_contents(&mut self, container: ContainerHandle, pages: u64) -> Outcome {
        let frames = FrameCount::new(CONTAINER_FRAMES);
        let frames = frames.ok_or(ScenarioError::Wrong("too many frames"))?;
        let (start, window) = (FrameNumber::new(0), address(WINDOW_VADDR)?);
        let mapped = pm("mapping", self.pm.map(container, start, frames, window, MapFlags::READ))?;
        expect(mapped.count == CONTAINER_FRAMES, "map did not do all")?;
        let compared = self.compare(pages);
        let unmapped = pm("unmapping", self.pm.unmap(window, frames));
        compared?;
        expect(unmapped? == CONTAINER_FRAMES, "unmap did not do all")
    }

    fn compare(&mut self, pages: u64) -> Outcome {
        let mut expected = KNOWN_BYTES.chunks(4096);
        for index in 0..CONTAINER_FRAMES {
            let mut page = [0; 4096];
            let offset = index.saturating_mul(PAGE_BYTES);
            self.space.copy_in(address(WINDOW_VADDR.saturating_add(offset))?, &mut page);
            let data = expected.next().filter(|_| index < pages).unwrap_or(&[]);
            expect(page.starts_with(data), "the container does not hold the file")?;
            let rest = page.iter().skip(data.len());
            expect(rest.copied().all(|byte| byte == 0), "a page that nobody wrote is not zero")?;
        }
        Ok(())
    }

    /// Destroys a container and says whether all accounts are what they were.
    pub(crate) fn expect_baseline(
        &mut self,
        container: ContainerHandle,
        before: &Baseline,
    ) -> Outcome {
        pm("destroying the container", self.pm.container_destroy(container))?;
        expect(self.baseline()? == *before, "an account is not what it was")
    }
}

fn address(vaddr: u64) -> Outcome<VirtAddr> {
    VirtAddr::new(vaddr).ok_or(ScenarioError::Wrong("not an address"))
}
