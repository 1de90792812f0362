// SPDX-License-Identifier: BSD-2-Clause

//! Checks that the system fits into the memory of the board.
//!
//! Where the kernel's memory is fixed when it is built (aarch64), its boot can be emulated: the
//! total is checked first, then, when the size of the initial task is known, every single object
//! is placed. On x86 the kernel finds the memory at boot. There `--ram` says how much RAM the
//! machine has, and the same is checked for a PC with that much, less a margin for kernel and
//! firmware. Without `--ram` nothing is checked, and a system that does not fit stops at boot; a
//! release kernel prints no message then.

use microkit_tool::capdl::CapDLSpecContainer;
use microkit_tool::capdl::allocation::{
    CapDLAllocEmulationErrorLevel, simulate_capdl_object_alloc_algorithm,
};
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::elf::ElfFile;
use microkit_tool::sel4::{Arch, BootInfo, emulate_kernel_boot, emulate_kernel_boot_partial};
use microkit_tool::util::human_size_strict;
use microkit_tool::{DisjointMemoryRegion, MemoryRegion, UntypedObject};

use system_description::{Fault, UntypedCaps};

use crate::capdl;
use crate::sdk::BoardFolder;

/// The memory of a board.
pub(crate) struct BoardMemory {
    fixed: Option<FixedMemory>,
    /// Free memory of a board whose kernel finds it at boot; `None` if nobody said how much it has.
    found: Option<DisjointMemoryRegion>,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// On a PC, memory is free from here on: below are firmware, kernel and what the kernel makes.
const PC_FREE_FROM: u64 = 8 * MIB;
/// Bytes at the end of RAM that firmware and kernel use.
const PC_USED_AT_END: u64 = 4 * MIB;
/// RAM below 4 GiB of QEMU's PC if it has 3.5 GiB or more; if it has less, all is there.
const PC_LOW_RAM: u64 = 3 * GIB;
const PC_LOW_RAM_MAX: u64 = 3 * GIB + 512 * MIB;
/// The kernel's largest untyped object.
const UNTYPED_BITS_MAX: u64 = 47;

/// Memory that is known when the kernel is built.
pub(crate) struct FixedMemory {
    pub(crate) kernel: ElfFile,
    /// Memory that the kernel's image does not use.
    free: DisjointMemoryRegion,
    kernel_boot_region: MemoryRegion,
}

impl BoardMemory {
    /// Emulates the first part of the kernel's boot if the kernel's memory is fixed; else assumes
    /// that the board has `ram` bytes.
    pub(crate) fn new(board: &BoardFolder, ram: Option<u64>) -> Result<Self, String> {
        if board.config.arch == Arch::X86_64 {
            return Ok(Self { fixed: None, found: ram.map(pc_memory) });
        }
        let kernel = board.program("sel4.elf")?;
        let (free, kernel_boot_region) = emulate_kernel_boot_partial(&board.config, &kernel);
        Ok(Self { fixed: Some(FixedMemory { kernel, free, kernel_boot_region }), found: None })
    }

    /// Returns the memory, if it is known when the kernel is built.
    pub(crate) fn fixed(&self) -> Option<&FixedMemory> {
        self.fixed.as_ref()
    }

