// SPDX-License-Identifier: BSD-2-Clause

//! Knows how much memory the board has, and whether the system fits into it.
//!
//! Where the kernel's memory is fixed when it is built (aarch64), its boot can be emulated: the
//! total is checked first, then, when the size of the initial task is known, every single object
//! is placed. On x86 the memory is found at boot: there a system that does not fit is told by the
//! initialiser, at boot ("Out of untypeds").

use microkit_tool::capdl::CapDLSpecContainer;
use microkit_tool::capdl::allocation::{
    CapDLAllocEmulationErrorLevel, simulate_capdl_object_alloc_algorithm,
};
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::elf::ElfFile;
use microkit_tool::sel4::{Arch, emulate_kernel_boot, emulate_kernel_boot_partial};
use microkit_tool::util::human_size_strict;
use microkit_tool::{DisjointMemoryRegion, MemoryRegion};

use crate::capdl;
use crate::extension::{Fault, UntypedCaps};
use crate::sdk::BoardFolder;

/// The memory of a board; of one that finds it at boot, nothing is known.
pub(crate) struct BoardMemory {
    fixed: Option<FixedMemory>,
}

/// Memory that is known when the kernel is built.
pub(crate) struct FixedMemory {
    pub(crate) kernel: ElfFile,
    /// Memory that the kernel's image leaves.
    free: DisjointMemoryRegion,
    kernel_boot_region: MemoryRegion,
}

impl BoardMemory {
    /// Emulates the first part of the kernel's boot, where that can be done.
    pub(crate) fn new(board: &BoardFolder) -> Result<Self, String> {
        if board.config.arch == Arch::X86_64 {
            return Ok(Self { fixed: None });
        }
        let kernel = board.program("sel4.elf")?;
        let (free, kernel_boot_region) = emulate_kernel_boot_partial(&board.config, &kernel);
        Ok(Self { fixed: Some(FixedMemory { kernel, free, kernel_boot_region }) })
    }

    /// Returns the memory, where it is known.
    pub(crate) fn fixed(&self) -> Option<&FixedMemory> {
        self.fixed.as_ref()
    }

    /// Refuses the first element with which the untyped memory is more than the board has.
    pub(crate) fn check_total(&self, untypeds: &[UntypedCaps]) -> Result<(), Fault> {
        let Some(fixed) = &self.fixed else { return Ok(()) };
        let available: u64 = fixed.free.regions.iter().map(MemoryRegion::size).sum();
        let mut total: u64 = 0;
        for untyped in untypeds {
            let bytes = 1_u64.checked_shl(u32::from(untyped.size_bits));
            let bytes = bytes.and_then(|bytes| bytes.checked_mul(u64::from(untyped.count)));
            total = total.saturating_add(bytes.unwrap_or(u64::MAX));
            if total > available {
                return Err(Fault {
                    line: untyped.line,
                    sentence: format!(
                        "untyped memory comes to {} with this element, and the board has {}.",
                        human_size_strict(total),
                        human_size_strict(available)
                    ),
                });
            }
        }
        Ok(())
    }

    /// Places the initial task, and simulates the allocation of all objects in what is left.
    pub(crate) fn place(
        &self,
        board: &BoardFolder,
        spec: &mut CapDLSpecContainer,
        initialiser: &mut CapDLInitialiser,
        untypeds: &[UntypedCaps],
    ) -> Result<(), Fault> {
        let Some(fixed) = &self.fixed else { return Ok(()) };
        let virtual_range = initialiser.image_bound();
        let size = virtual_range.end.saturating_sub(virtual_range.start);
        let mut free = fixed.free.clone();
        // The kernel relies on the initial task lying above its own boot code.
        let base = free.allocate_from(size, fixed.kernel_boot_region.end);
        let base = base.ok_or_else(|| does_not_fit(untypeds, "the initial task"))?;
        initialiser.set_phys_base(base);

        let boot_info = emulate_kernel_boot(
            &board.config,
            &fixed.kernel,
            MemoryRegion::new(base, base.saturating_add(size)),
            MemoryRegion::new(virtual_range.start, virtual_range.end),
        );
        let fits = capdl::with_frames_for_untypeds(spec, |spec| {
            simulate_capdl_object_alloc_algorithm(
                spec,
                &boot_info,
                &board.config,
                CapDLAllocEmulationErrorLevel::PrintStderr,
            )
        });
        initialiser.add_expected_untypeds(&boot_info.untyped_objects);
        if fits { Ok(()) } else { Err(does_not_fit(untypeds, "every object")) }
    }
}

/// Blames the element with the largest blocks: those are the hardest to place.
fn does_not_fit(untypeds: &[UntypedCaps], what: &str) -> Fault {
    let largest = untypeds.iter().max_by_key(|untyped| untyped.size_bits);
    let sentence = match largest {
        Some(untyped) => format!(
            "beside this untyped memory ({} x {}) the board has no room for {what}.",
            untyped.count,
            human_size_strict(1_u64.checked_shl(u32::from(untyped.size_bits)).unwrap_or(0))
        ),
        None => format!("the board has no room for {what} of the system."),
    };
    Fault { line: largest.map_or(1, |untyped| untyped.line), sentence }
}
