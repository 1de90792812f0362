// SPDX-License-Identifier: BSD-2-Clause
//! The cache is in memory that nobody else needs (FS-92, FS-94).

use fsserver_api::FsError;
use pmserver_client::{
    Account, AccountInfo, Container, LimitFlags, PeerId, Pm, PmError, SplitAccount,
};
use proto::FrameNumber;
use proto::limits::{CALL_FRAMES_MAX, EXTRA_MICROS};
use sim::disk::DiskPlan;
use sim::system::Channel;
use sim::system_file::SystemFile;

use crate::image::volume;
use crate::rig::{DATA, Person, Rig, SECOND, bytes, fsserver, length, said};

const MIB: u64 = 1 << 20;
const WINDOW: u64 = 2 * MIB;
/// More than the pool has.
const LARGE: usize = 80 << 20;
/// Pages of fsserver's account that the cache leaves to requests, less what it needs itself.
const LEFT: u32 = 26;

/// Returns a system in which the file is larger than the pool, fsserver may have extra frames, and
/// one client can take all memory that was promised to nobody.
fn rig() -> (Rig, Vec<u8>) {
    rig_with("0xC00000")
}

/// The same, with a limit for fsserver.
fn rig_with(limit: &str) -> (Rig, Vec<u8>) {
    let text = include_str!("system.xml")
        .replace("size_bits=\"27\"", "size_bits=\"26\"")
        .replace("limit=\"0x800000\" privileges=\"dma\"", "limit=\"0x120000\" privileges=\"dma\"")
        .replace("limit=\"0x2000000\"", &format!("limit=\"{limit}\" privileges=\"extra\""))
        .replace("limit=\"0x1000000\"", "limit=\"0x400000\"")
        .replace("read_accounts\"", "read_accounts set_policy\"");
    let file = SystemFile::parse(&text).unwrap();
    let large = bytes(1, LARGE);
    let disk = volume(128, 4096, &[("large", &large), ("small", b"text"), ("house/a/", b"")]);
    (Rig::with(&file, DiskPlan::new(&disk[..]), None), large)
}

/// Returns what fsserver's account has.
fn account(person: &Person) -> AccountInfo {
    person.pm.account_of(fsserver()).info().unwrap()
}

/// Somebody who takes memory that was promised to nobody until there is none.
struct Hog<'a> {
    // Fields are dropped in this order, and give the memory back.
    container: Container<'a, Channel>,
    _account: SplitAccount<'a, Channel>,
    frames: u64,
}

impl<'a> Hog<'a> {
    fn new(pm: &'a Pm<Channel>) -> Self {
        let pool = Account::from_raw(pm, 1);
        let info = pool.info().unwrap();
        // What is above a limit counts as free.
        let mut pages = (info.limit.get() - info.promised.get()) / 4096;
        let account = loop {
            match pool.split_with(pages as u32, LimitFlags::empty()) {
                Ok(account) => break account,
                Err(error) => assert!(error.is(PmError::QuotaExceeded), "{error}"),
            }
            pages -= 16;
        };
        let container = account.create_container().unwrap();
        Self { container, _account: account, frames: 0 }
    }

    /// Takes some more. Returns whether there was any.
    fn take(&mut self) -> bool {
        let end = self.frames + CALL_FRAMES_MAX;
        let taken = self.container.allocate(self.frames..end);
        assert!(taken.is_ok() || taken.unwrap_err().is(PmError::QuotaExceeded));
        self.frames = if taken.is_ok() { end } else { self.frames };
        taken.is_ok()
    }
}

#[test]
fn fs_94_s30_the_cache_grows_into_what_is_free_and_gives_it_back_to_who_was_promised_it() {
    let (rig, large) = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let before = account(&writer);
    assert_eq!(before.extra.get(), 0);
    let file = reader.lookup("/large").unwrap();
    assert!(reader.read_all(file) == Ok(large.clone()));
    let full = account(&writer);
    assert!(full.extra.get() > 30 * MIB, "{full:?}");
    assert!(full.used <= full.limit, "{full:?}");
    // What is cached needs no disk: of the last windows that were read, the one before the last.
    let last = LARGE as u64 - 2 * WINDOW;
    assert_eq!(reader.ask_read(file, last, 4096), Ok(4096));

    let mut random = fastrand::Rng::with_seed(1);
    let small = writer.lookup("/small").unwrap();
    let mut hog = Hog::new(&writer.pm);
    while hog.take() {
        let at = random.usize(..LARGE - 8192);
        assert!(reader.read(file, at as u64, 8192).unwrap() == large[at..at + 8192], "{at}");
        let new = bytes(hog.frames, 3000);
        assert_eq!(writer.write(small, 0, &new), Ok(3000));
        assert_eq!(reader.contents("/small"), Ok(new));
    }
    // What is left is in memory that was promised to somebody who does not use it.
    let unused = (1..=5).map(|peer| {
        let info = writer.pm.account_of(PeerId::new(peer).unwrap()).info().unwrap();
        info.limit.get() - info.used.get()
    });
    // The hog has less than it could take at once.
    let most = unused.sum::<u64>() + 2 * MIB;
    let extra = account(&writer).extra.get();
    assert!(extra <= most, "{extra} of {most}");
    assert!(reader.read_all(file) == Ok(large.clone()));
    drop(hog);
    assert!(reader.read_all(file) == Ok(large));
    assert!(account(&writer).extra.get() > 30 * MIB);
    writer.trim();
    assert_eq!(account(&writer).extra.get(), 0);
    rig.check_quiet();
}

