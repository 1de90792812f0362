// SPDX-License-Identifier: BSD-2-Clause

//! What the files in support/boards say about the boards of the SDK, as it was when this tool was
//! built: a system of somebody else's needs none of them.

use microkit_tool::sel4::{Arch, Config};
use system_description::{Hardware, SerialPort};

/// The words of `SERIAL` in the file of each board that has a driver for its serial port.
const BOARDS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/boards.rs"));

/// Returns what a description is completed with.
pub(crate) fn hardware(board: &str, config: &Config) -> Result<Hardware, String> {
    Ok(Hardware {
        serial_port: serial_port(board)?,
        is_counter_measured: config.arch == Arch::X86_64,
    })
}

/// Returns the serial port of a board, if there is a driver for it.
fn serial_port(board: &str) -> Result<Option<SerialPort>, String> {
    let words = BOARDS.iter().find(|(name, _)| *name == board).map(|(_, words)| words.parse());
    words.transpose().map_err(|error| format!("support/boards/{board}.mk: SERIAL: {error}"))
}

/// What is said if a domain is to have the serial port of a board that has no driver for it.
pub(crate) fn no_serial_port(board: &str, configuration: &str) -> String {
    let effect = match configuration.ends_with("debug") {
        true => "the console prints as the debug kernel does",
        false => "THE CONSOLE PRINTS NOTHING: take the debug kernel, whose console it uses",
    };
    format!("there is no driver for the serial port of '{board}': {effect}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_serial_port_of_every_board_is_understood() {
        for (board, _) in BOARDS {
            assert!(matches!(serial_port(board), Ok(Some(_))), "{board}");
        }
        assert!(BOARDS.iter().any(|(board, _)| *board == "qemu_virt_aarch64"));
        assert_eq!(serial_port("nowhere"), Ok(None));
    }
}
