// SPDX-License-Identifier: BSD-2-Clause

//! Reads what a Microkit SDK says about a board: its kernel's configuration and its programs.

use std::fs;
use std::path::{Path, PathBuf};

use microkit_tool::elf::ElfFile;
use microkit_tool::sel4::{Arch, Config, PlatformConfig};
use microkit_tool::util::{json_str, json_str_as_bool, json_str_as_u64};
use serde_json::Value;

/// A folder `board/BOARD/CONFIG` of an SDK.
pub(crate) struct BoardFolder {
    path: PathBuf,
    pub(crate) config: Config,
}

impl BoardFolder {
    /// Reads the configuration of `board` in `configuration` (debug, release, benchmark).
    pub(crate) fn open(sdk: &Path, board: &str, configuration: &str) -> Result<Self, String> {
        let boards = sdk.join("board");
        if !boards.is_dir() {
            return Err(format!("there is no Microkit SDK in {}", sdk.display()));
        }
        let path = boards.join(board).join(configuration);
        if !path.is_dir() {
            return Err(format!(
                "the SDK in {} has no board '{board}' with the configuration '{configuration}'",
                sdk.display()
            ));
        }
        let config = kernel_config(&path, configuration)?;
        Ok(Self { path, config })
    }

    /// Returns the path of one of the board's programs.
    pub(crate) fn program_path(&self, name: &str) -> PathBuf {
        self.path.join("elf").join(name)
    }

    /// Reads one of the board's programs.
    pub(crate) fn program(&self, name: &str) -> Result<ElfFile, String> {
        read_elf(&self.program_path(name))
    }
}

/// Size of the header of an ELF file; microkit-tool would panic without one.
const ELF_HEADER_BYTES: u64 = 64;

/// Reads an ELF file.
pub(crate) fn read_elf(path: &Path) -> Result<ElfFile, String> {
    if fs::metadata(path).is_ok_and(|file| file.len() < ELF_HEADER_BYTES) {
        return Err(format!("cannot read {}: it has no ELF header", path.display()));
    }
    ElfFile::from_path(path).map_err(|err| format!("cannot read {}: {err}", path.display()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|err| format!("cannot read {}: {err}", path.display()))?;
    serde_json::from_str(&text).map_err(|err| format!("cannot parse {}: {err}", path.display()))
}

fn kernel_config(folder: &Path, configuration: &str) -> Result<Config, String> {
    let json: Value = read_json(&folder.join("include/kernel/gen_config.json"))?;
    let number = |name| json_str_as_u64(&json, name);
    let small = |name| -> Result<u8, String> {
        u8::try_from(number(name)?).map_err(|_| format!("{name} of the kernel is above 255"))
    };
    let flag = |name| json_str_as_bool(&json, name);

    let arch = match json_str(&json, "SEL4_ARCH")? {
        "aarch64" => Arch::Aarch64,
        "x86_64" => Arch::X86_64,
        other => return Err(format!("boards of the architecture {other} are not supported yet")),
    };
    let is_arm = arch == Arch::Aarch64;
    let platform: Option<PlatformConfig> = match arch {
        Arch::Aarch64 => Some(read_json(&folder.join("platform_gen.json"))?),
        _ => None,
    };
    let (device_regions, normal_regions) =
        platform.map(|platform| (platform.devices, platform.memory)).unzip();
    let object_sizes: microkit_tool::sel4::ObjectSizes =
        read_json(&folder.join("object_sizes.json"))?;
    let arm_pa_size_bits = match is_arm {
        true if flag("ARM_PA_SIZE_BITS_40")? => Some(40),
        true => Some(44),
        false => None,
    };
    let small_page_bits = u32::try_from(object_sizes.small_page).unwrap_or(u32::MAX);
    let small_page =
        1_u64.checked_shl(small_page_bits).ok_or("the kernel's pages are too large")?;

    Ok(Config {
        arch,
        word_size: number("WORD_SIZE")?,
        minimum_page_size: small_page,
        paddr_user_device_top: number("PADDR_USER_DEVICE_TOP")?,
        kernel_frame_size: small_page,
        init_cnode_bits: number("ROOT_CNODE_SIZE_BITS")?,
        cap_address_bits: 64,
        fan_out_limit: number("RETYPE_FAN_OUT_LIMIT")?,
        max_num_bootinfo_untypeds: number("MAX_NUM_BOOTINFO_UNTYPED_CAPS")?,
        hypervisor: flag(if is_arm { "ARM_HYPERVISOR_SUPPORT" } else { "VTX" })?,
        iommu: !is_arm && flag("IOMMU")?,
        benchmark: configuration == "benchmark",
        num_cores: if flag("ENABLE_SMP_SUPPORT")? { small("MAX_NUM_NODES")? } else { 1 },
        num_domains: small("NUM_DOMAINS")?,
        num_domain_schedules: number("NUM_DOMAIN_SCHEDULES")?,
        fpu: flag("HAVE_FPU")?,
        arm_pa_size_bits,
        arm_smc: is_arm.then(|| flag("ALLOW_SMC_CALLS")).transpose()?,
        riscv_pt_levels: None,
        invocations_labels: read_json(&folder.join("invocations_all.json"))?,
        device_regions,
        normal_regions,
        object_sizes,
        address_space_constants: read_json(&folder.join("address_space_constants.json"))?,
    })
}
