// SPDX-License-Identifier: BSD-2-Clause
//! Random changes of a volume, and a model that says what each does.

use std::collections::BTreeMap;

use fastrand::Rng;
use fsserver_volume::{Error, Inode, Kind, Volume};

use crate::tree::{Node, Tree, contents, difference, read_all};

/// What the model knows of a file.
#[derive(Clone)]
enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, Inode>),
    Symlink(Vec<u8>),
}

#[derive(Clone)]
struct File {
    content: Content,
    links: u32,
    is_open: bool,
}

/// What a volume should have.
#[derive(Clone)]
pub(crate) struct Model {
    files: BTreeMap<Inode, File>,
    root: Inode,
    /// Distinguishes what is written to different files: a file's words begin with its number.
    pub(crate) lives: BTreeMap<Inode, u32>,
    next_life: u32,
}

/// Weights of the changes, and how large things get.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) names: u32,
    pub(crate) file_bytes_max: u64,
    pub(crate) write_bytes_max: u64,
    /// Whether writes start anywhere, not only at whole words.
    pub(crate) is_unaligned: bool,
}

pub(crate) const USUAL: Habits =
    Habits { names: 12, file_bytes_max: 200_000, write_bytes_max: 40_000, is_unaligned: true };

/// The result of a change, as both sides have it.
type Outcome = Result<(), Error>;

impl Model {
    /// Begins with what a new volume has: `lost+found`.
    pub(crate) fn new(volume: &mut impl Volume) -> Self {
        let root = volume.root();
        let lost = volume.lookup(root, b"lost+found").unwrap();
        let directory =
            |entries, links| File { content: Content::Directory(entries), links, is_open: false };
        let entries = BTreeMap::from([(b"lost+found".to_vec(), lost)]);
        let files =
            BTreeMap::from([(root, directory(entries, 3)), (lost, directory(BTreeMap::new(), 2))]);
        Self { files, root, lives: BTreeMap::new(), next_life: 1 }
    }

    /// Makes a random change of both, and fails if they differ in what it does.
    pub(crate) fn change(&mut self, volume: &mut impl Volume, rng: &mut Rng, habits: Habits) {
        let (directory, name) = (self.any_directory(rng), any_name(rng, habits));
        let (what, found, expected) = match rng.u32(..100) {
            0..12 => self.create(volume, directory, &name),
            12..17 => self.make_dir(volume, directory, &name),
            17..20 => self.symlink(volume, rng, directory, &name),
            20..25 => self.link(volume, rng, directory, &name),
            25..37 => self.unlink(volume, directory, &name),
            37..41 => self.remove_dir(volume, directory, &name),
            41..53 => self.rename(volume, rng, (directory, &name), habits),
            53..60 => self.truncate(volume, rng, habits),
            60..64 => self.open_or_release(volume, rng),
            64..70 => self.read(volume, rng),
            _ => self.write(volume, rng, habits),
        };
        // A volume without space may refuse what the model does.
        assert!(found == expected, "{what}: {found:?}, expected {expected:?}");
    }

    fn any_directory(&self, rng: &mut Rng) -> Inode {
        let is_directory = |file: &File| matches!(file.content, Content::Directory(_));
        let named = self.files.iter().filter(|(_, file)| is_directory(file) && file.links > 0);
        rng.choice(named.map(|(inode, _)| *inode).collect::<Vec<_>>()).unwrap()
    }

    fn any_file(&self, rng: &mut Rng) -> Option<Inode> {
        let is_file = |file: &File| matches!(file.content, Content::File(_));
        let files = self.files.iter().filter(|(_, file)| is_file(file));
        rng.choice(files.map(|(inode, _)| *inode).collect::<Vec<_>>())
    }

    fn entries(&mut self, directory: Inode) -> &mut BTreeMap<Vec<u8>, Inode> {
        match &mut self.files.get_mut(&directory).unwrap().content {
            Content::Directory(entries) => entries,
            _ => unreachable!("a directory"),
        }
    }

    fn kind(&self, inode: Inode) -> Kind {
        match self.files[&inode].content {
            Content::File(_) => Kind::Regular,
            Content::Directory(_) => Kind::Directory,
            Content::Symlink(_) => Kind::Symlink,
        }
    }

