// SPDX-License-Identifier: BSD-2-Clause
//! The table of operations: what each one is called, how it stands on the wire, and what one call
//! of it may cost. Nothing in it stands in a second place of the source.
//!
//! Adding a row makes the compiler name every other place that has to know the operation;
//! `support/docs/adding-an-operation.md` lists them. A test holds the tables of
//! `support/docs/pm-protocol.md` against this one.

use crate::ops::Request;

/// What the label of a request carries above the operation's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Nothing: those bits are 0.
    Bare,
    /// A count of frames in bits 16 to 31.
    Count,
    /// Flags in bits 32 to 47.
    Flags,
    /// Both.
    CountAndFlags,
}

impl Label {
    /// Returns whether bits 16 to 31 of the label are a count.
    #[must_use]
    pub const fn has_count(self) -> bool {
        matches!(self, Self::Count | Self::CountAndFlags)
    }

    /// Returns whether the bits from 32 on are flags.
    #[must_use]
    pub const fn has_flags(self) -> bool {
        matches!(self, Self::Flags | Self::CountAndFlags)
    }

    /// Returns whether the label may carry this count and these flags.
    pub(crate) const fn allows(self, count: u16, flags: u32) -> bool {
        (count == 0 || self.has_count()) && (flags == 0 || self.has_flags())
    }

    /// Returns the fields above the operation's number, as a register's are written.
    #[must_use]
    pub const fn fields(self) -> &'static str {
        match self {
            Self::Bare => "",
            Self::Count => "count:16",
            Self::Flags => "0:16 flags:16",
            Self::CountAndFlags => "count:16 flags:16",
        }
    }
}

/// The registers of an operation, each by the name of its argument. If several arguments share a
/// register, it is written as `name:bits name:bits`, lowest bits first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The registers of a request, from register 0 on.
    pub request: &'static [&'static str],
    /// The registers that repeat after those, once for each entry of a list; empty if the
    /// operation takes no list.
    pub list: &'static [&'static str],
    /// The registers of a successful reply.
    pub reply: &'static [&'static str],
}

/// Makes the enum `Operation` of a contract from a table, and what every contract asks of its
/// operations. `$word` is the type of their numbers. A row is: number, variant, name, registers of
/// the request, in brackets the registers of each entry of a list, registers of the reply.
/// [`Registers`] has to be in scope.
#[macro_export]
macro_rules! operation_table {
    ($word:ty: $(
        $number:literal $variant:ident $name:literal
        ($($request:literal),*) $([$($list:literal),*])? -> ($($reply:literal),*);
    )*) => {
        /// An operation of the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Operation {
            $(#[doc = concat!("`", $name, "`.")]
            $variant = $number,)*
        }

        impl Operation {
            /// Every operation, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the operation with this number.
            #[must_use]
            #[inline(always)]
            pub const fn from_number(number: $word) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// Returns the number on the wire: what the label of a request has in its lowest bits.
            #[must_use]
            pub const fn number(self) -> $word {
                match self { $(Self::$variant => $number,)* }
            }

            /// Returns the name that the documents use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Returns how requests and replies stand in registers.
            #[must_use]
            pub const fn registers(self) -> Registers {
                match self {
                    $(Self::$variant => Registers {
                        request: &[$($request),*],
                        list: &[$($($list),*)?],
                        reply: &[$($reply),*],
                    },)*
                }
            }
        }
    };
}

/// Makes the enum, and what only this contract asks of its operations, from the rows of the table.
macro_rules! operations {
    ($(
        $number:literal $variant:ident $name:literal $label:ident
        $request:tt $([$($list:literal),*])? -> $reply:tt
        bound $bound:literal, idempotent $is_idempotent:literal;
    )*) => {
        operation_table! {
            u16: $($number $variant $name $request $([$($list),*])? -> $reply;)*
        }

        impl Operation {
            /// Returns what the label of a request carries above the number.
            #[must_use]
            pub const fn label(self) -> Label {
                match self { $(Self::$variant => Label::$label,)* }
            }

            /// Returns the bound on the work of one call, in words.
            #[must_use]
            pub const fn bound(self) -> &'static str {
                match self { $(Self::$variant => $bound,)* }
            }

            /// Returns whether a second call with the same arguments, right after one that
            /// succeeded, changes nothing more. Its reply may differ: an error or a lower count.
            #[must_use]
            pub const fn is_idempotent(self) -> bool {
                match self { $(Self::$variant => $is_idempotent,)* }
            }
        }

        impl Request {
            /// Returns the operation that this requests.
            #[must_use]
            pub const fn operation(&self) -> Operation {
                match self { $(Self::$variant { .. } => Operation::$variant,)* }
            }
        }
    };
}

