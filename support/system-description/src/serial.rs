// SPDX-License-Identifier: BSD-2-Clause
//! The serial port: what `serial_port` in a protection domain stands for on a board.

use std::str::FromStr;

use crate::element::Element;
use crate::{Fault, Variable};

/// Where the registers are mapped in the domain that has the port.
const REGISTERS_VADDR: u64 = 0x2000_0000;
const PAGE_BYTES: u64 = 0x1000;
/// The ports of a 16550 on x86.
const IO_PORTS: u32 = 8;
/// The driver of a serial port in the I/O ports of a PC.
const IO_PORT_DRIVER: &str = "io_ports";

/// The serial port of a board: which driver it needs, where it is, and its interrupt.
///
/// Read from the words of `SERIAL` in the board's file in `support/boards`: the driver, the address
/// and the interrupt; and `edge`, if that is how it is triggered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SerialPort {
    /// The variable in which the driver, one of `support/runtime/console`, looks for its registers;
    /// or [`IO_PORT_DRIVER`], which has none.
    driver: String,
    /// The physical address of the registers, or the first I/O port.
    address: u64,
    /// The interrupt, or the pin of the I/O APIC.
    interrupt: u32,
    trigger: &'static str,
}

impl FromStr for SerialPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (driver, address, interrupt, trigger) = match *words.as_slice() {
            [driver, address, interrupt] => (driver, address, interrupt, "level"),
            [driver, address, interrupt, "edge"] => (driver, address, interrupt, "edge"),
            _ => return Err(format!("'{text}' is not a driver, an address, an interrupt [edge]")),
        };
        let address = address.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
        let (Some(Ok(address)), Ok(interrupt)) = (address, interrupt.parse()) else {
            return Err(format!(
                "'{text}' has an address without 0x, or an interrupt without number"
            ));
        };
        Ok(Self { driver: driver.to_owned(), address, interrupt, trigger })
    }
}

impl SerialPort {
    fn in_ports(&self) -> bool {
        self.driver == IO_PORT_DRIVER
    }

    /// Returns the elements that give it to a domain, which waits for its interrupt on channel
    /// `irq`, if on any: what to add to the domain, and to the system.
    pub(crate) fn elements(&self, irq: Option<u8>) -> [String; 2] {
        let page = self.address & !(PAGE_BYTES.saturating_sub(1));
        let (device, region, source) = if self.in_ports() {
            let ports =
                format!(r#"<ioport id="0" addr="{:#x}" size="{IO_PORTS}" />"#, self.address);
            (ports, String::new(), format!(r#"pin="{}" vector="0""#, self.interrupt))
        } else {
            let map = format!(
                r#"<map mr="serial_port" vaddr="{REGISTERS_VADDR:#x}" perms="rw" cached="false" />"#
            );
            let name = r#"name="serial_port""#;
            let size = format!(r#"phys_addr="{page:#x}" size="{PAGE_BYTES:#x}""#);
            let region = format!("<memory_region {name} {size} />");
            (map, region, format!(r#"irq="{}""#, self.interrupt))
        };
        let irq = irq.map_or_else(String::new, |id| {
            format!(r#"<irq id="{id}" {source} trigger="{}" />"#, self.trigger)
        });
        [device + &irq, region]
    }

    /// Returns what the program of the domain is told: where its driver's registers are.
    pub(crate) fn variable(&self, pd: &str) -> Option<Variable> {
        let offset = self.address & PAGE_BYTES.saturating_sub(1);
        (!self.in_ports()).then(|| Variable {
            pd: pd.to_owned(),
            name: self.driver.clone(),
            value: REGISTERS_VADDR.saturating_add(offset),
        })
    }
}

/// The domain that has the serial port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SerialOwner {
    pub(crate) name: String,
    /// The channel on which it waits for the port's interrupt.
    pub(crate) irq: Option<u8>,
}

/// Reads a `serial_port`.
pub(crate) fn owner(element: Element<'_, '_>) -> Result<SerialOwner, Fault> {
    element.check_shape(&["irq"])?;
    let pd = element
        .parent("protection_domain")
        .ok_or_else(|| element.fault("serial_port must be in a protection domain."))?;
    let irq = match element.attribute("irq") {
        Some(_) => Some(element.narrow(element.number("irq")?)?),
        None => None,
    };
    Ok(SerialOwner { name: pd.name(), irq })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(words: &str) -> SerialPort {
        words.parse().unwrap()
    }

    #[test]
    fn registers_in_memory_are_a_page_and_a_place_in_it() {
        let [map, region] = port("meson_uart 0xc81004c0 225 edge").elements(Some(5));
        let irq = r#"<irq id="5" irq="225" trigger="edge" />"#;
        let registers = r#"<map mr="serial_port" vaddr="0x20000000" perms="rw" cached="false" />"#;
        assert_eq!(map, [registers, irq].concat());
        assert_eq!(
            region,
            r#"<memory_region name="serial_port" phys_addr="0xc8100000" size="0x1000" />"#
        );
        let variable = port("meson_uart 0xc81004c0 225 edge").variable("console");
        let expected =
            Variable { pd: "console".into(), name: "meson_uart".into(), value: 0x2000_04C0 };
        assert_eq!(variable, Some(expected));
    }

    #[test]
    fn ports_are_an_element_and_no_variable() {
        let port = port("io_ports 0x3f8 4");
        let [ports, region] = port.elements(Some(1));
        let irq = r#"<irq id="1" pin="4" vector="0" trigger="level" />"#;
        assert_eq!(ports, [r#"<ioport id="0" addr="0x3f8" size="8" />"#, irq].concat());
        assert_eq!((region.as_str(), port.variable("console")), ("", None));
        assert!(!port.elements(None)[0].contains("irq"));
    }

    #[test]
    fn other_words_are_refused() {
        for words in ["", "pl011", "pl011 0x1000", "pl011 4096 33", "pl011 0x1000 x", "a 0x1 1 up"]
        {
            assert!(words.parse::<SerialPort>().is_err(), "{words}");
        }
    }
}
