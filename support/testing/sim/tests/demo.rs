// SPDX-License-Identifier: BSD-2-Clause
//! Runs the demo in the simulator and checks its output with the host's `sha256sum`.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod stage;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use client_demo_core::PATH_PAGE;
use fsserver_api::Request;
use pmserver_api::{ContainerHandle, GrantMapper, KernelRefused, LockMode, MapFlags, PmError};
use pmserver_client::Pm;
use proto::{FrameCount, FrameNumber, Message, Micros, Transport, VirtAddr};
use sim::machine::Architecture;
use sim::system::{Channel, Domain, End, Settings, System, client_demo};

fn write(folder: &Path, path: &str, bytes: usize) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let contents: Vec<u8> =
        (0..bytes).map(|at| (at.wrapping_mul(0x9E37_79B1) >> 11 ^ bytes) as u8).collect();
    std::fs::write(path, contents).unwrap();
}

/// Fills a folder with files whose sizes, names and depths are likely to cause trouble. Returns
/// their number.
fn fill(folder: &Path) -> usize {
    let sizes = [0, 1, 31, 4095, 4096, 4097, 65_536, 262_143, 262_144, 262_145, 3_000_001];
    for size in sizes {
        write(folder, &format!("sizes/{size}.bin"), size);
    }
    let odd = [
        "a name with spaces",
        "dots...and..more",
        ".hidden",
        "-n",
        "$(echo no)",
        "'quoted'",
        "\"double\"",
        "umlaut-äöü",
        "日本語",
        "tab\tinside",
        "semi;colon&and|pipe",
        &"long".repeat(60),
    ];
    for (number, name) in odd.iter().enumerate() {
        write(folder, &format!("odd/{name}"), 100 + number);
    }
    let deep: String = (0..40).map(|level| format!("level-{level}/")).collect();
    write(folder, &format!("{deep}bottom"), 5000);
    for number in 0..400 {
        write(folder, &format!("many/{:02}/{number}.txt", number % 17), number * 13);
    }
    std::fs::create_dir_all(folder.join("empty/inside")).unwrap();
    sizes.len() + odd.len() + 1 + 400
}

fn checksum_lines(transcript: &str) -> Vec<&str> {
    let is_checksum = |line: &&str| {
        line.len() > 66
            && line.as_bytes()[..64].iter().all(u8::is_ascii_hexdigit)
            && &line[64..66] == "  "
    };
    transcript.lines().filter(is_checksum).collect()
}

fn sha256sum(folder: &Path, lines: &[&str]) -> Output {
    let mut child = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet"])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sha256sum is installed");
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "{}", lines.join("\n")).unwrap();
    drop(input);
    child.wait_with_output().unwrap()
}

#[test]
fn sha256sum_accepts_what_the_demo_prints() {
    let folder = stage::folder("demo");
    let files = folder.join("files");
    let count = fill(&files);
    let image = folder.join("fs.img");
    stage::image_file(&files, &image);
    let output = Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["run", "--system"])
        .arg(stage::root().join("support/testing/systems/region.xml"))
        .arg("--image")
        .arg(&image)
        .output()
        .unwrap();
    let transcript = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(transcript.lines().last(), Some("PASS"));
    let lines = checksum_lines(&transcript);
    assert_eq!(lines.len(), count);
    assert!(lines.is_sorted_by_key(|line| &line[66..]), "sorted by path");
    let verdict = sha256sum(&files, &lines);
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stdout));
    std::fs::write(files.join("sizes/31.bin"), "changed").unwrap();
    assert!(!sha256sum(&files, &lines).status.success(), "sha256sum must notice a change");
}

#[test]
fn the_demo_leaves_accounts_and_pool_as_they_were() {
    let image = stage::example_image("accounts");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    assert_eq!(system.run("client-demo", client_demo), End::Finished(true));
    stage::check(&system, &"after the demo");
    let transcript = String::from_utf8(system.transcript()).unwrap();
    let accounts: Vec<&str> = transcript.lines().filter(|line| line.contains("account ")).collect();
    assert_eq!(accounts.len(), 6);
    assert_eq!(accounts[..3], accounts[3..]);
    assert_eq!(system.with_server(|server| server.kernel().machine().replaced_pages()), 0);
}

