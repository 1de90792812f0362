// SPDX-License-Identifier: BSD-2-Clause
//! The names of the operations, by which an error says which one was refused.

use core::fmt;

macro_rules! operations {
    ($($name:ident = $number:literal $text:literal,)*) => {
        /// An operation of the protocol, or one of the two copies that this crate makes itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // The protocol page says what each does.
        pub enum Operation {
            $($name,)*
            /// Bytes out of mapped pages: no call to pmserver.
            CopyIn,
            /// Bytes into mapped pages: no call to pmserver.
            CopyOut,
        }

        impl Operation {
            /// Every operation of the protocol, in the order of the numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the number that the operation has in the protocol, if it is one of its.
            #[must_use]
            pub const fn number(self) -> Option<u16> {
                match self {
                    $(Self::$name => Some($number),)*
                    Self::CopyIn | Self::CopyOut => None,
                }
            }

            /// Returns the name that the operation has in the protocol.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::CopyIn => "copy_in",
                    Self::CopyOut => "copy_out",
                }
            }
        }
    };
}

operations! {
    Version = 1 "version",
    WhoAmI = 2 "whoami",
    Clock = 3 "clock",
    ContainerCreate = 4 "container_create",
    ContainerDestroy = 5 "container_destroy",
    Allocate = 6 "allocate",
    Deallocate = 7 "deallocate",
    Share = 8 "share",
    Unshare = 9 "unshare",
    Lock = 10 "lock",
    Unlock = 11 "unlock",
    Map = 12 "map",
    Unmap = 13 "unmap",
    Status = 14 "status",
    AccountInfo = 15 "account_info",
    RegisterRecovery = 16 "register_recovery",
    Watch = 17 "watch",
    Rescue = 18 "rescue",
    Reclaim = 19 "reclaim",
    Remap = 20 "remap",
    Renew = 21 "renew",
    AllocateAnywhere = 22 "allocate_anywhere",
    AllocateContiguous = 23 "allocate_contiguous",
    Copy = 24 "copy",
    CopyList = 25 "copy_list",
    CreateWith = 26 "create_with",
    CreateFrom = 27 "create_from",
    CreateGather = 28 "create_gather",
    Attach = 29 "attach",
    Detach = 30 "detach",
    Grant = 31 "grant",
    Ungrant = 32 "ungrant",
    EnsureTables = 33 "ensure_tables",
    AccountSplit = 34 "account_split",
    AccountDestroy = 35 "account_destroy",
    AccountRemove = 36 "account_remove",
    AccountSetLimits = 37 "account_set_limits",
    AccountLend = 38 "account_lend",
    AccountRecall = 39 "account_recall",
    VspaceAccount = 40 "vspace_account",
    Mark = 41 "mark",
    ExtraRequest = 42 "extra_request",
    Pin = 43 "pin",
    BusAddress = 44 "bus_address",
    DeviceReset = 45 "device_reset",
    SetHandler = 46 "set_handler",
    NextFault = 47 "next_fault",
    Supply = 48 "supply",
    Refuse = 49 "refuse",
    Disturb = 50 "disturb",
    Arm = 51 "arm",
    Disarm = 52 "disarm",
    Take = 53 "take",
    Inspect = 54 "inspect",
}

impl Operation {
    /// Whether every refusal of it, except for its arguments, concerns one frame.
    pub(crate) const fn is_about_frames(self) -> bool {
        matches!(
            self,
            Self::Allocate
                | Self::AllocateAnywhere
                | Self::AllocateContiguous
                | Self::Deallocate
                | Self::Renew
                | Self::Mark
                | Self::Copy
                | Self::CopyList
                | Self::Map
                | Self::Grant
        )
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_there_under_its_number() {
        assert_eq!(Operation::ALL.len(), 54);
        for (operation, number) in Operation::ALL.iter().zip(1..) {
            assert_eq!(operation.number(), Some(number));
        }
        assert_eq!(Operation::CopyIn.number(), None);
    }
}
