// SPDX-License-Identifier: BSD-2-Clause
//! File systems in partitions are found; tables that are wrong are errors.

use fastrand::Rng;
use fsserver_volume::{Access, BlockDevice, DeviceError, Error, Ext4, Volume, partition};

use crate::disk::{Memory, Noon, blank, times, writable};

const MIB: usize = 2048;

fn file_system() -> Vec<u8> {
    blank(10 << 10, &writable(1024))
}

/// Puts a file system on a disk of 16 MiB, from a block on.
fn disk_with(file_system: &[u8], first: usize) -> Memory {
    let mut bytes = vec![0; 16 << 20];
    bytes[first * 512..][..file_system.len()].copy_from_slice(file_system);
    Memory::new(bytes)
}

/// Writes a table in a block: kind, first block, blocks of up to four partitions.
fn set_table(disk: &mut Memory, at: usize, partitions: &[(u8, usize, usize)]) {
    let table = &mut disk.bytes[at * 512..][..512];
    table[510..].copy_from_slice(&[0x55, 0xAA]);
    for (index, (kind, first, blocks)) in partitions.iter().enumerate() {
        let entry = &mut table[446 + 16 * index..][..16];
        entry[4] = *kind;
        entry[8..12].copy_from_slice(&(*first as u32).to_le_bytes());
        entry[12..].copy_from_slice(&(*blocks as u32).to_le_bytes());
    }
}

fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 }
        })
    })
}

/// Writes a GPT: its header at a block, its entries at another.
fn set_gpt(disk: &mut Memory, at: usize, entries_at: usize, partitions: &[(usize, usize)]) {
    let mut entries = vec![0; 16 << 10];
    for (index, (first, last)) in partitions.iter().enumerate() {
        let entry = &mut entries[128 * index..][..128];
        entry[..16].fill(7);
        entry[32..40].copy_from_slice(&(*first as u64).to_le_bytes());
        entry[40..48].copy_from_slice(&(*last as u64).to_le_bytes());
    }
    let mut header = [0; 92];
    header[..12].copy_from_slice(b"EFI PART\0\0\x01\0");
    header[12..16].copy_from_slice(&92_u32.to_le_bytes());
    header[24..32].copy_from_slice(&(at as u64).to_le_bytes());
    header[72..80].copy_from_slice(&(entries_at as u64).to_le_bytes());
    header[80..84].copy_from_slice(&128_u32.to_le_bytes());
    header[84..88].copy_from_slice(&128_u32.to_le_bytes());
    header[88..92].copy_from_slice(&crc_32(&entries).to_le_bytes());
    let sum = crc_32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.bytes[at * 512..][..92].copy_from_slice(&header);
    disk.bytes[entries_at * 512..][..entries.len()].copy_from_slice(&entries);
}

#[test]
fn a_file_system_is_found_wherever_it_is() {
    let file_system = file_system();
    let whole = file_system.len() / 512;
    assert_eq!(partition::find(&mut Memory::new(file_system.clone())), Ok(0..whole as u64));

    let part = MIB as u64..(MIB + whole) as u64;
    let mut disk = disk_with(&file_system, MIB);
    set_table(&mut disk, 0, &[(0x0C, 64, 100), (0x83, MIB, whole)]);
    assert_eq!(partition::find(&mut disk), Ok(part.clone()));

    // The second partition in an extended one.
    let mut disk = disk_with(&file_system, MIB);
    set_table(&mut disk, 0, &[(0x05, 64, 30_000)]);
    set_table(&mut disk, 64, &[(0x83, 1, 100), (0x05, 200, 29_000)]);
    set_table(&mut disk, 264, &[(0x83, MIB - 264, whole)]);
    assert_eq!(partition::find(&mut disk), Ok(part.clone()));

    let mut disk = disk_with(&file_system, MIB);
    set_table(&mut disk, 0, &[(0xEE, 1, 32_767)]);
    let partitions = [(64, 100), (MIB, MIB + whole - 1)];
    set_gpt(&mut disk, 1, 2, &partitions);
    set_gpt(&mut disk, 32_767, 32_767 - 32, &partitions);
    assert_eq!(partition::find(&mut disk), Ok(part.clone()));
    // The first header is damaged: the second one, at the end, is used.
    disk.bytes[512 + 40] ^= 1;
    assert_eq!(partition::find(&mut disk), Ok(part.clone()));
    disk.bytes[32_735 * 512] ^= 1;
    assert_eq!(partition::find(&mut disk), Err(Error::NotExt4));

    disk.bytes[512 + 40] ^= 1;
    let mut volume =
        Ext4::mount(partition::Part::new(&mut disk, part), Noon, Access::Write).unwrap();
    volume.create(volume.root(), b"f").unwrap();
    volume.close().unwrap();
}

#[test]
fn a_part_ends_where_it_ends() {
    let mut disk = Memory::new((0..8).flat_map(|n| [n; 512]).collect());
    let mut part = partition::Part::new(&mut disk, 2..5);
    let mut block = [0; 512];
    assert_eq!(part.blocks(), 3);
    assert_eq!(part.read(2, &mut block), Ok(()));
    assert_eq!(block, [4; 512]);
    assert_eq!(part.read(3, &mut block), Err(DeviceError));
    assert_eq!(part.read(2, &mut [0; 1024]), Err(DeviceError));
    assert_eq!(part.write(u64::MAX, &block), Err(DeviceError));
    assert_eq!(partition::Part::new(&mut disk, 7..99).blocks(), 1);
}

#[test]
fn hostile_tables_are_errors() {
    for mut disk in [Memory::new(vec![]), Memory::new(vec![0; 512]), Memory::new(vec![0; 4096])] {
        assert_eq!(partition::find(&mut disk), Err(Error::NotExt4));
    }
    // Extended partitions that lead to each other.
    let mut disk = Memory::new(vec![0; 1 << 20]);
    set_table(&mut disk, 0, &[(0x05, 64, 1000)]);
    set_table(&mut disk, 64, &[(0x83, 1, 1), (0x05, 100, 100)]);
    set_table(&mut disk, 164, &[(0x83, 1, 1), (0x05, 100, 100)]);
    assert_eq!(partition::find(&mut disk), Err(Error::NotExt4));
    let mut rng = Rng::with_seed(1);
    for _ in 0..times("VOLUME_TABLES", 2000) {
        let mut disk = Memory::new(vec![0; 64 << 10]);
        set_table(&mut disk, 0, &[([0xEE, 0x05, 0x83][rng.usize(..3)], 64, 1000)]);
        set_gpt(&mut disk, 1, 2, &[(3, 9)]);
        for _ in 0..rng.u32(1..6) {
            let at = [440, 512, 512, 1024][rng.usize(..4)] + rng.usize(..92);
            disk.bytes[at] = rng.u8(..);
        }
        disk.bytes[510..512].copy_from_slice(&[0x55, 0xAA]);
        disk.bytes[512 + 16..512 + 20].fill(0);
        let sum = crc_32(&disk.bytes[512..512 + 92]);
        disk.bytes[512 + 16..512 + 20].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(partition::find(&mut disk), Err(Error::NotExt4));
    }
}
