// SPDX-License-Identifier: BSD-2-Clause
//! The acceptance scenarios in the simulator, and what happens without a supervisor.
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

use std::cell::Cell;
use std::rc::Rc;

use pmserver_api::PmError;
use proto::{AddressSpace, Message, Transport, VirtAddr, Waiter};
use scenarios_core::Sabotage;
use sim::system::{Channel, Domain, End, System, client_demo, scenario_client};

const PMSERVER: u8 = 0;
const FSSERVER: u8 = 1;

/// The numbers of the acceptance table, without the rows of the fuzzer.
const SCENARIOS: [u8; 58] = [
    1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 29,
    30, 31, 32, 33, 34, 35, 36, 38, 39, 40, 41, 42, 44, 46, 47, 48, 49, 50, 51, 53, 54, 55, 56, 57,
    58, 59, 60, 61, 63, 64, 65, 62,
];

/// Starts the demo's system with a file server that can be told to misbehave.
fn sabotaged(mut file: sim::system_file::SystemFile, image: &[u8]) -> System {
    let fsserver = file.running("fsserver").unwrap();
    file.domains[fsserver].program = "sabotaged-fsserver".to_owned();
    System::start(&stage::settings(&file, image)).unwrap()
}

#[test]
fn every_scenario_passes_and_the_invariants_hold() {
    let image = stage::example_image("scenarios");
    let file = stage::scenario_file();
    let system = System::start(&stage::scenario_settings(&file, &image)).unwrap();
    let end = system.run("scenario-client", scenario_client);
    let transcript = String::from_utf8(system.transcript()).unwrap();
    assert_eq!(end, End::Finished(true), "{transcript}");
    stage::check(&system, &"after the scenarios");
    let passed = transcript.lines().filter_map(|line| line.strip_suffix(" ok"));
    let expected: Vec<String> = SCENARIOS.iter().map(|number| format!("S{number}")).collect();
    assert_eq!(passed.collect::<Vec<_>>(), expected, "{transcript}");
    assert!(transcript.ends_with("\n58 passed, 0 failed\nPASS\n"), "{transcript}");
}

/// Tells the file server to misbehave, then runs the demo against it.
fn arm_and_run(sabotage: Sabotage) -> (End<bool>, System) {
    let image = stage::example_image(&format!("armed {sabotage:?}"));
    let system = sabotaged(stage::demo_file(), &image);
    let armed = |domain: &Domain| {
        domain.channel(FSSERVER).call(sabotage.request());
        client_demo(domain)
    };
    let end = system.run("client-demo", armed);
    stage::check(&system, &"after the demo");
    (end, system)
}

#[test]
fn a_hang_that_nothing_ends_is_reported() {
    let (end, _) = arm_and_run(Sabotage::HangAfter(1));
    assert_eq!(end, End::Hung { domain: "fsserver".to_owned() });
}

#[test]
fn a_supervisor_of_lower_priority_than_the_server_never_runs() {
    let image = stage::example_image("low supervisor");
    let mut file = stage::scenario_file();
    let supervisor = file.running("supervisor").unwrap();
    file.domains[supervisor].priority = 150;
    let system = System::start(&stage::scenario_settings(&file, &image)).unwrap();
    let end = system.run("scenario-client", scenario_client);
    assert_eq!(end, End::Hung { domain: "fsserver".to_owned() });
}

#[test]
fn after_a_fault_of_the_server_the_demo_fails_with_a_reason_and_the_server_recovers() {
    let (end, system) = arm_and_run(Sabotage::FaultAfter(1));
    assert_eq!(end, End::Finished(false));
    let transcript = String::from_utf8(system.transcript()).unwrap();
    let last = transcript.lines().last().unwrap();
    assert!(last.starts_with("FAIL: "), "{last}");
    assert!(transcript.contains("fsserver sent to its recovery entry: no memory at 0x30000000"));
    let again = system
        .run("client-demo", |domain| domain.channel(FSSERVER).call(Message::new(1, [])).label());
    assert_eq!(again, End::Finished(0), "it serves again");
}

