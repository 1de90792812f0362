// SPDX-License-Identifier: BSD-2-Clause

//! Makes a boot image out of a system description and its programs, as Microkit's own tool does,
//! with untyped memory and memory accounts in it (see the README beside this crate).
//!
//! `system-description` reads this project's extensions of the description. microkit-tool, used as
//! a library, does the rest: it parses the description, makes the capDL specification from it and
//! packs that into capDL's initialiser.

mod boards;
mod capdl;
mod id_registers;
mod last_resort;
mod memory;
mod pack;
mod sdk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::capdl::{CapDLSpecContainer, build_capdl_spec};
use microkit_tool::elf::ElfFile;
use microkit_tool::sdf::{self, SysMemoryRegionPaddr, SystemDescription};
use microkit_tool::sel4::{Arch, Config};
use microkit_tool::symbols::patch_symbols;
use microkit_tool::util::get_full_path;
use microkit_tool::viper;
use system_description::{
    Description, FILE_SETUP_FILE, Fault, LAST_RESORT_FILE, Machine, SETUP_FILE, Variable,
};

use crate::sdk::BoardFolder;

/// Makes a boot image from a Microkit system description that may give untyped memory to PDs.
#[derive(Parser)]
struct Arguments {
    /// Folder of the Microkit SDK.
    #[arg(long)]
    sdk: PathBuf,
    /// Board to make the image for; elements for other boards are left out.
    #[arg(long)]
    board: String,
    /// Configuration of the kernel: debug, release or benchmark.
    #[arg(long)]
    config: String,
    /// Folder in which to look for program images and prefilled memory (may be repeated).
    #[arg(long = "search-path", required_unless_present = "root_task", num_args = 1..)]
    search_paths: Vec<PathBuf>,
    /// The image to write; for x86, the kernel is copied beside it.
    #[arg(short, long)]
    output: PathBuf,
    /// RAM of a board whose kernel finds it at boot, as QEMU's -m takes it: 1G, 512M.
    #[arg(long, value_parser = bytes)]
    ram: Option<u64>,
    /// The processor of a board for aarch64 has CRC32 instructions.
    #[arg(long)]
    crc32: bool,
    /// The machine has an IOMMU: the devices that accounts name are confined by it. Such an image
    /// starts on no machine without one.
    #[arg(long)]
    iommu: bool,
    /// Where to write microkit-tool's report of objects and capabilities.
    #[arg(short, long)]
    report: Option<PathBuf>,
    /// Folder for microkit-tool's invariants of each PD, for Viper.
    #[arg(long)]
    viper_output: Option<PathBuf>,
    /// Instead of a system: a program that the kernel starts as its first thread.
    #[arg(long, conflicts_with_all = ["search_paths", "report", "viper_output", "system"])]
    root_task: Option<PathBuf>,
    /// The system description.
    #[arg(value_name = "SYSTEM.xml", required_unless_present = "root_task")]
    system: Option<PathBuf>,
}

