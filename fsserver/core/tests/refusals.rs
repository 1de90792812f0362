// SPDX-License-Identifier: BSD-2-Clause
//! Every error has something that provokes it, and leaves nothing behind.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use std::fs::{File, hard_link};
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use fake::image::{Folder, noise};
use fake::{FSSERVER, Fs, Machine};
use fsserver_api::{
    CallError, Client, DirectoryCookie, Feature, FileHandle, FileKind, FsError, ReadLength,
    Request, SHORT_PATH_BYTES_MAX,
};
use fsserver_core::ClientId;
use fsserver_setup::{ClientConfig, Rights as FileRights, Setup};
use pmserver_api::{ContainerHandle, PmError, Rights};
use proto::{FrameCount, FrameNumber, Message, PeerId, ProtocolError};

const FILL: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);

struct System {
    machine: Machine,
    fs: Client<Fs>,
    path: ContainerHandle,
}

impl System {
    fn new() -> Self {
        let folder = Folder::new();
        folder.write("directory/file", &noise(10_000, 1));
        folder.write("directory/empty", &[]);
        folder.write("many/first", &[]);
        symlink("directory", folder.files().join("link")).unwrap();
        symlink("nowhere", folder.files().join("directory/dangling")).unwrap();
        symlink("loop", folder.files().join("loop")).unwrap();
        symlink("directory", folder.files().join("chain1")).unwrap();
        for length in 2..=41 {
            let target = format!("chain{}", length - 1);
            symlink(target, folder.files().join(format!("chain{length}"))).unwrap();
        }
        symlink("./".repeat(500), folder.files().join("dots")).unwrap();
        symlink("/../../directory", folder.files().join("outward")).unwrap();
        assert!(
            Command::new("mkfifo").arg(folder.files().join("pipe")).status().unwrap().success()
        );
        let machine = Machine::new(folder.image());
        let fs = machine.fs();
        let path = machine.lend(1, Rights::READ);
        Self { machine, fs, path }
    }

    /// Opens a path; a short one in both ways, which must not differ.
    fn open(&mut self, path: &[u8]) -> Result<FileHandle, FsError> {
        self.machine.write(self.path, 0, path);
        let result = self.fs.lookup(self.path, path.len());
        self.machine.assert_at_rest();
        let result = result.map_err(|error| error.refusal().unwrap());
        let is_full = result == Err(FsError::TooManyOpenFiles);
        if !path.is_empty() && path.len() <= SHORT_PATH_BYTES_MAX && !is_full {
            let status = result.map(|file| self.fs.stat(file).unwrap());
            if let Ok(file) = result {
                self.fs.close(file).unwrap();
            }
            let calls = self.machine.calls();
            let short = self.fs.lookup_short(path).map_err(|error| error.refusal().unwrap());
            assert_eq!(self.machine.calls(), calls, "pmserver has no part in it");
            assert_eq!(short.map(|file| self.fs.stat(file).unwrap()), status);
            return short;
        }
        result
    }

    fn kind(&mut self, path: &[u8]) -> FileKind {
        let file = self.open(path).unwrap();
        let kind = self.fs.stat(file).unwrap().kind;
        self.fs.close(file).unwrap();
        kind
    }

    fn read(
        &mut self,
        file: FileHandle,
        weak: ContainerHandle,
        range: (u64, u64),
    ) -> Result<u64, CallError> {
        let length = ReadLength::new(range.1).unwrap();
        let result = self.fs.read(file, weak, range.0, FrameNumber::new(0), length);
        self.machine.assert_at_rest();
        result
    }
}

#[test]
fn the_version_tells_whom_to_share_with() {
    let identity = System::new().fs.version().unwrap();
    assert_eq!((identity.version, identity.peer), (4, PeerId::new(FSSERVER).unwrap()));
}

