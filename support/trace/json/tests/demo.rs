// SPDX-License-Identifier: BSD-2-Clause
//! Runs the demo with a trace in the simulator, and compares what the trace says with what the
//! simulator has counted, and the JSON with the trace event format.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use sim::disk::DiskPlan;
use sim::machine::Architecture;
use sim::system::{End, Settings, System, Traffic, client_demo};
use sim::system_file::SystemFile;
use trace::Cause;
use trace_json::{PrintedRing, Slice, check_nesting, json, rings, slices};

/// A run of the demo.
struct Run {
    file: SystemFile,
    rings: Vec<PrintedRing>,
    slices: Vec<Slice>,
    traffic: Vec<Traffic>,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let image = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.img");
    let mut script = Command::new(root.join("support/make/fs-image.sh"));
    let made = script.arg(root.join("support/files")).arg(&image).arg("files").status().unwrap();
    assert!(made.success());
    let text = std::fs::read_to_string(root.join("support/trace/system.xml")).unwrap();
    let file = SystemFile::parse(&text).unwrap();
    let system = System::start(&Settings {
        file: &file,
        image: &[],
        disk: Some(DiskPlan::new(std::fs::read(image).unwrap())),
        architecture: Architecture::X86_64,
        mishap: None,
        echo: false,
    })
    .unwrap();
    assert_eq!(system.run("client-demo", client_demo), End::Finished(true));
    assert!(system.print_traces());
    let rings = rings(&String::from_utf8(system.transcript()).unwrap()).unwrap();
    let slices = slices(&file, &rings).unwrap();
    Run { file, rings, slices, traffic: system.traffic() }
});

/// Returns the index of the domain with this name.
fn domain(name: &str) -> usize {
    RUN.file.domains.iter().position(|domain| domain.name == name).unwrap()
}

#[test]
fn every_call_and_every_fault_has_a_record() {
    let names = ["console", "pmserver", "fsserver", "virtio-blk"];
    assert_eq!(RUN.rings.len(), names.len());
    for (ring, name) in RUN.rings.iter().zip(names) {
        assert_eq!(ring.lost(), 0, "{name}: the ring is large enough");
        let records = |is_one: fn(Cause) -> bool| {
            ring.records.iter().filter(|record| is_one(record.cause)).count()
        };
        let callee = domain(name);
        let calls = RUN.traffic.iter().filter(|call| call.callee == Some(callee)).count();
        assert_eq!(records(|cause| matches!(cause, Cause::Request(_))), calls, "{name}");
        let faults = RUN.traffic.iter().filter(|call| call.callee.is_none()).count();
        let expected = if name == "pmserver" { faults } else { 0 };
        assert_eq!(records(|cause| matches!(cause, Cause::Fault(_))), expected, "{name}");
        assert!(calls > 50, "{name}: {calls}");
    }
}

#[test]
fn calls_contain_those_that_are_made_for_them() {
    assert_eq!(check_nesting(&RUN.slices), Ok(()));
    let of = |track: &str, name: &str| -> Vec<&Slice> {
        let domain = domain(track);
        RUN.slices.iter().filter(|s| s.domain == domain && s.name.starts_with(name)).collect()
    };
    let within =
        |outer: &Slice, inner: &&Slice| outer.begin < inner.begin && inner.end <= outer.end;
    let (reads, locks) = (of("fsserver", "read"), of("fsserver", "pmserver: "));
    let with_calls = reads.iter().filter(|read| locks.iter().any(|lock| within(read, lock)));
    assert!(with_calls.count() > 5, "reads that lock what they read to");
    // The caller's slice is that of the call.
    for slice in RUN.slices.iter().filter(|slice| slice.calls.is_some()) {
        let called = &RUN.slices[slice.calls.unwrap()];
        assert_eq!((called.begin, called.end), (slice.begin, slice.end));
        let server = &RUN.file.domains[called.domain].name;
        assert_eq!(slice.name, format!("{server}: {}", called.name));
        assert_eq!(called.arguments["peer"], RUN.file.domains[slice.domain].name.as_str());
    }
}

#[test]
fn accounts_frames_and_errors_are_told() {
    let pmserver = domain("pmserver");
    let named = |name: &str| {
        let is_one = |slice: &&Slice| slice.domain == pmserver && slice.name == name;
        RUN.slices.iter().find(is_one).unwrap_or_else(|| panic!("no call of {name}"))
    };
    assert_eq!(named("container_create").arguments["account"], "0x0");
    // By the container, whose account is known since it was made.
    let allocate = named("allocate");
    assert_eq!(allocate.arguments["account"], "0x0", "{allocate:?}");
    assert!(allocate.arguments["frames"].as_u64().unwrap() > 0, "{allocate:?}");
    assert!(named("fault").arguments["address"].is_string());
    let failed = RUN.slices.iter().any(|slice| slice.arguments.contains_key("error"));
    assert!(failed, "some calls of the demo are refused");
}

/// "Trace Event Format": what Perfetto's importer relies on.
#[test]
fn the_json_is_in_the_trace_event_format() {
    let text = json(&RUN.file, &RUN.slices, 1_000_000).unwrap();
    let all: Value = serde_json::from_str(&text).unwrap();
    let events = all["traceEvents"].as_array().unwrap();
    let of_kind = |kind: &'static str| events.iter().filter(move |event| event["ph"] == kind);
    let names: Vec<&str> = of_kind("M")
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    let domains: Vec<&str> = RUN.file.domains.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, domains, "a track for each domain");
    let times = |event: &Value| {
        let (begin, length) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
        assert!(begin >= 0.0 && length >= 0.0, "{event}");
        (event["tid"].as_u64().unwrap(), begin, begin + length)
    };
    let complete: Vec<(u64, f64, f64)> = of_kind("X").map(times).collect();
    assert_eq!(complete.len(), RUN.slices.len());
    assert!(complete.is_sorted_by(|a, b| a.1 < b.1 || (a.1 <= b.1 && a.2 >= b.2)), "by time");
    for (number, (track, begin, end)) in complete.iter().enumerate() {
        let later = complete[number + 1..].iter().take_while(|other| other.1 < *end);
        let overlap = later.filter(|other| other.0 == *track && other.2 > *end);
        assert_eq!(overlap.count(), 0, "a part of {begin} to {end}");
    }
    let ends = |kind| of_kind(kind).map(|event| event["id"].as_u64().unwrap());
    let (starts, finishes): (BTreeSet<u64>, BTreeSet<u64>) =
        (ends("s").collect(), ends("f").collect());
    assert!(starts.len() > 100 && starts == finishes, "arrows have two ends");
    assert!(json(&RUN.file, &RUN.slices, 0).is_err(), "without ticks there is no time");
}
