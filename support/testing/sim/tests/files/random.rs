// SPDX-License-Identifier: BSD-2-Clause
//! Random operations of two clients, compared with a model.

use fastrand::Rng;
use sim::disk::DiskPlan;

use crate::image::{replayed, volume};
use crate::model::{Client, Model, assert_same, seen};
use crate::rig::{Rig, file};

#[test]
fn files_are_what_a_model_says_also_after_a_restart() {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..4 {
        let image = volume(64, [1024, 4096][seed as usize % 2], &[("house/a/", b"")]);
        let rig = Rig::with(&file(), DiskPlan { seed, ..DiskPlan::new(image) }, None);
        let (writer, homely) = (rig.writer(), rig.homely());
        let clients: [Client<'_>; 2] = [(&writer, ""), (&homely, "/house/a")];
        let mut random = Rng::with_seed(seed);
        let mut model = Model::new(5 << 20, || true);
        for step in 0..300 {
            let _ = model.act(&clients, &mut random);
            if random.u32(..25) == 0 {
                writer.sync().unwrap();
            }
            if step % 50 == 49 {
                let when = format!("seed {seed}, step {step}");
                assert_same(&seen(&writer).unwrap(), &model.tree(), &when);
            }
        }
        model.close_all(&clients);
        writer.sync().unwrap();
        writer.trim();
        rig.check_quiet();
        replayed(&rig.disk.contents(), "after a sync");
        let again = Rig::new(&rig.disk.after_power_cut(seed));
        let found = seen(&again.reader()).unwrap();
        assert_same(&found, &model.tree(), &format!("seed {seed}, restarted"));
        for (name, (done, refused)) in model.counts {
            let all: &mut (u32, u32) = counts.entry(name).or_default();
            (all.0, all.1) = (all.0 + done, all.1 + refused);
        }
    }
    println!("done and refused: {counts:?}");
    let reached = counts.values().filter(|(done, _)| *done > 0).count();
    assert_eq!(reached, counts.len(), "{counts:?}");
    assert!(counts.len() >= 14, "{counts:?}");
}
