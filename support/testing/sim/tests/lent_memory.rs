// SPDX-License-Identifier: BSD-2-Clause
//! Whatever a client lends, fsserver does not fault: another client's open file stays open (FS-2,
//! FS-4, FS-8), also if the container stands (FS-70 to FS-72).
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use std::ops::Deref;

use fsserver_api::{CallError, DirectoryCookie, FileHandle, FsError, ReadLength};
use pmserver_client::{Container, MapFlags, Micros, PeerId, PmError, Rights, ShareTerms, VirtAddr};
use proto::{FrameCount, FrameNumber};
use sim::system::{Channel, End};
use stage::{PATH, Stage};

const WINDOW: VirtAddr = VirtAddr::new_page(0x1030_0000).unwrap();
const SECOND: VirtAddr = VirtAddr::new_page(0x1040_0000).unwrap();
const ALL: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);
const LONG: u64 = 1_000_000;

/// A client with a file open, which a fault of fsserver would close.
struct Client {
    stage: Stage,
    good: FileHandle,
}

impl Deref for Client {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

type Call<'a, R> = &'a dyn Fn(&mut fsserver_api::Client<Channel>) -> Result<R, CallError>;

impl Client {
    fn new(test: &str) -> Self {
        let stage = Stage::new(test, &stage::small_demo_file());
        let mut client = Self { stage, good: FileHandle::from_raw(0) };
        client.good = {
            let path = client.path_page();
            let lent = client.lend(&path, Rights::READ, 0);
            client.call(&|fs| fs.lookup(lent, PATH.len())).unwrap()
        };
        client
    }

    fn path_page(&self) -> Container<'_, Channel> {
        let container = self.frames(1);
        let mapping = container.map(0..1, WINDOW, MapFlags::WRITE).unwrap();
        mapping.copy_out(&mut self.domain.space(), PATH, 0).unwrap();
        mapping.unmap().unwrap();
        container
    }

    fn lend(
        &self,
        container: &Container<'_, Channel>,
        rights: Rights,
        lease_micros: u64,
    ) -> pmserver_client::ContainerHandle {
        let lease_max = Micros::new(lease_micros);
        let terms = ShareTerms { peer: PeerId::new(1).unwrap(), rights, lease_max, once: false };
        let share = container.share(0..u64::MAX, terms).unwrap();
        let weak = share.weak_handle();
        share.into_raw();
        weak
    }

    /// Calls fsserver, which must answer, and soon.
    fn call<R>(&self, call: Call<'_, R>) -> Result<R, CallError> {
        let mut fs = fsserver_api::Client::new(self.domain.channel(1));
        let before = self.pm.clock().unwrap().get();
        let End::Finished(result) = self.domain.attempt(|| call(&mut fs)) else {
            panic!("fsserver has not answered");
        };
        assert!(self.pm.clock().unwrap().get() - before < 10_000, "it takes too long");
        result
    }

    /// Says that fsserver is the same as before, and has nothing of what was lent.
    fn check(&self) {
        self.call(&|fs| fs.stat(self.good)).expect("the file is still open");
        self.check_quiet();
    }

    fn read(&self, lent: pmserver_client::ContainerHandle, start: u64) -> Result<u64, CallError> {
        let (start, length) = (FrameNumber::new(start), ReadLength::new(100).unwrap());
        self.call(&|fs| fs.read(self.good, lent, 0, start, length))
    }
}

impl Client {
    fn read_standing(&self, lent: pmserver_client::ContainerHandle) -> Result<u64, CallError> {
        let (start, length) = (FrameNumber::new(0), ReadLength::new(100).unwrap());
        self.call(&|fs| fs.read_standing(self.good, lent, 0, start, length))
    }

    /// The first bytes of frame 0, as its owner reads them.
    fn first(&self, container: &Container<'_, Channel>) -> [u8; 8] {
        let mut bytes = [0; 8];
        let mapping = container.map(0..1, WINDOW, MapFlags::READ).unwrap();
        mapping.copy_in(&self.domain.space(), 0, &mut bytes).unwrap();
        mapping.unmap().unwrap();
        bytes
    }
}

