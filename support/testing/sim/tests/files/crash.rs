// SPDX-License-Identifier: BSD-2-Clause
//! Crashes: the power is cut, or fsserver is stopped, at any time. RUNS says how often.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use fastrand::Rng;
use fsserver_api::FsError;
use pmserver_client::{AddressSpace, VirtAddr};
use proto::Waiter;
use sim::disk::DiskPlan;
use sim::system::{Blow, End, Mishap, Moment, Strike, Traffic};

use crate::image::{replayed, volume};
use crate::model::{Client, Model, Seen, Tree, assert_same, seen};
use crate::rig::{Person, Rig, SECOND, file};

const SIZE_MAX: u64 = 400 << 10;

fn runs(usual: u64) -> u64 {
    std::env::var("RUNS").map_or(usual, |text| text.parse().expect("a number"))
}

fn disk(seed: u64) -> Vec<u8> {
    volume(16, [1024, 4096][seed as usize % 2], &[("house/a/", b"")])
}

/// What may be there after a crash: all that was since the last sync.
struct Window(Vec<(Tree, BTreeMap<String, u32>)>);

impl Window {
    fn new(model: &Model) -> Self {
        Self(vec![(model.tree(), model.lives())])
    }

    fn add(&mut self, model: &Model) {
        self.0.push((model.tree(), model.lives()));
    }

    /// Fails if something is there that never was.
    fn check(&self, found: &Tree, when: &str) {
        let trees = || self.0.iter().map(|(tree, _)| tree);
        for path in trees().flat_map(Tree::keys).chain(found.keys()) {
            let allowed: Vec<Option<&Seen>> = trees().map(|tree| tree.get(path)).collect();
            let is = found.get(path);
            if allowed.contains(&is) {
                continue;
            }
            let is_same = allowed.iter().all(|seen| *seen == allowed[0]);
            assert!(!is_same, "{when}: {path} was synced and is not what it was");
            let Some(Seen::File(bytes)) = is else { panic!("{when}: {path} was never so") };
            let lives: Vec<u32> =
                self.0.iter().filter_map(|(_, lives)| lives.get(path).copied()).collect();
            for word in bytes.chunks(8).filter(|word| word.iter().any(|byte| *byte != 0)) {
                let life = u32::from_le_bytes(word[..4].try_into().unwrap());
                assert!(lives.contains(&life), "{when}: {path} has bytes of {life}");
            }
        }
    }
}

/// Fails if the volume is damaged, and returns what a system finds that starts with it.
fn found_after(cut: &[u8], when: &str) -> Tree {
    replayed(cut, when);
    let rig = Rig::new(cut);
    let writer = rig.writer();
    let found = seen(&writer).unwrap();
    writer.sync().unwrap();
    replayed(&rig.disk.contents(), when);
    found
}