#[test]
fn paths_that_lead_nowhere_have_their_own_errors() {
    let mut system = System::new();
    for (path, error) in [
        (&b"/missing"[..], FsError::NotFound),
        (b"/directory/missing", FsError::NotFound),
        (b"/missing/file", FsError::NotFound),
        (b"/directory/file/", FsError::NotADirectory),
        (b"/directory/file/deeper", FsError::NotADirectory),
        (b"/directory/../directory/file", FsError::DotDot),
        (b"directory/file", FsError::BadPath),
        (b"/dir\0ectory", FsError::BadPath),
        (b"/loop/file", FsError::Unsupported),
        (b"/chain41/file", FsError::Unsupported),
        (b"/directory/dangling/file", FsError::NotFound),
    ] {
        assert_eq!(system.open(path), Err(error), "{}", path.escape_ascii());
    }
    assert_eq!(system.fs.lookup(system.path, 0).unwrap_err().refusal(), Some(FsError::BadPath));
    let too_long = system.fs.lookup(system.path, 4097).unwrap_err();
    assert_eq!(too_long.refusal(), Some(FsError::PathTooLong));
    assert_eq!(system.open(&b"/a".repeat(1001)), Err(FsError::PathTooLong));
    let longest = [b"/.".repeat(999).as_slice(), b"/directory"].concat();
    assert_eq!(system.kind(&longest), FileKind::Directory);
    // Components of symlinks count, too.
    system.open(b"/dots/directory/file").unwrap();
    assert_eq!(system.open(b"/dots/dots/directory/file"), Err(FsError::PathTooLong));
}

#[test]
fn the_last_symlink_is_told_and_the_others_are_followed_inside_the_image() {
    let mut system = System::new();
    assert_eq!(system.kind(b"/link"), FileKind::Symlink);
    assert_eq!(system.kind(b"/loop"), FileKind::Symlink);
    assert_eq!(system.kind(b"/pipe"), FileKind::Special);
    assert_eq!(system.kind(b"/link/file"), FileKind::Regular);
    assert_eq!(system.kind(b"/outward/file"), FileKind::Regular);
    assert_eq!(system.kind(b"/chain40/file"), FileKind::Regular, "40 are followed");
    assert_eq!(system.kind(b"/"), FileKind::Directory);
    assert_eq!(system.kind(b"//directory/./"), FileKind::Directory);
    let weak = system.machine.lend(1, FILL);
    for path in [&b"/link"[..], b"/pipe"] {
        let file = system.open(path).unwrap();
        let refusal = system.read(file, weak, (0, 1)).unwrap_err().refusal();
        assert_eq!(refusal, Some(FsError::Unsupported));
    }
}

#[test]
fn the_status_tells_names_and_times() {
    let folder = Folder::new();
    folder.write("file", &[1; 10]);
    let path = folder.files().join("file");
    hard_link(&path, folder.files().join("other")).unwrap();
    let modified = UNIX_EPOCH + Duration::from_secs(1_000_000_007);
    File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let changed = path.metadata().unwrap().ctime();
    let mut fs = Machine::new(folder.image()).fs();
    let file = fs.lookup_short(b"/file").unwrap();
    let status = fs.stat(file).unwrap();
    assert_eq!((status.kind, status.links, status.size_bytes), (FileKind::Regular, 2, 10));
    assert_eq!(status.modified_seconds, 1_000_000_007);
    assert_eq!(i64::from(status.changed_seconds), changed);
    let root = fs.lookup_short(b"/").unwrap();
    assert_eq!(fs.stat(root).unwrap().links, 3, "`lost+found` is in it");
}

#[test]
fn fs_121_nothing_is_changed_without_the_permission_or_on_a_volume_for_reading() {
    let mut system = System::new();
    expect_no_change(&mut system, FsError::NotPermitted);
    let client = ClientConfig { rights: FileRights::Write, ..ClientConfig::default_of(2) };
    system.machine.permit(Setup::EMPTY.with(client).unwrap());
    system.fs = system.machine.fs();
    expect_no_change(&mut system, FsError::ReadOnly);
}

