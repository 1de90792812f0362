// SPDX-License-Identifier: BSD-2-Clause
//! Operations that change the volume (FS-140 to FS-190), and what is cached meanwhile.

use fsserver_api::{FileKind, FsError};
use pmserver_client::{Container, FrameState, PAGE_BYTES};
use proto::Waiter;
use sim::disk::DiskPlan;

use crate::image::{bytes_in, replayed, volume};
use crate::rig::{DATA, Rig, bytes, file, said, with_text};

const WINDOW: u64 = 2 << 20;

fn rig() -> Rig {
    Rig::new(&volume(64, 4096, &[("house/a/", b""), ("there", b"old")]))
}

#[test]
fn fs_140_what_was_written_is_read_and_after_a_sync_on_the_disk() {
    for block_bytes in [1024, 4096] {
        let rig = Rig::new(&volume(64, block_bytes, &[("house/a/", b"")]));
        let (writer, reader) = (rig.writer(), rig.reader());
        let whole = bytes(1, (5 << 20) + 77);
        writer.make("/new", &whole).unwrap();
        assert!(reader.contents("/new") == Ok(whole.clone()));
        writer.sync().unwrap();
        let disk = replayed(&rig.disk.contents(), "after a sync");
        assert!(bytes_in(&disk, "/new") == whole);
        let again = Rig::new(&rig.disk.contents());
        assert!(again.reader().contents("/new") == Ok(whole));
        rig.check_quiet();
    }
}

#[test]
fn fs_130_windows_are_read_with_a_large_frame_and_without() {
    let whole = bytes(2, (7 << 19) + 77);
    let contents = volume(64, 4096, &[("partial", &whole[..3 << 19]), ("large", &whole)]);
    let no_large = with_text("0x1000000\" privileges", "0x3400000\" privileges");
    let poor_driver = with_text("0x800000\" privileges", "0x100000\" privileges");
    for (number, file) in [file(), no_large, poor_driver].iter().enumerate() {
        let rig = Rig::with(file, DiskPlan::new(&contents[..]), None);
        let reader = rig.reader();
        assert!(reader.contents("/partial") == Ok(whole[..3 << 19].to_vec()), "{number}");
        assert!(reader.contents("/large") == Ok(whole.clone()), "{number}");
        rig.check_quiet();
    }
}

#[test]
fn fs_140_a_write_at_the_end_appends_and_one_past_it_leaves_a_hole() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let file = writer.create("/new").unwrap();
    let mut model = Vec::new();
    // The window of the cache grows with each, and at last there are three of them.
    for (number, (offset, count)) in
        [(0, 10), (10, 20), (30, 8192), (10_000, 5), (4090, 20), (1 << 20, 4096), (5 << 20, 100)]
            .into_iter()
            .enumerate()
    {
        let new = bytes(number as u64, count);
        assert_eq!(writer.write(file, offset as u64, &new), Ok(count as u64));
        let end = offset + count;
        model.resize(model.len().max(end), 0);
        model[offset..end].copy_from_slice(&new);
        assert!(writer.read_all(file) == Ok(model.clone()), "{number}");
        assert!(reader.contents("/new") == Ok(model.clone()), "{number}");
    }
    writer.trim();
    assert!(reader.contents("/new") == Ok(model.clone()), "from the disk, or the volume");
    writer.sync().unwrap();
    writer.trim();
    assert!(reader.contents("/new") == Ok(model));
    rig.check_quiet();
}

#[test]
fn fs_140_a_range_can_lie_across_parts_that_are_cached_and_not() {
    let whole = bytes(3, 7 << 20);
    let rig = Rig::new(&volume(64, 4096, &[("large", &whole)]));
    let (writer, reader) = (rig.writer(), rig.reader());
    let file = writer.lookup("/large").unwrap();
    let mut model = whole;
    reader.contents("/large").unwrap();
    for (number, offset) in [WINDOW - 5000, 2 * WINDOW - 300_000, 3 * WINDOW - 1].iter().enumerate()
    {
        let new = bytes(number as u64, 700_000);
        writer.write(file, *offset, &new).unwrap();
        model[*offset as usize..][..700_000].copy_from_slice(&new);
        assert!(
            writer.read(file, offset - 100, 700_200).unwrap()[..]
                == model[*offset as usize - 100..][..700_200]
        );
        if number == 1 {
            writer.trim();
        }
    }
    assert!(reader.contents("/large") == Ok(model));
    rig.check_quiet();
}

