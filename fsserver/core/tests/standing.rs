// SPDX-License-Identifier: BSD-2-Clause
//! Reads after which fsserver's lease and its mapping stay (FS-70 to FS-74).
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use fake::image::{Folder, noise};
use fake::{Fs, Machine};
use fsserver_api::{CallError, Client, FileHandle, FsError, ReadLength};
use fsserver_core::ClientId;
use pmserver_api::{ContainerHandle, LockMode, PmError, Rights};
use proto::limits::{FS_LEASE_LEFT_MICROS, FS_LEASE_MICROS, FS_STANDING_PER_CLIENT_MAX};
use proto::{FrameNumber, Message, Transport};

const FILL: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);
const BYTES: usize = 100_000;

struct System {
    machine: Machine,
    fs: Client<Fs>,
    file: FileHandle,
    contents: Vec<u8>,
}

impl System {
    fn new() -> Self {
        Self::with_clock(true)
    }

    fn with_clock(can_read: bool) -> Self {
        let contents = noise(BYTES, 1);
        let folder = Folder::new();
        folder.write("file", &contents);
        let machine = Machine::new(folder.image());
        let clock = can_read.then(|| machine.clone());
        let (server, client) = (machine.server().unwrap(), ClientId::of_channel(2));
        let fs = Client::new(Fs { server, client, clock });
        let mut system = Self { machine, fs, file: FileHandle::from_raw(0), contents };
        system.file = system.open();
        system
    }

    fn open(&mut self) -> FileHandle {
        let path = self.machine.lend(1, Rights::READ);
        self.machine.write(path, 0, b"/file");
        self.fs.lookup(path, 5).unwrap()
    }

    /// Reads some bytes and says whether they have arrived.
    fn read(&mut self, weak: ContainerHandle, offset: usize, bytes: u64) -> Result<(), CallError> {
        self.read_to(weak, 0, offset, bytes)
    }

    fn read_to(
        &mut self,
        weak: ContainerHandle,
        start: u64,
        offset: usize,
        bytes: u64,
    ) -> Result<(), CallError> {
        let (first, length) = (FrameNumber::new(start), ReadLength::new(bytes).unwrap());
        let done = self.fs.read_standing(self.file, weak, offset as u64, first, length)?;
        let skipped = start as usize * 4096;
        let there = self.machine.read(weak, skipped + done as usize);
        assert!(there[skipped..] == self.contents[offset..][..done as usize]);
        assert_eq!(done, bytes.min((BYTES - offset) as u64));
        Ok(())
    }

    /// How many calls of pmserver the next read takes.
    fn calls(&mut self, weak: ContainerHandle, offset: usize, bytes: u64) -> u64 {
        let before = self.machine.calls();
        self.read(weak, offset, bytes).unwrap();
        self.machine.calls() - before
    }
}

#[test]
fn what_stands_is_filled_without_a_call_of_pmserver() {
    let mut system = System::new();
    let weak = system.machine.lend(16, FILL);
    assert!(system.calls(weak, 0, 65_536) > 0);
    assert_eq!(system.machine.modes(), [LockMode::Read], "its owner can load from it");
    for offset in [4096, 8192, 20_480] {
        assert_eq!(system.calls(weak, offset, 65_536), 0);
        assert_eq!(system.calls(weak, offset + 1, 10), 0);
    }
    // A part of the range, but not from its start.
    let before = system.machine.calls();
    system.read_to(weak, 3, 7000, 13 * 4096).unwrap();
    assert_eq!(system.machine.calls(), before);
    // More than is copied without a look at the clock.
    let large = system.machine.lend(24, FILL);
    assert!(system.calls(large, 0, 24 * 4096) > 0);
    assert_eq!(system.calls(large, 1000, 24 * 4096), 1);
    system.fs.release(weak).unwrap();
    system.fs.release(large).unwrap();
    system.machine.assert_at_rest();
    assert!(system.machine.try_unshare(weak));
}

#[test]
fn without_a_clock_pmserver_is_asked_for_the_time() {
    let mut system = System::with_clock(false);
    let weak = system.machine.lend(4, FILL);
    system.read(weak, 0, 10_000).unwrap();
    assert_eq!(system.calls(weak, 5, 10_000), 1);
    system.machine.advance(FS_LEASE_MICROS);
    assert!(system.calls(weak, 6, 10_000) > 1);
}

#[test]
fn nothing_is_filled_when_the_lease_is_near_its_end() {
    for can_read in [true, false] {
        for late in [FS_LEASE_LEFT_MICROS - 20, 1, 0] {
            let mut system = System::with_clock(can_read);
            let weak = system.machine.lend(4, FILL);
            system.read(weak, 0, 10_000).unwrap();
            system.machine.advance(FS_LEASE_MICROS - late);
            // It is locked and mapped anew. The fake says so where something is stored without.
            assert!(system.calls(weak, 1, 10_000) > 2, "{late}");
            assert_eq!((system.machine.leases(), system.machine.mapped()), (1, 3));
        }
    }
}

#[test]
fn a_client_that_unshares_meanwhile_waits_for_the_deadline() {
    let mut system = System::new();
    let weak = system.machine.lend(4, FILL);
    system.read(weak, 0, 10_000).unwrap();
    assert!(!system.machine.try_unshare(weak));
    system.read(weak, 1, 10_000).unwrap();
    assert!(!system.machine.try_unshare(weak));
    system.machine.advance(FS_LEASE_MICROS - FS_LEASE_LEFT_MICROS);
    let refusal = system.read(weak, 2, 10_000).unwrap_err();
    assert_eq!(refusal.pm_refusal(), Some(PmError::Revoking), "no new lease");
    assert!(system.machine.try_unshare(weak), "and the old one is given back");
    system.machine.assert_at_rest();
    // The same if fsserver is not asked again.
    let weak = system.machine.lend(4, FILL);
    system.read(weak, 0, 10_000).unwrap();
    assert!(!system.machine.try_unshare(weak));
    system.machine.advance(FS_LEASE_MICROS);
    assert!(system.machine.try_unshare(weak));
    let refusal = system.read(weak, 2, 10_000).unwrap_err();
    assert_eq!(refusal.pm_refusal(), Some(PmError::InvalidCap));
    system.machine.assert_at_rest();
}