fn expect_no_change(system: &mut System, error: FsError) {
    let weak = system.machine.lend(1, FILL);
    let file = system.open(b"/directory/file").unwrap();
    let (start, length) = (FrameNumber::new(0), ReadLength::new(1).unwrap());
    let System { machine, fs, path } = system;
    machine.write(*path, 0, b"/new/old");
    for result in [
        fs.write(file, weak, 0, start, length).map(drop),
        fs.truncate(file, 0),
        fs.create(*path, 4).map(drop),
        fs.make_dir(*path, 4),
        fs.unlink(*path, 4),
        fs.remove_dir(*path, 4),
        fs.rename(*path, 4, 4),
        fs.link(*path, 4, 4),
        fs.symlink(*path, 4, 4),
        fs.set_times(file, Some(1), None),
    ] {
        assert_eq!(result.unwrap_err().refusal(), Some(error));
        machine.assert_at_rest();
    }
    assert_eq!((fs.sync(), fs.sync_file(file)), (Ok(()), Ok(())));
    let too_long = fs.rename(*path, 4000, 96).unwrap_err();
    assert_eq!(too_long.refusal(), Some(FsError::PathTooLong));
}

#[test]
fn files_and_directories_are_not_mixed_up() {
    let mut system = System::new();
    let weak = system.machine.lend(1, FILL);
    let directory = system.open(b"/directory").unwrap();
    let refusal = system.read(directory, weak, (0, 1)).unwrap_err().refusal();
    assert_eq!(refusal, Some(FsError::IsADirectory));
    let file = system.open(b"/directory/file").unwrap();
    let refusal = system.fs.read_dir(file, weak, FrameCount::ONE, DirectoryCookie::START);
    assert_eq!(refusal.unwrap_err().refusal(), Some(FsError::NotADirectory));
}

#[test]
fn a_container_that_is_too_small_is_told_and_stays_untouched() {
    let mut system = System::new();
    let file = system.open(b"/directory/file").unwrap();
    let short = system.machine.lend(2, FILL);
    let holed = system.machine.lend(3, FILL);
    system.machine.remove_frame(holed, 2);
    let holed_first = system.machine.lend(3, FILL);
    system.machine.remove_frame(holed_first, 0);
    for weak in [short, holed, holed_first] {
        let refusal = system.read(file, weak, (0, 10_000)).unwrap_err();
        assert_eq!(refusal.refusal(), Some(FsError::ContainerTooSmall));
        assert!(system.machine.read(weak, 8192).iter().all(|byte| *byte == 0));
    }
    assert_eq!(system.read(file, short, (0, 8192)), Ok(8192));
    // FS-52: where the range begins is outside of the share.
    for (weak, error) in [
        (short, FsError::ContainerTooSmall),
        (system.machine.lend(2, Rights::READ | Rights::WRITE), FsError::PmRefused),
    ] {
        let start = FrameNumber::new(2);
        let refusal = system.fs.read(file, weak, 0, start, ReadLength::new(10).unwrap());
        assert_eq!(refusal.unwrap_err().refusal(), Some(error));
        system.machine.assert_at_rest();
    }
    let directory = system.open(b"/directory").unwrap();
    let refusal =
        system.fs.read_dir(directory, short, FrameCount::new(3).unwrap(), DirectoryCookie::START);
    assert_eq!(refusal.unwrap_err().refusal(), Some(FsError::ContainerTooSmall));
}