    /// Refuses the first element that brings the untyped memory above what the board has.
    pub(crate) fn check_total(&self, untypeds: &[UntypedCaps]) -> Result<(), Fault> {
        let free = self.fixed.as_ref().map(|fixed| &fixed.free).or(self.found.as_ref());
        let Some(free) = free else { return Ok(()) };
        let available: u64 = free.regions.iter().map(MemoryRegion::size).sum();
        let mut total: u64 = 0;
        for untyped in untypeds {
            let bytes = 1_u64.checked_shl(u32::from(untyped.size_bits));
            let bytes = bytes.and_then(|bytes| bytes.checked_mul(u64::from(untyped.count)));
            total = total.saturating_add(bytes.unwrap_or(u64::MAX));
            if total > available {
                return Err(Fault {
                    line: untyped.line,
                    sentence: format!(
                        "untyped memory adds up to {} with this element; the board has only {}.",
                        human_size_strict(total),
                        match available {
                            // microkit-tool would panic.
                            0 => "0 bytes".to_owned(),
                            _ => human_size_strict(available),
                        }
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
        let virtual_range = initialiser.image_bound();
        let size = virtual_range.end.saturating_sub(virtual_range.start);
        let Some(fixed) = &self.fixed else {
            return self.place_on_pc(board, spec, size, untypeds);
        };
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
        if fits { Ok(()) } else { Err(does_not_fit(untypeds, "all objects")) }
    }

    /// Simulates the allocation of all objects on a PC, whose initial task has `size` bytes.
    fn place_on_pc(
        &self,
        board: &BoardFolder,
        spec: &mut CapDLSpecContainer,
        size: u64,
        untypeds: &[UntypedCaps],
    ) -> Result<(), Fault> {
        let Some(found) = &self.found else { return Ok(()) };
        let mut free = found.clone();
        // The boot module, and the place that the kernel copies it to.
        let images = size.saturating_mul(2).div_ceil(MIB).saturating_mul(MIB);
        let base = free.allocate_from(images, PC_FREE_FROM);
        base.ok_or_else(|| does_not_fit(untypeds, "the initial task"))?;
        let regions = |memory: &DisjointMemoryRegion, is_device| {
            let regions = memory.aligned_power_of_two_regions(&board.config, UNTYPED_BITS_MAX);
            regions.into_iter().map(move |region| UntypedObject::new(0, region, is_device))
        };
        let devices = pc_devices(found);
        let boot_info = BootInfo {
            fixed_cap_count: 0,
            sched_control_cap: 0,
            paging_cap_count: 0,
            page_cap_count: 0,
            untyped_objects: regions(&devices, true).chain(regions(&free, false)).collect(),
            first_available_cap: 0,
        };
        let fits = capdl::with_frames_for_untypeds(spec, |spec| {
            simulate_capdl_object_alloc_algorithm(
                spec,
                &boot_info,
                &board.config,
                CapDLAllocEmulationErrorLevel::Suppressed,
            )
        });
        // The addresses of the objects are known only when the kernel boots.
        spec.expected_allocations.clear();
        if fits { Ok(()) } else { Err(does_not_fit(untypeds, "all objects")) }
    }
}

/// Returns the memory of a PC that is free when the kernel starts the initial task.
fn pc_memory(ram: u64) -> DisjointMemoryRegion {
    let low = if ram >= PC_LOW_RAM_MAX { PC_LOW_RAM } else { ram };
    let high = ram.saturating_sub(low);
    let ends = match high {
        0 => [(PC_FREE_FROM, low.saturating_sub(PC_USED_AT_END)), (0, 0)],
        _ => {
            let end = high.saturating_add(4 * GIB).saturating_sub(PC_USED_AT_END);
            [(PC_FREE_FROM, low.saturating_sub(PC_USED_AT_END)), (4 * GIB, end)]
        }
    };
    let mut memory = DisjointMemoryRegion::default();
    for (base, end) in ends.into_iter().filter(|(base, end)| base < end) {
        memory.insert_region(base, end);
    }
    memory
}

/// Returns the physical addresses of a PC that are not RAM, for regions with a `phys_addr`.
fn pc_devices(memory: &DisjointMemoryRegion) -> DisjointMemoryRegion {
    let mut devices = DisjointMemoryRegion::default();
    let mut from = 0;
    for region in &memory.regions {
        devices.insert_region(from, region.base);
        from = region.end;
    }
    devices.insert_region(from, 1 << UNTYPED_BITS_MAX);
    devices
}

/// Reports the element with the largest untyped objects, which are the hardest to place.
fn does_not_fit(untypeds: &[UntypedCaps], what: &str) -> Fault {
    let largest = untypeds.iter().max_by_key(|untyped| untyped.size_bits);
    let sentence = match largest {
        Some(untyped) => format!(
            "with this untyped memory ({} x {}) the board has no room for {what}.",
            untyped.count,
            human_size_strict(1_u64.checked_shl(u32::from(untyped.size_bits)).unwrap_or(0))
        ),
        None => format!("the board has no room for {what} of the system."),
    };
    Fault { line: largest.map_or(1, |untyped| untyped.line), sentence }
}