/// Takes memory that a client was promised, until it has all.
fn take_all(rig: &Rig, container: &Container<'_, Channel>) {
    let mut frames = 1 << 20;
    while frames < 1 << 21 {
        match container.allocate(frames..frames + 8) {
            Ok(_) => frames += 8,
            Err(error) if error.is(PmError::Pending) => rig.rest(EXTRA_MICROS),
            Err(error) => {
                assert!(error.is(PmError::QuotaExceeded), "{error}");
                break;
            }
        }
    }
}

#[test]
fn fs_94_what_is_taken_back_while_it_comes_from_the_disk_is_read_again() {
    let (rig, large) = rig_with("0xA00000");
    let (writer, reader, homely) = (rig.writer(), rig.reader(), rig.homely());
    let file = reader.lookup("/large").unwrap();
    reader.read_all(file).unwrap();
    rig.disk.hang();
    assert_eq!(reader.ask_read(file, 0, 4096), Err(FsError::Pending));
    let mut hog = Hog::new(&writer.pm);
    while hog.take() {}
    take_all(&rig, &hog.container);
    let taken = [&writer, &reader, &homely].map(|person| {
        let container = person.pm.account().create_container().unwrap();
        take_all(&rig, &container);
        container
    });
    rig.rest(SECOND);
    assert_eq!(reader.read(file, 0, 4096).map(|read| read == large[..4096]), Ok(true));
    drop((hog, taken));
    assert!(reader.read_all(file) == Ok(large));
    rig.check_quiet();
}

#[test]
fn fs_92_what_is_cached_is_in_the_way_of_no_request() {
    let text = include_str!("system.xml")
        .replace("limit=\"0x2000000\"", "limit=\"0xA00000\"")
        .replace("read_accounts\"", "read_accounts set_policy\"");
    let names: Vec<String> = (0..56).map(|number| format!("file {number}")).collect();
    let contents: Vec<_> = (0..56).map(|number| bytes(number, 9 * 4096)).collect();
    let files = names.iter().zip(&contents);
    let mut files: Vec<(&str, &[u8])> = files.map(|(name, bytes)| (&**name, &**bytes)).collect();
    files.push(("house/a/", b""));
    let disk = volume(64, 4096, &files);
    let rig = Rig::with(&SystemFile::parse(&text).unwrap(), DiskPlan::new(&disk[..]), None);
    let (writer, reader) = (rig.writer(), rig.reader());
    for (name, contents) in names.iter().zip(&contents) {
        assert!(writer.contents(&format!("/{name}")).as_ref() == Ok(contents));
    }
    let left = |info: AccountInfo| {
        let pages = (info.limit.get() - info.used.get() - info.promised.get()) / 4096;
        u32::try_from(pages).unwrap()
    };
    let info = account(&writer);
    assert!((LEFT..LEFT + 16).contains(&left(info)), "{info:?}");

    // As if what is mapped for other requests had used that up.
    let limit = u32::try_from(info.limit.get() / 4096).unwrap() - left(info);
    writer.pm.account_of(fsserver()).set_limits(limit, LimitFlags::empty()).unwrap();
    let file = reader.lookup("/file 55").unwrap();
    let (start, length) = (FrameNumber::new(DATA), length(contents[55].len()));
    assert_eq!(left(account(&writer)), 0);
    let read = reader.fs().read_standing(file, reader.weak, 0, start, length);
    assert_eq!(said(read), Ok(contents[55].len() as u64));
    let file = writer.lookup("/file 54").unwrap();
    assert_eq!(writer.write(file, 0, &contents[0]), Ok(contents[0].len() as u64));
    rig.check_quiet();
}

#[test]
fn fs_92_a_copy_of_extra_memory_stays_as_it_is() {
    let (rig, large) = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let file = reader.lookup("/large").unwrap();
    reader.read_all(file).unwrap();
    let at = LARGE - 2 * WINDOW as usize;
    let (copy, count) = reader.lent(file, at as u64).unwrap();
    assert_eq!(count, WINDOW);
    let changed = writer.lookup("/large");
    let changed = changed.and_then(|file| writer.write(file, at as u64 + 100, b"new"));
    assert_eq!(changed, Ok(3));
    let check = || {
        assert!(reader.start_of(&copy, 4096) == large[at..at + 4096]);
        let read = reader.read(file, at as u64, 4096).unwrap();
        assert!(read[100..103] == *b"new" && read[103..] == large[at + 103..at + 4096]);
    };
    check();
    let mut hog = Hog::new(&writer.pm);
    while hog.take() {}
    check();
    rig.check_quiet();
}
