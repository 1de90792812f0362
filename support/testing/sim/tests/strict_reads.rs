// SPDX-License-Identifier: BSD-2-Clause
//! Reads into shares that are used once at a time (FS-81 to FS-84).
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use std::cell::Cell;

use fsserver_api::{CallError, Client, FsError, ReadLength, StrictError, StrictReader};
use pmserver_client::{
    Container, MapFlags, Micros, OnceShare, PeerId, PmError, Rights, ShareTerms, VirtAddr,
};
use proto::{FrameCount, FrameNumber, Message, Transport, Waiter};
use sim::system::Channel;
use stage::Stage;

const OWN: VirtAddr = VirtAddr::new_page(0x1040_0000).unwrap();
const WINDOW: VirtAddr = VirtAddr::new_page(0x1030_0000).unwrap();

impl Stage {
    fn once<'pm>(
        &self,
        container: &Container<'pm, Channel>,
        rights: Rights,
        lease_micros: u64,
    ) -> OnceShare<'pm, Channel> {
        let (peer, lease_max) = (fsserver(), Micros::new(lease_micros));
        container.share_once(0..2, OWN, ShareTerms { peer, rights, lease_max, once: true }).unwrap()
    }
}

fn fsserver() -> PeerId {
    PeerId::new(1).unwrap()
}

fn length(bytes: u64) -> ReadLength {
    ReadLength::new(bytes).unwrap()
}

fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

#[test]
fn fs_81_a_strict_reader_reads_what_a_read_reads() {
    let stage = Stage::new("strict", &stage::small_demo_file());
    let (mut fs, file, size) = stage.open();
    let expected = {
        let container = stage.frames(2);
        let rights = Rights::WRITE | Rights::LOCK;
        let lease_max = Micros::new(1_000_000);
        let terms = ShareTerms { peer: fsserver(), rights, lease_max, once: false };
        let share = container.share(0..2, terms).unwrap();
        let all = length(size.min(8192));
        fs.read(file, share.weak_handle(), 0, FrameNumber::new(0), all).unwrap();
        share.unshare().unwrap();
        let mut bytes = vec![0; usize::try_from(size.min(8192)).unwrap()];
        let mapping = container.map(0..2, WINDOW, MapFlags::READ).unwrap();
        mapping.copy_in(&stage.domain.space(), 0, &mut bytes).unwrap();
        mapping.unmap().unwrap();
        bytes
    };
    assert!(expected.len() > 100);
    let container = stage.frames(3);
    let mut reader = StrictReader::new(&container, count(3), OWN, fsserver()).unwrap();
    for start in [0, 1, 50] {
        let read = reader.read(&mut fs, file, start, length(40)).unwrap();
        assert_eq!(read.count(), 40);
        let mut bytes = [0; 40];
        read.copy_in(&stage.domain.space(), 0, &mut bytes).unwrap();
        assert_eq!(bytes, expected[usize::try_from(start).unwrap()..][..40]);
    }
    let rest = reader.read(&mut fs, file, size - 5, length(40)).unwrap();
    assert_eq!(rest.count(), 5);
    assert_eq!(reader.read(&mut fs, file, size, length(40)).unwrap().count(), 0);
    let refused = reader.read(&mut fs, file, size + 1, length(40)).err();
    let is_past_end = |error: &StrictError| match error {
        StrictError::Fs(error) => error.refusal() == Some(FsError::PastEnd),
        StrictError::Pm(_) => false,
    };
    assert!(refused.as_ref().is_some_and(is_past_end));
    assert_eq!(reader.read(&mut fs, file, 0, length(1)).unwrap().count(), 1, "it goes on");
    stage.check_quiet();
}

/// fsserver, as if it had to wait for a disk so many times.
struct Slow<'a>(Channel, &'a Cell<u32>);

impl Transport for Slow<'_> {
    fn call(&mut self, request: Message) -> Message {
        match self.1.get().checked_sub(1) {
            Some(left) => {
                self.1.set(left);
                FsError::Pending.reply()
            }
            None => self.0.call(request),
        }
    }
}

struct Counted<'a>(&'a Cell<u32>);

