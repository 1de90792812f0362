// SPDX-License-Identifier: BSD-2-Clause
//! Checks that the README quotes the transcripts that tests expect.

#[test]
fn the_readme_quotes_the_expected_transcript() {
    let readme = include_str!("../../../../README.md");
    let expected = include_str!("../expected/demo.txt");
    assert!(readme.contains(&format!("\n```\n{expected}```\n")));
}

#[test]
fn the_readme_quotes_a_part_of_the_session_that_is_expected_of_the_shell() {
    let readme = include_str!("../../../../README.md");
    let expected = include_str!("../../../shell/expected.txt");
    let (_, session) = readme.split_once("\n```\n> ").unwrap();
    let (session, _) = session.split_once("```\n").unwrap();
    assert!(expected.contains(&format!("\n> {session}")));
}
