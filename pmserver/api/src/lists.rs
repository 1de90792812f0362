// SPDX-License-Identifier: BSD-2-Clause
//! Lists of frame numbers that fit in one message.

use proto::FrameNumber;

macro_rules! list {
    ($(#[$doc:meta])* $name:ident, $item:ty, $empty:expr, $most:expr) => {
        $(#[$doc])*
        ///
        /// Holding one proves that it is not empty and fits in one message.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            items: [$item; $most],
            count: usize,
        }

        impl $name {
            /// The largest number of entries.
            pub const MOST: usize = $most;

            /// Returns the list, or `None` if it is empty or does not fit.
            #[must_use]
            pub fn new(items: &[$item]) -> Option<Self> {
                let mut list = Self { items: [$empty; $most], count: items.len() };
                let places = list.items.get_mut(..items.len()).filter(|to| !to.is_empty())?;
                places.copy_from_slice(items);
                Some(list)
            }

            /// Returns the entries.
            #[must_use]
            pub fn items(&self) -> &[$item] {
                self.items.get(..self.count).unwrap_or(&[])
            }
        }
    };
}

const NONE: FrameNumber = FrameNumber::new(0);

list!(
    /// Frame numbers: the list of `create_gather`.
    FrameList,
    FrameNumber,
    NONE,
    13
);
list!(
    /// Pairs of a source and a destination number: the list of `copy_list`.
    PairList,
    (FrameNumber, FrameNumber),
    (NONE, NONE),
    7
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_hold_one_entry_to_what_fits() {
        let number = FrameNumber::new(7);
        assert_eq!(FrameList::new(&[]), None);
        assert_eq!(FrameList::new(&[number; 13]).unwrap().items().len(), 13);
        assert_eq!(FrameList::new(&[number; 14]), None);
        assert_eq!(PairList::new(&[(number, number); 7]).unwrap().items().len(), 7);
        assert_eq!(PairList::new(&[(number, number); 8]), None);
    }
}