#[test]
fn fs_141_what_is_written_is_taken_logically() {
    let rig = rig();
    let writer = rig.writer();
    let file = writer.create("/new").unwrap();
    let old = bytes(1, 3 * PAGE_BYTES as usize);
    writer.store(DATA, &old);
    assert_eq!(writer.ask_write(file, 0, old.len()), Err(FsError::Pending));
    let own = Container::from_raw(&writer.pm, writer.own);
    assert!(own.state(DATA).unwrap().contains(FrameState::COW), "no byte was moved");
    own.into_raw();
    while writer.ask_write(file, 0, old.len()) == Err(FsError::Pending) {
        writer.domain.clone().wait();
    }
    writer.store(DATA, &[1; 10]);
    assert!(writer.contents("/new") == Ok(old.clone()));
    assert!(rig.reader().contents("/new") == Ok(old));
}

#[test]
fn fs_142_what_is_cut_off_is_gone() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let whole = bytes(1, 300_000);
    writer.make("/new", &whole).unwrap();
    let (file, theirs) = (writer.lookup("/new").unwrap(), reader.lookup("/new").unwrap());
    assert!(reader.read_all(theirs) == Ok(whole.clone()));
    let truncate = |size| said(writer.fs().truncate(file, size));
    truncate(5000).unwrap();
    assert_eq!((writer.size(file), reader.size(theirs)), (5000, 5000));
    assert!(reader.read_all(theirs).unwrap() == whole[..5000]);
    assert_eq!(reader.read(theirs, 5001, 1), Err(FsError::PastEnd));
    truncate(3 << 20).unwrap();
    let mut model = whole[..5000].to_vec();
    model.resize(3 << 20, 0);
    assert!(reader.read_all(theirs) == Ok(model.clone()));
    writer.sync().unwrap();
    writer.trim();
    assert!(reader.read_all(theirs) == Ok(model));
    truncate(0).unwrap();
    assert_eq!(reader.read(theirs, 0, 1), Ok(vec![]));
    rig.check_quiet();
}

#[test]
fn fs_143_what_no_file_can_be_is_too_large() {
    let rig = rig();
    let writer = rig.writer();
    let file = writer.lookup("/there").unwrap();
    for size in [1 << 60, u64::MAX] {
        assert_eq!(said(writer.fs().truncate(file, size)), Err(FsError::TooLarge), "{size}");
    }
    for offset in [1 << 60, u64::MAX - 10, u64::MAX] {
        assert_eq!(writer.write(file, offset, &[1; 100]), Err(FsError::TooLarge), "{offset}");
    }
    let directory = writer.lookup("/house").unwrap();
    assert_eq!(said(writer.fs().truncate(directory, 0)), Err(FsError::IsADirectory));
    assert_eq!(writer.write(directory, 0, &[1]), Err(FsError::IsADirectory));
    assert_eq!(writer.contents("/there"), Ok(b"old".to_vec()));
}

#[test]
fn fs_90_a_store_to_what_was_lent_stays_with_who_has_it() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let whole = bytes(1, 2 << 20);
    writer.make("/new", &whole).unwrap();
    let file = reader.lookup("/new").unwrap();
    let (first, _) = reader.lent(file, 0).unwrap();
    let (second, _) = reader.lent(file, 0).unwrap();
    let mut model = whole.clone();
    for at in [0, 5000, (2 << 20) - 10] {
        reader.store_in(&first, at as u64, &[0; 10]);
        model[at..at + 10].fill(0);
    }
    assert!(reader.start_of(&first, 2 << 20) == model);
    assert!(reader.start_of(&second, 2 << 20) == whole, "another copy");
    assert!(writer.contents("/new") == Ok(whole.clone()), "what is cached");
    writer.sync().unwrap();
    writer.trim();
    assert!(writer.contents("/new") == Ok(whole), "what is on the disk");
    rig.check_quiet();
}

