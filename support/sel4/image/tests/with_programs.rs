// SPDX-License-Identifier: BSD-2-Clause

//! What is refused after the system description was read: boards, programs, and systems that have
//! too little memory for something else than their untyped memory. These need an SDK, and programs,
//! which are made here. Where there is no SDK, they are skipped, with a line that says so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking, in its helpers too"
)]

mod tool;

use std::fs;
use std::path::{Path, PathBuf};

use tool::{BOARD, message, sdk_with};

const PC: &str = "x86_64_generic";
/// RAM of a PC with 2 MiB for the system: what `--ram` says, less the kernel's and the firmware's.
const TWO_MIB: &str = "14M";

/// What microkit-tool writes to in every program.
const SYMBOLS: [&str; 6] = [
    "microkit_name",
    "microkit_passive",
    "microkit_irqs",
    "microkit_notifications",
    "microkit_pps",
    "microkit_ioports",
];

/// A folder of a test: a system description, and the program `server.elf` of its only PD.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    /// Makes a folder whose system has `elements` in its PD, from line 3 on.
    fn new(name: &str, elements: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("system-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let system = format!(
            "<system>\n<protection_domain name=\"server\"><program_image path=\"server.elf\" />\n\
             {elements}\n</protection_domain>\n\
             <memory_region name=\"data\" size=\"0x1000\" />\n</system>\n"
        );
        fs::write(folder.join("system.xml"), system).unwrap();
        let folder = Self(folder);
        folder.program(&program(&SYMBOLS, 4096));
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Replaces the program.
    fn program(&self, bytes: &[u8]) {
        fs::write(self.0.join("server.elf"), bytes).unwrap();
    }

    /// Checks that the tool says `expected` at the end.
    fn refused(&self, sdk: &Path, board: &str, arguments: &[&str], expected: &str) {
        let system = self.path("system.xml");
        let arguments = [arguments, &[&system]].concat();
        let said = message(tool::run(sdk, board, &self.0, &arguments), 1);
        // Before it, microkit-tool may have said for which object there is no room.
        assert_eq!(said.lines().last(), Some(expected), "{board}");
    }

    /// Checks that the tool says what `line` of the system is refused for.
    fn line_refused(&self, line: u32, sentence: &str, (sdk, board, arguments): Run) {
        let expected = format!("{}:{line}: {sentence}", self.path("system.xml"));
        self.refused(sdk, board, arguments, &expected);
    }
}

/// The SDK, the board, and more arguments.
type Run<'a> = (&'a Path, &'a str, &'a [&'a str]);

/// Returns an ELF file with a segment of `bytes`, which begins with these symbols, 64 bytes each.
fn program(symbols: &[&str], bytes: usize) -> Vec<u8> {
    const BASE: u64 = 0x20_0000;
    const HEADERS: u64 = 64 + 56;
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let mut names = vec![0];
    let mut table = vec![0; 24];
    for (address, symbol) in (BASE..).step_by(64).zip(symbols) {
        let name = u64::try_from(names.len()).unwrap();
        // What microkit-tool writes an address to has the size of one.
        let size = if symbol.ends_with("_vaddr") { 8 } else { 64 };
        table.extend::<Vec<u8>>(words(&[name, address, size]));
        names.extend([symbol.as_bytes(), &[0]].concat());
    }
    let bytes = u64::try_from(bytes).unwrap();
    let table_at = HEADERS + bytes;
    let names_at = table_at + u64::try_from(table.len()).unwrap();
    let sections_at = names_at + u64::try_from(names.len()).unwrap();
    // A 64-bit little-endian program: entry, program headers, section headers; how many of which.
    let mut elf =
        [b"\x7fELF\x02\x01\x01".as_slice(), &[0; 9], &[2, 0, 183, 0, 1, 0, 0, 0]].concat();
    elf.extend::<Vec<u8>>(words(&[BASE, 64, sections_at]));
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 3, 0, 0, 0]);
    // A loadable segment that can be read, written and executed.
    elf.extend::<Vec<u8>>(words(&[7 << 32 | 1, HEADERS, BASE, BASE, bytes, bytes, 4096]));
    elf.resize(elf.len() + usize::try_from(bytes).unwrap(), 0xA5);
    let (table_bytes, names_bytes) = (names_at - table_at, sections_at - names_at);
    elf.extend([table, names].concat());
    // No section, the table of symbols with the names in section 2, the names.
    elf.extend([0; 64]);
    elf.extend::<Vec<u8>>(words(&[2 << 32, 0, 0, table_at, table_bytes, 2, 8, 24]));
    elf.extend::<Vec<u8>>(words(&[3 << 32, 0, 0, names_at, names_bytes, 0, 1, 0]));
    elf
}

