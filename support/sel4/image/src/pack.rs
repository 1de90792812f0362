// SPDX-License-Identifier: BSD-2-Clause

//! Packs the specification into capDL's initialiser and writes what the board boots.

use std::fs;
use std::path::Path;

use microkit_tool::capdl::CapDLSpecContainer;
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::capdl::packaging::pack_spec_into_initial_task;
use microkit_tool::elf::ElfFile;
use microkit_tool::loader::Loader;

use crate::memory::{BoardMemory, FixedMemory};
use crate::sdk::BoardFolder;

/// The kernel files that a bootloader for x86 needs with the image; QEMU takes the 32-bit one.
const X86_KERNELS: [&str; 2] = ["sel4.elf", "sel4_32.elf"];

/// Puts the specification and the contents of all frames into the initialiser.
pub(crate) fn pack(
    board: &BoardFolder,
    configuration: &str,
    spec: &CapDLSpecContainer,
    programs: &[ElfFile],
    initialiser: &mut CapDLInitialiser,
) {
    pack_spec_into_initial_task(&board.config, configuration, spec, programs, initialiser);
}

/// Writes the image: one file with kernel and loader if the board has a loader, else a boot module.
pub(crate) fn write(
    board: &BoardFolder,
    memory: &BoardMemory,
    initialiser: &CapDLInitialiser,
    output: &Path,
) -> Result<(), String> {
    let folder = output.parent().unwrap_or(Path::new(""));
    check_writable(output)?;
    match memory.fixed() {
        Some(fixed) => write_loader(board, fixed, initialiser, output),
        None => {
            initialiser.elf.reserialise(output)?;
            for kernel in X86_KERNELS {
                let copied = fs::copy(board.program_path(kernel), folder.join(kernel));
                copied.map_err(|err| format!("cannot copy {kernel} beside the image: {err}"))?;
            }
            Ok(())
        }
    }
}

/// Checks that a file can be written; microkit-tool would panic otherwise.
pub(crate) fn check_writable(path: &Path) -> Result<(), String> {
    fs::write(path, []).map_err(|err| format!("cannot write {}: {err}", path.display()))
}

fn write_loader(
    board: &BoardFolder,
    memory: &FixedMemory,
    initialiser: &CapDLInitialiser,
    output: &Path,
) -> Result<(), String> {
    let physical = initialiser.phys_base.ok_or("the initial task has no physical address")?;
    let loader = Loader::new(
        &board.config,
        &board.program_path("loader.elf"),
        &memory.kernel,
        &initialiser.elf,
        physical,
        &initialiser.image_bound(),
    );
    loader.write_image(output);
    Ok(())
}
