// SPDX-License-Identifier: BSD-2-Clause
//! Clients and their rights, with everything that is checked about them.

use core::fmt;
use core::ops::RangeInclusive;

use proto::limits::PEERS_MAX;

/// The most clients that a setup has: the peers of pmserver, but for fsserver itself.
pub const CLIENTS_MAX: usize = PEERS_MAX - 1;

/// A domain has this many channels (Microkit manual, "channel").
pub const CHANNELS: u8 = 62;

/// The longest path to a client's root, in bytes.
pub const ROOT_BYTES_MAX: usize = 255;

/// How many files a client may have open: fsserver finds one among them by looking at all.
pub const FILES_MAX: RangeInclusive<u16> = 1..=1024;

/// What a client may do with the files below its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// Read them.
    Read,
    /// Read and change them.
    Write,
}

impl Rights {
    /// All rights, with their names in the system file.
    pub const NAMES: [(Self, &'static str); 2] = [(Self::Read, "read"), (Self::Write, "write")];
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientConfig<'a> {
    /// Its channel at fsserver.
    pub channel: u8,
    /// What it may do with files.
    pub rights: Rights,
    /// How many files it may have open at a time.
    pub files: u16,
    /// The path of the directory that is `/` for it.
    pub root: &'a str,
}

impl ClientConfig<'_> {
    /// Returns what a client may do of which the system file says nothing.
    #[must_use]
    pub const fn default_of(channel: u8) -> Self {
        Self { channel, rights: Rights::Read, files: 16, root: "/" }
    }

    fn check(&self) -> Result<(), SetupError> {
        if self.channel >= CHANNELS {
            return Err(SetupError::Channel(self.channel.into()));
        }
        if !FILES_MAX.contains(&self.files) {
            return Err(SetupError::Files(self.files.into()));
        }
        if self.root.len() > ROOT_BYTES_MAX {
            return Err(SetupError::RootLength);
        }
        let names = self.root.strip_prefix('/').ok_or(SetupError::Root)?;
        let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
        if names.is_empty() || names.split('/').all(is_name) {
            Ok(())
        } else {
            Err(SetupError::Root)
        }
    }
}

/// Why a setup is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError {
    /// This is not setup data, or of another version.
    Form,
    /// There are this many clients, which is more than there may be.
    TooManyClients(u32),
    /// A client has this channel, which is out of range.
    Channel(u32),
    /// Two clients have this channel.
    ChannelTwice(u8),
    /// A client has rights of this number, which do not exist.
    Rights(u32),
    /// A client may have this many files open, which is out of range.
    Files(u32),
    /// A client's root is not a path from `/` of names alone.
    Root,
    /// A client's root is too long.
    RootLength,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => write!(f, "this is not the setup data of this version of fsserver"),
            Self::TooManyClients(count) => {
                write!(f, "there are {count} clients: there may be at most {CLIENTS_MAX}")
            }
            Self::Channel(channel) => {
                write!(f, "the channel {channel} is outside 0 to {}", CHANNELS.saturating_sub(1))
            }
            Self::ChannelTwice(channel) => write!(f, "two clients have the channel {channel}"),
            Self::Rights(number) => write!(f, "the rights {number} do not exist"),
            Self::Files(files) => {
                write!(f, "files {files} is outside {} to {}", FILES_MAX.start(), FILES_MAX.end())
            }
            Self::Root => write!(f, "the root is not '/' or a path from there of names alone"),
            Self::RootLength => write!(f, "the root has more than {ROOT_BYTES_MAX} bytes"),
        }
    }
}

/// Clients that fit together. Holding one proves that all checks of this file passed.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    clients: [ClientConfig<'a>; CLIENTS_MAX],
    count: usize,
}

impl<'a> Setup<'a> {
    /// The setup that says nothing of any client.
    pub const EMPTY: Self = Self { clients: [ClientConfig::default_of(0); CLIENTS_MAX], count: 0 };

    /// Checks one more client, and returns the setup with it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn with(mut self, client: ClientConfig<'a>) -> Result<Self, SetupError> {
        client.check()?;
        if self.clients().iter().any(|other| other.channel == client.channel) {
            return Err(SetupError::ChannelTwice(client.channel));
        }
        let count = self.count.saturating_add(1);
        let too_many = SetupError::TooManyClients(u32::try_from(count).unwrap_or(u32::MAX));
        *self.clients.get_mut(self.count).ok_or(too_many)? = client;
        self.count = count;
        Ok(self)
    }

    /// Returns the clients of which the system file says something.
    #[must_use]
    pub fn clients(&self) -> &[ClientConfig<'a>] {
        self.clients.get(..self.count).unwrap_or_default()
    }

    /// Returns what the client of a channel may do.
    #[must_use]
    pub fn client(&self, channel: u8) -> ClientConfig<'a> {
        let found = self.clients().iter().find(|client| client.channel == channel);
        found.copied().unwrap_or(ClientConfig::default_of(channel))
    }
}
