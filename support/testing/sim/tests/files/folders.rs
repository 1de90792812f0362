// SPDX-License-Identifier: BSD-2-Clause
//! Large folders cost what small ones do.

use crate::rig::Rig;
use crate::stage;

/// Files of the folder: their names take more blocks than the engine keeps.
const FILES: usize = 8000;
/// Calls of the driver, each for some blocks, that finding a name may take: the index and its node,
/// the block of the name, the inode, and to ask for each and to be told that it has come.
const CALLS_PER_NAME: usize = 12;

fn name(number: usize) -> String {
    format!("a file with a name that takes some room, number {number}")
}

#[test]
fn a_name_of_8000_is_found_in_a_few_blocks() {
    let folder = stage::folder("large folder");
    let (files, image) = (folder.join("files"), folder.join("fs.img"));
    std::fs::create_dir(&files).unwrap();
    for number in 0..FILES {
        std::fs::write(files.join(name(number)), number.to_string()).unwrap();
    }
    stage::image_of_kind("files", &files, &image);
    let rig = Rig::new(&std::fs::read(image).unwrap());
    let reader = rig.reader();
    let listed = reader.list("/", 16).unwrap();
    // And lost+found.
    assert_eq!(listed.len(), FILES + 1);
    let of_listing = rig.calls_of("virtio-blk");
    let looked_up = (0..FILES).step_by(40);
    for number in looked_up.clone() {
        let file = reader.lookup(&format!("/{}", name(number))).unwrap();
        assert_eq!(reader.size(file), number.to_string().len() as u64);
        reader.close(file);
    }
    let calls = rig.calls_of("virtio-blk") - of_listing;
    let names = looked_up.count();
    println!("{of_listing} calls of the driver for the listing, {calls} for {names} names");
    assert!(calls <= names * CALLS_PER_NAME, "{calls} calls for {names} names");
    assert!(of_listing < FILES, "{of_listing} calls for a listing");
}
