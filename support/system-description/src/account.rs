// SPDX-License-Identifier: BSD-2-Clause
//! Reads a `memory_account`, with the device that it may name.

use std::collections::BTreeMap;

use pmserver_setup::{Privileges, Setup};

use crate::element::Element;
use crate::{Fault, PciDevice};

/// A `memory_account`.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a, 'input> {
    pub(crate) element: Element<'a, 'input>,
    pub(crate) limit: u64,
    pub(crate) privileges: Privileges,
    /// The device that a driver drives.
    pub(crate) device: Option<PciDevice>,
}

impl<'a, 'input> Account<'a, 'input> {
    pub(crate) fn read(element: Element<'a, 'input>) -> Result<Self, Fault> {
        element.check_shape(&["limit", "privileges", "device"])?;
        let privileges = privileges(element)?;
        let device = element.attribute("device").map(|text| {
            PciDevice::parse(text).ok_or_else(|| {
                let sentence =
                    format!("device '{text}' is not a PCI address, such as 00:1f.7, bus 0 to ff.");
                element.fault(sentence)
            })
        });
        let device = device.transpose()?;
        if device.is_some() && !privileges.contains(Privileges::DMA) {
            return Err(element.fault("an account with a device needs the privilege dma."));
        }
        Ok(Self { element, limit: element.number("limit")?, privileges, device })
    }
}

impl PciDevice {
    /// Reads `bus:device.function` in hexadecimal numbers.
    fn parse(text: &str) -> Option<Self> {
        let (bus, rest) = text.split_once(':')?;
        let (device, function) = rest.split_once('.')?;
        let number = |text: &str, digits: usize, most: u8| {
            let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u8::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
            (number <= most).then_some(number)
        };
        Some(Self {
            bus: number(bus, 2, u8::MAX)?,
            device: number(device, 2, 31)?,
            function: number(function, 1, 7)?,
        })
    }
}

/// Returns the setup in which the devices of some accounts are behind the IOMMU, and these devices
/// in the order of their peers.
pub(crate) fn confine<'s, 'a, 'input: 'a>(
    setup: Setup<'s>,
    accounts: impl Iterator<Item = (u8, Account<'a, 'input>)>,
) -> Result<(Setup<'s>, Vec<PciDevice>), Fault> {
    let mut devices = BTreeMap::new();
    let (mut peers, mut line) = (0, 1);
    for (peer, account) in accounts {
        let Some(device) = account.device else { continue };
        if devices.values().any(|other| *other == device) {
            return Err(account.element.fault("this device is another account's already."));
        }
        devices.insert(peer, device);
        peers |= 1_u32.checked_shl(peer.into()).unwrap_or_default();
        line = account.element.line();
    }
    let setup = setup.with_confined(peers).map_err(|(_, error)| {
        let sentence = format!("with the devices that are confined: {error}.");
        Fault { line, sentence }
    })?;
    Ok((setup, devices.into_values().collect()))
}

/// Returns the privileges that an account names.
fn privileges(element: Element<'_, '_>) -> Result<Privileges, Fault> {
    let mut privileges = Privileges::empty();
    for word in element.attribute("privileges").unwrap_or_default().split_whitespace() {
        let named = Privileges::all().iter_names().find(|(name, _)| name.to_lowercase() == word);
        let Some((_, privilege)) = named else {
            let names = Privileges::all().iter_names().map(|(name, _)| name.to_lowercase());
            let names: Vec<String> = names.collect();
            let sentence =
                format!("'{word}' is not a privilege; the privileges are {}.", names.join(", "));
            return Err(element.fault(sentence));
        };
        privileges |= privilege;
    }
    Ok(privileges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GivenObject, Machine, Node, read, read_for};

    const DISK: &str = include_str!("../../testing/systems/disk.xml");
    const IOMMU: Machine<'_> = Machine { board: Some("x86_64_generic"), has_iommu: true };

    #[test]
    fn an_iommu_gives_the_memory_server_the_device_of_its_peer() {
        let of = |description: &crate::Description| {
            let caps = description.caps.iter().filter(|cap| cap.node == Node::Leaf);
            let spaces: Vec<_> = caps
                .filter_map(|cap| match cap.object {
                    GivenObject::IoSpace(device) => Some((device, cap.slot)),
                    _ => None,
                })
                .collect();
            let confined = description.server.as_ref().unwrap().setup().confined().count();
            (spaces, confined)
        };
        let device = PciDevice { bus: 0, device: 3, function: 0 };
        assert_eq!(of(&read_for(DISK, IOMMU).unwrap()), (vec![(device, 458)], 1));
        assert_eq!(of(&read(DISK, IOMMU.board).unwrap()), (Vec::new(), 0));
    }

    #[test]
    fn what_is_no_device_and_who_may_not_have_one_is_refused() {
        for wrong in ["", "3", "0:3.0", "00:20.0", "00:03.8", "00:+3.0", "00:03.0 "] {
            let text = DISK.replace("00:03.0", wrong);
            assert_ne!(text, DISK);
            let fault = read(&text, IOMMU.board).unwrap_err();
            assert!(fault.sentence.starts_with("device '"), "{fault}");
        }
        let fault = read(&DISK.replace(r#"privileges="dma" "#, ""), IOMMU.board).unwrap_err();
        assert!(fault.sentence.ends_with("needs the privilege dma."), "{fault}");
    }
}
