// SPDX-License-Identifier: BSD-2-Clause
//! The shell: a whole session, the keys of its line editor, and what ends it.
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

use sim::disk::DiskPlan;
use sim::system::{End, Settings, System, shell};
use sim::system_file::SystemFile;

const SYSTEM: &str = include_str!("../../../shell/system.xml");

/// Starts the shell's system with the example files on its disk.
fn system(test: &str) -> System {
    let file = SystemFile::parse(SYSTEM).unwrap();
    let disk = Some(DiskPlan::new(stage::example_image(test)));
    System::start(&Settings { disk, ..stage::settings(&file, &[]) }).unwrap()
}

/// Types something, then the end of all that is typed; returns what was printed.
fn typing(test: &str, keys: &'static [u8]) -> String {
    let system = system(test);
    system.connect(keys);
    assert_eq!(system.run("shell", shell), End::Finished(true));
    stage::check(&system, &"after the session");
    String::from_utf8(system.transcript()).unwrap()
}

/// Returns what was printed after the line that has this at its end.
fn after<'a>(transcript: &'a str, line: &str) -> &'a str {
    let (_, rest) = transcript.split_once(&format!("{line}\n")).expect(transcript);
    rest
}

#[test]
fn who_makes_fsserver_fault_or_hang_in_the_middle_of_a_file_loses_nothing() {
    let transcript = typing("session", include_bytes!("../../../shell/session.txt"));
    assert_eq!(transcript, include_str!("../../../shell/expected.txt"));
    let file = include_str!("../../../files/containers.txt");
    let (printed, _) = after(&transcript, "> cat containers.txt").split_once("> ").unwrap();
    let by_others = |line: &&str| line.starts_with("pmserver: ") || line.starts_with("[fsserver");
    assert_eq!(printed.lines().filter(by_others).count(), 2);
    let printed: Vec<&str> = printed.lines().filter(|line| !by_others(line)).collect();
    assert_eq!(printed, file.lines().collect::<Vec<_>>());
}

#[test]
fn a_line_is_edited_completed_and_had_again() {
    // Deletes backwards; goes to the left and inserts; completes a name; takes the line before it.
    let keys = b"lss\x7f numberz\x08s\nlnumbers\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Ds \n\
        sha\tnumbers/pages.txt\n\x1b[A\x1b[A\n\x1b[A\n";
    let transcript = typing("keys", keys);
    let listings = transcript.matches("      173  pages.txt\n    47042  powers.txt\n").count();
    assert_eq!(listings, 4, "{transcript}");
    assert_eq!(transcript.matches("52b5278ba34e4f311bbc9881721cd9103e327f06acde").count(), 1);
}

#[test]
fn commands_that_cannot_be_done_say_why_and_the_next_one_is_done() {
    let keys =
        b"nonsense\ncat\ncat \"\ncat numbers\nbench write containers.txt\nlend 0\nlend 257\n\
        take-back\nlend 1\nlend 1\ntake-back\nkill shell\nhang client\nstat -t numbers\n";
    let transcript = typing("refused", keys);
    assert_eq!(transcript.matches("error: ").count(), 11, "{transcript}");
    assert!(transcript.contains("1 pages are back, 1 of them filled\n"), "{transcript}");
    assert!(transcript.contains("folder, bytes 4096, names 2\nmodified "), "{transcript}");
    assert!(transcript.ends_with("> \nPASS\n"), "{transcript}");
}

#[test]
fn reading_a_file_is_measured() {
    let transcript = typing("measured", b"bench read numbers/powers.txt\n");
    let measured = after(&transcript, "> bench read numbers/powers.txt");
    assert!(measured.starts_with("16 reads, bytes 752672, microseconds "), "{transcript}");
}

#[test]
fn a_shell_that_may_not_read_the_console_ends() {
    let system = system("no keyboard");
    assert_eq!(system.run("shell", shell), End::Finished(false));
    let transcript = String::from_utf8(system.transcript()).unwrap();
    assert!(transcript.ends_with("FAIL: the console does not say what is typed\n"), "{transcript}");
}

/// Returns the value of a field of a line of a snapshot.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let pairs = line.split(' ').skip(1).map(|pair| pair.split_once('=').expect(line));
    pairs.into_iter().find(|(name, _)| *name == key).expect(line).1
}

#[test]
fn a_snapshot_has_a_line_for_each_row_and_names_what_it_refers_to() {
    let transcript = typing("snapshot", b"lend 64\nmem --dump\n");
    let snapshot = after(&transcript, "> mem --dump").split_once("end\n").unwrap().0;
    let lines: Vec<&str> = snapshot.lines().collect();
    assert_eq!(lines[0], "snapshot version=1");
    let of = |kind: &str| {
        let lines: Vec<&str> =
            lines.iter().copied().filter(|line| line.split(' ').next() == Some(kind)).collect();
        assert!(!lines.is_empty(), "{kind}: {snapshot}");
        lines
    };
    let names: Vec<&str> = of("peer").iter().map(|line| field(line, "name")).collect();
    assert_eq!(names, ["fsserver", "shell", "virtio-blk", "supervisor", "client"]);
    let ids = |kind: &str| -> Vec<&str> { of(kind).iter().map(|line| field(line, "id")).collect() };
    let [peers, accounts, containers] = ["peer", "account", "container"].map(ids);
    for (kind, key, known) in [
        ("peer", "account", &accounts),
        ("container", "account", &accounts),
        ("share", "container", &containers),
        ("share", "peer", &peers),
        ("mapping", "container", &containers),
        ("mapping", "peer", &peers),
    ] {
        for line in of(kind) {
            assert!(known.contains(&field(line, key)), "{line}");
        }
    }
    let mut next = 0;
    for line in of("pages") {
        assert_eq!(field(line, "start"), next.to_string());
        next += field(line, "count").parse::<u64>().unwrap();
    }
    let number = |line: &str, key| field(line, key).parse::<u64>().unwrap();
    let pool = of("account")[0];
    let held = of("pages").into_iter().filter(|line| field(line, "state") == "table");
    assert_eq!(held.map(|line| number(line, "count")).sum::<u64>(), number(pool, "tables"));
    let lent = of("pages").into_iter().filter(|line| number(line, "marks") & 2 != 0);
    assert!(lent.map(|line| number(line, "count")).sum::<u64>() >= 64);
}