#[test]
fn a_container_that_is_not_accessible_carries_pmservers_word() {
    let mut system = System::new();
    let file = system.open(b"/directory/file").unwrap();
    for too_few in [Rights::READ | Rights::LOCK, Rights::READ | Rights::WRITE] {
        let container = system.machine.lend(3, too_few);
        let refusal = system.read(file, container, (0, 10_000)).unwrap_err();
        assert_eq!(refusal.pm_refusal(), Some(PmError::NoRight));
    }
    let gone = system.machine.lend(3, FILL);
    system.machine.unshare(gone);
    for weak in [gone, ContainerHandle::from_raw(0), ContainerHandle::from_raw(u64::MAX)] {
        let refusal = system.read(file, weak, (0, 10_000)).unwrap_err();
        assert_eq!(refusal.pm_refusal(), Some(PmError::InvalidCap));
        let refusal = system.fs.lookup(weak, 1).unwrap_err();
        assert_eq!(refusal.pm_refusal(), Some(PmError::InvalidCap));
    }
    assert_eq!(system.read(file, system.machine.lend(3, FILL), (0, 10_000)), Ok(10_000));
}

#[test]
fn stale_and_foreign_handles_are_refused() {
    let mut system = System::new();
    let weak = system.machine.lend(1, FILL);
    let file = system.open(b"/directory/file").unwrap();
    system.fs.close(file).unwrap();
    let directory = system.open(b"/directory").unwrap();
    for stale in [file, FileHandle::from_raw(0), FileHandle::from_raw(u64::MAX)] {
        let bad = Some(FsError::BadHandle);
        assert_eq!(system.fs.stat(stale).unwrap_err().refusal(), bad);
        assert_eq!(system.fs.close(stale).unwrap_err().refusal(), bad);
        assert_eq!(system.read(stale, weak, (0, 1)).unwrap_err().refusal(), bad);
        let start = DirectoryCookie::START;
        let listed = system.fs.read_dir(stale, weak, FrameCount::ONE, start);
        assert_eq!(listed.unwrap_err().refusal(), bad);
    }
    let mut server = system.machine.server().unwrap();
    let other = ClientId::of_channel(3);
    let reply = server.call(other, &Request::Stat { file: directory }.encode(), None);
    assert_eq!(reply, FsError::BadHandle.reply());
}

#[test]
fn handles_of_before_a_restart_name_nothing_after_it() {
    let mut system = System::new();
    let before = system.open(b"/directory/file").unwrap();
    system.fs = system.machine.fs();
    let after = system.open(b"/directory/file").unwrap();
    assert_ne!(before, after);
    assert_eq!(system.fs.stat(before).unwrap_err().refusal(), Some(FsError::BadHandle));
}

#[test]
fn a_restart_takes_over_nothing_from_a_call_that_did_not_end() {
    let mut system = System::new();
    let weak = system.machine.lend(3, FILL);
    system.machine.die_with(weak);
    system.fs = system.machine.fs();
    system.machine.assert_at_rest();
    let file = system.open(b"/directory/file").unwrap();
    assert_eq!(system.read(file, weak, (0, 10_000)), Ok(10_000));
}

#[test]
fn open_files_have_an_end_and_closing_makes_room() {
    let mut system = System::new();
    let mut files: Vec<_> = (0..ClientConfig::default_of(2).files)
        .map(|_| system.open(b"/directory/file").unwrap())
        .collect();
    assert_eq!(system.open(b"/directory/file"), Err(FsError::TooManyOpenFiles));
    system.fs.close(files.pop().unwrap()).unwrap();
    assert!(system.open(b"/directory/file").is_ok());
}

#[test]
fn far_offsets_are_reached_in_one_call() {
    let folder = Folder::new();
    folder.write("large", &noise(5 << 20, 5));
    let machine = Machine::new(folder.image());
    let mut server = machine.server().unwrap();
    let client = ClientId::of_channel(2);
    let path = machine.lend(1, Rights::READ);
    machine.write(path, 0, b"/large");
    let lookup = Request::Lookup { container: path, path_bytes: 6 }.encode();
    let file = FileHandle::from_raw(server.call(client, &lookup, None).registers()[0]);
    let container = machine.lend(1, FILL);
    let length = ReadLength::new(10).unwrap();
    let (offset, start) = (4 << 20, FrameNumber::new(0));
    let read = Request::Read { file, container, offset, start, length, stands: false }.encode();
    assert_eq!(server.call(client, &read, None), Message::new(0, [10]));
    assert!(machine.read(container, 10) == noise(5 << 20, 5)[4 << 20..][..10]);
}

