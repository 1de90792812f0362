// SPDX-License-Identifier: BSD-2-Clause
//! Images that other tools have made, kind by kind: what is served has the bytes that debugfs finds
//! in it, and what is not is named.

use std::io::Write;
use std::process::Stdio;

use fsserver_volume::partition::{self, Part};
use fsserver_volume::{Access, Error, Ext4, Feature, Volume};

use crate::disk::{FEATURES, Memory, Noon, TemporaryFile, assert_clean, run, with_sbin};
use crate::image::{Folder, noise};
use crate::reading::fill;
use crate::tree::{Node, Tree, by_debugfs, difference, read_all};

/// What is done with images of a kind.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// They are read and written.
    Written,
    /// The same, after their journal was replayed.
    Replayed,
    /// They are read; for this they are not written.
    Read(Feature),
    /// For this they are refused.
    Refused(Feature),
}

use Feature as F;
use Verdict::{Read, Refused, Replayed, Written};

/// Commands that make images of a folder, each with what is done with them. They end with what all
/// such commands end with: the names of the folder, if it is needed, and of the image. `@` stands
/// for the features of a volume that can be written; `sfdisk` puts the image in a partition of a
/// disk; `journal` writes a block of a file by way of the journal.
const WRITTEN: [(&str, Verdict); 23] = [
    ("mke2fs -t ext4", Written),
    ("mke2fs -b 1024 -O @", Written),
    ("mke2fs -b 2048 -O @", Written),
    ("mke2fs -b 4096 -O @", Written),
    ("mke2fs -b 1024 -O @ | e2fsck -fyD", Written),
    ("mke2fs -b 4096 -O @ | e2fsck -fyD", Written),
    ("mke2fs -b 1024 -I 128 -O @,^extra_isize", Written),
    ("mke2fs -b 4096 -I 512 -O @", Written),
    ("mke2fs -b 1024 -O @,^64bit", Written),
    ("mke2fs -b 1024 -O @,^flex_bg", Written),
    ("mke2fs -b 4096 -O @,^dir_index,metadata_csum_seed", Written),
    ("mke2fs -b 1024 -O @,resize_inode,^huge_file,^dir_nlink", Written),
    ("mke2fs -b 1024 -O @,^sparse_super,sparse_super2", Written),
    ("mke2fs -b 1024 -O @,project,stable_inodes", Written),
    ("mke2fs -b 1024 -O @,orphan_file", Written),
    ("mke2fs -b 1024 -G 2 -O @", Written),
    ("mke2fs -b 1024 -E packed_meta_blocks=1,lazy_itable_init=1 -O @", Written),
    ("mke2fs -b 1024 -J size=8 -m 20 -O @", Written),
    ("mke2fs -t ext4 -T news", Written),
    ("mke2fs -b 4096 -O @ | sfdisk dos", Written),
    ("mke2fs -b 1024 -O @ | sfdisk gpt", Written),
    ("mke2fs -b 1024 -O @ | journal", Replayed),
    ("mke2fs -b 4096 -O @ | journal", Replayed),
];

const UNTYPED: Verdict = Read(F::NoFileTypes);
const READ: [(&str, Verdict); 20] = [
    ("genext2fs -B 1024 -b 24000 -N 999", UNTYPED),
    ("genext2fs -B 2048 -b 12000 -N 999", UNTYPED),
    ("genext2fs -B 4096 -b 6000 -N 999 -z", UNTYPED),
    ("genext2fs -B 1024 -b 24000 -N 999 | tune2fs -O dir_index | e2fsck -fyD", UNTYPED),
    ("mke2fs -t ext2 -r 0", UNTYPED),
    ("mke2fs -t ext2", Read(F::NoChecksums)),
    ("mke2fs -t ext2 -T hurd", Read(F::NoChecksums)),
    ("mke2fs -t ext2 -b 4096 | sfdisk dos", Read(F::NoChecksums)),
    ("mke2fs -t ext3", Read(F::NoChecksums)),
    ("mke2fs -t ext3 -b 1024 -I 128", Read(F::NoChecksums)),
    ("mke2fs -b 1024 -O @,^metadata_csum,uninit_bg", Read(F::NoChecksums)),
    ("mke2fs -b 1024 -O @,^extents,^64bit", Read(F::NoExtents)),
    ("mke2fs -b 1024 -O @,^has_journal", Read(F::NoJournal)),
    ("mke2fs -b 1024 -O @,mmp", Read(F::MultiMount)),
    ("mke2fs -b 1024 -O @,quota", Read(F::Quota)),
    ("mke2fs -b 4096 -O @,verity", Read(F::Verity)),
    ("mke2fs -b 1024 -O @,fast_commit", Read(F::FastCommit)),
    ("mke2fs -b 1024 -O @,orphan_file | debugfs feature orphan_present", Read(F::OrphanFile)),
    ("mke2fs -b 1024 -O @ | debugfs feature shared_blocks", Read(F::Unknown)),
    ("mke2fs -b 1024 -O @ | debugfs ssv state 2", Read(F::Errors)),
];

