// SPDX-License-Identifier: BSD-2-Clause
//! The program's files at fsserver.

use alloc::vec;
use alloc::vec::Vec;

use fsserver_api::{Client, FileHandle, FsError, ReadLength};
use pmserver_client::{
    AddressSpace, ContainerHandle, MapFlags, Micros, PAGE_BYTES, Pages, PeerId, Pm, Rights,
    ShareTerms, Transport, VirtAddr,
};
use proto::limits::LEASE_MICROS_MAX;
use proto::{FrameNumber, Waiter};
use scenarios_core::Sabotage;

use crate::history::Found;
use crate::operation::Operation;
use crate::tree::{WORDS_MAX, path, word_bytes};
use crate::writer::Failure;

/// What is lent: a frame for paths, and the data of one call behind it.
const WINDOW: VirtAddr = VirtAddr::new(0x1090_0000).unwrap();
const FRAMES: u64 = 1 + WORDS_MAX * 8 / PAGE_BYTES;
const DATA: FrameNumber = FrameNumber::new(1);

/// The folders of all files; the first is kept open, so that a restart is noticed.
const FOLDERS: [&str; 2] = ["/crash", "/crash/more"];

type Result<T> = core::result::Result<T, Failure>;

/// The connection to fsserver.
pub(crate) struct Files<T: Transport, W: Waiter, A> {
    fs: Client<T, W>,
    pub(crate) space: A,
    weak: ContainerHandle,
    pages: Pages,
    witness: FileHandle,
}

impl<T: Transport, W: Waiter, A: AddressSpace> Files<T, W, A> {
    /// Makes the folders, and makes them last.
    pub(crate) fn new<P: Transport>(pm: &Pm<P>, mut fs: Client<T, W>, space: A) -> Result<Self> {
        let peer: PeerId = fs.version()?.peer;
        let container = pm.account().create_container()?;
        container.allocate(0..FRAMES)?;
        let pages = container.map(0..FRAMES, WINDOW, MapFlags::WRITE)?.into_pages();
        let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(LEASE_MICROS_MAX);
        let terms = ShareTerms { peer, rights, lease_max, once: false };
        let share = container.share(0..FRAMES, terms)?;
        let weak = share.weak_handle();
        // They stay as long as the program.
        share.into_raw();
        container.into_raw();
        let mut files = Self { fs, space, weak, pages, witness: FileHandle::from_raw(0) };
        for folder in FOLDERS {
            let length = files.put(&[folder])?;
            files.fs.make_dir(weak, length)?;
        }
        files.fs.sync()?;
        files.look_again()?;
        Ok(files)
    }

    /// Tells fsserver to fault after so many steps.
    pub(crate) fn arm(&mut self, steps: u64) -> Result<()> {
        let reply = self.fs.transport_mut().call(Sabotage::FaultAfter(steps).request());
        (reply.label() == 0).then_some(()).ok_or(Failure::Wrong("fsserver cannot be armed"))
    }

