// SPDX-License-Identifier: BSD-2-Clause
//! The files of the repository, for rules to look at.
#![allow(dead_code)] // Each test file uses its part.

pub(crate) mod paths;
pub(crate) mod source;

use std::path::Path;
use std::process::Command;

/// One file: where it is from the root, and what it says.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Whether it is part of a crate that must not know the platform.
    pub(crate) fn is_platform_free(&self) -> bool {
        ["pmserver", "fsserver", "client-demo", "support/drivers/block"].iter().any(|domain| {
            ["api", "client", "core", "volume"]
                .iter()
                .any(|part| self.path.starts_with(&format!("{domain}/{part}/")))
        })
    }

    /// Returns its lines, numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Returns its lines of code, without comments at their ends.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
            .filter(|(_, line)| !line.trim().is_empty())
    }
}

/// Returns the text files that git tracks or would track.
pub(crate) fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(&root)
        .output()
        .expect("git is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paths = String::from_utf8(output.stdout).expect("paths are text");
    let files = paths.split('\0').filter(|path| !path.is_empty());
    // A file that was deleted but not committed yet is tracked all the same; files are data of any
    // kind.
    files
        .filter_map(|path| {
            let text = std::fs::read_to_string(root.join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect()
}