#[test]
fn fs_144_who_has_a_part_of_a_file_keeps_it() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let old = bytes(1, 10_000);
    writer.make("/new", &old).unwrap();
    let (file, theirs) = (writer.lookup("/new").unwrap(), reader.lookup("/new").unwrap());
    let (first, count) = reader.lent(theirs, 0).unwrap();
    assert_eq!(count, 10_000);
    assert!(first.0.state(511).unwrap().contains(FrameState::COW), "no byte was moved");
    let new = bytes(2, 5000);
    writer.write(file, 3000, &new).unwrap();
    assert!(reader.start_of(&first, 10_000) == old);
    let (second, _) = reader.lent(theirs, 0).unwrap();
    let mixed = [&old[..3000], &new, &old[8000..]].concat();
    assert!(reader.start_of(&second, 10_000) == mixed);
    assert!(writer.contents("/new") == Ok(mixed.clone()));
    said(writer.fs().truncate(file, 100)).unwrap();
    writer.close(file);
    reader.close(theirs);
    writer.unlink("/new").unwrap();
    assert!(reader.start_of(&second, 10_000) == mixed);
    rig.check_quiet();
}

#[test]
fn fs_144_a_write_to_what_was_lent_needs_no_memory_that_is_not_there() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let old = bytes(1, 2 << 20);
    let paths: Vec<String> = (0..7).map(|number| format!("/{number}")).collect();
    for path in &paths {
        writer.make(path, &old).unwrap();
    }
    writer.sync().unwrap();
    let files: Vec<_> = paths.iter().map(|path| reader.lookup(path).unwrap()).collect();
    // What fsserver keeps uses up its account; each copy keeps the memory alive.
    let held: Vec<_> = files[..5].iter().map(|file| reader.lent(*file, 0).unwrap()).collect();
    files.iter().for_each(|file| drop(reader.read(*file, 0, 100).unwrap()));
    for path in &paths {
        let file = writer.lookup(path).unwrap();
        for part in 0..2 {
            writer.write(file, part << 20, &[7; 1 << 20]).unwrap();
        }
        writer.close(file);
    }
    for path in &paths {
        assert!(writer.contents(path) == Ok(vec![7; 2 << 20]), "{path}");
    }
    held.iter().for_each(|(copy, _)| assert!(reader.start_of(copy, 100) == old[..100]));
    rig.check_quiet();
}

#[test]
fn fs_150_what_exists_stays_as_it_is() {
    let rig = rig();
    let writer = rig.writer();
    assert_eq!(writer.create("/there"), Err(FsError::Exists));
    assert_eq!(writer.contents("/there"), Ok(b"old".to_vec()));
    let file = writer.create("/house/new").unwrap();
    assert_eq!(writer.read(file, 0, 10), Ok(vec![]));
    let status = said(writer.fs().stat(file)).unwrap();
    assert_eq!((status.kind, status.links, status.size_bytes), (FileKind::Regular, 1, 0));
    writer.make_dir("/house/more").unwrap();
    assert_eq!(writer.list("/house/more", 1), Ok(vec![]));
}