fn refusal<R>(result: Result<R, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.pm_refusal())
}

#[test]
fn fs_8_an_absent_path_page_is_absent_whoever_has_to_supply_it() {
    for handler in [1, 2] {
        let client = Client::new(&format!("absent path {handler}"));
        for rights in [Rights::READ, Rights::READ | Rights::WRITE, ALL] {
            let container = client.frames(2);
            let lent = client.lend(&container, rights, LONG);
            container.set_handler(0..2, PeerId::new(handler).unwrap(), 7).unwrap();
            let result = client.call(&|fs| fs.lookup(lent, PATH.len()));
            assert_eq!(refusal(result), Some(PmError::Absent), "{handler}, {rights:?}");
            client.check();
        }
        // A path that its handler's container has is not absent.
        let path = client.path_page();
        let lent = client.lend(&path, Rights::READ, 0);
        path.set_handler(0..1, PeerId::new(handler).unwrap(), 7).unwrap();
        client.call(&|fs| fs.lookup(lent, PATH.len())).unwrap();
        // Renewed, it is.
        path.renew(0..1).unwrap();
        let result = client.call(&|fs| fs.lookup(lent, PATH.len()));
        assert_eq!(refusal(result), Some(PmError::Absent));
        client.check();
    }
}

#[test]
fn fs_8_an_absent_frame_to_fill_is_absent() {
    for handler in [1, 2] {
        let client = Client::new(&format!("absent data {handler}"));
        let container = client.frames(3);
        container.set_handler(1..2, PeerId::new(handler).unwrap(), 7).unwrap();
        let lent = client.lend(&container, ALL, LONG);
        assert_eq!(client.read(lent, 0), Ok(100));
        assert_eq!(refusal(client.read(lent, 1)), Some(PmError::Absent));
        let root = client.path_page();
        let root = client.lend(&root, Rights::READ, 0);
        let root = client.call(&|fs| fs.lookup(root, 1)).unwrap();
        let frames = FrameCount::new(3).unwrap();
        let start = DirectoryCookie::START;
        let result = client.call(&|fs| fs.read_dir(root, lent, frames, start));
        assert_eq!(refusal(result), Some(PmError::Absent));
        // What was refused has not moved the listing on.
        client.call(&|fs| fs.read_dir(root, lent, FrameCount::ONE, start)).unwrap();
        client.check();
    }
}

#[test]
fn fs_8_without_a_lease_that_lasts_nothing_is_filled() {
    let client = Client::new("lease");
    let container = client.frames(1);
    for (rights, lease_micros, error) in [
        (ALL, 0, PmError::Invalid),
        (Rights::READ | Rights::WRITE, LONG, PmError::NoRight),
        (Rights::READ | Rights::LOCK, LONG, PmError::NoRight),
        (Rights::LOCK, LONG, PmError::NoRight),
    ] {
        let lent = client.lend(&container, rights, lease_micros);
        assert_eq!(refusal(client.read(lent, 0)), Some(error), "{rights:?}");
        client.check();
    }
    for lease_micros in [1, 2, 10, 1000] {
        let lent = client.lend(&container, ALL, lease_micros);
        let refusal = client.read(lent, 0).unwrap_err().refusal();
        assert_eq!(refusal, Some(FsError::LeaseTooShort), "{lease_micros}");
        client.check();
    }
    let lent = client.lend(&container, ALL, LONG);
    assert_eq!(client.read(lent, 0), Ok(100));
    client.check();
}

