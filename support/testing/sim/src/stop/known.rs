// SPDX-License-Identifier: BSD-2-Clause
//! Defects of pmserver that stopping things finds and that are known. Each line goes with its
//! defect.

/// In which play or in all, what the sentence contains, and why it is so.
const KNOWN: [(&str, &str, &str); 4] = [
    (
        "",
        "a key is in a tree once",
        "it panics where the kernel says that a page table is missing that is there",
    ),
    (
        "",
        "one promised page says an argument is outside",
        "after a refused unmap of the page of zeros no page can be mapped that needs a table",
    ),
    (
        "",
        "the kernel has 1 more mapped frames",
        "a refused unmap of the page of zeros, or of a page that was copied, is never repeated",
    ),
    (
        "",
        "the kernel has 1 more derived frames",
        "capabilities for copying whose deletion was refused stay until the next copy",
    ),
];

/// Returns why something is wrong, if that is known.
pub(super) fn reason(play: &str, sentence: &str) -> Option<&'static str> {
    let is_it = |(plays, part, _): &&(&str, &str, &str)| {
        (plays.is_empty() || *plays == play) && sentence.contains(part)
    };
    KNOWN.iter().find(is_it).map(|&(_, _, reason)| reason)
}