#[test]
fn fs_151_a_file_that_was_removed_is_there_while_it_is_open() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    let free = said(writer.fs().space()).unwrap().free_blocks;
    let old = bytes(1, 300_000);
    writer.make("/new", &old).unwrap();
    writer.sync().unwrap();
    let theirs = reader.lookup("/new").unwrap();
    let mine = writer.lookup("/new").unwrap();
    writer.unlink("/new").unwrap();
    assert_eq!(reader.lookup("/new"), Err(FsError::NotFound));
    assert_eq!((reader.links(theirs), writer.links(mine)), (0, 0));
    writer.sync().unwrap();
    writer.trim();
    // Others get other inodes and blocks meanwhile.
    (0..5).for_each(|n| writer.make(&format!("/other{n}"), &bytes(9, 100_000)).unwrap());
    assert!(reader.read_all(theirs) == Ok(old));
    writer.write(mine, 0, b"new").unwrap();
    assert_eq!(reader.read(theirs, 0, 3), Ok(b"new".to_vec()));
    writer.close(mine);
    assert_eq!(reader.read(theirs, 0, 3), Ok(b"new".to_vec()));
    reader.close(theirs);
    (0..5).for_each(|n| writer.unlink(&format!("/other{n}")).unwrap());
    writer.sync().unwrap();
    assert_eq!(said(writer.fs().space()).unwrap().free_blocks, free);
    replayed(&rig.disk.contents(), "removed");
    rig.check_quiet();
}

#[test]
fn fs_151_a_file_that_is_closed_while_it_is_removed_is_gone() {
    let rig = rig();
    let writer = rig.writer();
    writer.sync().unwrap();
    let free = said(writer.fs().space()).unwrap();
    writer.make("/new", &bytes(1, 100_000)).unwrap();
    writer.sync().unwrap();
    let file = writer.lookup("/new").unwrap();
    let unlink = || said(writer.asks().unlink(writer.weak, writer.put("/new")));
    // The removal has begun, and waits for the disk.
    rig.disk.hang();
    let begun = unlink();
    writer.close(file);
    rig.rest(1_000_000);
    let done = if begun == Err(FsError::Pending) { writer.unlink("/new") } else { begun };
    assert_eq!(done, Ok(()));
    writer.sync().unwrap();
    assert_eq!(said(writer.fs().space()).unwrap(), free);
}

#[test]
fn fs_152_a_directory_that_was_removed_is_empty_while_it_is_open() {
    let rig = rig();
    let writer = rig.writer();
    writer.make_dir("/d").unwrap();
    writer.make_dir("/d/in").unwrap();
    let directory = writer.lookup("/d").unwrap();
    assert_eq!(writer.remove_dir("/d"), Err(FsError::NotEmpty));
    writer.remove_dir("/d/in").unwrap();
    writer.remove_dir("/d").unwrap();
    assert_eq!(writer.entries(directory, 1), Ok(vec![]));
    assert_eq!(writer.links(directory), 0);
    assert_eq!(writer.create("/d/x"), Err(FsError::NotFound));
    writer.close(directory);
    writer.sync().unwrap();
    replayed(&rig.disk.contents(), "removed");
}

#[test]
fn fs_153_what_could_not_be_opened_is_not_made() {
    let rig = rig();
    let homely = rig.homely();
    let create = |path| said(homely.asks().create(homely.weak, homely.put(path)));
    let first = homely.create("/0").unwrap();
    for number in 1..7 {
        homely.create(&format!("/{number}")).unwrap();
    }
    assert_eq!(create("/a"), Err(FsError::Pending));
    assert_eq!(create("/b"), Err(FsError::TooManyOpenFiles), "there is room for one");
    assert_eq!(homely.lookup("/1"), Err(FsError::TooManyOpenFiles), "and it is taken");
    rig.rest(1_000_000);
    create("/a").unwrap();
    homely.close(first);
    assert_eq!(homely.lookup("/b"), Err(FsError::NotFound));
}

