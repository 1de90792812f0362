// SPDX-License-Identifier: BSD-2-Clause
//! Prepares tests of the whole system: folders, images, system files.
#![allow(dead_code)] // Each test file uses only a part of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use fsserver_api::{Client, FileHandle};
use pmserver_client::{Container, Pm};
use sim::machine::Architecture;
use sim::system::{Channel, Domain, Settings, System};
use sim::system_file::SystemFile;

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// Returns an empty folder of this name, for one test.
pub(crate) fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Makes the file system image of a folder, with the script that the Makefile uses.
pub(crate) fn image_file(files: &Path, image: &Path) {
    image_of_kind("region", files, image);
}

/// Makes an image of this kind.
pub(crate) fn image_of_kind(kind: &str, files: &Path, image: &Path) {
    let script = root().join("support/make/fs-image.sh");
    let output = Command::new(&script).args([files, image]).arg(kind).output();
    let output = output.expect("bash is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the image of the example files in the repository.
pub(crate) fn example_image(test: &str) -> Vec<u8> {
    let image = folder(test).join("fs.img");
    image_file(&root().join("support/files"), &image);
    std::fs::read(image).unwrap()
}

pub(crate) fn demo_text() -> String {
    std::fs::read_to_string(root().join("support/testing/systems/region.xml")).unwrap()
}

pub(crate) fn demo_file() -> SystemFile {
    SystemFile::parse(&demo_text()).unwrap()
}

/// The demo's system with a pool of 16 MiB, of which the peers may use little more than the demo
/// needs: limits so low that they run out.
pub(crate) fn small_demo_text() -> String {
    let mut text = demo_text();
    for (from, to) in [
        (r#"size_bits="26""#, r#"size_bits="24""#),
        (r#"limit="0x1000000""#, r#"limit="0x8A0000""#),
        (r#"limit="0x2000000""#, r#"limit="0x380000""#),
    ] {
        assert!(text.contains(from), "{from} is in the file");
        text = text.replacen(from, to, 1);
    }
    text
}

pub(crate) fn small_demo_file() -> SystemFile {
    SystemFile::parse(&small_demo_text()).unwrap()
}

pub(crate) fn scenario_text() -> String {
    let path = root().join("support/testing/scenarios/microkit-system.xml");
    std::fs::read_to_string(path).unwrap()
}

pub(crate) fn scenario_file() -> SystemFile {
    SystemFile::parse(&scenario_text()).unwrap()
}

pub(crate) fn disk_text() -> String {
    std::fs::read_to_string(root().join("support/testing/systems/disk.xml")).unwrap()
}

pub(crate) fn disk_file() -> SystemFile {
    SystemFile::parse(&disk_text()).unwrap()
}

/// The scenarios' system.
pub(crate) fn scenario_settings<'a>(file: &'a SystemFile, image: &'a [u8]) -> Settings<'a> {
    settings(file, image)
}

pub(crate) fn settings<'a>(file: &'a SystemFile, image: &'a [u8]) -> Settings<'a> {
    let architecture = Architecture::X86_64;
    Settings { file, image, disk: None, architecture, mishap: None, echo: false }
}

/// A file that is in the example image.
pub(crate) const PATH: &[u8] = b"/containers.txt";

/// A system of the demo, and its client's domain.
pub(crate) struct Stage {
    pub(crate) system: System,
    pub(crate) domain: Domain,
    pub(crate) pm: Pm<Channel>,
}

impl Stage {
    pub(crate) fn new(test: &str, file: &SystemFile) -> Self {
        let image = example_image(test);
        let system = System::start(&settings(file, &image)).unwrap();
        let domain = system.domain("client-demo").unwrap();
        let pm = Pm::new(domain.channel(0));
        Self { system, domain, pm }
    }

    /// Opens the file; returns its handle and its size as well.
    pub(crate) fn open(&self) -> (Client<Channel>, FileHandle, u64) {
        let mut fs = Client::new(self.domain.channel(1));
        let file = fs.lookup_short(PATH).unwrap();
        let size = fs.stat(file).unwrap().size_bytes;
        (fs, file, size)
    }

    /// A new container of the client's with frames `0..count`.
    pub(crate) fn frames(&self, count: u64) -> Container<'_, Channel> {
        let container = self.pm.account().create_container().unwrap();
        container.allocate(0..count).unwrap();
        container
    }

    /// Panics if a fault was reported, or an invariant does not hold.
    pub(crate) fn check_quiet(&self) {
        assert_eq!(self.system.transcript().escape_ascii().to_string(), "", "a fault was reported");
        check(&self.system, &"afterwards");
    }
}

/// Panics if one of pmserver's invariants does not hold.
pub(crate) fn check(system: &System, when: &dyn std::fmt::Display) {
    if let Err(sentence) = system.with_server(|server| server.check_invariants()) {
        panic!("{when}: {sentence}");
    }
}