#[test]
fn another_request_that_names_the_container_ends_what_stands() {
    let mut system = System::new();
    let weak = system.machine.lend(4, FILL);
    let (start, length) = (FrameNumber::new(0), ReadLength::new(10_000).unwrap());
    system.read(weak, 0, 10_000).unwrap();
    system.fs.read(system.file, weak, 0, start, length).unwrap();
    system.machine.assert_at_rest();
    system.read(weak, 0, 10_000).unwrap();
    system.fs.lookup(weak, 5).unwrap_err();
    system.machine.assert_at_rest();
    // One outside of the range makes it anew.
    system.read(weak, 0, 10_000).unwrap();
    system.read_to(weak, 1, 0, 10_000).unwrap();
    assert_eq!((system.machine.leases(), system.machine.mapped()), (1, 3));
    // One that fails leaves nothing.
    let refusal = system.read(weak, 0, 20_000).unwrap_err();
    assert_eq!(refusal.refusal(), Some(FsError::ContainerTooSmall));
    system.machine.assert_at_rest();
    // One that reads nothing changes nothing.
    system.read(weak, 0, 10_000).unwrap();
    system.read(weak, BYTES, 10_000).unwrap();
    assert_eq!(system.calls(weak, 0, 10_000), 0);
    system.fs.release(weak).unwrap();
    system.fs.release(weak).unwrap();
    system.machine.assert_at_rest();
}

#[test]
fn a_client_has_so_many_and_the_oldest_goes() {
    let mut system = System::new();
    let lent: Vec<_> =
        (0..=FS_STANDING_PER_CLIENT_MAX).map(|_| system.machine.lend(3, FILL)).collect();
    for weak in &lent {
        system.read(*weak, 0, 10_000).unwrap();
    }
    assert_eq!(system.machine.leases(), FS_STANDING_PER_CLIENT_MAX);
    assert_eq!(system.machine.mapped(), 3 * FS_STANDING_PER_CLIENT_MAX);
    for weak in &lent[1..] {
        assert_eq!(system.calls(*weak, 7, 10_000), 0);
    }
    assert!(system.calls(lent[0], 0, 10_000) > 0);
    assert!(system.calls(lent[1], 0, 10_000) > 0, "it was the oldest then");
    for weak in &lent {
        system.fs.release(*weak).unwrap();
    }
    system.machine.assert_at_rest();
}

#[test]
fn two_clients_do_not_use_up_each_others_windows() {
    let mut system = System::new();
    let other = ClientId::of_channel(3);
    let of_one: Vec<_> =
        (0..FS_STANDING_PER_CLIENT_MAX).map(|_| system.machine.lend(3, FILL)).collect();
    for weak in &of_one {
        system.read(*weak, 0, 10_000).unwrap();
    }
    // The other one reads into what is its own, more than it may keep, and releases what is not.
    let mine: Vec<_> = (0..3).map(|_| system.machine.lend_of(3, 3, FILL)).collect();
    let path = system.machine.lend_of(3, 1, Rights::READ);
    system.machine.write(path, 0, b"/file");
    let as_other = |system: &mut System, request: fsserver_api::Request| -> Message {
        let transport = system.fs.transport_mut();
        let own = core::mem::replace(&mut transport.client, other);
        let reply = transport.call(request.encode());
        transport.client = own;
        reply
    };
    let lookup = fsserver_api::Request::Lookup { container: path, path_bytes: 5 };
    let file = FileHandle::from_raw(as_other(&mut system, lookup).registers()[0]);
    for container in mine.iter().chain(&mine).copied() {
        let (start, length) = (FrameNumber::new(0), ReadLength::new(10_000).unwrap());
        let (offset, stands) = (0, true);
        let read = fsserver_api::Request::Read { file, container, offset, start, length, stands };
        assert_eq!(as_other(&mut system, read), Message::new(0, [10_000]));
    }
    for container in of_one.iter().copied() {
        let reply = as_other(&mut system, fsserver_api::Request::Release { container });
        let refused = Message::new(FsError::PmRefused.status(), [PmError::InvalidCap.status()]);
        assert_eq!(reply, refused);
    }
    assert_eq!(system.machine.leases(), 2 * FS_STANDING_PER_CLIENT_MAX);
    for weak in of_one {
        assert_eq!(system.calls(weak, 9, 10_000), 0);
    }
}

#[test]
fn a_server_that_recovers_lets_nothing_stand() {
    let mut system = System::new();
    let weak = system.machine.lend(3, FILL);
    system.read(weak, 0, 10_000).unwrap();
    system.machine.fault();
    system.fs = system.machine.fs();
    system.machine.assert_at_rest();
    system.file = system.open();
    assert!(system.calls(weak, 1, 10_000) > 0);
    assert_eq!(system.calls(weak, 2, 10_000), 0);
}

#[test]
fn a_lease_that_is_too_short_to_fill_is_none_to_keep() {
    let mut system = System::new();
    system.machine.limit_leases(FS_LEASE_LEFT_MICROS);
    let weak = system.machine.lend(3, FILL);
    let refusal = system.read(weak, 0, 10_000).unwrap_err();
    assert_eq!(refusal.refusal(), Some(FsError::LeaseTooShort));
    system.machine.assert_at_rest();
}
