// SPDX-License-Identifier: BSD-2-Clause
//! Tests the harness with shell scripts in place of QEMU, most of which misbehave.
//!
//! Each test checks the exit status for one behaviour of the machine. A harness that always reports
//! PASS fails here.
#![allow(clippy::unwrap_used, clippy::panic)] // Test helpers may panic, just as tests may.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the command that runs the harness on a shell script with the given time limit.
fn boot(timeout_seconds: &str, arguments: &[&str], script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_boot"));
    command.args(["run", "--timeout", timeout_seconds]).args(arguments);
    command.args(["--", "sh", "-c", script]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn output(timeout_seconds: &str, script: &str) -> Output {
    boot(timeout_seconds, &[], script).output().unwrap()
}

/// Returns a path for a file of one test; removes a file that an earlier run left there.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the process numbers that a script wrote to a file, one on each line.
fn pids(path: &Path, count: usize) -> Vec<Pid> {
    let read = || fs::read_to_string(path).unwrap_or_default();
    wait_until("the start of the script", || read().lines().count() == count);
    read().lines().map(|line| Pid::from_raw(line.parse().unwrap())).collect()
}

fn is_gone(pid: Pid) -> bool {
    // A process that has ended keeps its number, as a zombie, until its parent waits for it.
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill(pid, None) == Err(Errno::ESRCH) || state.contains(") Z ")
}

fn status_within_patience(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("the end of the harness", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

#[test]
fn pass_ends_the_run_at_once_with_status_0() {
    let start = Instant::now();
    let output = output("20", r"printf 'one\r\ntwo\r\nPASS\r\nafter\r\n'; exec sleep 30");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"one\ntwo\nPASS\n");
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn fail_ends_the_run_at_once_with_status_1() {
    let bare = output("20", "echo FAIL; echo PASS; exec sleep 30");
    assert_eq!(bare.status.code(), Some(1));
    let with_reason = output("20", "echo 'FAIL: a leak'; echo PASS; exec sleep 30");
    assert_eq!(with_reason.status.code(), Some(1));
    assert_eq!(with_reason.stdout, b"FAIL: a leak\n");
}

#[test]
fn a_sentinel_must_be_a_whole_line() {
    let script = "echo ' PASS'; echo 'PASS '; echo 'PASSED'; echo 'S9 FAIL: no'; echo; printf PASS";
    assert_eq!(output("20", script).status.code(), Some(2));
}

#[test]
fn sentinels_can_be_set_by_options() {
    let arguments = ["--pass", "all good", "--fail", "panic"];
    let run = |script| boot("20", &arguments, script).output().unwrap().status.code();
    assert_eq!(run("echo PASS; echo all good; exec sleep 30"), Some(0));
    assert_eq!(run("echo FAIL; echo 'panic: at boot'; exec sleep 30"), Some(1));
}

#[test]
fn a_silent_machine_times_out() {
    let output = output("1", "printf 'not a whole line'; exec sleep 30");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"not a whole line");
    assert!(String::from_utf8_lossy(&output.stderr).contains("within 1 s"));
}

#[test]
fn endless_output_times_out() {
    let mut child = boot("1", &[], "exec yes").stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(status_within_patience(&mut child), Some(2));
}

#[test]
fn a_machine_that_ends_by_itself_does_not_pass() {
    for script in ["exit 0", "echo one; exit 3", "kill -9 $$", "printf PASS", "printf 'x\nPAS'"] {
        let output = output("20", script);
        assert_eq!(output.status.code(), Some(2), "{script}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("ended by itself"), "{script}");
    }
}

#[test]
fn a_closed_console_ends_the_run() {
    let start = Instant::now();
    assert_eq!(output("30", "exec >&-; exec sleep 30").status.code(), Some(2));
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn garbage_and_huge_lines_do_no_harm() {
    let garbage = r"head -c 100000 /dev/urandom | tr -d '\r'; printf '\n\377\000\nPASS\n'";
    let out = output("20", &format!("{garbage}; exec sleep 30"));
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.ends_with(b"\n\xFF\x00\nPASS\n"));

    let huge = r"head -c 3000000 /dev/zero | tr '\000' x; echo; echo PASS; exec sleep 30";
    let out = output("20", huge);
    assert_eq!(out.status.code(), Some(0));
    assert_eq!(out.stdout.len(), 3_000_000 + "\nPASS\n".len());
}

#[test]
fn output_is_printed_at_once() {
    let go_on = scratch("go-on");
    let script = format!(
        "printf begun; while [ ! -e '{}' ]; do sleep 0.05; done; echo; echo PASS; exec sleep 30",
        go_on.display()
    );
    let mut child = boot("20", &[], &script).spawn().unwrap();
    let mut begun = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut begun).unwrap();
    assert_eq!(&begun, b"begun");
    fs::write(&go_on, "").unwrap();
    assert_eq!(status_within_patience(&mut child), Some(0));
}

#[test]
fn stopping_the_harness_stops_qemu_and_what_it_started() {
    for (signal, name) in
        [(Signal::SIGINT, "int"), (Signal::SIGTERM, "term"), (Signal::SIGHUP, "hup")]
    {
        let file = scratch(name);
        let script = format!(
            "trap '' INT TERM HUP; sleep 300 & echo $! >'{0}'; echo $$ >>'{0}'; wait",
            file.display()
        );
        let mut child = boot("300", &[], &script).spawn().unwrap();
        let started = pids(&file, 2);
        kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert_eq!(status_within_patience(&mut child), Some(130), "{name}");
        for pid in started {
            wait_until("the end of every process", || is_gone(pid));
        }
    }
}

#[test]
fn every_other_outcome_stops_qemu_and_what_it_started() {
    for (end, name, status) in
        [("echo PASS", "passed", 0), ("echo FAIL", "failed", 1), (":", "late", 2)]
    {
        let file = scratch(name);
        let script =
            format!("sleep 300 & echo $! >'{0}'; echo $$ >>'{0}'; {end}; wait", file.display());
        let mut child = boot("2", &[], &script).spawn().unwrap();
        let started = pids(&file, 2);
        assert_eq!(status_within_patience(&mut child), Some(status), "{name}");
        for pid in started {
            wait_until("the end of every process", || is_gone(pid));
        }
    }
}

#[test]
fn a_line_is_typed_when_the_system_asks_for_it_and_not_before() {
    let lines = scratch("lines");
    fs::write(&lines, "first line\nsecond\nthird\n").unwrap();
    let script = "echo '> '; printf '> '; read -r line; echo \"$line\"; \
        early=$(timeout 0.3 cat); echo \"early: $early.\"; \
        printf '> '; read -r line; echo \"$line\"; echo PASS";
    let typed = ["--typed", lines.to_str().unwrap()];
    let output = boot("20", &typed, script).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, "> \n> first line\nearly: .\n> second\nPASS\n");
}

#[test]
fn what_is_typed_to_the_harness_reaches_the_system() {
    let script = r"read -r line; printf 'a\rb%s\n' $line; echo PASS";
    let mut child = boot("20", &["--keyboard"], script).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"keys\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"a\rbkeys\nPASS\n");
    let neither = boot("20", &[], "cat; echo PASS").stdin(Stdio::piped()).spawn().unwrap();
    assert_eq!(neither.wait_with_output().unwrap().stdout, b"PASS\n", "nobody types");
}

#[test]
fn the_message_for_a_missing_qemu_names_the_package_to_install() {
    for (program, package) in
        [("qemu-system-aarch64", "qemu-system-arm"), ("qemu-system-x86_64", "qemu-system-x86")]
    {
        let program = format!("/nowhere/{program}");
        let output = Command::new(env!("CARGO_BIN_EXE_boot"))
            .args(["run", "--", &program])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(package) && message.lines().count() == 1, "{message}");
    }
}

#[test]
fn wrong_usage_exits_with_status_2() {
    for arguments in
        [&["run"][..], &["run", "--"], &["run", "--timeout", "soon", "--", "true"], &[]]
    {
        let status =
            Command::new(env!("CARGO_BIN_EXE_boot")).args(arguments).output().unwrap().status;
        assert_eq!(status.code(), Some(2), "{arguments:?}");
    }
}
