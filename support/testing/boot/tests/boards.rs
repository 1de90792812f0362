// SPDX-License-Identifier: BSD-2-Clause
//! Checks that the page on boards has a row for each, and says where its image is loaded.

use std::fs;

#[test]
fn the_page_on_boards_has_each() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../");
    let page = fs::read_to_string(format!("{root}docs/boards.md")).unwrap();
    for file in fs::read_dir(format!("{root}boards")).unwrap() {
        let file = file.unwrap().path();
        let board = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&file).unwrap();
        let rows: Vec<_> =
            page.lines().filter(|line| line.starts_with(&format!("| `{board}` |"))).collect();
        assert!(!rows.is_empty(), "{board} has no row");
        let address = text.lines().find_map(|line| line.strip_prefix("LOADED_AT := "));
        if let Some(address) = address.filter(|_| !board.starts_with("qemu")) {
            assert!(rows.iter().any(|row| row.contains(&format!("go {address}`"))), "{board}");
        }
    }
}