/// Reads a number of bytes with QEMU's suffixes; without one these are MiB.
fn bytes(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.strip_suffix('G') {
        Some(digits) => (digits, 1 << 30),
        None => (text.strip_suffix('M').unwrap_or(text), 1 << 20),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    number.ok_or_else(|| format!("'{text}' is not an amount of memory, such as 1G or 512M"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (&arguments.root_task, &arguments.system) {
        (Some(program), _) => pack_root_task(&arguments, program),
        (None, Some(system)) => run(&arguments, system),
        (None, None) => Err("there is nothing to make an image of".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the image of a program that runs on the kernel alone, without Microkit.
fn pack_root_task(arguments: &Arguments, program: &Path) -> Result<(), String> {
    let board = BoardFolder::open(&arguments.sdk, &arguments.board, &arguments.config)?;
    let memory = memory::BoardMemory::new(&board, arguments.ram)?;
    // Kernel and loader start any program that microkit-tool takes for its initialiser.
    let mut program = CapDLInitialiser::new(read_program(arguments, &board, program)?);
    memory
        .place(&board, &mut CapDLSpecContainer::new(), &mut program, &[])
        .map_err(|fault| fault.sentence)?;
    pack::write(&board, &memory, &program, &arguments.output)
}

fn run(arguments: &Arguments, system: &Path) -> Result<(), String> {
    let file = system.display();
    let at = |fault: Fault| format!("{file}:{fault}");
    let xml = fs::read_to_string(system);
    let xml = xml.map_err(|err| format!("cannot read {file}: {err}"))?;
    let machine = Machine { board: Some(&arguments.board), has_iommu: arguments.iommu };
    let description = system_description::read_for(&xml, machine).map_err(at)?;

    let board = BoardFolder::open(&arguments.sdk, &arguments.board, &arguments.config)?;
    if arguments.iommu && !board.config.iommu {
        return Err(format!("the kernel for {} uses no IOMMU", arguments.board));
    }
    let memory = memory::BoardMemory::new(&board, arguments.ram)?;
    memory.check_total(&description.untypeds).map_err(at)?;

    let mut search_paths = vec![write_setup(&description, &board.config, &arguments.output)?];
    search_paths.extend_from_slice(&arguments.search_paths);
    let hardware = boards::hardware(&arguments.board, &board.config)?;
    if description.has_serial_port() && hardware.serial_port.is_none() {
        eprintln!("{}", boards::no_serial_port(&arguments.board, &arguments.config));
    }
    let complete = description.complete(&hardware);
    let system = sdf::parse(system, &complete.text, &board.config, &search_paths)?;
    check_addresses(&system).map_err(at)?;
    let read = |path: &Path| read_program(arguments, &board, path);
    let mut programs = programs(&system, &search_paths, read)?;
    programs.push(board.program("monitor.elf")?);
    patch_symbols(&board.config, &mut programs, &system)?;
    if let Some(variable) = &complete.variable {
        set_variable(variable, &system, &mut programs)?;
    }

    let mut spec = build_capdl_spec(&board.config, &mut programs, &system)?;
    capdl::add(&mut spec, &description, &board.config)?;
    let mut initialiser = CapDLInitialiser::new(board.program("initialiser.elf")?);
    pack::pack(&board, &arguments.config, &spec, &programs, &mut initialiser);
    memory.place(&board, &mut spec, &mut initialiser, &description.untypeds).map_err(at)?;
    if let Some(report) = &arguments.report {
        pack::check_writable(report)?;
    }
    pack::write(&board, &memory, &initialiser, &arguments.output)?;
    if let Some(report) = &arguments.report {
        microkit_tool::report::write_report(&spec, &board.config, report);
    }
    match &arguments.viper_output {
        Some(folder) => write_views(folder, &spec, &system),
        None => Ok(()),
    }
}

/// Gives a variable of a PD's program its value.
fn set_variable(
    variable: &Variable,
    system: &SystemDescription,
    programs: &mut [ElfFile],
) -> Result<(), String> {
    let mut pds = system.protection_domains.iter().zip(programs);
    let found = pds.find(|(pd, _)| pd.name == variable.pd);
    let written = found
        .map(|(_, program)| program.write_symbol(&variable.name, &variable.value.to_le_bytes()));
    let no_variable =
        |_| format!("the program of '{}' has no variable '{}'", variable.pd, variable.name);
    written.unwrap_or(Ok(())).map_err(no_variable)
}

/// Writes what microkit-tool tells Viper of each PD.
fn write_views(
    folder: &Path,
    spec: &CapDLSpecContainer,
    system: &SystemDescription,
) -> Result<(), String> {
    let failed = |err| format!("cannot write to {}: {err}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    for view in viper::get_combined_views(spec, system) {
        let mut text = format!("// exported invariants for PD {}\n", view.pd_name);
        view.export(&mut text);
        fs::write(folder.join(format!("{}.vpr", view.pd_name)), text).map_err(failed)?;
    }
    Ok(())
}

/// Writes what the servers are told, and what the memory server's peers run as a last resort,
/// beside the image. Returns the folder.
fn write_setup(
    description: &Description,
    config: &Config,
    output: &Path,
) -> Result<PathBuf, String> {
    let folder = output.parent().unwrap_or(Path::new("")).to_owned();
    let write = |name: &str, contents: &[u8]| {
        let file = folder.join(name);
        fs::write(&file, contents).map_err(|err| format!("cannot write {}: {err}", file.display()))
    };
    if let Some(page) = description.setup_page() {
        write(SETUP_FILE, page)?;
        write(LAST_RESORT_FILE, &last_resort::code(config.arch)?)?;
    }
    if let Some(server) = &description.file_server {
        write(FILE_SETUP_FILE, &*server.pages)?;
    }
    Ok(folder)
}

/// Refuses regions whose physical address microkit-tool would have to choose: that needs several
/// passes over the whole image, and nothing in this project uses it.
fn check_addresses(system: &SystemDescription) -> Result<(), Fault> {
    let unplaced = system
        .memory_regions
        .iter()
        .find(|region| matches!(region.phys_addr, SysMemoryRegionPaddr::ToolAllocated(_)));
    match unplaced {
        Some(region) => Err(Fault {
            line: region.text_pos.map_or(1, |position| position.row),
            sentence: format!(
                "a program asks for the physical address of the memory region '{}', which must \
                 then have a phys_addr.",
                region.name
            ),
        }),
        None => Ok(()),
    }
}

/// What Microkit's library has in every program; microkit-tool would panic without one of them.
const MICROKIT_SYMBOLS: [&str; 6] = [
    "microkit_name",
    "microkit_passive",
    "microkit_irqs",
    "microkit_notifications",
    "microkit_pps",
    "microkit_ioports",
];

/// Returns what an ELF file for an architecture says in its header.
const fn machine(arch: &Arch) -> u16 {
    match arch {
        Arch::Aarch64 => 183,
        Arch::Riscv64 => 243,
        Arch::X86_64 => 62,
    }
}

/// Reads a program, and answers what it asks its processor.
fn read_program(
    arguments: &Arguments,
    board: &BoardFolder,
    path: &Path,
) -> Result<ElfFile, String> {
    let mut program = sdk::read_elf(path)?;
    let arch = &board.config.arch;
    if program.machine != machine(arch) {
        let (path, board) = (path.display(), &arguments.board);
        return Err(format!("{path} was built for another processor: that of {board} is {arch}"));
    }
    if board.config.arch == Arch::Aarch64 {
        id_registers::answer(&mut program, arguments.crc32)?;
    }
    Ok(program)
}

/// Reads the program of each PD, in the order of the PDs.
fn programs(
    system: &SystemDescription,
    search_paths: &Vec<PathBuf>,
    read: impl Fn(&Path) -> Result<ElfFile, String>,
) -> Result<Vec<ElfFile>, String> {
    let mut programs = Vec::new();
    for pd in &system.protection_domains {
        let path = get_full_path(&pd.program_image, search_paths).ok_or_else(|| {
            format!(
                "the program image '{}' of PD '{}' is in none of the search paths",
                pd.program_image.display(),
                pd.name
            )
        })?;
        let program = read(&path)?;
        for symbol in MICROKIT_SYMBOLS {
            program.find_symbol(symbol).map_err(|err| {
                format!("{} is not a program for Microkit: {err}", path.display())
            })?;
        }
        programs.push(program);
    }
    Ok(programs)
}
