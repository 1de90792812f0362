// SPDX-License-Identifier: BSD-2-Clause
//! A system with fsserver on a disk, and clients of it that a test acts for.

use fsserver_api::{
    CallError, Client, DirectoryCookie, DirectoryEntry, FileHandle, FileKind, FsError, ReadLength,
};
use pmserver_api::Operation;
use pmserver_client::{
    AddressSpace, Container, ContainerHandle, MapFlags, Micros, PAGE_BYTES, PeerId, Pm, Rights,
    ShareTerms, VirtAddr,
};
use proto::limits::LARGE_FRAMES;
use proto::{FrameCount, FrameNumber};
use sim::disk::{Disk, DiskPlan};
use sim::machine::Architecture;
use sim::system::{Channel, Domain, End, Mishap, Settings, System, Traffic};
use sim::system_file::SystemFile;

use crate::stage;

pub(crate) const SECOND: u64 = 1_000_000;
/// Where a client maps what it lends: paths in the first frame, data from this one on.
const WINDOW: VirtAddr = VirtAddr::new(0x1000_0000).unwrap();
pub(crate) const DATA: u64 = 16;
const LENT_WINDOW: VirtAddr = VirtAddr::new(0x2000_0000).unwrap();
const FRAMES: u64 = DATA + 256;
/// The most that one call moves.
const STEP: usize = 1 << 20;

/// Returns the number of fsserver at pmserver.
pub(crate) fn fsserver() -> PeerId {
    PeerId::new(1).unwrap()
}

const FILE: &str = include_str!("system.xml");

/// Returns the system that the tests use.
pub(crate) fn file() -> SystemFile {
    SystemFile::parse(FILE).unwrap()
}

/// Returns it with a change of its file.
pub(crate) fn with_text(from: &str, to: &str) -> SystemFile {
    assert!(FILE.contains(from));
    SystemFile::parse(&FILE.replace(from, to)).unwrap()
}

/// A running system.
pub(crate) struct Rig {
    pub(crate) system: System,
    pub(crate) disk: Disk,
}

impl Rig {
    /// Starts the system with this on its disk.
    pub(crate) fn new(contents: &[u8]) -> Self {
        Self::with(&file(), DiskPlan::new(contents), None)
    }

    pub(crate) fn with(file: &SystemFile, disk: DiskPlan, mishap: Option<Mishap>) -> Self {
        let architecture = Architecture::X86_64;
        let disk = Some(disk);
        let settings = Settings { file, image: &[], disk, architecture, mishap, echo: false };
        let system = System::start(&settings).unwrap();
        let disk = system.disk().unwrap();
        Self { system, disk }
    }

    pub(crate) fn writer(&self) -> Person {
        self.person("writer")
    }

    pub(crate) fn reader(&self) -> Person {
        self.person("reader")
    }

    pub(crate) fn homely(&self) -> Person {
        self.person("homely")
    }

    fn person(&self, program: &str) -> Person {
        Person::new(self.system.domain(program).unwrap())
    }

    /// Lets time pass.
    pub(crate) fn rest(&self, micros: u64) {
        assert_eq!(self.system.rest(micros), End::Finished(()));
    }

    /// Fails if a fault was reported, or pmserver's books are wrong.
    pub(crate) fn check_quiet(&self) {
        assert_eq!(self.system.transcript().escape_ascii().to_string(), "", "a fault was reported");
        stage::check(&self.system, &"afterwards");
    }

    /// Returns how often a program was called.
    pub(crate) fn calls_of(&self, program: &str) -> usize {
        let callee = file().running(program);
        self.system.traffic().iter().filter(|call| call.callee == callee).count()
    }

    /// Returns how often a program has asked pmserver for something.
    pub(crate) fn requests_of(&self, program: &str, operation: Operation) -> usize {
        let (caller, number) = (file().running(program).unwrap(), u64::from(operation.number()));
        let is_one = |call: &&Traffic| call.caller == caller && call.label & 0xFFFF == number;
        self.system.traffic().iter().filter(is_one).count()
    }

    /// Returns how many bytes fsserver's account has in use.
    pub(crate) fn used(&self) -> u64 {
        let domain = self.system.domain("writer").unwrap();
        Pm::new(domain.channel(0)).account_of(fsserver()).info().unwrap().used.get()
    }
}

/// What fsserver says; anything else than an answer of its own is a failure of the test.
pub(crate) fn said<T>(result: Result<T, CallError>) -> Result<T, FsError> {
    result.map_err(|error| error.refusal().unwrap_or_else(|| panic!("{error}")))
}

type Said<T> = Result<T, FsError>;

/// A client, with memory that it has mapped and lent to fsserver.
pub(crate) struct Person {
    pub(crate) domain: Domain,
    pub(crate) pm: Pm<Channel>,
    pub(crate) weak: ContainerHandle,
    pub(crate) own: u64,
}