/// Returns the same program for the other architecture, by the number of that in the header.
fn of_pc(mut elf: Vec<u8>) -> Vec<u8> {
    elf[18] = 62;
    elf
}

fn untyped(size_bits: u8, count: u32) -> String {
    format!(
        "<cspace><cap_untyped slot=\"8\" size_bits=\"{size_bits}\" count=\"{count}\" /></cspace>"
    )
}

/// The programs of these tests are good enough for an image.
#[test]
fn what_fits_is_made() {
    for (board, arguments) in [(BOARD, [].as_slice()), (PC, &["--ram", "64M"])] {
        let Some(sdk) = sdk_with(board) else { continue };
        let folder = Folder::new("fits", &untyped(20, 1));
        if board == PC {
            folder.program(&of_pc(program(&SYMBOLS, 4096)));
        }
        let system = folder.path("system.xml");
        let arguments = [arguments, &[&system]].concat();
        assert_eq!(message(tool::run(&sdk, board, &folder.0, &arguments), 0), "");
    }
}

#[test]
fn no_room_for_all_objects() {
    let sentence = "with this untyped memory (5 x 256 MiB) the board has no room for all objects.";
    if let Some(sdk) = sdk_with(BOARD) {
        let folder = Folder::new("objects", &untyped(28, 5));
        folder.line_refused(3, sentence, (&sdk, BOARD, &[]));
    }
    if let Some(sdk) = sdk_with(PC) {
        let folder = Folder::new("objects-of-a-pc", &untyped(19, 2));
        folder.program(&of_pc(program(&SYMBOLS, 4096)));
        let sentence = sentence.replace("5 x 256 MiB", "2 x 512 KiB");
        folder.line_refused(3, &sentence, (&sdk, PC, &["--ram", TWO_MIB]));
    }
}

#[test]
fn no_room_for_the_initial_task() {
    let Some(sdk) = sdk_with(PC) else { return };
    let folder = Folder::new("task", &untyped(12, 1));
    folder.program(&of_pc(program(&SYMBOLS, 2 << 20)));
    let sentence =
        "with this untyped memory (1 x 4 KiB) the board has no room for the initial task.";
    folder.line_refused(3, sentence, (&sdk, PC, &["--ram", TWO_MIB]));
    folder.line_refused(
        3,
        "untyped memory adds up to 4 KiB with this element; the board has only 0 bytes.",
        (&sdk, PC, &["--ram", "12M"]),
    );
}

/// Not on aarch64: its RAM is fixed, and a program that is larger would have to be made.
#[test]
fn no_room_for_a_root_task() {
    let Some(sdk) = sdk_with(PC) else { return };
    let folder = Folder::new("root-task", "");
    folder.program(&of_pc(program(&SYMBOLS, 4096)));
    let arguments = ["--ram", "12M", "--root-task", &folder.path("server.elf")];
    let said = message(tool::run(&sdk, PC, &folder.0, &arguments), 1);
    assert_eq!(said, "the board has no room for the initial task of the system.\n");
}

#[test]
fn a_board_or_configuration_that_the_sdk_lacks() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let folder = Folder::new("board", "");
    let sentence = format!(
        "the SDK in {} has no board 'nowhere' with the configuration 'debug'",
        sdk.display()
    );
    folder.refused(&sdk, "nowhere", &[], &sentence);
}

#[test]
fn a_region_whose_address_is_asked_for_has_one() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let setvar = "<map mr=\"data\" vaddr=\"0x1000000\" perms=\"r\" />\n\
                  <setvar symbol=\"data_paddr\" region_paddr=\"data\" />";
    let sentence = "a program asks for the physical address of the memory region 'data', which \
                    must then have a phys_addr.";
    Folder::new("address", setvar).line_refused(6, sentence, (&sdk, BOARD, &[]));
}

