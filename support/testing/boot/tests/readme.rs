// SPDX-License-Identifier: BSD-2-Clause
//! Checks that the README quotes the transcript that `make test` expects.

#[test]
fn the_readme_quotes_the_expected_transcript() {
    let readme = include_str!("../../../../README.md");
    let expected = include_str!("../expected/demo.txt");
    assert!(readme.contains(&format!("\n```\n{expected}```\n")));
}
