// SPDX-License-Identifier: BSD-2-Clause
//! Who may do what (FS-120 to FS-123).

use fsserver_api::FsError;

use crate::image::volume;
use crate::rig::{Rig, SECOND, said};

fn disk() -> Vec<u8> {
    volume(64, 4096, &[("house/a/mine", b"mine"), ("house/b/other", b"other"), ("there", b"old")])
}

#[test]
fn fs_120_and_121_who_may_only_read_changes_nothing() {
    let rig = Rig::new(&disk());
    let reader = rig.reader();
    let file = reader.lookup("/there").unwrap();
    let before = rig.disk.contents();
    for (number, refused) in [
        reader.write(file, 0, b"new").map(drop),
        said(reader.fs().truncate(file, 0)),
        reader.create("/new").map(drop),
        reader.make_dir("/new"),
        reader.unlink("/there"),
        reader.remove_dir("/house"),
        reader.rename("/there", "/new"),
        reader.link("/there", "/new"),
        reader.symlink("there", "/new"),
        said(reader.fs().set_times(file, Some(1), Some(1))),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(refused, Err(FsError::NotPermitted), "{number}");
    }
    rig.rest(SECOND);
    assert!(rig.disk.contents() == before);
    assert_eq!(reader.contents("/there"), Ok(b"old".to_vec()));
    said(reader.fs().sync_file(file)).unwrap();
    let more: Vec<_> = (1..16).map(|_| reader.lookup("/there").unwrap()).collect();
    assert_eq!(reader.lookup("/there"), Err(FsError::TooManyOpenFiles));
    more.into_iter().for_each(|file| reader.close(file));
}

#[test]
fn fs_122_nothing_leads_out_of_a_root() {
    let rig = Rig::new(&disk());
    let (writer, homely) = (rig.writer(), rig.homely());
    writer.symlink("/mine", "/house/a/absolute").unwrap();
    writer.symlink("..", "/house/a/up").unwrap();
    writer.symlink("../../../house/b", "/house/a/far").unwrap();
    writer.symlink("/", "/house/a/top").unwrap();
    assert_eq!(homely.contents("/mine"), Ok(b"mine".to_vec()));
    assert_eq!(homely.contents("/top/mine"), Ok(b"mine".to_vec()));
    assert_eq!(homely.contents("/up/mine"), Ok(b"mine".to_vec()));
    for path in
        ["/there", "/top/there", "/up/b/other", "/up/up/there", "/far/other", "/house/b/other"]
    {
        assert_eq!(homely.contents(path), Err(FsError::NotFound), "{path}");
    }
    assert_eq!(homely.contents("/../b/other"), Err(FsError::DotDot));
    homely.make("/up/new", b"new").unwrap();
    assert_eq!(writer.contents("/house/a/new"), Ok(b"new".to_vec()));
    homely.rename("/new", "/top/renamed").unwrap();
    assert_eq!(writer.contents("/house/a/renamed"), Ok(b"new".to_vec()));
    assert_eq!(homely.rename("/mine", "/far/x"), Err(FsError::NotFound));
    assert_eq!(homely.link("/far/other", "/x"), Err(FsError::NotFound));
    // The same path of another client is another file, also when it is known.
    writer.make("/mine", b"at the top").unwrap();
    for _ in 0..2 {
        assert_eq!(writer.contents("/mine"), Ok(b"at the top".to_vec()));
        assert_eq!(homely.contents("/mine"), Ok(b"mine".to_vec()));
    }
    assert_eq!(homely.unlink("/"), Err(FsError::IsADirectory));
    assert_eq!(homely.remove_dir("/"), Err(FsError::Busy));
    assert_eq!(homely.rename("/", "/x"), Err(FsError::Busy));
}

#[test]
fn fs_122_a_root_that_is_no_directory_has_nothing() {
    let rig = Rig::new(&disk());
    let (writer, homely) = (rig.writer(), rig.homely());
    homely.contents("/mine").unwrap();
    writer.rename("/house/a", "/house/c").unwrap();
    assert_eq!(homely.lookup("/mine"), Err(FsError::NotFound));
    assert_eq!(homely.create("/new"), Err(FsError::NotFound));
    writer.make("/house/a", b"a file").unwrap();
    assert_eq!(homely.lookup("/mine"), Err(FsError::NotADirectory));
    assert_eq!(homely.lookup("/"), Err(FsError::NotADirectory));
    assert_eq!(homely.create("/new"), Err(FsError::NotADirectory));
    writer.unlink("/house/a").unwrap();
    writer.rename("/house/c", "/house/a").unwrap();
    assert_eq!(homely.contents("/mine"), Ok(b"mine".to_vec()));
}

#[test]
fn fs_123_what_one_client_does_not_finish_takes_no_room_of_another() {
    let rig = Rig::new(&disk());
    let (writer, homely, reader) = (rig.writer(), rig.homely(), rig.reader());
    let mine = writer.create("/new").unwrap();
    let file = homely.lookup("/mine").unwrap();
    // Somebody else waits for a disk that hangs.
    let theirs = reader.lookup("/there").unwrap();
    rig.disk.hang();
    assert_eq!(reader.ask_read(theirs, 0, 3), Err(FsError::Pending));
    for number in 0..4 {
        assert_eq!(homely.ask_write(file, number * 4096, 4096), Err(FsError::Pending));
    }
    assert_eq!(homely.ask_write(file, 5 * 4096, 4096), Err(FsError::Busy));
    for number in 0..4 {
        assert_eq!(writer.ask_write(mine, number * 4096, 4096), Err(FsError::Pending));
    }
    // Asking again finds out that the disk hangs.
    rig.rest(SECOND);
    assert_eq!(reader.ask_read(theirs, 0, 3), Err(FsError::Pending));
    rig.rest(SECOND);
    assert_eq!(reader.ask_read(theirs, 0, 3), Ok(3));
    (0..4).for_each(|n| assert_eq!(homely.ask_write(file, n * 4096, 4096), Ok(4096)));
    (0..4).for_each(|n| assert_eq!(writer.ask_write(mine, n * 4096, 4096), Ok(4096)));
    for _ in 1..8 {
        homely.lookup("/mine").unwrap();
    }
    assert_eq!(homely.lookup("/mine"), Err(FsError::TooManyOpenFiles));
    let open: Vec<_> = (0..23).map(|_| writer.lookup("/there").unwrap()).collect();
    assert_eq!(open.len(), 23);
}