#[test]
fn a_client_that_accesses_unmapped_memory_is_stopped_and_the_others_continue() {
    let image = stage::example_image("stopped client");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let touch = |domain: &Domain| {
        assert!(client_demo(domain));
        domain.space().copy_out(&[1], VirtAddr::new(0x3F00_1234).unwrap());
    };
    assert_eq!(system.run("client-demo", touch), End::Stopped);
    let transcript = String::from_utf8(system.transcript()).unwrap();
    assert_eq!(
        transcript.lines().last(),
        Some("pmserver: client-demo stopped: no memory at 0x3f001234")
    );
    stage::check(&system, &"after the fault");
    let version = system
        .run("fsserver", |domain| pmserver_api::Calls::new(domain.channel(0)).version().is_ok());
    assert_eq!(version, End::Finished(true), "pmserver still serves fsserver");
}

#[test]
fn a_server_that_faults_again_before_it_recovers_is_stopped_and_answers_every_caller() {
    let image = stage::example_image("stopped server");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let touch = |domain: &Domain| {
        domain.space().copy_out(&[1], VirtAddr::new(0x3F00_0000).unwrap());
    };
    assert_eq!(system.run("fsserver", touch), End::Redirected);
    assert_eq!(system.run("fsserver", touch), End::Stopped);
    let end = system.run("client-demo", client_demo);
    assert_eq!(end, End::Finished(false));
    let transcript = String::from_utf8(system.transcript()).unwrap();
    let last = transcript.lines().last().unwrap();
    assert!(last.starts_with("FAIL: ") && last.ends_with("the server was stopped"), "{last}");
    stage::check(&system, &"after the fault");
}

#[test]
fn a_domain_cannot_write_to_read_only_memory() {
    let image = stage::example_image("read-only");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let write = |domain: &Domain| {
        let vaddr = domain.prefilled_vaddr().unwrap();
        let mut first = [0; 2048];
        domain.space().copy_in(vaddr, &mut first);
        assert_eq!(first[..], image[..2048]);
        domain.space().copy_out(&[1], vaddr);
    };
    // fsserver has registered a recovery entry, so it is sent there.
    assert_eq!(system.run("fsserver", write), End::Redirected);
}

#[test]
fn while_a_client_waits_those_below_it_run() {
    let mut file = stage::scenario_file();
    let supervisor = file.running("supervisor").unwrap();
    file.domains[supervisor].priority = 1;
    let system = System::start(&stage::scenario_settings(&file, &[])).unwrap();
    let calls = || system.traffic().iter().filter(|call| call.caller == supervisor).count();
    let before = calls();
    let end = system.run("scenario-client", |domain| domain.clone().wait());
    assert_eq!(end, End::Hung { domain: "scenario-client".to_owned() });
    assert!(calls() > before + 1000, "every 10 ms, for 20 s");
}

#[test]
fn a_domain_is_notified_over_a_channel_and_that_is_kept() {
    let image = stage::example_image("notified");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    system.domain("fsserver").unwrap().notify(2);
    let wait = || system.run("client-demo", |domain| domain.clone().wait());
    assert_eq!(wait(), End::Finished(()), "it was notified before");
    assert_eq!(wait(), End::Hung { domain: "client-demo".to_owned() }, "once");
}

/// Makes a call when it is dropped, and records the status of the reply.
struct Caller(Channel, Rc<Cell<Option<u64>>>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.1.set(Some(self.0.call(Message::new(1, [])).label()));
    }
}

#[test]
fn destructors_on_an_abandoned_stack_make_no_calls() {
    let image = stage::example_image("abandoned stack");
    let file = stage::demo_file();
    let system = System::start(&stage::settings(&file, &image)).unwrap();
    let status = Rc::new(Cell::new(None));
    let touch = |domain: &Domain| {
        let _caller = Caller(domain.channel(PMSERVER), Rc::clone(&status));
        domain.space().copy_out(&[1], VirtAddr::new(0x3F00_0000).unwrap());
    };
    assert_eq!(system.run("fsserver", touch), End::Redirected);
    assert_eq!(status.take(), Some(PmError::InvalidCap.status()));
    system.run("client-demo", |domain| drop(Caller(domain.channel(PMSERVER), Rc::clone(&status))));
    assert_eq!(status.take(), Some(0), "on any other stack it does");
}