const REFUSED: [(&str, Verdict); 12] = [
    ("mke2fs -b 4096 -O @,bigalloc", Refused(F::Clusters)),
    ("mke2fs -b 4096 -O @,inline_data", Refused(F::InlineData)),
    ("mke2fs -b 4096 -O @,encrypt", Refused(F::Encryption)),
    ("mke2fs -b 4096 -O @,casefold", Refused(F::Casefold)),
    ("mke2fs -b 4096 -O @,large_dir", Refused(F::LargeDirectories)),
    ("mke2fs -b 4096 -O @,ea_inode", Refused(F::AttributeInodes)),
    ("mke2fs -b 4096 -O @,meta_bg", Refused(F::MetaBlockGroups)),
    ("mke2fs -b 65536 -O @", Refused(F::LargeBlocks)),
    ("mke2fs -b 1024 -O journal_dev", Refused(F::JournalDevice)),
    ("mke2fs -b 1024 -J size=65 -O @", Refused(F::LargeJournal)),
    ("mke2fs -b 4096 -O @ | debugfs feature compression", Refused(F::Compression)),
    ("mke2fs -b 4096 -O @ | debugfs feature FEATURE_I31", Refused(F::Unknown)),
];

/// An image, and the disk that it is on.
struct Made {
    image: Vec<u8>,
    disk: Vec<u8>,
}

/// Runs the commands of a row. Returns nothing, and says so, if a tool is missing.
fn make(commands: &str, folder: &Folder) -> Option<Made> {
    let file = TemporaryFile::new(&[]);
    let image = file.0.to_str().unwrap();
    let files = folder.files();
    let mut disk = None;
    for command in commands.split(" | ") {
        let command = command.replace('@', FEATURES);
        let (tool, options) = command.split_once(' ').unwrap_or((&command, ""));
        let mut arguments: Vec<&str> = options.split_whitespace().collect();
        match tool {
            "mke2fs" => {
                let size = if options.contains("size=65") { "140M" } else { "24M" };
                let is_filled = !options.contains("journal_dev");
                arguments.extend(["-q", "-F"]);
                arguments.extend(["-d", files.to_str().unwrap()].iter().filter(|_| is_filled));
                arguments.extend([image, size]);
            }
            "genext2fs" => arguments.extend(["-d", files.to_str().unwrap(), image]),
            "debugfs" => arguments = vec!["-w", "-R", options, image],
            "sfdisk" => {
                disk = Some(partitioned(options, &file.read())?);
                continue;
            }
            "journal" => {
                journal(&file);
                continue;
            }
            _ => arguments.push(image),
        }
        if !is_there(tool) {
            return None;
        }
        let (printed, is_done) = run(tool, &arguments);
        // e2fsck says that it has changed something.
        assert!(is_done || tool == "e2fsck", "{command}: {printed}");
    }
    let image = file.read();
    Some(Made { disk: disk.unwrap_or_else(|| image.clone()), image })
}