#[test]
fn fs_110_and_111_after_a_power_cut_what_was_synced_is_there() {
    let wanted = runs(30);
    let (mut cuts, mut seed) = (0, 0);
    while cuts < wanted {
        seed += 1;
        let image = disk(seed);
        let rig = Rig::with(&file(), DiskPlan { seed, ..DiskPlan::new(image) }, None);
        let (writer, homely) = (rig.writer(), rig.homely());
        let clients: [Client<'_>; 2] = [(&writer, ""), (&homely, "/house/a")];
        let mut random = Rng::with_seed(seed);
        let mut model = Model::new(SIZE_MAX, || true);
        let mut window = Window::new(&model);
        rig.disk.cut(random.u64(1..600), random.u64(..));
        for step in 0..150 {
            let is_sync = random.u32(..10) == 0;
            if is_sync {
                writer.sync().unwrap();
            } else {
                let _ = model.act(&clients, &mut random);
                window.add(&model);
            }
            if let Some(cut) = rig.disk.take_cut() {
                let when = format!("seed {seed}, step {step}");
                window.check(&found_after(&cut, &when), &when);
                cuts += 1;
                rig.disk.cut(rig.disk.writes() + random.u64(1..900), random.u64(..));
                if cuts >= wanted {
                    break;
                }
            }
            if is_sync {
                window = Window::new(&model);
            }
        }
    }
    println!("power cuts {cuts}, in {seed} runs");
}

/// What a run in which fsserver is stopped has come to.
struct Outcome {
    traffic: Vec<(u64, Moment)>,
    is_struck: bool,
}

/// Removes a name of a file that has more: they look like those of several files.
fn has_more_names(writer: &Person, path: &str, seen: &Seen) -> bool {
    if !matches!(seen, Seen::File(_)) {
        return false;
    }
    let file = writer.lookup(path).unwrap();
    let has_more = writer.links(file) > 1;
    writer.close(file);
    if has_more {
        writer.unlink(path).unwrap();
    }
    has_more
}

/// Does random operations while fsserver is stopped once, if that is said.
fn run(seed: u64, strike: Option<Strike>) -> Outcome {
    let image = disk(seed);
    let file = file();
    let fsserver = file.running("fsserver").unwrap();
    let plan = DiskPlan { seed, ..DiskPlan::new(image) };
    let rig = Rc::new(Rig::with(&file, plan, strike.map(Mishap::Strike)));
    let (writer, homely) = (rig.writer(), rig.homely());
    let clients: [Client<'_>; 2] = [(&writer, ""), (&homely, "/house/a")];
    writer.sync().unwrap();
    let used = rig.used();
    let began = rig.system.traffic().len() as u64;
    let mut random = Rng::with_seed(seed);
    let stopped = Rc::new(Cell::new(0));
    let (system, known) = (Rc::clone(&rig), Rc::clone(&stopped));
    let is_quiet = move || system.system.transcript().len() == known.get();
    let mut model = Model::new(SIZE_MAX, is_quiet);
    let mut window = Window::new(&model);
    for step in 0..60 {
        let is_sync = random.u32(..8) == 0;
        let synced = if is_sync {
            writer.sync()
        } else {
            let _ = model.act(&clients, &mut random);
            window.add(&model);
            Ok(())
        };
        let when = format!("seed {seed}, {strike:?}, step {step}");
        if rig.system.transcript().len() != stopped.get() {
            // It was stopped: all that is open is lost, and what was not synced may be.
            stopped.set(rig.system.transcript().len());
            let mut found = seen(&writer).unwrap();
            window.check(&found, &when);
            found.retain(|path, seen| !has_more_names(&writer, path, seen));
            model.adopt(&found);
            window = Window::new(&model);
        } else if is_sync {
            assert_eq!(synced, Ok(()), "{when}");
            window = Window::new(&model);
        }
    }
    let last = rig.system.traffic().len() as u64;
    model.close_all(&clients);
    let when = format!("seed {seed}, {strike:?}, at the end");
    assert_same(&seen(&writer).unwrap(), &model.tree(), &when);
    writer.sync().unwrap();
    writer.trim();
    // What the disk was still moving when fsserver was stopped is free when its time is over.
    rig.rest(2 * SECOND);
    assert!(rig.used() <= used, "{when}: {} are used, {used} were", rig.used());
    replayed(&rig.disk.contents(), &when);
    crate::stage::check(&rig.system, &"at the end");
    let points = (1..).zip(rig.system.traffic());
    let points = points.filter(|(call, _)| (began + 1..=last).contains(call));
    let points = points.flat_map(|(call, traffic)| {
        let moments: &[Moment] = match traffic.callee {
            None if traffic.caller == fsserver => &[Moment::Sent],
            Some(_) if traffic.caller == fsserver => &[Moment::Sent, Moment::Answered],
            Some(callee) if callee == fsserver => &[Moment::Received, Moment::Served],
            _ => &[],
        };
        moments.iter().map(move |moment| (call, *moment))
    });
    let traffic = points.collect();
    drop(model);
    Outcome { traffic, is_struck: rig.system.struck().is_some() }
}

#[test]
fn fs_130_and_131_fsserver_is_stopped_at_any_call_and_goes_on() {
    let wanted = runs(40);
    let (mut struck, mut runs) = (BTreeMap::new(), 0);
    let (mut random, mut seed) = (Rng::with_seed(7), 0);
    while runs < wanted {
        seed += 1;
        let points = run(seed, None).traffic;
        assert!(points.len() > 500, "{}", points.len());
        for _ in 0..8 {
            let (call, moment) = points[random.usize(..points.len())];
            let outcome = run(seed, Some(Strike { call, moment, blow: Blow::Fault }));
            assert!(outcome.is_struck, "seed {seed}, call {call}, {moment:?}");
            *struck.entry(format!("{moment:?}")).or_insert(0) += 1;
            runs += 1;
        }
    }
    println!("kills {runs}: {struck:?}");
}

#[test]
fn fs_130_files_are_closed_and_what_was_under_way_is_a_new_request() {
    let rig = Rig::new(&disk(1));
    let (writer, homely) = (rig.writer(), rig.homely());
    writer.make("/synced", b"synced").unwrap();
    writer.sync().unwrap();
    let used = {
        writer.trim();
        rig.used()
    };
    for _ in 0..3 {
        let file = writer.lookup("/synced").unwrap();
        assert_eq!(homely.ask_make_dir("/new"), Err(FsError::Pending));
        let end = rig.system.run("fsserver", |domain| {
            domain.space().copy_out(&[1], VirtAddr::new(0x3F00_0000).unwrap());
        });
        assert_eq!(end, End::Redirected);
        assert_eq!(writer.read(file, 0, 6), Err(FsError::Restarted));
        assert_eq!(writer.read(file, 0, 6), Err(FsError::BadHandle));
        // Who waits is notified.
        homely.domain.clone().wait();
        assert_eq!(writer.contents("/synced"), Ok(b"synced".to_vec()));
        homely.make_dir("/new").unwrap();
        homely.remove_dir("/new").unwrap();
        writer.sync().unwrap();
        writer.trim();
        rig.rest(2_000_000);
        assert!(rig.used() <= used, "{} after {used}", rig.used());
    }
    crate::stage::check(&rig.system, &"afterwards");
}

/// Writes to a slow disk, while fsserver is stopped, if that is said. Returns the calls of the
/// driver by number, and whether more memory was used after the stop than before.
fn write_slowly(strike: Option<Strike>) -> (Vec<u64>, bool) {
    let plan = DiskPlan { pace_micros: 20_000, ..DiskPlan::new(disk(1)) };
    let rig = Rig::with(&file(), plan, strike.map(Mishap::Strike));
    let writer = rig.writer();
    let data = [7; 200 << 10];
    writer.make("/written", &data).unwrap();
    writer.sync().unwrap();
    writer.trim();
    let (used, began) = (rig.used(), rig.system.traffic().len());
    let file = writer.lookup("/written").unwrap();
    let written = writer.write(file, 0, &data).and_then(|_| writer.sync());
    assert!(written.is_ok() || strike.is_some(), "{written:?}");
    let kept = rig.used() > used;
    let programs = ["fsserver", "virtio-blk"].map(|name| crate::rig::file().running(name));
    let is_asked = |call: &Traffic| [Some(call.caller), call.callee] == programs;
    let calls = (1..).zip(rig.system.traffic()).skip(began).filter(|(_, call)| is_asked(call));
    let calls = calls.map(|(number, _)| number).collect();
    rig.rest(2 * SECOND);
    writer.contents("/written").unwrap();
    writer.trim();
    assert!(rig.used() <= used, "{strike:?}: {} are used, {used} were", rig.used());
    crate::stage::check(&rig.system, &"afterwards");
    (calls, kept && strike.is_some())
}

#[test]
fn fs_131_what_a_transfer_keeps_in_a_crash_is_given_back_when_it_has_ended() {
    let (calls, _) = write_slowly(None);
    assert!(calls.len() > 10, "{calls:?}");
    let strike = |call| Strike { call, moment: Moment::Answered, blow: Blow::Fault };
    let kept = calls.into_iter().filter(|call| write_slowly(Some(strike(*call))).1).count();
    assert!(kept > 0, "no transfer has kept anything");
}
