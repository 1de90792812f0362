// SPDX-License-Identifier: BSD-2-Clause
//! The floors of a crate: a module uses what is below it and nothing above it.
//!
//! A crate with floors has a row in [`CRATES`]. Its root (`lib.rs` or `main.rs`) stands on top of
//! all floors. Tests may use anything.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod tree;

use std::collections::BTreeMap;

use tree::paths::{Module, Naming, modules};
use tree::{File, files};

/// The source folder of a crate, and its modules from the highest floor to the lowest: folders, or
/// files without `.rs`.
struct Crate {
    folder: &'static str,
    floors: &'static [&'static str],
}

const CRATES: &[Crate] = &[
    Crate {
        folder: "client-demo/core/src",
        floors: &[
            "demo",
            "writing",
            "walk",
            "checksum",
            "transfer",
            "path_page",
            "accounts",
            "line",
            "layout",
            "error",
        ],
    },
    Crate {
        folder: "fsserver/api/src",
        floors: &[
            "strict",
            "client",
            "reply",
            "ops",
            "change",
            "operation",
            "arguments",
            "entry",
            "error",
            "feature",
            "short_path",
        ],
    },
    Crate {
        folder: "fsserver/core/src",
        floors: &[
            "server",
            "under_way",
            "read",
            "cache",
            "standing",
            "time",
            "open_file",
            "listing",
            "engine",
            "disk",
            "memory",
            "kept",
            "lent",
            "client",
            "path",
            "known",
            "heap",
        ],
    },
    Crate { folder: "fsserver/setup/src", floors: &["pages", "setup"] },
    Crate {
        folder: "fsserver/volume/src",
        floors: &["partition", "ext4", "limits", "volume", "block_device", "error"],
    },
    Crate {
        folder: "pmserver/api/src",
        floors: &[
            "calls",
            "grant_mapper",
            "decode",
            "encode",
            "answer",
            "server_error",
            "arguments",
            "number",
            "operation",
            "rows",
            "reply",
            "ops",
            "lists",
            "handles",
            "flags",
            "wire",
            "error",
        ],
    },
    Crate { folder: "pmserver/client/src", floors: &["values", "connection", "terms"] },
    Crate {
        folder: "pmserver/core/src",
        floors: &[
            "server", "check", "serve", "teardown", "ops", "frames", "tables", "store", "records",
            "config", "kernel",
        ],
    },
    Crate {
        folder: "pmserver/src",
        floors: &["start", "fault", "kernel", "capabilities", "clock", "regions"],
    },
    Crate {
        folder: "pmserver/setup/src",
        floors: &["page", "untyped_list", "setup", "pool", "call_graph", "slots"],
    },
    Crate { folder: "support/drivers/block/api/src", floors: &["client", "reply", "ops", "error"] },
    Crate {
        folder: "support/drivers/block/core/src",
        floors: &["server", "requests", "work", "device"],
    },
    Crate {
        folder: "support/map/src",
        floors: &["page", "pool", "accounts", "shares", "mappings", "drawing", "snapshot"],
    },
    Crate {
        folder: "support/runtime/proto/src",
        floors: &[
            "domain",
            "message",
            "address_space",
            "console",
            "waiter",
            "units",
            "pair",
            "limits",
        ],
    },
    Crate { folder: "support/runtime/shm/src", floors: &["copy", "bytes", "access"] },
    Crate { folder: "support/runtime/trace/src", floors: &["text", "reader", "ring", "record"] },
    Crate {
        folder: "support/sel4/image/src",
        floors: &["pack", "memory", "capdl", "sdk", "id_registers", "last_resort", "boards"],
    },
    Crate {
        folder: "support/shell/core/src",
        floors: &[
            "shell", "accounts", "holdings", "dump", "books", "client", "files", "command",
            "terminal", "watched", "error", "layout",
        ],
    },
    Crate {
        folder: "support/testing/boot/src",
        floors: &["watch", "compare", "transcript", "machine", "console"],
    },
    Crate {
        folder: "support/testing/sim/src",
        floors: &[
            "fuzz",
            "explore",
            "stop",
            "testbed",
            "system",
            "system_file",
            "direct",
            "disk",
            "kernel",
            "loader",
            "clock",
            "machine",
        ],
    },
    Crate {
        folder: "support/trace/json/src",
        floors: &["events", "slices", "protocol", "transcript"],
    },
    Crate {
        folder: "support/testing/model/src",
        floors: &["entry", "operations", "rules", "state", "answers"],
    },
];

impl Crate {
    /// Returns on which floor a module is: 0 is the root of the crate.
    fn floor(&self, path: &[String]) -> Option<usize> {
        let Some(first) = path.first() else { return Some(0) };
        self.floors.iter().position(|floor| floor == first).map(|index| index + 1)
    }

