// SPDX-License-Identifier: BSD-2-Clause
//! microkit-system.xml as the simulator reads it: what it takes from the files of the repository,
//! and what it refuses.
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

use sim::Pool;
use sim::system_file::SystemFile;

#[test]
fn the_demo_is_read_as_it_stands() {
    let file = stage::demo_file();
    let names: Vec<&str> = file.domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["console", "pmserver", "fsserver", "client-demo"]);
    let [_, pmserver, fsserver, client] = &file.domains[..] else { panic!() };
    assert_eq!(pmserver.pool, Some(Pool { size_bits: 26, count: 1 }));
    assert_eq!((fsserver.parent, client.parent), (Some((1, 1)), Some((1, 2))));
    assert_eq!((fsserver.priority, client.priority), (200, 100));
    assert!(fsserver.is_passive && !client.is_passive);
    assert_eq!(fsserver.prefilled_vaddr, Some(0x2000_0000));
    let (own, other) = file.channel(3, 1).unwrap();
    assert!(own.calls && !other.calls);
    assert_eq!((other.domain, other.id), (2, 2));
    assert_eq!(file.channel(3, 9), None);
}

#[test]
fn the_scenario_system_has_a_supervisor_with_a_period() {
    let file = stage::scenario_file();
    let supervisor = &file.domains[file.running("supervisor").unwrap()];
    assert_eq!((supervisor.period_micros, supervisor.priority), (Some(10_000), 220));
}

/// Changes one thing in the demo's file and returns what is said about it.
fn refusal(from: &str, to: &str) -> String {
    let text = stage::demo_text();
    assert!(text.contains(from), "{from} is in the file");
    let error = SystemFile::parse(&text.replacen(from, to, 1)).unwrap_err();
    let line = text.split(from).next().unwrap().lines().count();
    // An element begins on the line of what was changed, or on the one before.
    let found = usize::try_from(error.line).unwrap();
    assert!(found == line || found + 1 == line || from.contains('\n'), "{error}, not {line}");
    error.sentence
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let cases = [
        ("<channel>", "<cable />\n    <channel>", "the element cable"),
        (r#"perms="r" setvar_vaddr="fs"#, r#"perms="rw" setvar_vaddr="fs"#, "read-only"),
        (r#"mr="fs_image" vaddr"#, r#"mr="other" vaddr"#, "prefilled memory regions alone"),
        (r#"size_bits="26""#, r#"size_bits="40""#, "size_bits is 40, but must be 12 to 30"),
        (r#"count="1""#, r#"count="0""#, "count is 0"),
        (r#"count="1""#, r#"count="many""#, "count is a number, not many"),
        (r#"slot="8""#, r#"slot="9""#, "does not look for a cap_untyped in slot 9"),
        (r#"slot="500""#, r#"slot="499""#, "does not look for a cap_cnode in slot 499"),
        (r#"slot="500""#, r#"slot="503""#, "the slot of child 3, which is not pmserver"),
        (r#"slot="33""#, r#"slot="36""#, "the slot of child 4, which is not fsserver"),
        (r#"slot="34" pd="client-demo""#, r#"slot="34" pd="nobody""#, "which is not nobody"),
        (r#"priority="200" passive="true""#, r#"priority="255""#, "priority is 255"),
        (r#"priority="200" passive="true""#, r#"passive="true""#, "needs the attribute priority"),
        (r#"passive="true""#, r#"passive="maybe""#, "passive is true or false, not maybe"),
        (r#"id="2" priority="100""#, r#"id="1" priority="100""#, "same child number as fsserver"),
        (r#"stack_size="0x10000">"#, r#"smp="true">"#, "does not know the attribute smp"),
        (r#"<program_image path="fsserver.elf" />"#, "<virtual_machine />", "virtual_machine"),
        (
            r#"<end pd="fsserver" id="0""#,
            r#"<end pd="nobody" id="0""#,
            "no protection domain nobody",
        ),
        (r#"<end pd="client-demo" id="1""#, r#"<end pd="client-demo" id="0""#, "two channels 0"),
        (
            r#"<end pd="pmserver" id="1" />"#,
            r#"<end pd="pmserver" id="1" pp="true" />"#,
            "higher priority",
        ),
    ];
    for (from, to, expected) in cases {
        let sentence = refusal(from, to);
        assert!(sentence.contains(expected), "{to}: {sentence}");
    }
}

#[test]
fn what_is_no_xml_is_refused() {
    let error = SystemFile::parse("<system>\n<channel>\n</system>").unwrap_err();
    assert!(error.line == 3 && error.sentence.contains("well-formed"), "{error}");
}

#[test]
fn a_call_between_equals_is_refused() {
    let text = stage::demo_text().replace(r#"priority="200""#, r#"priority="250""#);
    let error = SystemFile::parse(&text).unwrap_err();
    assert!(error.sentence.contains("fsserver calls pmserver"), "{error}");
}