#[test]
fn a_program_is_one_for_microkit() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let folder = Folder::new("program", "");
    let file = folder.path("server.elf");
    for (index, symbol) in SYMBOLS.iter().enumerate() {
        let mut symbols = SYMBOLS.to_vec();
        symbols.remove(index);
        folder.program(&program(&symbols, 4096));
        let sentence = format!("no symbol named '{symbol}' found");
        let sentence = format!("{file} is not a program for Microkit: {sentence}");
        folder.refused(&sdk, BOARD, &[], &sentence);
    }
    folder.program(&of_pc(program(&SYMBOLS, 4096)));
    let sentence = format!("{file} was built for another processor: that of {BOARD} is AArch64");
    folder.refused(&sdk, BOARD, &[], &sentence);
    folder.program(b"");
    folder.refused(&sdk, BOARD, &[], &format!("cannot read {file}: it has no ELF header"));
    folder.program(&[b'#'; 100]);
    folder.refused(&sdk, BOARD, &[], &format!("cannot read {file}: magic check failed"));
    fs::remove_file(&file).unwrap();
    let sentence = "the program image 'server.elf' of PD 'server' is in none of the search paths";
    folder.refused(&sdk, BOARD, &[], sentence);
}

#[test]
fn a_program_asks_its_processor_for_nothing_else() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let folder = Folder::new("id", "");
    let file = folder.path("server.elf");
    let mut bytes = program(&SYMBOLS, 4096);
    // ID_AA64ISAR0_EL1, and behind it ID_AA64MMFR0_EL1.
    bytes[120 + 1024..][..4].copy_from_slice(&0xD538_0600_u32.to_le_bytes());
    folder.program(&bytes);
    let system = folder.path("system.xml");
    assert_eq!(message(tool::run(&sdk, BOARD, &folder.0, &["--crc32", &system]), 0), "");
    bytes[120 + 1028..][..4].copy_from_slice(&0xD538_0700_u32.to_le_bytes());
    folder.program(&bytes);
    let sentence = format!(
        "{file} reads an ID register at 0x200404, which user level may not; only ID_AA64ISAR0_EL1 \
         has an answer"
    );
    folder.refused(&sdk, BOARD, &[], &sentence);
}

#[test]
fn a_file_server_is_told_what_its_clients_may_do() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let folder = Folder::new("access", "");
    let system = folder.path("system.xml");
    let domains = "<system>\n<protection_domain name=\"files\" priority=\"2\">\
        <program_image path=\"fsserver.elf\" /></protection_domain>\n\
        <protection_domain name=\"client\" priority=\"1\"><program_image path=\"server.elf\" />\
        <file_access rights=\"write\" /></protection_domain>\n\
        <channel><end pd=\"files\" id=\"1\" />\
        <end pd=\"client\" id=\"1\" pp=\"true\" /></channel>\n</system>\n";
    fs::write(&system, domains).unwrap();
    let make = |symbols: &[&str], status| {
        fs::write(folder.path("fsserver.elf"), program(symbols, 4096)).unwrap();
        message(tool::run(&sdk, BOARD, &folder.0, &[&system]), status)
    };
    assert_eq!(make(&[SYMBOLS.as_slice(), &["file_setup_vaddr"]].concat(), 0), "");
    let said = make(&SYMBOLS, 1);
    assert!(said.contains("file_setup_vaddr"), "{said}");
}

#[test]
fn a_file_that_cannot_be_read_or_written() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let folder = Folder::new("files", "");
    let report = folder.path("none/report.txt");
    let missing = folder.path("other.xml");
    let none = "No such file or directory (os error 2)";
    let said = message(tool::run(&sdk, BOARD, &folder.0, &[&missing]), 1);
    assert_eq!(said, format!("cannot read {missing}: {none}\n"));
    folder.refused(&sdk, BOARD, &["--report", &report], &format!("cannot write {report}: {none}"));
}

#[test]
fn ram_is_an_amount_of_memory() {
    for ram in ["", "G", "1MG", "1MM", "1GG", "1T", "-1G", "0x10", "1.5G", "17179869184G", "all"] {
        let argument = format!("--ram={ram}");
        let arguments = [argument.as_str(), "tests/bad/not_xml.xml"];
        let said = message(tool::run(Path::new("none"), PC, Path::new("tests"), &arguments), 2);
        let sentence = format!("'{ram}' is not an amount of memory, such as 1G or 512M");
        assert!(said.contains(&sentence), "{ram}: {said}");
    }
}
