// SPDX-License-Identifier: BSD-2-Clause
//! Disks to begin with, and what the tools of e2fsprogs say of a disk afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Features of which mke2fs.conf of this machine shall say nothing.
const FEATURES: &str = "none,has_journal,ext_attr,dir_index,filetype,extent,64bit,flex_bg,\
    sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// Returns a file that a test can overwrite.
fn scratch() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("files-{}-{number}", std::process::id()))
}

/// Runs a tool; returns what it prints, and whether it says that all is well.
fn run(tool: &str, arguments: &[&str]) -> (Vec<u8>, bool) {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(tool).env("PATH", path).args(arguments).output();
    let output = output.expect("e2fsprogs is missing: install the package");
    let is_well = output.status.success();
    (if is_well { output.stdout } else { [output.stdout, output.stderr].concat() }, is_well)
}

/// A disk's contents in a file, which is gone at the end.
struct File(PathBuf);

impl File {
    fn new(bytes: &[u8]) -> Self {
        let path = scratch();
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns a volume of so many MiB in blocks of so many bytes, with these files in it. Directories
/// end with a slash.
pub(crate) fn volume(mib: u64, block_bytes: u32, files: &[(&str, &[u8])]) -> Vec<u8> {
    let folder = scratch();
    std::fs::create_dir_all(&folder).unwrap();
    for (path, bytes) in files {
        let path = folder.join(path);
        let is_directory = path.to_str().unwrap().ends_with('/');
        std::fs::create_dir_all(if is_directory { &path } else { path.parent().unwrap() }).unwrap();
        if !is_directory {
            std::fs::write(path, bytes).unwrap();
        }
    }
    let image = File::new(b"");
    let (block, size) = (block_bytes.to_string(), format!("{mib}M"));
    let (from, options) = (folder.to_str().unwrap(), ["-q", "-F", "-t", "ext4", "-m", "0"]);
    let more = ["-b", &block, "-O", FEATURES, "-J", "size=4", "-d", from, image.path(), &size];
    let (printed, is_made) = run("mke2fs", &[&options[..], &more].concat());
    assert!(is_made, "{}", String::from_utf8_lossy(&printed));
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::read(&image.0).unwrap()
}

fn assert_clean(file: &File, when: &str) {
    let (printed, is_clean) = run("e2fsck", &["-fn", "-E", "no_optimize_extents", file.path()]);
    let printed = String::from_utf8_lossy(&printed);
    assert!(is_clean, "{when}: {printed}");
}

/// Replays the journal of a disk and frees what was removed, which may be all that is left to do.
/// Returns the disk then.
pub(crate) fn replayed(disk: &[u8], when: &str) -> Vec<u8> {
    let file = File::new(disk);
    let (printed, _) = run("e2fsck", &["-p", file.path()]);
    let printed = String::from_utf8_lossy(&printed);
    assert!(!printed.contains("FIXED") && !printed.contains("UNEXPECTED"), "{when}: {printed}");
    assert_clean(&file, when);
    std::fs::read(&file.0).unwrap()
}

/// Returns the bytes that debugfs finds in a file, if there is one.
pub(crate) fn bytes_in(disk: &[u8], path: &str) -> Vec<u8> {
    let file = File::new(disk);
    let (bytes, is_read) = run("debugfs", &["-R", &format!("cat \"{path}\""), file.path()]);
    assert!(is_read, "debugfs cannot read it");
    bytes
}
