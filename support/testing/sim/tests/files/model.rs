// SPDX-License-Identifier: BSD-2-Clause
//! What the files should be: a model of a volume, and random operations on both.

use std::collections::BTreeMap;

use fastrand::Rng;
use fsserver_api::{FileHandle, FileKind, FsError};

use crate::rig::{Person, said};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A file, by its number.
    File(u32),
    Directory,
    Link(String),
}

/// What a test looks at: each path with what is there.
pub(crate) type Tree = BTreeMap<String, Seen>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    File(Vec<u8>),
    Directory,
    Link(String),
}

struct Open {
    /// Which of the clients.
    client: usize,
    handle: FileHandle,
    file: u32,
}

/// The model.
pub(crate) struct Model {
    /// Returns whether nothing has happened to fsserver.
    is_quiet: Box<dyn Fn() -> bool>,
    /// How large files become.
    size_max: u64,
    nodes: BTreeMap<String, Node>,
    /// The bytes of each file. One that has no name is open.
    files: BTreeMap<u32, Vec<u8>>,
    open: Vec<Open>,
    next: u32,
    /// How often each operation was done, and refused.
    pub(crate) counts: BTreeMap<&'static str, (u32, u32)>,
}

/// A client, and the path of its root.
pub(crate) type Client<'a> = (&'a Person, &'static str);

const DIRECTORIES: [&str; 4] = ["", "/d", "/house/a", "/house/a/s"];
const NAMES: [&str; 5] = ["p", "q", "r", "s", "a longer name with spaces"];
const OPEN_MAX: usize = 6;

type Outcome = Result<(), FsError>;

impl Model {
    /// Returns the model of a volume with the directory /house/a, and nothing else.
    pub(crate) fn new(size_max: u64, is_quiet: impl Fn() -> bool + 'static) -> Self {
        let nodes = ["/house", "/house/a"].map(|path| (path.to_owned(), Node::Directory));
        Self {
            is_quiet: Box::new(is_quiet),
            size_max,
            nodes: BTreeMap::from(nodes),
            files: BTreeMap::new(),
            open: Vec::new(),
            next: 0,
            counts: BTreeMap::new(),
        }
    }

    /// Takes over what was seen; nothing is open.
    pub(crate) fn adopt(&mut self, tree: &Tree) {
        (self.nodes, self.files, self.open) = Default::default();
        let model = self;
        for (path, seen) in tree {
            let node = match seen {
                Seen::Directory => Node::Directory,
                Seen::Link(target) => Node::Link(target.clone()),
                Seen::File(bytes) => {
                    model.next += 1;
                    model.files.insert(model.next, bytes.clone());
                    Node::File(model.next)
                }
            };
            model.nodes.insert(path.clone(), node);
        }
    }

    /// Fails unless something holds, as long as nothing has happened to fsserver.
    fn check(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds && (self.is_quiet)() {
            panic!("{}", text());
        }
    }

    pub(crate) fn tree(&self) -> Tree {
        let seen = |node: &Node| match node {
            Node::Directory => Seen::Directory,
            Node::Link(target) => Seen::Link(target.clone()),
            Node::File(file) => Seen::File(self.files[file].clone()),
        };
        self.nodes.iter().map(|(path, node)| (path.clone(), seen(node))).collect()
    }

    /// Returns the file that each path leads to.
    pub(crate) fn lives(&self) -> BTreeMap<String, u32> {
        let file = |node: &Node| match node {
            Node::File(file) => Some(*file),
            _ => None,
        };
        self.nodes.iter().filter_map(|(path, node)| Some((path.clone(), file(node)?))).collect()
    }