    /// Returns on which floor that is which a path names. An item of the root counts as the root.
    fn floor_named(&self, naming: &Naming, all: &[Module<'_>]) -> Option<usize> {
        let first = naming.path.first();
        let is_module = all.iter().any(|module| module.path.first() == first);
        if is_module { self.floor(&naming.path) } else { Some(0) }
    }
}

/// No file uses a module of a higher floor, and every module has a floor.
fn floors_hold(of: &Crate, files: &[File]) -> Vec<String> {
    let all = modules(files, of.folder);
    let mut found = Vec::new();
    for module in &all {
        let path = &module.file.path;
        let Some(own) = of.floor(&module.path) else {
            found.push(format!("{path}: its module has no floor"));
            continue;
        };
        // The home of unsafe code has an inner module for each architecture.
        for line in module.inner_modules().into_iter().filter(|_| !path.ends_with("/regions.rs")) {
            found.push(format!("{path}:{line} has a module inside of its file"));
        }
        for naming in module.namings(&all) {
            if of.floor_named(&naming, &all).is_some_and(|floor| floor < own) {
                let what = naming.path.join("::");
                found.push(format!("{path}:{} uses `{what}` of a higher floor", naming.line));
            }
        }
    }
    let is_missing =
        |floor: &&&str| !all.iter().any(|m| m.path.first().is_some_and(|f| f == **floor));
    let missing = of.floors.iter().filter(is_missing);
    found.extend(missing.map(|floor| format!("{}: the floor `{floor}` has no module", of.folder)));
    found
}

/// Files of different folders form no circle: none can be reached from itself by way of another
/// folder.
fn no_circles(of: &Crate, files: &[File]) -> Vec<String> {
    let all = modules(files, of.folder);
    let count = all.len();
    // uses[a][b]: file a uses file b, directly or through others.
    let mut uses = vec![vec![false; count]; count];
    for (user, module) in all.iter().enumerate() {
        for naming in module.namings(&all) {
            if let Some(used) = home(&naming, &all) {
                uses[user][used] = true;
            }
        }
    }
    for by in 0..count {
        for user in 0..count {
            for used in 0..count {
                uses[user][used] |= uses[user][by] && uses[by][used];
            }
        }
    }
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    let circles =
        pairs.filter(|&(a, b)| uses[a][b] && uses[b][a] && all[a].folder() != all[b].folder());
    let text = |(a, b): (usize, usize)| {
        format!("{} and {} form a circle", all[a].file.path, all[b].file.path)
    };
    circles.map(text).collect()
}

/// Returns the file that has what is named: the module with the longest path that it begins with.
fn home(naming: &Naming, all: &[Module<'_>]) -> Option<usize> {
    let fits = all.iter().enumerate().filter(|(_, m)| naming.path.starts_with(&m.path));
    fits.max_by_key(|(_, m)| m.path.len()).map(|(index, _)| index)
}

/// No file calls a method that only files of higher floors have.
///
/// Methods are compared by name alone. A name that a lower floor or another crate has as well may
/// be called.
fn methods_hold(of: &Crate, files: &[File]) -> Vec<String> {
    let all = modules(files, of.folder);
    let mut lowest: BTreeMap<&str, usize> = BTreeMap::new();
    for module in &all {
        let Some(floor) = of.floor(&module.path) else { continue };
        for name in module.methods() {
            let known = lowest.entry(name).or_insert(floor);
            *known = floor.max(*known);
        }
    }
    let mut found = Vec::new();
    for module in &all {
        let Some(own) = of.floor(&module.path) else { continue };
        for (line, name) in module.calls() {
            if lowest.get(name).is_some_and(|floor| *floor < own) && !OF_OTHERS.contains(&name) {
                let path = &module.file.path;
                found.push(format!("{path}:{line} calls `{name}` of a higher floor"));
            }
        }
    }
    found
}

/// Names of methods that types of other crates have, too: a call of one says nothing.
const OF_OTHERS: &[&str] = &[
    "account",
    "any",
    "clone",
    "copy_in",
    "delete",
    "fill",
    "find",
    "get",
    "insert",
    "iter",
    "last",
    "len",
    "map",
    "next",
    "pin",
    "push",
    "read",
    "read_dir",
    "remove",
    "runs",
    "start",
    "take",
    "write",
    "write_str",
];

type Rule = fn(&Crate, &[File]) -> Vec<String>;

fn check(rule: Rule) {
    let files = files();
    let found: Vec<String> = CRATES.iter().flat_map(|of| rule(of, &files)).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

const SAMPLE: Crate = Crate { folder: "s", floors: &["high", "low"] };

#[test]
fn no_file_uses_a_higher_floor() {
    let breaches = [
        "use crate::high::F;",
        "use crate::{low::G, high};",
        "fn f() { crate::high::f(); }",
        "fn f() { super::super::high::f(); }",
        "use crate::OfTheRoot;",
        "mod inner {\n}",
    ];
    for breach in breaches {
        let files = [
            file("s/lib.rs", ""),
            file("s/high.rs", "use crate::low::G;"),
            file("s/low/a.rs", breach),
        ];
        let found = floors_hold(&SAMPLE, &files);
        assert_eq!(found.len(), 1, "{breach}: {found:?}");
    }
    check(floors_hold);
}

#[test]
fn no_file_calls_a_method_of_a_higher_floor() {
    let high = file("s/high.rs", "impl F { pub fn settle(&self) {} pub(crate) fn f(self) {} }");
    let breach = file("s/low.rs", "fn g(x: F) { x.settle(); h.f::<u8>(); }\nfn f(&self) {}");
    let found = methods_hold(&SAMPLE, &[high, breach]);
    assert_eq!(found.len(), 1, "{found:?}");
    check(methods_hold);
}

#[test]
fn every_module_has_a_floor() {
    let files = [file("s/high.rs", ""), file("s/low.rs", ""), file("s/other.rs", "")];
    assert_eq!(floors_hold(&SAMPLE, &files).len(), 1, "no floor");
    assert_eq!(floors_hold(&SAMPLE, &files[..1]).len(), 1, "no module");
}

#[test]
fn files_of_different_folders_form_no_circle() {
    let files = [
        file("s/high/mod.rs", "use b::c::F;"),
        file("s/high/a.rs", "pub fn f() {}"),
        file("s/high/b/c.rs", "use crate::high::a::f;"),
    ];
    assert!(no_circles(&SAMPLE, &files).is_empty());
    let files = [
        file("s/high/mod.rs", ""),
        file("s/high/a.rs", "use super::b::c::F;"),
        file("s/high/b/c.rs", "use crate::high::a::f;"),
    ];
    assert_eq!(no_circles(&SAMPLE, &files).len(), 1);
    check(no_circles);
}