#[test]
fn fs_8_what_is_taken_back_is_not_touched() {
    let client = Client::new("taken back");
    let path = client.path_page();
    let lent = client.lend(&path, ALL, LONG);
    path.deallocate(0..1).unwrap();
    let refusal_of = |error: CallError| (error.refusal(), error.pm_refusal());
    let gone = client.call(&|fs| fs.lookup(lent, PATH.len())).unwrap_err();
    assert_eq!(refusal_of(gone), (Some(FsError::ContainerTooSmall), None));
    assert_eq!(client.read(lent, 0).unwrap_err().refusal(), Some(FsError::ContainerTooSmall));
    client.check();
    path.destroy().unwrap();
    assert_eq!(refusal(client.read(lent, 0)), Some(PmError::InvalidCap));
    let result = client.call(&|fs| fs.lookup(lent, PATH.len()));
    assert_eq!(refusal(result), Some(PmError::InvalidCap));
    client.check();
}

#[test]
fn fs_71_what_stands_is_read_by_its_owner_and_taken_by_nobody() {
    let client = Client::new("stands");
    let container = client.frames(2);
    let lent = client.lend(&container, ALL, LONG);
    let before = container.map(0..2, SECOND, MapFlags::WRITE).unwrap();
    assert_eq!(client.read_standing(lent), Ok(100));
    let contents = client.first(&container);
    assert_ne!(contents, [0; 8]);
    let mut same = [0; 8];
    before.copy_in(&client.domain.space(), 0, &mut same).unwrap();
    assert_eq!(same, contents, "a mapping from before");
    let locked = |result: Result<u64, pmserver_client::Error>| {
        assert!(result.unwrap_err().is(PmError::Locked));
    };
    locked(container.deallocate(0..1));
    locked(container.renew(0..1));
    locked(container.map(0..1, WINDOW, MapFlags::WRITE).map(|_| 0));
    // A copy stays what it was, and the next store of fsserver makes memory for the other.
    let copy = client.frames(1);
    container.copy(0..1, &copy, 0).unwrap();
    container.set_handler(0..2, PeerId::new(2).unwrap(), 7).unwrap();
    for _ in 0..3 {
        assert_eq!(client.read_standing(lent), Ok(100));
    }
    assert_eq!((client.first(&copy), client.first(&container)), (contents, contents));
    client.call(&|fs| fs.release(lent)).unwrap();
    assert_eq!(container.renew(0..1).unwrap(), 1);
    client.check();
}

#[test]
fn fs_72_what_stands_ends_at_the_deadline_whatever_is_done_meanwhile() {
    // The owner unshares, destroys the container or its account, or does nothing. Then fsserver is
    // asked, before the deadline, near it and after it.
    let client = Client::new("stands to the end");
    for what in 0..4 {
        for wait in [0, 440_000, 460_000, 499_000, 600_000] {
            let account = client.pm.account().split(64).unwrap();
            let container = account.create_container().unwrap();
            container.allocate(0..2).unwrap();
            let terms = ShareTerms {
                peer: PeerId::new(1).unwrap(),
                rights: ALL,
                lease_max: Micros::new(LONG),
                once: false,
            };
            let share = container.share(0..2, terms).unwrap();
            let lent = share.weak_handle();
            assert_eq!(client.read_standing(lent), Ok(100));
            let start = client.pm.clock().unwrap().get();
            let share = match what {
                0 => {
                    let locked = share.unshare().unwrap_err();
                    assert!(locked.error.is(PmError::Locked));
                    Some(locked.value)
                }
                _ => {
                    share.into_raw();
                    None
                }
            };
            match what {
                0 | 3 => drop(container.into_raw()),
                1 => drop(container.destroy()),
                _ => {
                    container.into_raw();
                    drop(account.destroy());
                }
            }
            client.pm.wait_until(Micros::new(start + wait)).unwrap();
            let result = client.read_standing(lent);
            let is_told = result.is_ok() || refusal(result).is_some();
            assert!(is_told, "{what}, {wait}: {result:?}");
            client.check();
            client.pm.wait_until(Micros::new(start + 1_200_000)).unwrap();
            share.map_or(Ok(()), pmserver_client::Share::unshare).unwrap();
            let _ = client.read_standing(lent);
            let _ = client.call(&|fs| fs.release(lent));
            client.check();
        }
    }
}
