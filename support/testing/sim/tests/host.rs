// SPDX-License-Identifier: BSD-2-Clause
//! What happens on the host before the system runs: one make at a time, and the image of a folder.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

use sim::system::{End, System, client_demo};

/// Runs a command as the Makefile does, alone in a folder.
fn alone(folder: &Path, command: &[&str]) -> Command {
    let mut alone = Command::new(stage::root().join("support/make/alone.sh"));
    alone.args(command).current_dir(folder).env_remove("MAKE_IS_ALONE");
    alone.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    alone
}

#[test]
fn a_second_make_in_a_checkout_waits_and_says_so() {
    let folder = stage::folder("alone");
    // The first one holds the lock from before it makes the file, for a second.
    let slow = "touch started; sleep 1; echo first > last";
    let first = alone(&folder, &["bash", "-c", slow]).spawn().unwrap();
    while !folder.join("started").exists() {
        std::thread::yield_now();
    }
    let second = alone(&folder, &["bash", "-c", "cat last"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&second.stdout), "first\n");
    assert!(String::from_utf8_lossy(&second.stderr).contains("waiting for another make"));
    assert!(first.wait_with_output().unwrap().status.success());
    let third = alone(&folder, &["true"]).output().unwrap();
    assert!(third.status.success() && third.stderr.is_empty());
}

/// Serves a folder to the demo and returns what that prints.
fn serve(folder: &Path, image: &Path) -> (bool, String) {
    stage::image_file(folder, image);
    let (file, image) = (stage::demo_file(), std::fs::read(image).unwrap());
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let End::Finished(passed) = system.run("client-demo", client_demo) else {
        panic!("the demo has not ended");
    };
    (passed, String::from_utf8_lossy(&system.transcript()).into_owned())
}

#[test]
fn a_hole_takes_no_room_in_the_image() {
    let folder = stage::folder("sparse");
    let (files, image) = (folder.join("files"), folder.join("fs.img"));
    std::fs::create_dir(&files).unwrap();
    let sparse = File::create(files.join("sparse")).unwrap();
    sparse.set_len(40 << 20).unwrap();
    sparse.write_all_at(b"in the middle", 20 << 20).unwrap();
    let (passed, printed) = serve(&files, &image);
    assert!(passed, "{printed}");
    assert!(image.metadata().unwrap().len() < 8 << 20, "the image is as large as the file");
    let sum = Command::new("sha256sum").arg("sparse").current_dir(&files).output().unwrap();
    assert!(printed.contains(String::from_utf8_lossy(&sum.stdout).as_ref()), "{printed}");
}

#[test]
fn lost_and_found_is_a_folder_like_any_other() {
    let folder = stage::folder("lost and found");
    let files = folder.join("files");
    std::fs::create_dir_all(files.join("lost+found/more")).unwrap();
    for path in ["file", "lost+found/found", "lost+found/more/found"] {
        std::fs::write(files.join(path), path).unwrap();
    }
    let (passed, printed) = serve(&files, &folder.join("fs.img"));
    assert!(passed, "{printed}");
    for path in ["  file\n", "  lost+found/found\n", "  lost+found/more/found\n"] {
        assert!(printed.contains(path), "{printed}");
    }
}

#[test]
fn an_image_that_the_simulator_has_no_room_for_is_told_in_a_sentence() {
    let file = stage::demo_file();
    let image = vec![0; 256 << 20];
    let sentence = System::start(&stage::settings(&file, &image)).err().unwrap();
    assert!(sentence.contains("has 256 MiB, and the simulator has room for 253"), "{sentence}");
}

#[test]
fn what_is_no_ext4_image_is_told_as_that() {
    let file = stage::demo_file();
    let image = b"text".repeat(10_000);
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    assert_eq!(system.run("client-demo", client_demo), End::Finished(false));
    let printed = String::from_utf8(system.transcript()).unwrap();
    let end =
        "cannot read /\nFAIL: looking up a path: fsserver: the image is no ext4 file system\n";
    assert!(printed.ends_with(end), "{printed}");
}