#[test]
fn fs_160_and_161_rename_replaces_and_what_was_replaced_stays_while_it_is_open() {
    let rig = rig();
    let (writer, reader) = (rig.writer(), rig.reader());
    writer.make("/one", b"one").unwrap();
    writer.make("/two", b"two").unwrap();
    let (one, two) = (reader.lookup("/one").unwrap(), reader.lookup("/two").unwrap());
    writer.rename("/one", "/two").unwrap();
    assert_eq!(writer.lookup("/one"), Err(FsError::NotFound));
    assert_eq!(writer.contents("/two"), Ok(b"one".to_vec()));
    assert_eq!((reader.links(one), reader.links(two)), (1, 0));
    writer.sync().unwrap();
    assert_eq!(reader.read_all(two), Ok(b"two".to_vec()));
    assert_eq!(reader.read_all(one), Ok(b"one".to_vec()));
    writer.link("/two", "/three").unwrap();
    writer.rename("/two", "/three").unwrap();
    assert_eq!((writer.contents("/two"), writer.contents("/three")).0, Ok(b"one".to_vec()));
    writer.make_dir("/d").unwrap();
    writer.make_dir("/e").unwrap();
    writer.make("/d/file", b"text").unwrap();
    writer.rename("/d", "/e").unwrap();
    assert_eq!(writer.contents("/e/file"), Ok(b"text".to_vec()));
    assert_eq!(writer.lookup("/d"), Err(FsError::NotFound));
    writer.rename("/e", "/house/a/f").unwrap();
    assert_eq!(rig.homely().contents("/f/file"), Ok(b"text".to_vec()));
    writer.sync().unwrap();
    replayed(&rig.disk.contents(), "renamed");
}

#[test]
fn fs_163_and_164_names_and_symlinks() {
    let rig = rig();
    let writer = rig.writer();
    let file = writer.lookup("/there").unwrap();
    assert_eq!(writer.links(file), 1);
    writer.link("/there", "/house/too").unwrap();
    assert_eq!(writer.links(file), 2);
    writer.write(file, 0, b"new").unwrap();
    assert_eq!(writer.contents("/house/too"), Ok(b"new".to_vec()));
    writer.unlink("/there").unwrap();
    assert_eq!(writer.links(file), 1);
    writer.symlink("house/too", "/link").unwrap();
    assert_eq!(writer.target("/link"), Ok("house/too".to_owned()));
    writer.symlink("/house", "/way").unwrap();
    assert_eq!(writer.contents("/way/too"), Ok(b"new".to_vec()));
    writer.link("/link", "/link2").unwrap();
    assert_eq!(writer.target("/link2"), Ok("house/too".to_owned()));
    let long = "t".repeat(200);
    writer.symlink(&long, "/long").unwrap();
    assert_eq!(writer.target("/long"), Ok(long), "FS-185");
    assert_eq!(writer.target("/house/too"), Err(FsError::BadPath), "FS-185");
    let link = writer.lookup("/way").unwrap();
    assert_eq!(said(writer.fs().stat(link)).unwrap().kind, FileKind::Symlink);
    assert_eq!(writer.read(link, 0, 1), Err(FsError::Unsupported));
    assert_eq!(writer.write(link, 0, b"x"), Err(FsError::Unsupported));
    writer.unlink("/way").unwrap();
    assert!(writer.lookup("/house").is_ok());
    writer.sync().unwrap();
    replayed(&rig.disk.contents(), "linked");
}

#[test]
fn fs_170_times_are_set_and_last() {
    let rig = rig();
    let writer = rig.writer();
    let file = writer.lookup("/there").unwrap();
    let before = said(writer.fs().stat(file)).unwrap();
    said(writer.fs().set_times(file, Some(5), Some(1_234_567_890))).unwrap();
    assert_eq!(said(writer.fs().stat(file)).unwrap().modified_seconds, 1_234_567_890);
    said(writer.fs().set_times(file, Some(7), None)).unwrap();
    let after = said(writer.fs().stat(file)).unwrap();
    assert_eq!(after.modified_seconds, 1_234_567_890);
    assert!(after.changed_seconds >= before.changed_seconds);
    said(writer.fs().sync_file(file)).unwrap();
    let again = Rig::new(&rig.disk.after_power_cut(0));
    let reader = again.reader();
    let file = reader.lookup("/there").unwrap();
    assert_eq!(said(reader.fs().stat(file)).unwrap().modified_seconds, 1_234_567_890);
}