impl Person {
    fn new(domain: Domain) -> Self {
        let pm = Pm::new(domain.channel(0));
        let container = pm.account().create_container().unwrap();
        container.allocate(0..FRAMES).unwrap();
        container.map(0..FRAMES, WINDOW, MapFlags::WRITE).unwrap().into_pages();
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(SECOND);
        let terms = ShareTerms { peer: fsserver(), rights, lease_max, once: false };
        let (_, weak) = container.share(0..FRAMES, terms).unwrap().into_raw();
        let own = container.into_raw();
        Self { domain, pm, weak: ContainerHandle::from_raw(weak), own }
    }

    /// Returns a client that waits for the disk.
    pub(crate) fn fs(&self) -> Client<Channel, Domain> {
        Client::waiting(self.domain.channel(1), self.domain.clone())
    }

    /// Returns a client that does not.
    pub(crate) fn asks(&self) -> Client<Channel> {
        Client::new(self.domain.channel(1))
    }

    /// Stores bytes in the lent memory, from a frame on.
    pub(crate) fn store(&self, frame: u64, bytes: &[u8]) {
        self.domain.space().copy_out(bytes, at(frame));
    }

    /// Loads bytes from the lent memory.
    pub(crate) fn load(&self, frame: u64, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.domain.space().copy_in(at(frame), &mut bytes);
        bytes
    }

    /// Puts a path where fsserver looks for it.
    pub(crate) fn put(&self, path: &str) -> usize {
        self.store(0, path.as_bytes());
        path.len()
    }

    fn put_two(&self, first: &str, second: &str) -> (usize, usize) {
        self.put(&format!("{first}{second}"));
        (first.len(), second.len())
    }

    pub(crate) fn lookup(&self, path: &str) -> Said<FileHandle> {
        said(self.fs().lookup(self.weak, self.put(path)))
    }

    pub(crate) fn create(&self, path: &str) -> Said<FileHandle> {
        said(self.fs().create(self.weak, self.put(path)))
    }

    pub(crate) fn make_dir(&self, path: &str) -> Said<()> {
        said(self.fs().make_dir(self.weak, self.put(path)))
    }

    pub(crate) fn unlink(&self, path: &str) -> Said<()> {
        said(self.fs().unlink(self.weak, self.put(path)))
    }

    pub(crate) fn remove_dir(&self, path: &str) -> Said<()> {
        said(self.fs().remove_dir(self.weak, self.put(path)))
    }

    pub(crate) fn rename(&self, from: &str, to: &str) -> Said<()> {
        let (first, second) = self.put_two(from, to);
        said(self.fs().rename(self.weak, first, second))
    }

    pub(crate) fn link(&self, from: &str, to: &str) -> Said<()> {
        let (first, second) = self.put_two(from, to);
        said(self.fs().link(self.weak, first, second))
    }

    pub(crate) fn symlink(&self, target: &str, path: &str) -> Said<()> {
        let (first, second) = self.put_two(target, path);
        said(self.fs().symlink(self.weak, first, second))
    }

    pub(crate) fn close(&self, file: FileHandle) {
        match said(self.fs().close(file)) {
            // fsserver may have been stopped in this call, or before it.
            Ok(()) | Err(FsError::Restarted | FsError::BadHandle) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn size(&self, file: FileHandle) -> u64 {
        said(self.fs().stat(file)).unwrap().size_bytes
    }

    pub(crate) fn links(&self, file: FileHandle) -> u32 {
        said(self.fs().stat(file)).unwrap().links
    }

    /// Writes at most 1 MiB.
    pub(crate) fn write(&self, file: FileHandle, offset: u64, bytes: &[u8]) -> Said<u64> {
        self.store(DATA, bytes);
        said(self.fs().write(file, self.weak, offset, FrameNumber::new(DATA), length(bytes.len())))
    }

    /// Reads at most 1 MiB.
    pub(crate) fn read(&self, file: FileHandle, offset: u64, count: usize) -> Said<Vec<u8>> {
        let start = FrameNumber::new(DATA);
        let read = said(self.fs().read(file, self.weak, offset, start, length(count)))?;
        Ok(self.load(DATA, read as usize))
    }

    /// Reads all that a file has.
    pub(crate) fn read_all(&self, file: FileHandle) -> Said<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            let part = self.read(file, bytes.len() as u64, STEP)?;
            if part.is_empty() {
                return Ok(bytes);
            }
            bytes.extend(part);
        }
    }

    /// Reads the file of a path.
    pub(crate) fn contents(&self, path: &str) -> Said<Vec<u8>> {
        let file = self.lookup(path)?;
        let bytes = self.read_all(file);
        self.close(file);
        bytes
    }

    /// Makes a file with these bytes.
    pub(crate) fn make(&self, path: &str, bytes: &[u8]) -> Said<()> {
        let file = self.create(path)?;
        for (index, part) in bytes.chunks(STEP).enumerate() {
            self.write(file, (index * STEP) as u64, part)?;
        }
        self.close(file);
        Ok(())
    }

