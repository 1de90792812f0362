// SPDX-License-Identifier: BSD-2-Clause
//! Folders and the ext4 images that mke2fs makes of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is gone at the end of the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("fsserver-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("files")).unwrap();
        Self(path)
    }

    /// Returns the folder that the image is made of.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, contents: &[u8]) {
        let path = self.files().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    pub(crate) fn image(&self) -> Vec<u8> {
        self.image_with(&["-b", "4096"])
    }

    /// Returns the image that mke2fs makes with more options.
    pub(crate) fn image_with(&self, options: &[&str]) -> Vec<u8> {
        let (bytes, files) = size_of(&self.files());
        let path = self.0.join("image");
        let size = format!("{}k", (bytes + bytes / 4 + files * 8192 + (4 << 20)) / 1024);
        let output = Command::new("mke2fs")
            .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
            .args(["-q", "-F", "-t", "ext4", "-m", "0", "-N", &(files + 64).to_string()])
            .args(options)
            .arg("-d")
            .args([self.files(), path.clone()])
            .arg(&size)
            .output()
            .expect("mke2fs is missing: install the package e2fsprogs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::read(path).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn size_of(folder: &Path) -> (u64, u64) {
    let mut total = (0, 0);
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (bytes, files) = match entry.file_type().unwrap().is_dir() {
            true => size_of(&entry.path()),
            false => (entry.metadata().unwrap().len(), 0),
        };
        total = (total.0 + bytes, total.1 + files + 1);
    }
    total
}

/// Returns bytes that look like nothing in particular, the same every time.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(bytes);
    data
}
