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

#[path = "../../../sel4/image/tests/refusals/mod.rs"]
mod refusals;
mod stage;

use sim::PoolPart;
use sim::system_file::SystemFile;

#[test]
fn the_demo_is_read_as_it_stands() {
    let file = stage::demo_file();
    let names: Vec<&str> = file.domains.iter().map(|domain| domain.name.as_str()).collect();
    assert_eq!(names, ["console", "pmserver", "fsserver", "client-demo"]);
    let [_, pmserver, fsserver, client] = &file.domains[..] else { panic!() };
    let setup = file.memory_server.as_ref().unwrap().setup();
    assert_eq!(setup.parts(), [PoolPart { slot: 8, size_bits: 26 }]);
    let peers = setup.peers().iter().map(|peer| (peer.peer, peer.name, peer.limit.get() >> 20));
    assert_eq!(peers.collect::<Vec<_>>(), [(1, "fsserver", 16), (2, "client-demo", 32)]);
    assert!(pmserver.is_passive);
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
fn what_clients_of_the_file_server_may_do_is_read() {
    let program = r#"<program_image path="client-demo.elf" />"#;
    let access = r#"<file_access rights="write" root="/a" />"#;
    let text = stage::demo_text().replace(program, &format!("{program}{access}"));
    let server = SystemFile::parse(&text).unwrap().file_server.unwrap();
    let client = server.setup().client(2);
    assert_eq!((client.root, client.files), ("/a", 16));
    assert_eq!(stage::demo_file().file_server, None);
}

fn trace_text() -> String {
    std::fs::read_to_string(stage::root().join("support/trace/system.xml")).unwrap()
}

#[test]
fn rings_of_traces_have_a_writer_and_a_reader() {
    let file = SystemFile::parse(&trace_text()).unwrap();
    let reader = &file.domains[file.running("trace-reader").unwrap()];
    assert_eq!(reader.ring, None);
    let writers = reader.rings_of_others.iter().map(|region| file.writing_to(region).unwrap());
    let writers: Vec<&str> = writers.map(|index| file.domains[index].name.as_str()).collect();
    assert_eq!(writers, ["console", "pmserver", "fsserver", "virtio-blk"]);
    assert_eq!(file.domains[1].ring.as_ref().map(|ring| ring.bytes), Some(0x10_1000));
    assert_eq!(file.writing_to("trace"), None);
}

#[test]
fn no_region_is_mapped_for_writing_but_a_ring() {
    for (from, to) in [
        (r#"perms="rw""#, r#"perms="r""#),
        (r#"setvar_vaddr="trace_ring_vaddr""#, r#"setvar_vaddr="memory""#),
        (r#"perms="r""#, r#"perms="rw""#),
        (r#"mr="trace_pmserver" vaddr"#, r#"mr="trace" vaddr"#),
    ] {
        // That of the console or pmserver, or of the reader, which the simulator is first to read.
        let text = trace_text();
        assert!(text.contains(from), "{from} is in the file");
        let error = SystemFile::parse(&text.replacen(from, to, 1));
        let error = error.map_or_else(|error| error.sentence, |_| format!("{to} is accepted"));
        assert!(error.contains("rings of traces"), "{error}");
    }
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
        ("<cap_untyped", r#"<cap_tcb slot="9" pd="pmserver" /><cap_untyped"#, "element cap_tcb"),
        (r#"priority="200" passive="true""#, r#"priority="255""#, "priority is 255"),
        (r#"priority="200" passive="true""#, r#"passive="true""#, "needs the attribute priority"),
        (r#"passive="true""#, r#"passive="maybe""#, "passive is true or false, not maybe"),
        (r#"id="2" priority="100""#, r#"id="1" priority="100""#, "two peers have the number 1"),
        (r#"stack_size="0x10000">"#, r#"smp="true">"#, "does not know the attribute smp"),
        (r#"<program_image path="fsserver.elf" />"#, "<virtual_machine />", "virtual_machine"),
        (
            r#"<end pd="fsserver" id="2""#,
            r#"<end pd="nobody" id="2""#,
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

/// Pool and peers are read by the same code as in the image tool: the same is refused.
#[test]
fn what_the_image_tool_refuses_the_simulator_refuses() {
    let folder = stage::root().join("support/sel4/image/tests/bad");
    for (name, line, sentence) in refusals::WITHOUT_SDK {
        let text = std::fs::read_to_string(folder.join(format!("{name}.xml"))).unwrap();
        let error = SystemFile::parse(&text).unwrap_err();
        assert_eq!(error.line, *line, "{name}: {error}");
        assert!(error.sentence.starts_with(sentence), "{name}: {error}");
    }
}
