// SPDX-License-Identifier: BSD-2-Clause
//! What Microkit is told beside the text: the elements that give the servers their setups, the
//! peers the code of their last resort, and a domain the serial port of the board.

use pmserver_setup::LAST_RESORT;

use crate::serial::{SerialOwner, SerialPort};
use crate::text::with_additions;
use crate::{Description, FILE_SETUP_FILE, LAST_RESORT_FILE, SETUP_FILE};

/// Where the memory server's setup is mapped in it, and the frequency of its clock: between its
/// program and the pool window.
const SETUP_VADDR: u64 = 0x0900_0000;
const FREQUENCY_VADDR: u64 = 0x0800_0000;
/// Where the file server's setup is mapped in it: after the code of its last resort.
const FILE_SETUP_VADDR: u64 = 0x0900_1000;
/// Bytes of the setup of the memory server, and of the code of the last resort.
const PAGE_BYTES: usize = 0x1000;

/// The hardware that a description is completed with.
#[derive(Clone, Debug, Default)]
pub struct Hardware {
    /// Its serial port, if there is a driver for it.
    pub serial_port: Option<SerialPort>,
    /// Whether only the kernel knows how fast the counter of its processor is: on x86.
    pub is_counter_measured: bool,
}

/// A description that is complete for a hardware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complete {
    /// What Microkit reads.
    pub text: String,
    /// What a program is told by a variable that Microkit has no element for.
    pub variable: Option<Variable>,
}

/// A value for a variable of the program of a protection domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The protection domain.
    pub pd: String,
    /// The variable.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// The ends of elements of the text, as byte offsets, and the domain with the serial port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places {
    pub(crate) system: usize,
    pub(crate) server: usize,
    pub(crate) peers: Vec<usize>,
    pub(crate) file_server: usize,
    pub(crate) serial: Option<(usize, SerialOwner)>,
}

impl Description {
    /// Completes the description with what the servers, their peers and the domain with the serial
    /// port get without an element of Microkit's.
    #[must_use]
    pub fn complete(&self, hardware: &Hardware) -> Complete {
        let mut added = Vec::new();
        let places = &self.places;
        if self.server.is_some() {
            let [map, code, regions] = memory_setup(hardware.is_counter_measured);
            added.extend(places.peers.iter().map(|peer| (*peer, code.clone())));
            added.extend([(places.server, map), (places.system, regions)]);
        }
        if self.file_server.is_some() {
            let [map, region] = file_setup();
            added.extend([(places.file_server, map), (places.system, region)]);
        }
        let mut variable = None;
        if let Some(((end, owner), port)) =
            places.serial.as_ref().zip(hardware.serial_port.as_ref())
        {
            let [device, region] = port.elements(owner.irq);
            added.extend([(*end, device), (places.system, region)]);
            variable = port.variable(&owner.name);
        }
        added.sort();
        Complete { text: with_additions(&self.text, &added), variable }
    }
}

/// Returns the elements that give the memory server its setup, and its peers the code of their last
/// resort: what to add to its own, to each peer's, and to the system. If only the kernel knows how
/// fast its clock is, it gets what the kernel has measured.
fn memory_setup(is_counter_measured: bool) -> [String; 3] {
    let mut own = map("memory_setup", SETUP_VADDR);
    let mut regions = region("memory_setup", PAGE_BYTES, SETUP_FILE);
    regions += &region("last_resort", PAGE_BYTES, LAST_RESORT_FILE);
    if is_counter_measured {
        own += &map("tsc_frequency", FREQUENCY_VADDR);
        regions += r#"<memory_region name="tsc_frequency" prefill_bootinfo="x86_tsc_freq" />"#;
    }
    let code = format!(r#"<map mr="last_resort" perms="rx" vaddr="{LAST_RESORT:#x}" />"#);
    [own, code, regions]
}

/// Returns the elements that give the file server its setup: what to add to its own, and to the
/// system.
fn file_setup() -> [String; 2] {
    let region = region("file_setup", fsserver_setup::SETUP_BYTES, FILE_SETUP_FILE);
    [map("file_setup", FILE_SETUP_VADDR), region]
}

/// Returns the element that maps a region, whose address a variable of the program gets.
fn map(name: &str, at: u64) -> String {
    format!(r#"<map mr="{name}" perms="r" setvar_vaddr="{name}_vaddr" vaddr="{at:#x}" />"#)
}

/// Returns the element of a region with what is in a file.
fn region(name: &str, bytes: usize, file: &str) -> String {
    format!(r#"<memory_region name="{name}" size="{bytes:#x}" prefill_path="{file}" />"#)
}