    fn find(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        self.entries(directory).get(name).copied().ok_or(Error::NotFound)
    }

    /// Adds what was made, or says why nothing should have been.
    fn add(
        &mut self,
        directory: Inode,
        name: &[u8],
        content: Content,
        made: Result<Inode, Error>,
    ) -> (String, Outcome, Outcome) {
        let what = format!("make {}", String::from_utf8_lossy(name));
        let expected = match self.find(directory, name) {
            Ok(_) => Err(Error::Exists),
            Err(_) => Ok(()),
        };
        if made == Err(Error::NoSpace) {
            return (what, Ok(()), Ok(()));
        }
        if let (Ok(inode), Ok(())) = (made, expected) {
            let is_directory = matches!(content, Content::Directory(_));
            let links = 1 + u32::from(is_directory);
            self.entries(directory).insert(name.to_vec(), inode);
            let old = self.files.insert(inode, File { content, links, is_open: false });
            assert!(old.is_none(), "the number of a file that is there is used again");
            self.files.get_mut(&directory).unwrap().links += u32::from(is_directory);
            self.lives.insert(inode, self.next_life);
            self.next_life += 1;
        }
        (what, made.map(drop), expected)
    }

    fn create(
        &mut self,
        volume: &mut impl Volume,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let made = volume.create(directory, name);
        self.add(directory, name, Content::File(Vec::new()), made)
    }

    fn make_dir(
        &mut self,
        volume: &mut impl Volume,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let made = volume.make_dir(directory, name);
        self.add(directory, name, Content::Directory(BTreeMap::new()), made)
    }

    fn symlink(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let target = vec![b't'; rng.choice([1, 59, 60, 300, 1000]).unwrap()];
        let made = volume.symlink(directory, name, &target);
        self.add(directory, name, Content::Symlink(target), made)
    }

    fn link(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let Some(inode) = self.any_file(rng) else { return nothing() };
        let found = volume.link(inode, directory, name);
        let expected = match self.find(directory, name) {
            _ if self.files[&inode].links == 0 => Err(Error::NotFound),
            Ok(_) => Err(Error::Exists),
            Err(_) => Ok(()),
        };
        if found == Ok(()) && expected == Ok(()) {
            self.entries(directory).insert(name.to_vec(), inode);
            self.files.get_mut(&inode).unwrap().links += 1;
        }
        allow_full("link", found, expected)
    }

    fn unlink(
        &mut self,
        volume: &mut impl Volume,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let found = volume.unlink(directory, name);
        let expected = self.find(directory, name).and_then(|inode| match self.kind(inode) {
            Kind::Directory => Err(Error::IsADirectory),
            _ => Ok(inode),
        });
        if let (Ok(()), Ok(inode)) = (found, expected) {
            self.entries(directory).remove(name);
            self.drop_link(inode);
        }
        ("unlink".to_owned(), found, expected.map(drop))
    }

    /// Takes one name off a file, or all off a directory.
    fn drop_link(&mut self, inode: Inode) {
        let file = self.files.get_mut(&inode).unwrap();
        let is_directory = matches!(file.content, Content::Directory(_));
        file.links = if is_directory { 0 } else { file.links - 1 };
        if file.links == 0 && !file.is_open {
            self.files.remove(&inode);
        }
    }

    fn remove_dir(
        &mut self,
        volume: &mut impl Volume,
        directory: Inode,
        name: &[u8],
    ) -> (String, Outcome, Outcome) {
        let found = volume.remove_dir(directory, name);
        let expected =
            self.find(directory, name).and_then(|inode| match &self.files[&inode].content {
                Content::Directory(entries) if entries.is_empty() => Ok(inode),
                Content::Directory(_) => Err(Error::NotEmpty),
                _ => Err(Error::NotADirectory),
            });
        if let (Ok(()), Ok(inode)) = (found, expected) {
            self.entries(directory).remove(name);
            self.drop_link(inode);
            self.files.get_mut(&directory).unwrap().links -= 1;
        }
        ("remove_dir".to_owned(), found, expected.map(drop))
    }

