// SPDX-License-Identifier: BSD-2-Clause
//! Every function of the headers, compiled and called on the host: its message is the one that the
//! table of the contract says, and the contract decodes it.

use std::io::Write;
use std::process::{Command, Stdio};

use proto::Message;

use crate::function::{Header, Row};
use crate::text::{capitals, fields, name_of};
use crate::{fs, pm};

const PEER: u64 = 2;
const LIST: [u64; 4] = [21, 22, 23, 24];

/// Returns a value that the contract takes for an argument of this name.
fn value(name: &str) -> u64 {
    match name {
        "count" | "frames" | "path_bytes" => 5,
        "flags" | "rights" | "marks" | "mode" | "what" => 1,
        "peer" => PEER,
        "vaddr" | "entry" | "stack_top" => 0x5000,
        "start" | "source_start" | "destination_start" => 512,
        "offset" => 0x0020_0000,
        "book" => 5,
        "part" => 1,
        "terms" => PEER | 1 << 16 | 9 << 32,
        name => 10 + u64::try_from(name.len()).expect("a name is short"),
    }
}

/// Returns the argument in C.
fn argument(header: &Header, row: &Row, (name, declared): &(String, String)) -> String {
    let kind = declared.trim_end_matches(name.as_str()).trim();
    let list = LIST.map(|number| number.to_string());
    match (name.as_str(), kind) {
        ("terms", _) => format!("(struct pm_terms) {{ {PEER}, 1, 9 }}"),
        ("path", _) => "\"/a path of more than eight\"".to_owned(),
        ("pairs", _) => format!(
            "(const struct pm_pair[]) {{ {{ {} }}, {{ {} }} }}",
            list[..2].join(", "),
            list[2..].join(", ")
        ),
        ("frames", "const seL4_Word *") => format!("(const seL4_Word[]) {{ {} }}", list.join(", ")),
        ("count", _) if !row.registers.list.is_empty() => {
            (LIST.len() / row.registers.list.len()).to_string()
        }
        (_, kind)
            if kind.ends_with("_t") && kind.starts_with(header.prefix)
                || kind.starts_with("pm_") =>
        {
            format!("({kind}) {{ {} }}", value(name))
        }
        _ => value(name).to_string(),
    }
}

/// Returns the message that the table says: label and registers.
fn expected(row: &Row, number: u64) -> (u64, Vec<u64>) {
    let count = if row.has_count { value("count") << 16 } else { 0 };
    let flags = if row.has_flags { value("flags") << 32 } else { 0 };
    let mut before = String::new();
    let mut registers: Vec<u64> = Vec::new();
    for register in row.registers.request {
        let words = fields(register).into_iter().map(|field| {
            let name = name_of(&field.name.replace("its ", &format!("{before} ")));
            before.clone_from(&name);
            value(&name) << field.shift
        });
        registers.push(words.sum());
    }
    if row.registers.request == ["path"; 4] {
        let mut path = [0; 32];
        path[..26].copy_from_slice(b"/a path of more than eight");
        let (words, _) = path.as_chunks::<8>();
        registers = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
    }
    if !row.registers.list.is_empty() {
        registers.extend(LIST);
    }
    (number | count | flags, registers)
}

/// Compiles a program `name` of these calls, and returns what it prints.
fn printed(name: &str, calls: &str) -> String {
    let headers = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
    let microkit = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let program = std::env::temp_dir().join(format!("c-headers-{name}-{}", std::process::id()));
    let warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"];
    let mut compiler = Command::new("cc")
        .args(warnings)
        .args(["-Wno-unused-function", "-I", headers, "-I", microkit, "-xc", "-", "-o"])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .expect("there is cc, by which Rust has linked this test");
    let mut input = compiler.stdin.take().expect("it is piped");
    let text = format!("#include \"fsserver.h\"\nint main(void)\n{{\n{calls}}}\n");
    input.write_all(text.as_bytes()).expect("cc reads");
    drop(input);
    assert!(compiler.wait().expect("cc ends").success(), "{text}");
    let output = Command::new(&program).output().expect("it runs");
    std::fs::remove_file(&program).expect("it was there");
    assert!(output.status.success(), "call {:?} does not take its reply", output.status.code());
    String::from_utf8(output.stdout).expect("it prints text")
}

/// Calls all functions of a header, and gives each message to `decodes`.
fn check(header: &Header, channel: u64, rows: &[(Row, u64)], decodes: impl Fn(u64, &Message)) {
    let calls = rows.iter().map(|(row, number)| {
        let parameters = row.parameters(header);
        let (given, results) = parameters.split_at(row.arguments(header).len());
        let mut arguments: Vec<String> =
            given.iter().map(|parameter| argument(header, row, parameter)).collect();
        arguments.extend(results.iter().map(|_| "0".to_owned()));
        let (prefix, ok) = (header.prefix, capitals(header.prefix));
        let call = format!("{prefix}_{}({})", row.name, arguments.join(", "));
        let replied = row.registers.reply.len();
        format!("    replied = {replied};\n    if ({call}.error != {ok}_OK) return {number};\n")
    });
    let text = printed(header.prefix, &calls.collect::<String>());
    assert_eq!(text.lines().count(), rows.len());
    for ((row, number), line) in rows.iter().zip(text.lines()) {
        let numbers = line.split(' ').map(|word| u64::from_str_radix(word, 16));
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().expect("they are numbers");
        let (label, registers) = expected(row, *number);
        assert_eq!(numbers[..2], [channel, label], "{}", row.name);
        assert_eq!(numbers[2..], registers, "{}", row.name);
        decodes(*number, &Message::from_wire(label, &registers).expect("it is short"));
    }
}

#[test]
fn functions_of_pmserver_send_what_the_table_says() {
    let all = pmserver_api::Operation::ALL;
    let rows: Vec<(Row, u64)> =
        all.iter().map(|one| (pm::row(*one), one.number().into())).collect();
    check(&pm::HEADER, 0, &rows, |number, message| {
        let request = pmserver_api::Request::decode(message);
        let request = request.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!((u64::from(request.operation().number()), request.encode()), (number, *message));
    });
}

#[test]
fn functions_of_fsserver_send_what_the_table_says() {
    let all = fsserver_api::Operation::ALL;
    let rows: Vec<(Row, u64)> = all.iter().map(|one| (fs::row(*one), one.number())).collect();
    check(&fs::HEADER, 1, &rows, |number, message| {
        let request = fsserver_api::Request::decode(message);
        let request = request.unwrap_or_else(|error| panic!("{number}: {error}"));
        assert_eq!(request.encode(), *message);
    });
}