impl Waiter for Counted<'_> {
    fn wait(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn fs_84_a_read_that_is_pending_has_taken_nothing() {
    let stage = Stage::new("pending", &stage::small_demo_file());
    let (_, file, _) = stage.open();
    let container = stage.frames(2);
    let mut reader = StrictReader::new(&container, count(2), OWN, fsserver()).unwrap();
    let (pending, waits) = (Cell::new(3), Cell::new(0));
    let slow = || Slow(stage.domain.channel(1), &pending);
    let mut waiting = Client::waiting(slow(), Counted(&waits));
    assert_eq!(reader.read(&mut waiting, file, 0, length(40)).unwrap().count(), 40);
    assert_eq!((pending.get(), waits.get()), (0, 3));
    pending.set(1);
    let mut impatient = Client::new(slow());
    let is_pending =
        |error| matches!(error, StrictError::Fs(e) if e.refusal() == Some(FsError::Pending));
    assert!(reader.read(&mut impatient, file, 0, length(40)).is_err_and(is_pending));
    assert_eq!(reader.read(&mut impatient, file, 0, length(40)).unwrap().count(), 40);
    stage.check_quiet();
}

#[test]
fn fs_82_only_what_is_armed_is_read_into_and_only_so() {
    let stage = Stage::new("not armed", &stage::small_demo_file());
    let (mut fs, file, size) = stage.open();
    let refusal = |result: Result<u64, CallError>| result.unwrap_err().pm_refusal();
    let container = stage.frames(2);
    let share = stage.once(&container, Rights::WRITE, 500_000);
    let weak = share.weak_handle();
    let read = |fs: &mut Client<Channel>| fs.read_taken(file, weak, 0, count(2), length(40));
    assert_eq!(refusal(read(&mut fs)), Some(PmError::NotArmed));
    let armed = share.arm().unwrap();
    let start = FrameNumber::new(0);
    assert_eq!(refusal(fs.read(file, weak, 0, start, length(40))), Some(PmError::NoRight));
    assert_eq!(refusal(fs.read_standing(file, weak, 0, start, length(40))), Some(PmError::NoRight));
    assert_eq!(refusal(fs.lookup(weak, 1).map(|_| 0)), Some(PmError::NoRight));
    // More than the share has.
    let more = fs.read_taken(file, weak, 0, count(3), length(40));
    assert_eq!(refusal(more), Some(PmError::NoRight));
    assert_eq!(fs.read_taken(file, weak, size, count(2), length(40)), Ok(0), "nothing is taken");
    assert_eq!(read(&mut fs), Ok(40));
    assert_eq!(refusal(read(&mut fs)), Some(PmError::NotArmed), "it was taken");
    drop(armed.confirm().unwrap());
    let plain = stage.frames(2);
    let (peer, rights) = (fsserver(), Rights::all());
    let terms = ShareTerms { peer, rights, lease_max: Micros::new(500_000), once: false };
    let plain = plain.share(0..2, terms).unwrap();
    let taken = fs.read_taken(file, plain.weak_handle(), 0, count(2), length(40));
    assert_eq!(refusal(taken), Some(PmError::NoRight));
    stage.check_quiet();
}

#[test]
fn fs_81_what_cannot_be_filled_is_given_back() {
    for (lease_micros, rights, error) in [
        (1, Rights::WRITE, FsError::LeaseTooShort),
        (49_000, Rights::WRITE, FsError::LeaseTooShort),
        (500_000, Rights::READ, FsError::PmRefused),
    ] {
        let stage = Stage::new(&format!("given back {lease_micros}"), &stage::small_demo_file());
        let (mut fs, file, _) = stage.open();
        let container = stage.frames(2);
        let armed = stage.once(&container, rights, lease_micros).arm().unwrap();
        for _ in 0..2 {
            let read = fs.read_taken(file, armed.weak_handle(), 0, count(2), length(40));
            let refused = read.unwrap_err();
            let is_so = refused.refusal() == Some(error);
            assert!(is_so || refused.pm_refusal() == Some(PmError::NotArmed), "{refused}");
        }
        // At once: nothing is kept until a deadline.
        drop(armed.confirm().unwrap());
        assert_eq!(container.renew(0..2), Ok(2));
        stage.check_quiet();
    }
    // A frame that is missing, or absent.
    let stage = Stage::new("missing", &stage::small_demo_file());
    let (mut fs, file, _) = stage.open();
    let container = stage.frames(2);
    let armed = stage.once(&container, Rights::WRITE, 500_000).arm().unwrap();
    container.deallocate(1..2).unwrap();
    let read = fs.read_taken(file, armed.weak_handle(), 0, count(2), length(40));
    assert_eq!(read.unwrap_err().refusal(), Some(FsError::ContainerTooSmall));
    container.allocate(1..2).unwrap();
    container.set_handler(1..2, PeerId::new(2).unwrap(), 7).unwrap();
    let read = fs.read_taken(file, armed.weak_handle(), 0, count(2), length(40));
    assert_eq!(read.unwrap_err().pm_refusal(), Some(PmError::Absent));
    assert_eq!(fs.read_taken(file, armed.weak_handle(), 0, count(1), length(40)), Ok(40));
    stage.check_quiet();
}
