// SPDX-License-Identifier: BSD-2-Clause
//! Disks in memory, and the images that they begin with.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use fsserver_volume::{Access, BLOCK_BYTES, BlockDevice, Clock, DeviceError, Error, Ext4, Time};

/// What was done to a disk.
#[derive(Clone)]
pub(crate) enum Done {
    Write(u64, Vec<u8>),
    Flush,
}

/// A disk.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Vec<u8>,
    /// What was done, if that is recorded.
    pub(crate) log: Option<Vec<Done>>,
    pub(crate) is_read_only: bool,
    /// So many writes succeed, then all fail.
    pub(crate) writes_left: Option<u32>,
}

impl Memory {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, ..Self::default() }
    }

    fn slice(&mut self, first: u64, length: usize) -> Result<&mut [u8], DeviceError> {
        assert!(length.is_multiple_of(BLOCK_BYTES) && length > 0, "whole blocks, not {length}");
        let start = usize::try_from(first).unwrap().checked_mul(BLOCK_BYTES).ok_or(DeviceError)?;
        self.bytes.get_mut(start..start.saturating_add(length)).ok_or(DeviceError)
    }
}

impl BlockDevice for Memory {
    fn blocks(&self) -> u64 {
        (self.bytes.len() / BLOCK_BYTES) as u64
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        to.copy_from_slice(self.slice(first, to.len())?);
        Ok(())
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        assert!(!self.is_read_only, "a disk that cannot be written is written");
        if let Some(left) = &mut self.writes_left {
            *left = left.checked_sub(1).ok_or(DeviceError)?;
        }
        self.slice(first, from.len())?.copy_from_slice(from);
        if let Some(log) = &mut self.log {
            log.push(Done::Write(first, from.to_vec()));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        assert!(!self.is_read_only, "a disk that cannot be written is flushed");
        if self.writes_left == Some(0) {
            return Err(DeviceError);
        }
        if let Some(log) = &mut self.log {
            log.push(Done::Flush);
        }
        Ok(())
    }
}

/// A disk that the test can look at while it is mounted.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Rc<RefCell<Memory>>);

impl Shared {
    pub(crate) fn new(disk: Memory) -> Self {
        Self(Rc::new(RefCell::new(disk)))
    }
}

impl BlockDevice for Shared {
    fn blocks(&self) -> u64 {
        self.0.borrow().blocks()
    }

    fn is_read_only(&self) -> bool {
        self.0.borrow().is_read_only()
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        self.0.borrow_mut().read(first, to)
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        self.0.borrow_mut().write(first, from)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.0.borrow_mut().flush()
    }
}

/// A clock that stands.
#[derive(Clone)]
pub(crate) struct Noon;

impl Clock for Noon {
    fn now(&self) -> Time {
        Time { seconds: 1_800_000_000, nanoseconds: 0 }
    }
}

pub(crate) type Mounted<'a> = Ext4<&'a mut Memory, Noon>;

pub(crate) fn mount(disk: &mut Memory, access: Access) -> Result<Mounted<'_>, Error> {
    Ext4::mount(disk, Noon, access)
}

/// Returns how often a test does something: `usual` times, or as the environment says.
pub(crate) fn times(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().expect("a number"))
}

/// Features of which mke2fs.conf of this machine shall say nothing.
pub(crate) const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,\
    flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Returns the options of mke2fs for a volume that can be written, in blocks of so many bytes.
pub(crate) fn writable(block_bytes: u32) -> Vec<String> {
    let block_bytes = block_bytes.to_string();
    let options = ["-b", &block_bytes, "-O", FEATURES, "-J", "size=4", "-m", "0"];
    options.map(str::to_owned).to_vec()
}

/// Makes an image of this size with nothing in it.
pub(crate) fn blank(kib: u64, options: &[String]) -> Vec<u8> {
    blank_file(kib, options).read()
}

pub(crate) fn blank_file(kib: u64, options: &[String]) -> TemporaryFile {
    let file = TemporaryFile::new(b"");
    let mut arguments = vec!["-q", "-F", "-t", "ext4"];
    arguments.extend(options.iter().map(String::as_str));
    let size = format!("{kib}k");
    arguments.extend([file.0.to_str().unwrap(), &size]);
    let (printed, is_done) = run("mke2fs", &arguments);
    assert!(is_done, "{printed}");
    file
}

/// A file that is gone at the end.
pub(crate) struct TemporaryFile(pub(crate) std::path::PathBuf);

static FILES: AtomicU32 = AtomicU32::new(0);

impl TemporaryFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = format!("fsserver-volume-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let file = File::create(&path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        // Most of an image is zeros: a file with holes is made sooner.
        for (index, part) in bytes.chunks(4096).enumerate() {
            if part.iter().any(|byte| *byte != 0) {
                file.write_all_at(part, index as u64 * 4096).unwrap();
            }
        }
        Self(path)
    }

    pub(crate) fn read(&self) -> Vec<u8> {
        std::fs::read(&self.0).unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns a tool that may be where only root looks for it.
pub(crate) fn with_sbin(tool: &str) -> Command {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(tool);
    command.env("PATH", path);
    command
}

/// Runs a tool of e2fsprogs, and returns what it prints and whether it says that all is well.
pub(crate) fn run(tool: &str, arguments: &[&str]) -> (String, bool) {
    let output = with_sbin(tool).args(arguments).output();
    let output = output.expect("e2fsprogs is missing: install the package");
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    (printed, output.status.success())
}

/// Fails unless e2fsck finds nothing to complain of.
pub(crate) fn assert_clean(bytes: &[u8], when: &str) {
    let file = TemporaryFile::new(bytes);
    assert_clean_file(&file.0, when);
}

pub(crate) fn assert_clean_file(path: &Path, when: &str) {
    let options = ["-fn", "-E", "no_optimize_extents", path.to_str().unwrap()];
    let (printed, is_clean) = run("e2fsck", &options);
    if !is_clean && std::env::var_os("VOLUME_KEEP").is_some() {
        std::fs::copy(path, "/tmp/volume-unclean.img").unwrap();
    }
    assert!(is_clean, "{when}: {printed}");
}
