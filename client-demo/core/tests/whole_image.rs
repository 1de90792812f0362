// SPDX-License-Identifier: BSD-2-Clause
//! The demo's lines are what `sha256sum -c` takes, for whatever is in the folder.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

#[path = "../../../fsserver/core/tests/fake/mod.rs"]
mod fake;

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use fake::image::{Folder, noise};
use fake::{CLIENT, Machine};
use pmserver_client::{GrantMapper, KernelRefused, MapFlags, Pm, VirtAddr};
use proto::Console;

struct Printed(Vec<u8>);

impl Console for Printed {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn run(machine: &Machine) -> (bool, Vec<u8>) {
    let outcome = run_with(machine, &mut machine.space(CLIENT));
    machine.assert_at_rest();
    outcome
}

fn run_with(machine: &Machine, grants: &mut impl GrantMapper) -> (bool, Vec<u8>) {
    let mut printed = Printed(Vec::new());
    let pm = Pm::new(machine.pm(CLIENT));
    let (mut fs, mut space) = (machine.fs(), machine.space(CLIENT));
    let passed = client_demo_core::run(&pm, &mut fs, &mut space, grants, &mut printed);
    (passed, printed.0)
}

/// A kernel that maps nothing.
struct Refuses;

impl GrantMapper for Refuses {
    fn map_granted(&mut self, _: u64, _: VirtAddr, _: MapFlags) -> Result<(), KernelRefused> {
        Err(KernelRefused)
    }
}

fn is_checksum(line: &&[u8]) -> bool {
    let digits = line.strip_prefix(b"\\").unwrap_or(line);
    digits.len() > 66 && digits[..64].iter().all(u8::is_ascii_hexdigit) && &digits[64..66] == b"  "
}

/// Says whether `sha256sum -c` takes all the lines in the folder, and each line one file.
fn assert_checked(folder: &Folder, lines: &[&[u8]]) {
    let mut tool = Command::new("sha256sum")
        .args(["-c", "--strict"])
        .current_dir(folder.files())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sha256sum is missing: install the package coreutils");
    let mut stdin = tool.stdin.take().unwrap();
    for line in lines {
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
    }
    drop(stdin);
    let output = tool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let taken = output.stdout.split(|byte| *byte == b'\n').filter(|line| line.ends_with(b"OK"));
    assert_eq!(taken.count(), lines.len());
}

#[test]
fn every_name_and_size_is_checked_by_the_real_tool() {
    let folder = Folder::new();
    let names = [
        &b"plain"[..],
        b"with space",
        b" leading",
        b"trailing ",
        b"new\nline",
        b"new\nline and back\\slash",
        b"carriage\rreturn",
        b"back\\slash",
        b"\\leading backslash",
        b"\xff\xfe not unicode",
        "übung".as_bytes(),
        b"-",
        b"*star",
        b"#hash",
        b"tab\t",
        b"'quotes\"",
        b"lost+found file",
        b"a/deeper/one/than/the/others",
        b"a/lost+found/is only left out at the root",
        b"a.txt",
        b"a-b",
    ];
    for (name, seed) in names.iter().zip(0..) {
        folder.write(OsStr::from_bytes(name), &noise(seed as usize * 997, seed));
    }
    for size in [0, 1, 4096, 262_143, 262_144, 262_145, 3_000_000] {
        folder.write(format!("sizes/{size}"), &noise(size, 1));
    }
    for number in 0..400 {
        folder.write(format!("many/a file with a long name, number {number}"), b"x");
    }
    symlink("plain", folder.files().join("link")).unwrap();

    let (passed, printed) = run(&Machine::new(folder.image()));
    assert!(passed);
    let lines: Vec<_> = printed.split(|byte| *byte == b'\n').collect();
    let checksums: Vec<_> = lines.iter().copied().filter(is_checksum).collect();
    assert_eq!(checksums.len(), names.len() + 7 + 400);
    assert_checked(&folder, &checksums);

    assert!(lines[0].starts_with(b"account client-demo: limit "));
    assert_eq!(lines[..4], lines[lines.len() - 6..lines.len() - 2]);
    assert_eq!(lines[lines.len() - 2..], [&b"PASS"[..], b""]);
}

#[test]
fn lines_are_those_of_the_real_tool_in_the_order_of_sort() {
    let folder = Folder::new();
    for name in ["b", "a/c", "a.b", "a b", "a/b/c", "B", "a-b", "ä"] {
        folder.write(name, name.as_bytes());
    }
    let expected = Command::new("sh")
        .arg("-c")
        .arg("find . -type f -printf '%P\\n' | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum")
        .current_dir(folder.files())
        .output()
        .unwrap();
    let (_, printed) = run(&Machine::new(folder.image()));
    let checksums = printed.split_inclusive(|byte| *byte == b'\n');
    let checksums = checksums.filter(is_checksum).collect::<Vec<_>>().concat();
    assert_eq!(checksums, expected.stdout);
}

#[test]
fn an_empty_folder_passes() {
    let (passed, printed) = run(&Machine::new(Folder::new().image()));
    assert!(passed && !printed.split(|byte| *byte == b'\n').any(|line| is_checksum(&line)));
}

#[test]
fn an_image_that_cannot_be_read_fails_with_a_line_that_says_so() {
    let (passed, printed) = run(&Machine::new(vec![0; 1 << 20]));
    assert!(!passed);
    let end =
        b"cannot read /\nFAIL: looking up a path: fsserver: the image is no ext4 file system\n";
    assert!(printed.ends_with(end), "{}", printed.escape_ascii());
}

#[test]
fn a_page_that_the_kernel_does_not_map_fails_with_a_line_that_says_so() {
    let (passed, printed) = run_with(&Machine::new(Folder::new().image()), &mut Refuses);
    assert!(!passed);
    let end = b"FAIL: mapping the page for paths: the kernel refused\n";
    assert!(printed.ends_with(end), "{}", printed.escape_ascii());
}