// A number is never given to another operation. A row is: number, variant of `Request`, name, what
// the label carries, registers of the request, in brackets the registers of each entry of a list,
// registers of the reply, bound on one call, and whether it is idempotent.
operations! {
    1 Version "version" Bare () -> ("version")
        bound "constant", idempotent true;
    2 WhoAmI "whoami" Bare () -> ("peer", "account")
        bound "constant", idempotent true;
    3 Clock "clock" Bare () -> ("microseconds")
        bound "constant", idempotent true;
    4 ContainerCreate "container_create" Bare ("account") -> ("container")
        bound "constant", idempotent false;
    5 ContainerDestroy "container_destroy" Bare ("container") -> ()
        bound "256 frames, each with 4 mappings; in steps", idempotent true;
    6 Allocate "allocate" Bare ("container", "start", "count", "flags") -> ("done")
        bound "256 or 512 frames; goes on with SQUASH, prepares with DMA", idempotent true;
    7 Deallocate "deallocate" Bare ("container", "start", "count", "flags") -> ("freed")
        bound "256 or 512 frames, each with 4 mappings; goes on", idempotent true;
    8 Share "share" Bare ("container", "start", "count", "terms") -> ("share", "weak handle")
        bound "constant", idempotent false;
    9 Unshare "unshare" Bare ("share") -> ()
        bound "256 mappings; in steps", idempotent true;
    10 Lock "lock" Bare ("container", "start", "count:16 mode:16", "ttl_us")
        -> ("lease", "deadline")
        bound "256 or 512 frames, each in a ring of 8 with 4 mappings each; prepares",
        idempotent false;
    11 Unlock "unlock" Bare ("lease") -> ()
        bound "constant; of a pin 256 frames, of a take 256 mappings; in steps", idempotent true;
    12 Map "map" Bare ("container", "start", "vaddr", "count:16 flags:16")
        -> ("mapped", "runs", "runs", "runs")
        bound "256 or 512 frames, a copy of each with FORCE_WRITE; goes on", idempotent true;
    13 Unmap "unmap" Bare ("vaddr", "count") -> ("unmapped")
        bound "256 or 512 pages; goes on", idempotent true;
    14 Status "status" Bare ("container", "start", "count")
        -> ("count", "states", "states", "states", "states", "states", "states")
        bound "24 frames", idempotent true;
    15 AccountInfo "account_info" Bare ("account")
        -> (
            "limit:32 frames:32", "tables:32 slots:32", "records:32 extra:32",
            "promised:32 free:32"
        )
        bound "constant", idempotent true;
    16 RegisterRecovery "register_recovery" Bare ("entry", "stack top") -> ()
        bound "constant", idempotent true;
    17 Watch "watch" Bare ("peer", "ttl_us") -> ("deadline")
        bound "31 peers", idempotent false;
    18 Rescue "rescue" Bare () -> ("rescued", "next deadline")
        bound "31 peers; in steps", idempotent true;
    19 Reclaim "reclaim" Bare () -> ("objects left")
        bound "64 frames or records; in steps", idempotent false;
    20 Remap "remap" Bare ("vaddr", "count", "flags")
        -> ("mapped", "runs", "runs", "runs")
        bound "256 or 512 frames, a copy of each with FORCE_WRITE; goes on", idempotent true;
    21 Renew "renew" Bare ("container", "start", "count") -> ("renewed")
        bound "256 frames, each with 4 mappings; goes on", idempotent true;
    22 AllocateAnywhere "allocate_anywhere" Bare ("container", "count", "flags")
        -> ("start", "done")
        bound "256 frames; prepares with DMA", idempotent false;
    23 AllocateContiguous "allocate_contiguous" Bare
        ("container", "start", "count", "align:16 limit:16") -> ("done")
        bound "256 frames, 1024 pages looked at; prepares", idempotent true;
    24 Copy "copy" CountAndFlags ("source", "its start", "destination", "its start") -> ("done")
        bound "256 frames, each in a ring of 8 with 4 mappings each, or 512; goes on, or prepares",
        idempotent false;
    25 CopyList "copy_list" Flags ("source", "destination") ["from", "to"] -> ("done")
        bound "7 frames, each in a ring of 8 with 4 mappings each; goes on, or prepares",
        idempotent false;
    26 CreateWith "create_with" Bare ("account", "count", "terms")
        -> ("container", "share", "weak handle")
        bound "256 frames", idempotent false;
    27 CreateFrom "create_from" Count ("account", "source", "start", "terms")
        -> ("container", "share", "weak handle")
        bound "256 frames; prepares", idempotent false;
    28 CreateGather "create_gather" Bare ("account", "source", "terms") ["frame"]
        -> ("container", "share", "weak handle")
        bound "13 frames; prepares", idempotent false;
    29 Attach "attach" Bare ("container", "start", "vaddr", "count:32 flags:16") -> ()
        bound "constant", idempotent true;
    30 Detach "detach" Bare ("vaddr") -> ()
        bound "256 pages; in steps", idempotent true;
    31 Grant "grant" Bare ("container", "start", "count", "rights")
        -> ("address", "count", "rights")
        bound "128 frames, a copy of each with FORCE_WRITE; goes on", idempotent false;
    32 Ungrant "ungrant" Bare ("address", "count") -> ("taken back")
        bound "128 grants; goes on", idempotent true;
    33 EnsureTables "ensure_tables" Bare ("vaddr", "count") -> ("tables made")
        bound "256 pages", idempotent true;
    34 AccountSplit "account_split" Bare ("account", "limit", "flags") -> ("account")
        bound "the depth of the tree: 16", idempotent false;
    35 AccountDestroy "account_destroy" Bare ("account") -> ()
        bound "256 frames or records; in steps", idempotent true;
    36 AccountRemove "account_remove" Bare ("account") -> ()
        bound "256 frames or records; in steps", idempotent true;
    37 AccountSetLimits "account_set_limits" Bare ("account", "limit", "flags") -> ()
        bound "256 frames; in steps", idempotent true;
    38 AccountLend "account_lend" Bare ("account", "peer", "rights") -> ("account")
        bound "16 loans", idempotent false;
    39 AccountRecall "account_recall" Bare ("account") -> ()
        bound "16 loans", idempotent true;
    40 VspaceAccount "vspace_account" Bare ("account") -> ()
        bound "constant", idempotent true;
    41 Mark "mark" Bare ("container", "start", "count", "marks") -> ("marked")
        bound "256 frames", idempotent true;
    42 ExtraRequest "extra_request" Bare () -> ("count", "deadline", "sequence")
        bound "31 peers", idempotent true;
    43 Pin "pin" Bare ("container", "start", "count:16 mode:16", "ttl_us")
        -> ("lease", "deadline", "bus address", "run")
        bound "256 frames, a copy of each, or 512; prepares", idempotent false;
    44 BusAddress "bus_address" Bare ("lease", "frame") -> ("bus address", "run")
        bound "256 frames", idempotent true;
    45 DeviceReset "device_reset" Bare ("peer") -> ()
        bound "64 pins; in steps", idempotent true;
    46 SetHandler "set_handler" Bare ("container", "start", "count", "peer:16 0:16 cookie:32")
        -> ("range")
        bound "4 handlers; in steps", idempotent true;
    47 NextFault "next_fault" Bare () -> ("fault", "range", "cookie:32 access:32", "frame")
        bound "31 peers", idempotent false;
    48 Supply "supply" Bare ("fault", "container", "frame") -> ()
        bound "one frame", idempotent true;
    49 Refuse "refuse" Bare ("fault") -> ()
        bound "31 peers", idempotent true;
    50 Disturb "disturb" Bare ("what", "cursor") -> ("count", "cursor")
        bound "256 mappings or frames; goes on", idempotent false;
    51 Arm "arm" Bare ("share") -> ()
        bound "256 mappings", idempotent true;
    52 Disarm "disarm" Bare ("share") -> ("was armed")
        bound "256 mappings", idempotent true;
    53 Take "take" Bare ("container", "start", "vaddr", "count:16 flags:16")
        -> ("lease", "deadline")
        bound "256 or 512 frames, a copy of each; in steps", idempotent true;
    54 Inspect "inspect" Bare ("book", "cursor", "part")
        -> ("cursor", "head", "first word", "second word")
        bound "1024 records or 256 pages looked at; goes on", idempotent true;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_from_1_on_without_a_gap() {
        for (operation, number) in Operation::ALL.iter().zip(1..) {
            assert_eq!(operation.number(), number);
            assert_eq!(Operation::from_number(number), Some(*operation));
        }
        let next = u16::try_from(Operation::ALL.len()).unwrap() + 1;
        for none in [0, next, u16::MAX] {
            assert_eq!(Operation::from_number(none), None);
        }
    }

    #[test]
    fn no_two_operations_have_one_name() {
        for (index, operation) in Operation::ALL.iter().enumerate() {
            let names = Operation::ALL.iter().skip(index + 1).map(|other| other.name());
            assert!(names.into_iter().all(|name| name != operation.name()));
        }
    }
}