    /// Returns whether fsserver is the one that it was.
    pub(crate) fn is_same(&mut self) -> Result<bool> {
        match self.fs.stat(self.witness) {
            Ok(_) => Ok(true),
            Err(error) if is_lost(error.refusal()) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens what shows that fsserver is the one that it is now.
    pub(crate) fn look_again(&mut self) -> Result<()> {
        let [folder, ..] = FOLDERS;
        let length = self.put(&[folder])?;
        self.witness = self.fs.lookup(self.weak, length)?;
        Ok(())
    }

    /// Does an operation.
    pub(crate) fn perform(&mut self, number: u32, operation: Operation) -> Result<()> {
        match operation {
            Operation::Create { name } => {
                let length = self.put(&[path(name)])?;
                let file = self.fs.create(self.weak, length)?;
                self.fs.close(file)?;
            }
            Operation::Write { name, at, count } => {
                let end = at.saturating_add(count);
                let bytes: Vec<u8> = (at..end).flat_map(|word| word_bytes(number, word)).collect();
                self.on(name, |files, file| files.write(file, at, &bytes))?;
            }
            Operation::Truncate { name, count } => {
                self.on(name, |files, file| Ok(files.fs.truncate(file, bytes_of(count))?))?;
            }
            Operation::Unlink { name } => {
                let length = self.put(&[path(name)])?;
                self.fs.unlink(self.weak, length)?;
            }
            Operation::Rename { from, to } => {
                self.put(&[path(from), path(to)])?;
                self.fs.rename(self.weak, path(from).len(), path(to).len())?;
            }
            Operation::SyncFile { name } => {
                self.on(name, |files, file| Ok(files.fs.sync_file(file)?))?;
            }
            Operation::Sync => self.fs.sync()?,
        }
        Ok(())
    }

    /// Makes all last.
    pub(crate) fn sync(&mut self) -> Result<()> {
        Ok(self.fs.sync()?)
    }

    /// Makes fsserver give up what it has cached.
    pub(crate) fn trim(&mut self) -> Result<()> {
        Ok(self.fs.trim()?)
    }

    /// Reads all files, as they are on the disk: a call that was repeated after a restart has
    /// changed what the new fsserver has in memory, and the next one would not know of it.
    pub(crate) fn lasting(&mut self) -> Result<Found> {
        self.sync()?;
        self.read_all()
    }

    /// Reads all files.
    fn read_all(&mut self) -> Result<Found> {
        let mut found = Found::default();
        for (name, bytes) in found.iter_mut().enumerate() {
            *bytes = match self.on(name, Self::read) {
                Err(Failure::Fs(error)) if error.refusal() == Some(FsError::NotFound) => None,
                read => Some(read?),
            };
        }
        Ok(found)
    }

    fn on<R>(
        &mut self,
        name: usize,
        act: impl FnOnce(&mut Self, FileHandle) -> Result<R>,
    ) -> Result<R> {
        let length = self.put(&[path(name)])?;
        let file = self.fs.lookup(self.weak, length)?;
        let result = act(self, file);
        let closed = self.fs.close(file);
        let result = result?;
        closed?;
        Ok(result)
    }

    fn write(&mut self, file: FileHandle, at: usize, bytes: &[u8]) -> Result<()> {
        self.pages.copy_out(&mut self.space, bytes, PAGE_BYTES)?;
        let length = u64::try_from(bytes.len()).unwrap_or_default();
        let count = ReadLength::new(length).ok_or(Failure::Wrong("a long write"))?;
        let written = self.fs.write(file, self.weak, bytes_of(at), DATA, count)?;
        (written == length).then_some(()).ok_or(Failure::Wrong("only a part was written"))
    }

    fn read(&mut self, file: FileHandle) -> Result<Vec<u8>> {
        let size = self.fs.stat(file)?.size_bytes;
        let mut bytes = vec![0; usize::try_from(size.min(WORDS_MAX << 3)).unwrap_or_default()];
        if let Some(length) = ReadLength::new(size) {
            let read = self.fs.read(file, self.weak, 0, DATA, length)?;
            if read != size {
                return Err(Failure::Wrong("less was read than the file has"));
            }
            self.pages.copy_in(&self.space, PAGE_BYTES, &mut bytes)?;
        }
        Ok(bytes)
    }

    /// Puts paths where fsserver looks for them; returns how many bytes they have.
    fn put(&mut self, paths: &[&str]) -> Result<usize> {
        let bytes: Vec<u8> = paths.iter().flat_map(|path| path.bytes()).collect();
        self.pages.copy_out(&mut self.space, &bytes, 0)?;
        Ok(bytes.len())
    }
}

/// Returns whether this is what a client is told of a restart (FS-130).
pub(crate) fn is_lost(error: Option<FsError>) -> bool {
    matches!(error, Some(FsError::Restarted | FsError::BadHandle))
}

fn bytes_of(words: usize) -> u64 {
    u64::try_from(words).unwrap_or_default().saturating_mul(8)
}
