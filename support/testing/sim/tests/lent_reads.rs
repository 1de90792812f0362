// SPDX-License-Identifier: BSD-2-Clause
//! Reads by logical copies of what fsserver has cached (FS-90 to FS-93).
// Tests may fail by panicking.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod stage;

use fsserver_api::{Client, FsError};
use pmserver_client::{
    Container, FrameState, MapFlags, Micros, PeerId, PmError, Rights, ShareTerms, VirtAddr,
};
use proto::{AddressSpace, FrameNumber};
use sim::system::{Channel, End};
use sim::system_file::SystemFile;
use stage::{PATH, Stage};

const WINDOW: VirtAddr = VirtAddr::new_page(0x3000_0000).unwrap();
const START: FrameNumber = FrameNumber::new(0);

impl Stage {
    /// Reads the file into new frames, and returns them.
    fn read(&self, rights: Rights) -> (Container<'_, Channel>, Result<u64, FsError>) {
        self.read_path(PATH, rights)
    }

    fn read_path(
        &self,
        path: &[u8],
        rights: Rights,
    ) -> (Container<'_, Channel>, Result<u64, FsError>) {
        let mut fs = Client::new(self.domain.channel(1));
        let file = fs.lookup_short(path).unwrap();
        let container = self.frames(512);
        let peer = PeerId::new(1).unwrap();
        let terms = ShareTerms { peer, rights, lease_max: Micros::new(500_000), once: false };
        let share = container.share(0..512, terms).unwrap();
        let read = fs.read_lent(file, share.weak_handle(), 0, START);
        share.unshare().unwrap();
        fs.close(file).unwrap();
        (container, read.map_err(|error| error.refusal().unwrap()))
    }

    fn start_of(&self, container: &Container<'_, Channel>) -> Vec<u8> {
        let mapping = container.map(0..1, WINDOW, MapFlags::READ).unwrap();
        let mut bytes = vec![0; 100];
        mapping.copy_in(&self.domain.space(), 0, &mut bytes).unwrap();
        mapping.unmap().unwrap();
        bytes
    }
}

fn expected() -> Vec<u8> {
    let path = stage::root().join("support/files/containers.txt");
    std::fs::read(path).unwrap()[..100].to_vec()
}

#[test]
fn fs_90_a_lent_read_gives_what_the_file_has_and_each_its_own() {
    let stage = Stage::new("lent", &stage::demo_file());
    let (_, _, size) = stage.open();
    let (first, read) = stage.read(Rights::WRITE);
    assert_eq!(read, Ok(size));
    let (second, read) = stage.read(Rights::WRITE);
    assert_eq!(read, Ok(size));
    assert!(first.state(511).unwrap().contains(FrameState::COW), "no byte was moved");
    let mapping = first.map(0..1, WINDOW, MapFlags::READ | MapFlags::WRITE).unwrap();
    mapping.copy_out(&mut stage.domain.space(), &[b'#'; 8], 0).unwrap();
    mapping.unmap().unwrap();
    assert_eq!(stage.start_of(&first)[..8], [b'#'; 8]);
    assert_eq!(stage.start_of(&first)[8..], expected()[8..]);
    assert_eq!(stage.start_of(&second), expected(), "another copy");
    let (third, read) = stage.read(Rights::WRITE);
    assert_eq!(read, Ok(size));
    assert_eq!(stage.start_of(&third), expected(), "and the cache");
    stage::check(&stage.system, &"afterwards");
}

#[test]
fn fs_91_a_lent_read_is_of_a_whole_window_and_needs_write() {
    let stage = Stage::new("lent refused", &stage::demo_file());
    let (mut fs, file, _) = stage.open();
    let container = stage.frames(512);
    let peer = PeerId::new(1).unwrap();
    let (rights, lease_max) = (Rights::READ, Micros::new(500_000));
    let terms = ShareTerms { peer, rights, lease_max, once: false };
    let share = container.share(0..512, terms).unwrap();
    let weak = share.weak_handle();
    let refused = fs.read_lent(file, weak, 0, START).unwrap_err();
    assert_eq!(refused.pm_refusal(), Some(PmError::NoRight));
    for (offset, start) in [(4096, 0), (0, 1), (1, 0)] {
        let refused = fs.read_lent(file, weak, offset, FrameNumber::new(start)).unwrap_err();
        assert_eq!(refused.refusal(), Some(FsError::BadRange));
    }
    let refused = fs.read_lent(file, weak, 2 << 20, START).unwrap_err();
    assert_eq!(refused.refusal(), Some(FsError::PastEnd));
    stage::check(&stage.system, &"afterwards");
}

#[test]
fn fs_92_a_recovery_uses_the_same_memory_again() {
    let stage = Stage::new("lent recovery", &stage::demo_file());
    let used = || stage.pm.account_of(PeerId::new(1).unwrap()).info().unwrap().used;
    let (_, read) = stage.read(Rights::WRITE);
    read.unwrap();
    let before = used();
    for _ in 0..3 {
        let end = stage.system.run("fsserver", |domain| {
            domain.space().copy_out(&[1], VirtAddr::new(0x3F00_0000).unwrap());
        });
        assert_eq!(end, End::Redirected);
        let told = Client::new(stage.domain.channel(1)).lookup_short(PATH).unwrap_err();
        assert_eq!(told.refusal(), Some(FsError::Restarted));
        let (container, read) = stage.read(Rights::WRITE);
        read.unwrap();
        assert_eq!(stage.start_of(&container), expected());
    }
    // Records that are made again may lie in fewer pages.
    assert!(used() <= before, "{} after {before}", used());
    stage::check(&stage.system, &"afterwards");
}

#[test]
fn fs_92_the_parts_that_were_used_last_are_kept() {
    // Beside heap and stack, fsserver has memory for two, if it may have none that is free.
    let text = stage::demo_text().replace(r#" privileges="extra""#, "");
    let (limit, less) = (r#"limit="0x1000000""#, r#"limit="0xC80000""#);
    assert!(text.contains(limit));
    let file = SystemFile::parse(&text.replacen(limit, less, 1)).unwrap();
    let stage = Stage::new("lent kept", &file);
    let read = |path: &[u8]| {
        let (container, read) = stage.read_path(path, Rights::WRITE);
        read.unwrap();
        container
    };
    // What fsserver keeps it shares with whom it gave it to.
    let is_kept = |copy: &Container<'_, Channel>| copy.state(0).unwrap().contains(FrameState::COW);
    let containers = read(PATH);
    let pages = read(b"/numbers/pages.txt");
    assert!(is_kept(&containers) && is_kept(&pages), "two are kept");
    read(PATH).destroy().unwrap();
    let powers = read(b"/numbers/powers.txt");
    assert!(is_kept(&containers) && is_kept(&powers), "the two used last");
    assert!(!is_kept(&pages), "not a third");
    stage::check(&stage.system, &"afterwards");
}