#[test]
fn what_cannot_be_a_request_is_refused() {
    let machine = System::new().machine;
    let mut server = machine.server().unwrap();
    let client = ClientId::of_channel(2);
    for label in [0, 27, 0xF001, u64::MAX] {
        let reply = server.call(client, &Message::new(label, []), None);
        assert_eq!(reply, ProtocolError::UnknownOperation.reply());
    }
    let reply = server.call(client, &Message::new(1, [0]), None);
    assert_eq!(reply, ProtocolError::WrongLength.reply());
    for label in 0..27 {
        for register in [0, 1, 4096, 1 << 32, u64::MAX] {
            for count in 0..=4 {
                let message = Message::from_wire(label, &[register; 4][..count]).unwrap();
                server.call(client, &message, None);
                machine.assert_at_rest();
            }
        }
    }
}

#[test]
fn an_image_that_cannot_be_read_is_told_to_who_asks() {
    let folder = Folder::new();
    folder.write("file", b"contents");
    let lookup = |image: Vec<u8>| {
        let machine = Machine::new(image);
        let path = machine.lend(1, Rights::READ);
        machine.write(path, 0, b"/file");
        machine.fs().lookup(path, 5).map(drop).map_err(|error| match error {
            CallError::Refused(failure) => failure,
            CallError::Protocol(error) => panic!("{error}"),
        })
    };
    assert_eq!(lookup(folder.image()), Ok(()));
    for nothing in [vec![], vec![0; 100], vec![0; 1 << 20]] {
        assert_eq!(lookup(nothing), Err(FsError::NotExt4.into()));
    }
    let image = folder.image();
    assert_eq!(lookup(image[..image.len() / 2].to_vec()), Err(FsError::ImageDamaged.into()));
    // For reading only.
    for lacking in ["^metadata_csum", "^filetype"] {
        assert_eq!(lookup(folder.image_with(&["-O", lacking])), Ok(()), "{lacking}");
    }
    let large_blocks = folder.image_with(&["-b", "65536"]);
    assert_eq!(lookup(large_blocks), Err(Feature::LargeBlocks.into()));
    for (bits, feature) in [
        (0x1, Feature::Compression),
        (0x4, Feature::JournalReplay),
        (0x8, Feature::JournalDevice),
        (0x10, Feature::MetaBlockGroups),
        (0x1000, Feature::Unknown),
        (1 << 31, Feature::Unknown),
    ] {
        let mut image = image.clone();
        let word: [u8; 4] = image[1024 + 0x60..][..4].try_into().unwrap();
        let changed = u32::from_le_bytes(word) | bits;
        image[1024 + 0x60..][..4].copy_from_slice(&changed.to_le_bytes());
        assert_eq!(lookup(image), Err(feature.into()), "{bits:x}");
    }
    let mut damaged = image;
    damaged[1024 + 0x70] ^= 1;
    assert_eq!(lookup(damaged), Err(FsError::ImageDamaged.into()));
}

#[test]
fn a_container_that_another_client_has_lent_names_nothing() {
    // The number is right and pmserver would take it: it is fsserver that must not be talked into
    // it.
    let folder = Folder::new();
    folder.write("file", &[]);
    let machine = Machine::new(folder.image());
    let mut server = machine.server().unwrap();
    let path = machine.lend(1, Rights::READ);
    machine.write(path, 0, b"/file");
    let lookup = Request::Lookup { container: path, path_bytes: 5 }.encode();
    let refused = server.call(ClientId::of_channel(3), &lookup, None);
    let expected = Message::new(FsError::PmRefused.status(), [PmError::InvalidCap.status()]);
    assert_eq!(refused, expected);
    assert_eq!(server.call(ClientId::of_channel(2), &lookup, None).label(), 0);
}