    /// Asks for bytes without waiting for them.
    pub(crate) fn ask_read(&self, file: FileHandle, offset: u64, count: usize) -> Said<u64> {
        let start = FrameNumber::new(DATA);
        said(self.asks().read(file, self.weak, offset, start, length(count)))
    }

    /// Asks for what is in the lent memory to be written, without waiting for that.
    pub(crate) fn ask_write(&self, file: FileHandle, offset: u64, count: usize) -> Said<u64> {
        let start = FrameNumber::new(DATA);
        said(self.asks().write(file, self.weak, offset, start, length(count)))
    }

    /// Asks for a file without waiting for it.
    pub(crate) fn ask_lookup(&self, path: &str) -> Said<FileHandle> {
        said(self.asks().lookup(self.weak, self.put(path)))
    }

    /// Asks for a directory to be made without waiting for it.
    pub(crate) fn ask_make_dir(&self, path: &str) -> Said<()> {
        said(self.asks().make_dir(self.weak, self.put(path)))
    }

    /// Lists a directory, so many frames at a time.
    pub(crate) fn list(&self, path: &str, frames: u64) -> Said<Vec<(Vec<u8>, FileKind)>> {
        let directory = self.lookup(path)?;
        let entries = self.entries(directory, frames);
        self.close(directory);
        entries
    }

    /// Lists an open directory.
    pub(crate) fn entries(
        &self,
        directory: FileHandle,
        frames: u64,
    ) -> Said<Vec<(Vec<u8>, FileKind)>> {
        let (mut all, mut cookie) = (Vec::new(), Some(DirectoryCookie::START));
        while let Some(at) = cookie {
            let frames = FrameCount::new(frames).unwrap();
            let listed = said(self.fs().read_dir(directory, self.weak, frames, at))?;
            let bytes = self.load(0, listed.bytes as usize);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (entry, left) = DirectoryEntry::decode(rest).unwrap();
                all.push((entry.name().to_vec(), entry.kind()));
                rest = left;
            }
            cookie = listed.next;
        }
        Ok(all)
    }

    /// Returns where a symlink leads to.
    pub(crate) fn target(&self, path: &str) -> Said<String> {
        let link = self.lookup(path)?;
        let read = said(self.fs().read_link(link, self.weak));
        self.close(link);
        Ok(String::from_utf8(self.load(0, read? as usize)).unwrap())
    }

    /// Gets a copy of 2 MiB of a file.
    pub(crate) fn lent(&self, file: FileHandle, offset: u64) -> Said<(Lent<'_>, u64)> {
        let container = self.pm.account().create_container().unwrap();
        container.allocate(0..LARGE_FRAMES).unwrap();
        let rights = Rights::WRITE;
        let terms =
            ShareTerms { peer: fsserver(), rights, lease_max: Micros::new(SECOND), once: false };
        let share = container.share(0..LARGE_FRAMES, terms).unwrap();
        let read = self.fs().read_lent(file, share.weak_handle(), offset, FrameNumber::new(0));
        share.unshare().unwrap();
        match said(read) {
            Ok(count) => Ok((Lent(container), count)),
            Err(error) => {
                container.destroy().unwrap();
                Err(error)
            }
        }
    }

    /// Returns the first bytes of such a copy.
    pub(crate) fn start_of(&self, lent: &Lent<'_>, count: usize) -> Vec<u8> {
        let frames = (count as u64).div_ceil(PAGE_BYTES);
        let mapping = lent.0.map(0..frames, LENT_WINDOW, MapFlags::READ).unwrap();
        let mut bytes = vec![0; count];
        mapping.copy_in(&self.domain.space(), 0, &mut bytes).unwrap();
        mapping.unmap().unwrap();
        bytes
    }

    /// Stores bytes in such a copy.
    pub(crate) fn store_in(&self, lent: &Lent<'_>, offset: u64, bytes: &[u8]) {
        let rights = MapFlags::READ | MapFlags::WRITE;
        let mapping = lent.0.map(0..LARGE_FRAMES, LENT_WINDOW, rights).unwrap();
        mapping.copy_out(&mut self.domain.space(), bytes, offset).unwrap();
        mapping.unmap().unwrap();
    }

    pub(crate) fn sync(&self) -> Said<()> {
        said(self.fs().sync())
    }

    pub(crate) fn trim(&self) {
        said(self.fs().trim()).unwrap();
    }
}

/// A copy of a part of a file that a client has got.
pub(crate) struct Lent<'a>(pub(crate) Container<'a, Channel>);

pub(crate) fn length(bytes: usize) -> ReadLength {
    ReadLength::new(bytes as u64).unwrap()
}

fn at(frame: u64) -> VirtAddr {
    WINDOW.checked_add(frame * PAGE_BYTES).unwrap()
}

/// Returns so many bytes, which differ from those of another seed.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(|_| random.u8(1..)).collect()
}
