// SPDX-License-Identifier: BSD-2-Clause
//! Tests which console lines the transcript keeps, and how transcripts are compared.
#![allow(clippy::unwrap_used, clippy::panic)] // Test helpers may panic, just as tests may.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a debug system prints while it boots.
const PREAMBLE: &str = concat!(
    "LDR|INFO: loader for seL4 starting\r\n",
    "             seL4 configured as hypervisor\r\n",
    "Bootstrapping kernel\r\n",
    "  [60000000..c0000000)\r\n",
    "INFO  [sel4_capdl_initializer::initialize] Starting threads\r\n",
    "MON|INFO: Microkit Monitor started!\r\n",
);

const DMA_FAULT: &str = concat!(
    "IOMMU: DMA read page fault from 0x18 (bus: 0x0/dev: 0x3/fun: 0x0) on address 0x0:200000 ",
    "with reason code 0x6\r\n",
);

const REMARK: &str = concat!(
    "\x1b[0m\x1b[1m<<\x1b[0m\x1b[32mseL4(CPU 0)\x1b[0m\x1b[1m [decodeCNodeInvocation/69 ",
    "T0x806031c800 \"pmserver\" @218590]: CNode operation: Target slot invalid.>>\x1b[0m\r\n",
);

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Runs the harness on this console output; returns its exit status and the transcript.
fn transcript(name: &str, console: &str) -> (Option<i32>, String) {
    let (image, transcript) = (scratch(&format!("{name}.console")), scratch(name));
    fs::write(&image, console).unwrap();
    fs::write(&transcript, "left over from an earlier run\n".repeat(1000)).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_boot"))
        .args(["run", "--transcript", transcript.to_str().unwrap(), "--", "cat"])
        .arg(&image)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), console.replace('\r', ""));
    (output.status.code(), fs::read_to_string(&transcript).unwrap())
}

fn compare(expected: &str, actual: &str, name: &str) -> (Option<i32>, String) {
    let files = [scratch(&format!("{name}.expected")), scratch(&format!("{name}.actual"))];
    fs::write(&files[0], expected).unwrap();
    fs::write(&files[1], actual).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_boot")).arg("compare").args(files).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn lines_of_kernel_loader_and_monitor_are_left_out() {
    let passive = "MON|INFO: PD 'fsserver' is now passive!\r\n";
    let noise = format!("{REMARK}{passive}{DMA_FAULT}");
    let console = format!("{PREAMBLE}{passive}one\r\n{noise}\r\n two\r\nPASS\r\n");
    assert_eq!(transcript("debug", &console), (Some(0), "one\n\n two\nPASS\n".into()));
}

#[test]
fn release_output_is_kept_whole() {
    assert_eq!(transcript("release", "one\nPASS\n"), (Some(0), "one\nPASS\n".into()));
}

#[test]
fn unknown_lines_stay() {
    let console = format!("{PREAMBLE}Caught cap fault\r\nBootstrapping kernel\r\nFAIL: x\r\n");
    let expected = "Caught cap fault\nBootstrapping kernel\nFAIL: x\n";
    assert_eq!(transcript("unknown", &console), (Some(1), expected.into()));
}

#[test]
fn the_kernel_report_of_a_stopped_domain_is_left_out() {
    let report = concat!(
        "Found thread has no fault handler while trying to handle:\r\n",
        "vm fault on code at address 0x3f000000 with status 0x82000006\r\n",
        "in thread 0x80606be800 \"mortal-2\" at address 0x3f000000\r\n",
        "With stack:\r\n",
        "0x3f000000: INVALID\r\n",
        "0x3f000008: 0x0\r\n",
    );
    let console = format!("{PREAMBLE}one\r\n{report}two\r\n{report}0x3f000010: 0x1\r\nPASS\r\n");
    assert_eq!(transcript("stopped", &console), (Some(0), "one\ntwo\nPASS\n".into()));
    let stray = format!("{PREAMBLE}0x3f000010: 0x1\r\nPASS\r\n");
    assert_eq!(transcript("stray", &stray), (Some(0), "0x3f000010: 0x1\nPASS\n".into()));
}

#[test]
fn a_run_may_wait_for_several_lines_of_success() {
    let image = scratch("passes.console");
    fs::write(&image, "PASS\none\nPASS\ntwo\n").unwrap();
    for (passes, status) in [("1", 0), ("2", 0), ("3", 2)] {
        let output = Command::new(env!("CARGO_BIN_EXE_boot"))
            .args(["run", "--passes", passes, "--", "cat"])
            .arg(&image)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{passes}");
    }
}

#[test]
fn a_last_line_without_line_end_stays() {
    assert_eq!(transcript("partial", "one\nPAS"), (Some(2), "one\nPAS".into()));
}

#[test]
fn equal_transcripts_compare_equal() {
    assert_eq!(compare("one\nPASS\n", "one\nPASS\n", "equal"), (Some(0), String::new()));
}

#[test]
fn a_difference_is_shown_with_its_line_number() {
    let (status, message) = compare("one\ntwo\nPASS\n", "one\ntow\nPASS\n", "different");
    assert_eq!(status, Some(1));
    for part in ["line 2", "two", "tow"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(compare("one\nPASS\n", "one\n", "short").0, Some(1));
    assert_eq!(compare("one\n", "one\nPASS\n", "long").0, Some(1));
}

#[test]
fn an_unreadable_transcript_exits_with_status_2() {
    let status = Command::new(env!("CARGO_BIN_EXE_boot"))
        .args(["compare", "/nowhere/a", "/nowhere/b"])
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), Some(2));
}
