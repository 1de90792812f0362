// SPDX-License-Identifier: BSD-2-Clause
//! The pages of the image that contain fsserver's setup.
//!
//! ```text
//!   byte 0    mark of this version, 8 bytes
//!        8    count of clients
//!       12    the clients, 272 bytes each: channel, rights (0 read, 1 write), files, bytes of the
//!             root, the root (256 bytes)
//!        then zeros
//! ```
//!
//! Numbers are little-endian, of 4 bytes. What is not used is zero.

use proto::PAGE_BYTES;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::setup::{CLIENTS_MAX, ClientConfig, ROOT_BYTES_MAX, Rights, Setup, SetupError};

/// Bytes of the pages.
pub const SETUP_BYTES: usize = 3 * 4096;
const _: () = assert!(PAGE_BYTES == 4096);

const MARK: [u8; 8] = *b"fssetup1";
const REST_BYTES: usize = SETUP_BYTES - 12 - CLIENTS_MAX * size_of::<Client>();

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C)]
struct Pages {
    mark: [u8; 8],
    count: U32,
    clients: [Client; CLIENTS_MAX],
    rest: [u8; REST_BYTES],
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C)]
struct Client {
    channel: U32,
    rights: U32,
    files: U32,
    root_bytes: U32,
    root: [u8; ROOT_BYTES_MAX + 1],
}

/// Writes a setup.
#[must_use]
pub fn encode(setup: &Setup<'_>) -> [u8; SETUP_BYTES] {
    let mut pages =
        Pages { mark: MARK, count: number(setup.clients().len()), ..Pages::new_zeroed() };
    for (place, client) in pages.clients.iter_mut().zip(setup.clients()) {
        place.channel = U32::from(u32::from(client.channel));
        place.rights = U32::from(u32::from(client.rights == Rights::Write));
        place.files = U32::from(u32::from(client.files));
        place.root_bytes = number(client.root.len());
        for (to, from) in place.root.iter_mut().zip(client.root.bytes()) {
            *to = from;
        }
    }
    zerocopy::transmute!(pages)
}

/// Reads a setup. Whatever the pages hold, this returns a setup that passed all checks, or an
/// error.
///
/// # Errors
/// The first thing that is wrong.
pub fn decode(bytes: &[u8; SETUP_BYTES]) -> Result<Setup<'_>, SetupError> {
    let pages: &Pages = zerocopy::transmute_ref!(bytes);
    let count = usize::try_from(pages.count.get()).unwrap_or(usize::MAX);
    let Some((clients, unused)) = pages.clients.split_at_checked(count) else {
        return Err(SetupError::TooManyClients(pages.count.get()));
    };
    let mut zeros = unused.as_bytes().iter().chain(&pages.rest);
    if pages.mark != MARK || zeros.any(|byte| *byte != 0) {
        return Err(SetupError::Form);
    }
    clients.iter().try_fold(Setup::EMPTY, |setup, client| setup.with(client.config()?))
}

impl Client {
    fn config(&self) -> Result<ClientConfig<'_>, SetupError> {
        let length = usize::try_from(self.root_bytes.get()).unwrap_or(usize::MAX);
        let (root, rest) = self.root.split_at_checked(length).ok_or(SetupError::RootLength)?;
        if rest.iter().any(|byte| *byte != 0) {
            return Err(SetupError::Form);
        }
        let (channel, files) = (self.channel.get(), self.files.get());
        Ok(ClientConfig {
            channel: u8::try_from(channel).map_err(|_| SetupError::Channel(channel))?,
            rights: match self.rights.get() {
                0 => Rights::Read,
                1 => Rights::Write,
                other => return Err(SetupError::Rights(other)),
            },
            files: u16::try_from(files).map_err(|_| SetupError::Files(files))?,
            root: core::str::from_utf8(root).map_err(|_| SetupError::Root)?,
        })
    }
}

fn number(count: usize) -> U32 {
    U32::from(u32::try_from(count).unwrap_or(u32::MAX))
}