    pub(crate) fn close_all(&mut self, clients: &[Client<'_>]) {
        for open in std::mem::take(&mut self.open) {
            clients[open.client].0.close(open.handle);
        }
        self.sweep();
    }

    fn sweep(&mut self) {
        let is_used = |file: &u32| {
            self.open.iter().any(|open| open.file == *file)
                || self.nodes.values().any(|node| *node == Node::File(*file))
        };
        let unused: Vec<u32> = self.files.keys().filter(|file| !is_used(file)).copied().collect();
        for file in unused {
            self.files.remove(&file);
        }
    }

    /// Fails unless the parent of a path is a directory.
    fn parent(&self, path: &str) -> Outcome {
        let (parent, _) = path.rsplit_once('/').unwrap();
        let mut at = String::new();
        for name in parent.split('/').skip(1) {
            at = format!("{at}/{name}");
            match self.nodes.get(&at) {
                Some(Node::Directory) => {}
                Some(Node::File(_)) => return Err(FsError::NotADirectory),
                // They lead nowhere.
                Some(Node::Link(_)) | None => return Err(FsError::NotFound),
            }
        }
        Ok(())
    }

    fn node(&self, path: &str) -> Result<&Node, FsError> {
        self.parent(path)?;
        self.nodes.get(path).ok_or(FsError::NotFound)
    }

    fn free(&self, path: &str) -> Outcome {
        self.parent(path)?;
        if self.nodes.contains_key(path) { Err(FsError::Exists) } else { Ok(()) }
    }

    fn is_empty(&self, path: &str) -> bool {
        !self.nodes.keys().any(|other| other.starts_with(&format!("{path}/")))
    }

    /// Checks whether a path can be replaced by something.
    fn replaceable(&self, path: &str, by: &Node) -> Outcome {
        match (by, self.nodes.get(path)) {
            (_, None) => Ok(()),
            (Node::Directory, Some(Node::Directory)) if self.is_empty(path) => Ok(()),
            (Node::Directory, Some(Node::Directory)) => Err(FsError::NotEmpty),
            (Node::Directory, Some(_)) => Err(FsError::NotADirectory),
            (_, Some(Node::Directory)) => Err(FsError::IsADirectory),
            _ => Ok(()),
        }
    }

    /// Counts an operation, and checks its outcome. What fsserver was stopped in the middle of may
    /// be on the disk: the model does it, and what was before is allowed, too.
    fn note(&mut self, name: &'static str, expected: Outcome, is: Outcome) -> Outcome {
        self.check(is == expected, || format!("{name}: {is:?}, not {expected:?}"));
        let counts = self.counts.entry(name).or_default();
        if is.is_ok() {
            counts.0 += 1
        } else {
            counts.1 += 1
        }
        if self.is_interrupted(is) { expected } else { is }
    }

    /// Returns whether something ended so because fsserver was stopped: its handles end, too.
    fn is_interrupted(&self, is: Outcome) -> bool {
        matches!(is, Err(FsError::Restarted | FsError::BadHandle)) && !(self.is_quiet)()
    }

    /// Opens what is there, if not too much is open.
    fn look_up(&mut self, (client, person): (usize, &Person), path: &str, theirs: &str) -> Outcome {
        let expected = self.node(path).cloned();
        if self.open.len() >= OPEN_MAX {
            return Ok(());
        }
        match person.lookup(theirs) {
            Ok(handle) => {
                let node = expected.clone();
                self.note("lookup", expected.map(drop), Ok(()))?;
                match node {
                    Ok(Node::File(file)) => self.open.push(Open { client, handle, file }),
                    _ => person.close(handle),
                }
                Ok(())
            }
            Err(error) => self.note("lookup", expected.map(drop), Err(error)),
        }
    }

    /// Does something with the volume and the model, and compares what comes of it.
    ///
    /// # Errors
    /// What fsserver has answered, as expected, or that it was restarted.
    pub(crate) fn act(&mut self, clients: &[Client<'_>], random: &mut Rng) -> Outcome {
        let client = random.usize(..clients.len());
        let (person, root) = clients[client];
        let directory = loop {
            let directory = DIRECTORIES[random.usize(..4)];
            if directory.starts_with(root) {
                break directory;
            }
        };
        let path = format!("{directory}/{}", NAMES[random.usize(..NAMES.len())]);
        let theirs = &path[root.len()..];
        match random.u32(..100) {
            0..12 => self.create((client, person), &path, theirs, random),
            12..22 => {
                let path = if root.is_empty() && random.bool() { "/d".to_owned() } else { path };
                let expected = self.free(&path);
                self.note("make_dir", expected, person.make_dir(&path[root.len()..]))?;
                self.nodes.insert(path, Node::Directory);
                Ok(())
            }
            22..27 => {
                let expected = self.free(&path);
                self.note("symlink", expected, person.symlink("nowhere", theirs))?;
                self.nodes.insert(path, Node::Link("nowhere".to_owned()));
                Ok(())
            }
            27..35 => {
                let expected = match self.node(&path) {
                    Ok(Node::Directory) => Err(FsError::IsADirectory),
                    other => other.map(drop),
                };
                self.note("unlink", expected, person.unlink(theirs))?;
                self.nodes.remove(&path);
                self.sweep();
                Ok(())
            }
            35..39 => {
                let expected = match self.node(&path) {
                    Ok(Node::Directory) if self.is_empty(&path) => Ok(()),
                    Ok(Node::Directory) => Err(FsError::NotEmpty),
                    Ok(_) => Err(FsError::NotADirectory),
                    Err(error) => Err(error),
                };
                self.note("remove_dir", expected, person.remove_dir(theirs))?;
                self.nodes.remove(&path);
                Ok(())
            }
            39..51 => self.rename_or_link((person, root), &path, random),
            51..59 => self.look_up((client, person), &path, theirs),
            59..62 => {
                let listed = person.list(&root_of(directory, root), random.u64(1..4));
                self.compare_list(directory, listed)
            }
            62..66 => self.look(person, &path, theirs),
            66..67 => self.note("trim", Ok(()), said(person.fs().trim())),
            _ => self.use_open(clients, random),
        }
    }

    fn create(
        &mut self,
        (client, person): (usize, &Person),
        path: &str,
        theirs: &str,
        random: &mut Rng,
    ) -> Outcome {
        let expected = self.free(path);
        if self.open.len() >= OPEN_MAX {
            return Ok(());
        }
        let made = person.create(theirs);
        self.note("create", expected, made.map(drop))?;
        self.next += 1;
        let file = self.next;
        self.files.insert(file, Vec::new());
        self.nodes.insert(path.to_owned(), Node::File(file));
        let handle = made?;
        self.open.push(Open { client, handle, file });
        let last = self.open.len() - 1;
        if random.bool() { self.write(person, last, random) } else { Ok(()) }
    }

    fn rename_or_link(
        &mut self,
        (person, root): (&Person, &str),
        path: &str,
        random: &mut Rng,
    ) -> Outcome {
        let directory = if root.is_empty() { DIRECTORIES[random.usize(..4)] } else { root };
        let to = format!("{directory}/{}", NAMES[random.usize(..NAMES.len())]);
        let (from, new) = (&path[root.len()..], &to[root.len()..]);
        if random.u32(..3) == 0 {
            if matches!(self.node(path), Ok(Node::Link(_))) {
                return Ok(());
            }
            let expected = match self.node(path) {
                Err(error) => Err(error),
                Ok(Node::Directory) => self.parent(&to).and(Err(FsError::IsADirectory)),
                Ok(_) => self.free(&to),
            };
            // A directory, and a name that exists: either may be found first.
            let is_both = matches!(self.node(path), Ok(Node::Directory)) && self.node(&to).is_ok();
            let linked = person.link(from, new);
            let expected = if is_both && linked.is_err() { linked } else { expected };
            self.note("link", expected, linked)?;
            let node = self.nodes.get(path).cloned();
            self.nodes.extend(node.map(|node| (to, node)));
            return Ok(());
        }
        // The source's parent is looked up first, then the other's, then the source.
        let expected = self.parent(path).and_then(|()| self.parent(&to)).and_then(|()| {
            let node = self.node(path)?;
            if *node == Node::Directory && to.starts_with(&format!("{path}/")) {
                return Err(FsError::BadPath);
            }
            if to == *path { Ok(()) } else { self.replaceable(&to, node) }
        });
        self.note("rename", expected, person.rename(from, new))?;
        let is_same = match (self.nodes.get(path), self.nodes.get(&to)) {
            (Some(Node::File(a)), Some(Node::File(b))) => a == b,
            (from, _) => from.is_none(),
        };
        if to == path || is_same {
            return Ok(());
        }
        let below = format!("{path}/");
        let moved: Vec<String> = self
            .nodes
            .keys()
            .filter(|key| *key == path || key.starts_with(&below))
            .cloned()
            .collect();
        self.nodes.remove(&to);
        for old in moved {
            let node = self.nodes.remove(&old).unwrap();
            self.nodes.insert(format!("{to}{}", &old[path.len()..]), node);
        }
        self.sweep();
        Ok(())
    }

    fn compare_list(
        &mut self,
        directory: &str,
        listed: Result<Vec<(Vec<u8>, FileKind)>, FsError>,
    ) -> Outcome {
        let node = if directory.is_empty() { Ok(&Node::Directory) } else { self.node(directory) };
        let expected = match node {
            Ok(Node::Directory) => Ok(()),
            Ok(_) => Err(FsError::NotADirectory),
            Err(error) => Err(error),
        };
        let mut listed = match listed {
            Ok(listed) => listed,
            Err(error) => return self.note("list", expected, Err(error)),
        };
        listed.retain(|(name, _)| name != b"lost+found");
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        let prefix = format!("{directory}/");
        let kind = |node: &Node| match node {
            Node::File(_) => FileKind::Regular,
            Node::Directory => FileKind::Directory,
            Node::Link(_) => FileKind::Symlink,
        };
        let is: Vec<(Vec<u8>, FileKind)> = self
            .nodes
            .iter()
            .filter_map(|(path, node)| Some((path.strip_prefix(&prefix)?, node)))
            .filter(|(name, _)| !name.contains('/'))
            .map(|(name, node)| (name.as_bytes().to_vec(), kind(node)))
            .collect();
        self.check(listed == is, || format!("the names in {directory}"));
        self.note("list", expected, Ok(()))
    }

    /// Looks at what a path leads to.
    fn look(&mut self, person: &Person, path: &str, theirs: &str) -> Outcome {
        let expected = self.node(path).cloned();
        match &expected {
            Ok(Node::Link(target)) => {
                let found = person.target(theirs)?;
                self.check(found == *target, || format!("the target of {path}"));
                Ok(())
            }
            Ok(Node::File(file)) => {
                let bytes = person.contents(theirs)?;
                self.check(bytes == self.files[file], || format!("the bytes of {path}"));
                self.note("read", Ok(()), Ok(()))
            }
            _ => {
                let found = person.lookup(theirs);
                self.note("look", expected.map(drop), found.map(drop))?;
                person.close(found?);
                Ok(())
            }
        }
    }

    fn use_open(&mut self, clients: &[Client<'_>], random: &mut Rng) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        let index = random.usize(..self.open.len());
        let (person, _) = clients[self.open[index].client];
        let Open { handle, file, .. } = self.open[index];
        let size = self.files[&file].len() as u64;
        match random.u32(..12) {
            0 | 1 => {
                said(person.fs().close(handle))?;
                self.open.swap_remove(index);
                self.sweep();
                self.note("close", Ok(()), Ok(()))
            }
            2 => {
                let size = match random.u32(..3) {
                    0 => random.u64(..=size) & !7,
                    1 => 0,
                    _ => random.u64(..self.size_max) & !7,
                };
                self.note("truncate", Ok(()), said(person.fs().truncate(handle, size)))?;
                self.files.get_mut(&file).unwrap().resize(size as usize, 0);
                Ok(())
            }
            3 => {
                let links = self.nodes.values().filter(|node| **node == Node::File(file)).count();
                let status = said(person.fs().stat(handle))?;
                let is = (status.size_bytes, status.links as usize);
                self.check(is == (size, links), || format!("{is:?}, not {:?}", (size, links)));
                self.note("stat", Ok(()), Ok(()))
            }
            4..7 => {
                let offset = random.u64(..=size);
                let count = random.usize(1..200_000);
                let read = person.read(handle, offset, count)?;
                let bytes = &self.files[&file][offset as usize..];
                let is_same = read == bytes[..count.min(bytes.len())];
                self.check(is_same, || format!("bytes of {file} from {offset} on"));
                self.note("read", Ok(()), Ok(()))
            }
            7 => {
                let window = random.u64(..=size) >> 21;
                let (lent, count) = person.lent(handle, window << 21)?;
                let bytes = &self.files[&file][(window << 21) as usize..];
                let count = count as usize;
                let most = bytes.len().min(64 << 10);
                let is_same = count == bytes.len().min(2 << 20)
                    && (most == 0 || person.start_of(&lent, most) == bytes[..most]);
                self.check(is_same, || format!("window {window} of {file}"));
                lent.0.destroy().unwrap();
                self.note("read_lent", Ok(()), Ok(()))
            }
            _ => self.write(person, index, random),
        }
    }

    /// Writes words that say which file they were written to.
    fn write(&mut self, person: &Person, index: usize, random: &mut Rng) -> Outcome {
        let Open { handle, file, .. } = self.open[index];
        let size = self.files[&file].len() as u64;
        let offset = match random.u32(..4) {
            0 => size,
            1 => random.u64(..self.size_max),
            _ => random.u64(..=size),
        } & !7;
        let count = match random.u32(..8) {
            0 => random.u64(1..1 << 17),
            _ => random.u64(1..2000),
        };
        let number = random.u32(..);
        let word = u64::from(file) | u64::from(number) << 32;
        let new: Vec<u8> = (0..count).flat_map(|_| word.to_le_bytes()).collect();
        let is = person.write(handle, offset, &new).map(drop);
        let is_done = is.is_ok() || self.is_interrupted(is);
        let bytes = self.files.get_mut(&file).unwrap();
        if is_done {
            let end = offset as usize + new.len();
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset as usize..end].copy_from_slice(&new);
        }
        self.note("write", Ok(()), is)
    }
}

/// Returns a directory as a client with this root names it.
fn root_of(directory: &str, root: &str) -> String {
    match &directory[root.len()..] {
        "" => "/".to_owned(),
        path => path.to_owned(),
    }
}

/// Returns all that a client finds.
pub(crate) fn seen(person: &Person) -> Result<Tree, FsError> {
    let mut tree = Tree::new();
    let mut left = vec![String::new()];
    while let Some(directory) = left.pop() {
        for (name, kind) in person.list(&root_of(&directory, ""), 4)? {
            let path = format!("{directory}/{}", String::from_utf8(name).unwrap());
            if path == "/lost+found" {
                continue;
            }
            let seen = match kind {
                FileKind::Regular => Seen::File(person.contents(&path)?),
                FileKind::Symlink => Seen::Link(person.target(&path)?),
                _ => {
                    left.push(path.clone());
                    Seen::Directory
                }
            };
            tree.insert(path, seen);
        }
    }
    Ok(tree)
}

/// Fails unless two trees are the same; says where they are not.
pub(crate) fn assert_same(is: &Tree, should_be: &Tree, when: &str) {
    for path in is.keys().chain(should_be.keys()) {
        let (is, should) = (is.get(path), should_be.get(path));
        if is != should {
            panic!("{when}: {path} is {}, not {}", shape(is), shape(should));
        }
    }
}

fn shape(seen: Option<&Seen>) -> String {
    match seen {
        None => "not there".to_owned(),
        Some(Seen::File(bytes)) => format!("a file of {} bytes", bytes.len()),
        Some(other) => format!("{other:?}"),
    }
}