#[test]
fn fs_180_space_is_used_and_given_back() {
    let rig = Rig::new(&volume(16, 1024, &[]));
    let writer = rig.writer();
    writer.sync().unwrap();
    let before = said(writer.fs().space()).unwrap();
    assert_eq!(before.block_bytes, 1024);
    let file = writer.create("/large").unwrap();
    let (mut written, part) = (0, bytes(1, 1 << 20));
    let refused = loop {
        match writer.write(file, written, &part) {
            Ok(count) => written += count,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, FsError::NoSpace);
    assert!(written >= 4 << 20, "{written}");
    // Of the last one a part may be there.
    let all = writer.read_all(file).unwrap();
    assert!(all.len() as u64 >= written);
    assert!(all.iter().zip(part.iter().cycle()).all(|(is, was)| is == was));
    assert!(rig.reader().contents("/large") == Ok(all));
    said(writer.fs().truncate(file, 5)).unwrap();
    writer.sync().unwrap();
    assert_eq!(writer.write(file, 5, &part), Ok(1 << 20));
    writer.close(file);
    writer.unlink("/large").unwrap();
    writer.sync().unwrap();
    let after = said(writer.fs().space()).unwrap();
    assert_eq!(after, before);
    replayed(&rig.disk.contents(), "full");
    rig.check_quiet();
}

#[test]
fn fs_190_after_a_trim_the_account_is_as_it_was() {
    let rig = Rig::new(&volume(64, 4096, &[("large", &bytes(1, 9 << 20)), ("small", b"text")]));
    let (writer, reader) = (rig.writer(), rig.reader());
    writer.sync().unwrap();
    let before = rig.used();
    for _ in 0..3 {
        reader.contents("/large").unwrap();
        reader.contents("/small").unwrap();
        let file = writer.create("/new").unwrap();
        writer.write(file, 0, &bytes(2, 1 << 20)).unwrap();
        writer.read_all(file).unwrap();
        writer.lent(file, 0).unwrap().0.0.destroy().unwrap();
        writer.write(file, 4000, &bytes(2, 1 << 20)).unwrap();
        writer.close(file);
        writer.unlink("/new").unwrap();
        writer.sync().unwrap();
        writer.trim();
        assert_eq!(rig.used(), before);
    }
    assert_eq!(reader.contents("/small"), Ok(b"text".to_vec()));
    rig.check_quiet();
}

#[test]
fn fs_40_to_44_a_large_directory_is_listed_while_it_changes() {
    let names: Vec<String> = (0..2500).map(|number| format!("d/name number {number}")).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let rig = Rig::new(&volume(64, 4096, &files));
    let writer = rig.writer();
    let sorted = |mut listed: Vec<(Vec<u8>, FileKind)>| {
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        listed.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = names.iter().map(|name| name[2..].to_owned()).collect();
    expected.sort();
    for frames in [1, 16, 5] {
        assert_eq!(sorted(writer.list("/d", frames).unwrap()), expected);
    }
    let directory = writer.lookup("/d").unwrap();
    let at = fsserver_api::DirectoryCookie::START;
    let frame = proto::FrameCount::new(1).unwrap();
    let listed = said(writer.fs().read_dir(directory, writer.weak, frame, at)).unwrap();
    let old = fsserver_api::DirectoryCookie::from_raw(1);
    let stale = said(writer.fs().read_dir(directory, writer.weak, frame, old));
    assert_eq!(stale, Err(FsError::StaleCookie));
    (0..20).for_each(|number| writer.unlink(&format!("/d/name number {number}")).unwrap());
    (0..20).for_each(|number| writer.make(&format!("/d/new {number}"), b"").unwrap());
    let mut found = 0;
    let mut next = listed.next;
    while let Some(at) = next {
        let listed = said(writer.fs().read_dir(directory, writer.weak, frame, at)).unwrap();
        next = listed.next;
        let bytes = writer.load(0, listed.bytes as usize);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (entry, left) = fsserver_api::DirectoryEntry::decode(rest).unwrap();
            let name = String::from_utf8(entry.name().to_vec()).unwrap();
            found += u32::from(expected.contains(&name));
            rest = left;
        }
    }
    assert!(found > 2000, "{found}");
    assert_eq!(writer.list("/d", 16).unwrap().len(), 2500);
    rig.check_quiet();
}