    fn rename(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
        (directory, name): (Inode, &[u8]),
        habits: Habits,
    ) -> (String, Outcome, Outcome) {
        let (to, new_name) = (self.any_directory(rng), any_name(rng, habits));
        let found = volume.rename(directory, name, to, &new_name);
        let expected = self.expect_rename((directory, name), (to, &new_name));
        if found == Ok(()) && expected == Ok(()) {
            self.apply_rename((directory, name), (to, &new_name));
        }
        allow_full("rename", found, expected)
    }

    fn expect_rename(&mut self, from: (Inode, &[u8]), to: (Inode, &[u8])) -> Outcome {
        let inode = self.find(from.0, from.1)?;
        let is_directory = self.kind(inode) == Kind::Directory;
        if is_directory && self.is_below(to.0, inode) {
            return Err(Error::BadName);
        }
        let Ok(other) = self.find(to.0, to.1) else { return Ok(()) };
        match (&self.files[&other].content, is_directory) {
            _ if other == inode => Ok(()),
            (Content::Directory(_), false) => Err(Error::IsADirectory),
            (Content::Directory(entries), true) if entries.is_empty() => Ok(()),
            (Content::Directory(_), true) => Err(Error::NotEmpty),
            (_, true) => Err(Error::NotADirectory),
            _ => Ok(()),
        }
    }

    fn apply_rename(&mut self, from: (Inode, &[u8]), to: (Inode, &[u8])) {
        let inode = self.find(from.0, from.1).unwrap();
        let other = self.find(to.0, to.1);
        if other == Ok(inode) {
            return;
        }
        let is_directory = u32::from(self.kind(inode) == Kind::Directory);
        self.entries(from.0).remove(from.1);
        self.entries(to.0).insert(to.1.to_vec(), inode);
        self.files.get_mut(&from.0).unwrap().links -= is_directory;
        self.files.get_mut(&to.0).unwrap().links += is_directory;
        if let Ok(other) = other {
            self.drop_link(other);
            self.files.get_mut(&to.0).unwrap().links -= is_directory;
        }
    }

    fn is_below(&self, directory: Inode, above: Inode) -> bool {
        let mut left = vec![above];
        while let Some(inode) = left.pop() {
            if inode == directory {
                return true;
            }
            if let Content::Directory(entries) = &self.files[&inode].content {
                left.extend(entries.values());
            }
        }
        false
    }

    fn write(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
        habits: Habits,
    ) -> (String, Outcome, Outcome) {
        let Some(inode) = self.any_file(rng) else { return nothing() };
        let life = self.lives[&inode];
        let Content::File(bytes) = &mut self.files.get_mut(&inode).unwrap().content else {
            unreachable!("a file")
        };
        let unit = if habits.is_unaligned { 1 } else { 8 };
        let offset = match rng.u32(..3) {
            0 => bytes.len() as u64,
            _ => rng.u64(..habits.file_bytes_max),
        } / unit
            * unit;
        let length = rng.u64(1..=habits.write_bytes_max / unit) * unit;
        let stamp = rng.u32(..);
        let words = (0..length.div_ceil(8)).flat_map(|_| [life, stamp]);
        let mut data: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        data.truncate(length as usize);
        let found = volume.write(inode, offset, &data);
        match found {
            Ok(()) => {
                let end = offset as usize + data.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[offset as usize..end].copy_from_slice(&data);
            }
            // A part of what lies within the file may have been written.
            Err(Error::NoSpace) => {
                let size = bytes.len();
                *bytes = contents(volume, inode).unwrap();
                assert_eq!(bytes.len(), size, "a write that fails does not change the size");
            }
            _ => {}
        }
        allow_full("write", found, Ok(()))
    }

    fn truncate(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
        habits: Habits,
    ) -> (String, Outcome, Outcome) {
        let Some(inode) = self.any_file(rng) else { return nothing() };
        let Content::File(bytes) = &mut self.files.get_mut(&inode).unwrap().content else {
            unreachable!("a file")
        };
        let size = match rng.u32(..3) {
            0 => 0,
            _ => rng.u64(..habits.file_bytes_max) / 8 * 8,
        };
        let found = volume.truncate(inode, size);
        bytes.resize(size as usize, 0);
        ("truncate".to_owned(), found, Ok(()))
    }