#[test]
fn the_transcript_is_the_same_in_every_run_and_on_both_architectures() {
    let image = stage::example_image("architectures");
    let file = stage::demo_file();
    let run = |architecture| {
        let settings = Settings { architecture, ..stage::settings(&file, &image) };
        let system = System::start(&settings).unwrap();
        assert_eq!(system.run("client-demo", client_demo), End::Finished(true));
        stage::check(&system, &"after the demo");
        (system.transcript(), system.with_server(|server| server.kernel().invocations()))
    };
    let first = run(Architecture::X86_64);
    assert_eq!(first, run(Architecture::X86_64));
    assert_eq!(first, run(Architecture::Aarch64));
}

#[test]
fn an_invalid_image_makes_the_demo_fail_but_damages_nothing() {
    let file = stage::demo_file();
    for image in [Vec::new(), vec![0; 100], vec![0xA5; 1 << 20]] {
        let system = System::start(&stage::settings(&file, &image)).unwrap();
        assert_eq!(system.run("client-demo", client_demo), End::Finished(false));
        stage::check(&system, &"after the demo");
        let transcript = String::from_utf8(system.transcript()).unwrap();
        assert!(transcript.lines().last().unwrap().starts_with("FAIL: "), "{transcript}");
    }
}

/// Maps grants and records what the demo mapped.
struct Watched {
    domain: Domain,
    mapped: Vec<(u64, VirtAddr, MapFlags)>,
}

impl GrantMapper for Watched {
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused> {
        self.mapped.push((capability, vaddr, rights));
        self.domain.map_granted(capability, vaddr, rights)
    }
}

/// A channel to the file server on which the file server, before each lookup, tries to lock the
/// client out of the container that it was lent. Records pmserver's replies.
struct Greedy {
    fs: Channel,
    pm: pmserver_api::Calls<Channel>,
    refusals: Vec<Option<PmError>>,
}

impl Greedy {
    fn lock(&mut self, container: ContainerHandle, mode: LockMode) {
        let (start, ttl) = (FrameNumber::new(0), Micros::new(1000));
        let locked = self.pm.lock(container, start, FrameCount::ONE, mode, ttl);
        self.refusals.push(locked.err().and_then(|error| error.refusal()));
    }
}

impl Transport for Greedy {
    fn call(&mut self, request: Message) -> Message {
        if let Ok(Request::Lookup { container, .. }) = Request::decode(&request) {
            self.lock(container, LockMode::Exclusive);
            self.lock(container, LockMode::Read);
        }
        self.fs.call(request)
    }
}

/// Runs the demo with this file server and these grants, and without reserving its heap.
fn run(system: &System, fs: impl Transport, grants: &mut impl GrantMapper) -> End<bool> {
    let mut fs = fsserver_api::Client::new(fs);
    system.run("client-demo", |domain| {
        let pm = Pm::new(domain.channel(0));
        let mut console = console_api::Client::new(domain.channel(2));
        client_demo_core::run(&pm, &mut fs, &mut domain.space(), grants, &mut console)
    })
}

#[test]
fn pm_210_the_demo_maps_the_page_for_paths_itself_and_returns_it() {
    let image = stage::example_image("granted");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let domain = system.domain("client-demo").unwrap();
    let mut watched = Watched { domain: domain.clone(), mapped: Vec::new() };
    assert_eq!(run(&system, domain.channel(1), &mut watched), End::Finished(true));
    let [(capability, vaddr, rights)] = watched.mapped[..] else { panic!("{:?}", watched.mapped) };
    assert_eq!((vaddr.get(), rights), (PATH_PAGE.start().get(), MapFlags::READ | MapFlags::WRITE));
    assert_eq!(watched.map_granted(capability, vaddr, rights), Err(KernelRefused), "PM-212");
    stage::check(&system, &"after the demo");
}

#[test]
fn pm_212_fsserver_cannot_lock_the_page_for_paths() {
    let image = stage::example_image("greedy");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let mut domain = system.domain("client-demo").unwrap();
    let pm = pmserver_api::Calls::new(system.domain("fsserver").unwrap().channel(0));
    let mut greedy = Greedy { fs: domain.channel(1), pm, refusals: Vec::new() };
    assert_eq!(run(&system, &mut greedy, &mut domain), End::Finished(true));
    assert!(greedy.refusals.len() > 10, "two attempts for every path");
    assert!(greedy.refusals.iter().all(|error| *error == Some(PmError::NoRight)));
    stage::check(&system, &"after the demo");
}