/// Returns whether there is a tool. If not, that is told to who runs the tests: what is printed by
/// a test is seen only if it fails.
fn is_there(tool: &str) -> bool {
    let started = with_sbin(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_err() {
        let _ = writeln!(std::io::stderr(), "{tool} is missing, so its images were NOT tried");
    }
    started.is_ok()
}

/// Returns a disk with a table of this kind, and the image in its second partition.
fn partitioned(label: &str, image: &[u8]) -> Option<Vec<u8>> {
    const START: usize = 3 << 20;
    if !is_there("sfdisk") {
        return None;
    }
    let mut bytes = vec![0; START + image.len() + (2 << 20)];
    let file = TemporaryFile::new(&bytes);
    let mut tool = with_sbin("sfdisk");
    tool.args(["-q", file.0.to_str().unwrap()]).stdin(Stdio::piped());
    let mut tool = tool.spawn().unwrap();
    let (start, blocks) = (START / 512, image.len() / 512);
    let table = format!("label: {label}\n2048, 2048, L\n{start}, {blocks}, L\n");
    tool.stdin.take().unwrap().write_all(table.as_bytes()).unwrap();
    assert!(tool.wait().unwrap().success());
    bytes = file.read();
    bytes[START..][..image.len()].copy_from_slice(image);
    Some(bytes)
}

/// Writes a block of a file by way of the journal, and leaves it there.
fn journal(file: &TemporaryFile) {
    let path = file.0.to_str().unwrap();
    let (block, _) = run("debugfs", &["-R", "bmap large 3", path]);
    let data = TemporaryFile::new(&noise(4096, 5));
    let block = block.split_whitespace().next().unwrap();
    let commands = format!("jo\njw -b {block} {}\njc\n", data.0.display());
    let script = TemporaryFile::new(commands.as_bytes());
    run("debugfs", &["-w", "-f", script.0.to_str().unwrap(), path]);
}

type OnPart<'a> = Ext4<Part<&'a mut Memory>, Noon>;

/// Does something with the file system on a disk; returns the disk as it is then.
fn on_disk(
    disk: &[u8],
    access: Access,
    action: impl FnOnce(&mut OnPart<'_>),
) -> Result<Vec<u8>, Error> {
    let mut memory = Memory::new(disk.to_vec());
    let blocks = partition::find(&mut memory)?;
    let mut volume = Ext4::mount(Part::new(&mut memory, blocks), Noon, access)?;
    action(&mut volume);
    volume.close()?;
    drop(volume);
    Ok(memory.bytes)
}

fn assert_tree(volume: &mut impl Volume, expected: &Tree, what: &str) {
    let found = read_all(volume).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(found == *expected, "{what}: {:?}", difference(&found, expected));
}

/// Changes something of everything, and returns what there is then.
fn change(volume: &mut impl Volume, mut tree: Tree) -> Tree {
    let root = volume.root();
    let folder = volume.make_dir(root, b"made").unwrap();
    for number in 0..40 {
        let name = format!("a new file with a name that fills blocks {number}").into_bytes();
        let file = volume.create(folder, &name).unwrap();
        let bytes = noise(number * 777, 7);
        volume.write(file, 0, &bytes).unwrap();
        tree.insert([b"/made/", name.as_slice()].concat(), Node::File(bytes));
    }
    let large = volume.lookup(root, b"large").unwrap();
    volume.write(large, 5000, &noise(9000, 8)).unwrap();
    volume.rename(root, b"small", folder, b"small").unwrap();
    volume.unlink(root, b"empty").unwrap();
    volume.sync().unwrap();
    tree.insert(b"/made".to_vec(), Node::Directory);
    let small = tree.remove(&b"/small"[..]).unwrap();
    tree.insert(b"/made/small".to_vec(), small);
    tree.remove(&b"/empty"[..]);
    if let Some(Node::File(bytes)) = tree.get_mut(&b"/large"[..]) {
        bytes[5000..14_000].copy_from_slice(&noise(9000, 8));
    }
    tree
}

/// Fails unless an image is dealt with as its row says.
fn judge(commands: &str, verdict: Verdict, made: &Made) {
    let mount = |access| on_disk(&made.disk, access, |_| {}).map(drop);
    let of_image = |disk: &[u8]| {
        let mut memory = Memory::new(disk.to_vec());
        let blocks = partition::find(&mut memory).unwrap();
        memory.bytes[blocks.start as usize * 512..][..made.image.len()].to_vec()
    };
    let refused = |feature| Err(Error::Unsupported(feature));
    match verdict {
        Refused(feature) => {
            for access in [Access::Read, Access::Write] {
                assert_eq!(mount(access), refused(feature), "{commands}, {access:?}");
            }
        }
        Read(_) | Written => {
            let tree = by_debugfs(&made.image);
            assert!(tree.len() > 100, "{commands}: debugfs has read it");
            let read = |volume: &mut OnPart<'_>| assert_tree(volume, &tree, commands);
            let after = on_disk(&made.disk, Access::Read, read);
            assert!(after.as_ref() == Ok(&made.disk), "{commands}: {:?}", after.err());
            if let Read(feature) = verdict {
                assert_eq!(mount(Access::Write), refused(feature), "{commands}");
                return;
            }
            let mut changed = tree.clone();
            let after = on_disk(&made.disk, Access::Write, |volume| {
                assert_tree(volume, &tree, commands);
                changed = change(volume, tree.clone());
            });
            let after = of_image(&after.unwrap_or_else(|error| panic!("{commands}: {error}")));
            assert_clean(&after, commands);
            let found = by_debugfs(&after);
            assert!(found == changed, "{commands}: {:?}", difference(&found, &changed));
        }
        Replayed => {
            assert_eq!(mount(Access::Read), refused(F::JournalReplay), "{commands}");
            let before = by_debugfs(&made.image);
            let file = TemporaryFile::new(&made.image);
            run("e2fsck", &["-fy", "-E", "journal_only", file.0.to_str().unwrap()]);
            let tree = by_debugfs(&file.read());
            assert!(tree != before, "{commands}: there is something in the journal");
            let read = |volume: &mut OnPart<'_>| assert_tree(volume, &tree, commands);
            let after = on_disk(&made.disk, Access::Write, read).unwrap();
            assert_clean(&after, commands);
            assert!(by_debugfs(&after) == tree, "{commands}: it was written to its place");
        }
    }
}

fn judge_all(kinds: &[(&str, Verdict)]) {
    let folder = Folder::new();
    fill(&folder, 120);
    for (commands, verdict) in kinds {
        println!("{commands}: {verdict:?}");
        if let Some(made) = make(commands, &folder) {
            judge(commands, *verdict, &made);
        }
    }
}

#[test]
fn fs_9_these_kinds_of_images_are_read_and_written() {
    judge_all(&WRITTEN);
}

#[test]
fn fs_9_these_are_read_and_what_keeps_them_from_being_written_is_named() {
    judge_all(&READ);
}

#[test]
fn fs_9_these_are_refused_by_the_name_of_what_they_have() {
    judge_all(&REFUSED);
}