    fn open_or_release(
        &mut self,
        volume: &mut impl Volume,
        rng: &mut Rng,
    ) -> (String, Outcome, Outcome) {
        let Some(inode) = self.any_file(rng) else { return nothing() };
        let file = self.files.get_mut(&inode).unwrap();
        if file.is_open {
            file.is_open = false;
            volume.release(inode);
            if file.links == 0 {
                self.files.remove(&inode);
            }
            return nothing();
        }
        file.is_open = true;
        ("open".to_owned(), volume.open(inode), Ok(()))
    }

    fn read(&mut self, volume: &mut impl Volume, rng: &mut Rng) -> (String, Outcome, Outcome) {
        let Some(inode) = self.any_file(rng) else { return nothing() };
        let Content::File(bytes) = &self.files[&inode].content else { unreachable!("a file") };
        let offset = rng.usize(..=bytes.len());
        let mut to = vec![0; rng.usize(1..50_000)];
        let read = volume.read(inode, offset as u64, &mut to).unwrap();
        let expected = &bytes[offset..bytes.len().min(offset + to.len())];
        assert!(&to[..read] == expected, "{read} bytes at {offset} of {}", bytes.len());
        let links = volume.status(inode).map(|status| status.links);
        assert_eq!(links, Ok(self.files[&inode].links));
        nothing()
    }

    /// Returns what there should be.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.add_to(&mut tree, &[], self.root, &mut |_, _| {});
        tree
    }

    /// Returns the number of the life of each file that has a path.
    pub(crate) fn lives_by_path(&self) -> BTreeMap<Vec<u8>, u32> {
        let mut lives = BTreeMap::new();
        let mut note = |path: &[u8], inode| {
            if let Some(life) = self.lives.get(&inode) {
                lives.insert(path.to_vec(), *life);
            }
        };
        self.add_to(&mut Tree::new(), &[], self.root, &mut note);
        lives
    }

    fn add_to(
        &self,
        tree: &mut Tree,
        path: &[u8],
        directory: Inode,
        note: &mut impl FnMut(&[u8], Inode),
    ) {
        let Content::Directory(entries) = &self.files[&directory].content else { return };
        for (name, inode) in entries {
            let path = [path, b"/", name].concat();
            note(&path, *inode);
            let node = match &self.files[inode].content {
                Content::File(bytes) => Node::File(bytes.clone()),
                Content::Symlink(target) => Node::Symlink(target.clone()),
                Content::Directory(_) => {
                    self.add_to(tree, &path, *inode, note);
                    Node::Directory
                }
            };
            tree.insert(path, node);
        }
    }

    /// Ends all `open`.
    pub(crate) fn release_all(&mut self, volume: &mut impl Volume) {
        for (inode, file) in &mut self.files {
            if core::mem::take(&mut file.is_open) {
                volume.release(*inode);
            }
        }
        self.files.retain(|_, file| file.links > 0);
    }

    /// Fails unless the volume has what the model has.
    pub(crate) fn assert_same(&self, volume: &mut impl Volume, when: &str) {
        let (found, expected) = (read_all(volume).unwrap(), self.tree());
        assert!(found == expected, "{when}: {:?}", difference(&found, &expected));
    }
}

fn nothing() -> (String, Outcome, Outcome) {
    (String::new(), Ok(()), Ok(()))
}

/// A full volume may refuse a change, if it stays as it was.
fn allow_full(what: &str, found: Outcome, expected: Outcome) -> (String, Outcome, Outcome) {
    let expected = if found == Err(Error::NoSpace) { found } else { expected };
    (what.to_owned(), found, expected)
}

fn any_name(rng: &mut Rng, habits: Habits) -> Vec<u8> {
    let number = rng.u32(..habits.names);
    let name =
        if number % 4 == 3 { "a longer name of a file that fills blocks sooner" } else { "n" };
    format!("{name}{number}").into_bytes()
}
