// SPDX-License-Identifier: BSD-2-Clause
//! A function of C for a row of a table of operations.

use pmserver_api::Registers;

use crate::text::{Field, capitals, comment, declaration, fields, name_of};
use crate::vocabulary::{STRUCTURES, to_word, type_of};

/// What is the same in all functions of a header.
pub(crate) struct Header {
    /// What its names begin with.
    pub(crate) prefix: &'static str,
    /// What a comment says of an argument, and of a result.
    pub(crate) argument: fn(&str, &str) -> &'static str,
    pub(crate) result: fn(&str, &str) -> &'static str,
    /// The names of results that the result of the call has.
    pub(crate) done: &'static [&'static str],
}

/// A row of a table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) has_count: bool,
    pub(crate) has_flags: bool,
    pub(crate) registers: Registers,
    /// The comment before the arguments.
    pub(crate) paragraphs: Vec<String>,
    /// The comment after the results: what the call returns.
    pub(crate) returns: Vec<String>,
}

/// A parameter of a function.
pub(crate) struct Parameter {
    name: String,
    declared: String,
    says: String,
}

impl Row {
    /// Returns the function, with its comment.
    pub(crate) fn function(&self, header: &Header) -> String {
        let (prefix, name) = (header.prefix, self.name);
        let arguments = self.arguments(header);
        let results = self.results(header);
        let all = || arguments.iter().chain(&results);
        let mut listed: Vec<String> =
            all().map(|one| format!("@param {} {}", one.name, one.says)).collect();
        listed.extend(self.returns.iter().cloned());
        let parameters: Vec<String> = all().map(|one| one.declared.clone()).collect();
        let head = format!("static inline struct {prefix}_result {prefix}_{name}");
        let mut text = comment("", &self.paragraphs, &listed);
        text.push_str(&declaration(&head, &parameters));
        text.push_str(&format!("{{\n{}}}\n", self.body(header)));
        text
    }

    /// Returns the names and declarations of its parameters: its arguments, then its results.
    pub(crate) fn parameters(&self, header: &Header) -> Vec<(String, String)> {
        let all = self.arguments(header).into_iter().chain(self.results(header));
        all.map(|one| (one.name, one.declared)).collect()
    }

    /// Returns its arguments, in order.
    pub(crate) fn arguments(&self, header: &Header) -> Vec<Parameter> {
        let parameter = |field: &str, name: String| {
            let kind = type_of(field);
            let declared = format!("{kind} {name}");
            let says = (header.argument)(self.name, field).to_owned();
            Parameter { name, declared, says }
        };
        if self.registers.request == ["path"; 4] {
            let says = "the path, of 1 to FS_SHORT_PATH_BYTES_MAX bytes before its NUL".to_owned();
            let declared = "const char *path".to_owned();
            return vec![Parameter { name: "path".to_owned(), declared, says }];
        }
        let mut parameters: Vec<Parameter> = Vec::new();
        for (field, name) in self.named_fields() {
            // The label's part of a range stands where the range ends.
            if field == "terms" && self.has_count {
                parameters.push(parameter("count", "count".to_owned()));
            }
            parameters.push(parameter(&field, name));
        }
        if let Some((kind, name, says)) = self.list() {
            let declared = format!("const {kind} *{name}");
            let (name, says) = (name.to_owned(), says.to_owned());
            parameters.push(Parameter { name, declared, says });
            let declared = "seL4_Word count".to_owned();
            let says = "how many of them".to_owned();
            parameters.push(Parameter { name: "count".to_owned(), declared, says });
        }
        if self.has_count && !parameters.iter().any(|one| one.name == "count") {
            parameters.push(parameter("count", "count".to_owned()));
        }
        if self.has_flags {
            parameters.push(parameter("flags", "flags".to_owned()));
        }
        parameters
    }

    /// Returns the fields of the request with their names in C.
    fn named_fields(&self) -> Vec<(String, String)> {
        let mut named: Vec<(String, String)> = Vec::new();
        for field in self.registers.request.iter().flat_map(|register| fields(register)) {
            let before = named.last().map(|(_, name)| name.clone()).unwrap_or_default();
            let name = field.name.replace("its ", &format!("{before} "));
            named.push((field.name, name_of(&name)));
        }
        named
    }

    /// Returns the type, the name and the meaning of the list.
    fn list(&self) -> Option<(&'static str, &'static str, &'static str)> {
        match self.registers.list {
            ["from", "to"] => Some((
                "struct pm_pair",
                "pairs",
                "the numbers of 1 to PM_PAIRS_MAX frames, and where to",
            )),
            ["frame"] => Some(("seL4_Word", "frames", "the numbers of 1 to PM_FRAMES_MAX frames")),
            _ => None,
        }
    }

    fn results(&self, header: &Header) -> Vec<Parameter> {
        let out = |name: &str, kind: &str, says: &str| Parameter {
            name: name.to_owned(),
            declared: format!("{kind} *{name}"),
            says: format!("{says}; may be NULL"),
        };
        match (self.structure(), self.registers.reply) {
            (Some(structure), _) => {
                vec![out("result", &format!("struct {structure}"), "the result")]
            }
            (None, [_, "runs", ..]) => {
                vec![out("runs", "struct pm_runs", "how many were mapped with which rights")]
            }
            (None, ["count", "states", ..]) => {
                vec![out("states", "struct pm_states", "the states of the frames, in order")]
            }
            (None, _) => {
                let told = self.told(header);
                let parameter = |(_, field): &(usize, Field)| {
                    let says = (header.result)(self.name, &field.name);
                    out(&self.out_name(&field.name), type_of(&field.name), says)
                };
                told.iter().map(parameter).collect()
            }
        }
    }

    /// Returns the name of a result: that of an argument is not given twice.
    fn out_name(&self, field: &str) -> String {
        let name = name_of(field);
        let is_taken = self.named_fields().iter().any(|(_, taken)| *taken == name);
        if is_taken { format!("new_{name}") } else { name }
    }

    fn structure(&self) -> Option<&'static str> {
        let found = STRUCTURES.iter().find(|(operation, ..)| *operation == self.name);
        found.map(|(_, structure, _)| *structure)
    }

    /// Returns the results that a caller is told, each with its register.
    fn told(&self, header: &Header) -> Vec<(usize, Field)> {
        let registers = self.registers.reply.iter().enumerate();
        let all = registers.flat_map(|(at, one)| fields(one).into_iter().map(move |one| (at, one)));
        all.filter(|(_, field)| !header.done.contains(&field.name.as_str())).collect()
    }

    fn body(&self, header: &Header) -> String {
        let prefix = header.prefix;
        let mut text = self.setting(header);
        let mut label = format!("{}_OP_{}", capitals(prefix), capitals(self.name));
        if self.has_count {
            label.push_str(" | pm_field(count, 16, 16)");
        }
        if self.has_flags {
            label.push_str(" | pm_field(flags, 32, 16)");
        }
        let count = match (self.registers.request.len(), self.registers.list.len()) {
            (count, 0) => count.to_string(),
            (count, 1) => format!("(seL4_Uint16)({count} + count)"),
            (count, width) => format!("(seL4_Uint16)({count} + {width} * count)"),
        };
        let call = format!("{prefix}_call({label}, {count}, {})", self.registers.reply.len());
        let taking = self.taking(header);
        if taking.is_empty() {
            return format!("{text}    return {call};\n");
        }
        text.push_str(&format!("    struct {prefix}_result call = {call};\n"));
        let is_well = format!("call.error == {}_OK", capitals(prefix));
        for (condition, statements) in taking {
            let and = condition.map_or(String::new(), |name| format!(" && {name}"));
            let inside: String = statements.iter().map(|one| format!("        {one};\n")).collect();
            text.push_str(&format!("    if ({is_well}{and}) {{\n{inside}    }}\n"));
        }
        text + "    return call;\n"
    }

    /// Returns the statements that set the registers.
    fn setting(&self, header: &Header) -> String {
        if self.registers.request == ["path"; 4] {
            return "    if (!fs_set_path(path)) {\n        \
                    return fs_outcome(FS_PATH_TOO_LONG);\n    }\n"
                .to_owned();
        }
        let mut text = String::new();
        if let Some((_, name, _)) = self.list() {
            let most = format!("PM_{}_MAX", capitals(name));
            let refused = format!("{}_outcome(PM_INVALID)", header.prefix);
            text = format!("    if (count > {most}) {{\n        return {refused};\n    }}\n");
        }
        let mut names = self.named_fields().into_iter();
        for (index, register) in self.registers.request.iter().enumerate() {
            let words =
                fields(register).into_iter().zip(names.by_ref()).map(|(field, (_, name))| {
                    let word = to_word(&field.name, &name);
                    match field.bits {
                        64 => word,
                        bits => format!("pm_field({word}, {}, {bits})", field.shift),
                    }
                });
            let word = words.collect::<Vec<_>>().join(" | ");
            text.push_str(&format!("    microkit_mr_set({index}, {word});\n"));
        }
        let first = self.registers.request.len();
        let entries: &[(usize, &str)] = match self.registers.list {
            [_, _] => &[(0, "pairs[i].from"), (1, "pairs[i].to")],
            [_] => &[(0, "frames[i]")],
            _ => return text,
        };
        text.push_str("    for (seL4_Word i = 0; i < count; i++) {\n");
        for (offset, entry) in entries {
            let (at, width) = (first + offset, entries.len());
            let times = if width == 1 { String::new() } else { format!("{width} * ") };
            text.push_str(&format!(
                "        microkit_mr_set((seL4_Uint8)({at} + {times}i), {entry});\n"
            ));
        }
        text + "    }\n"
    }

    /// Returns the statements that take the results of a success, each with the parameter that has
    /// to be there for them.
    fn taking(&self, header: &Header) -> Vec<(Option<String>, Vec<String>)> {
        let counted = self.registers.reply.iter().position(|one| header.done.contains(one));
        let mut blocks: Vec<_> = counted
            .map(|at| (None, vec![format!("call.done = (uint32_t)microkit_mr_get({at})")]))
            .into_iter()
            .collect();
        let taker = match self.registers.reply {
            [_, "runs", ..] => Some("runs"),
            ["count", "states", ..] => Some("states"),
            _ => None,
        };
        if let Some(name) = taker {
            blocks.push((Some(name.to_owned()), vec![format!("pm_take_{name}({name})")]));
            return blocks;
        }
        let taken = self.told(header).into_iter().map(|(at, Field { name, shift, bits })| {
            let word = match (bits, shift) {
                (64, _) => format!("microkit_mr_get({at})"),
                (_, 0) => format!("microkit_mr_get({at}) & 0x{:x}", u64::MAX >> (64 - bits)),
                _ => format!("microkit_mr_get({at}) >> {shift}"),
            };
            (type_of(&name).ends_with("_t"), name, word)
        });
        if self.structure().is_some() {
            let statements = taken.map(|(is_handle, name, word)| {
                let raw = if is_handle { ".raw" } else { "" };
                format!("result->{}{raw} = {word}", name_of(&name))
            });
            blocks.push((Some("result".to_owned()), statements.collect()));
        } else {
            blocks.extend(taken.map(|(is_handle, name, word)| {
                let name = self.out_name(&name);
                let place = if is_handle { format!("{name}->raw") } else { format!("*{name}") };
                (Some(name), vec![format!("{place} = {word}")])
            }));
        }
        blocks
    }

    /// Returns the structure that its results are told in, if no row before has it.
    pub(crate) fn structure_of_results(&self, header: &Header) -> String {
        let found = STRUCTURES.iter().find(|(operation, ..)| *operation == self.name);
        let Some((_, name, says)) = found.filter(|(_, _, says)| !says.is_empty()) else {
            return String::new();
        };
        let mut text = comment("", &[(*says).to_owned()], &[]);
        text.push_str(&format!("struct {name} {{\n"));
        for (_, field) in self.told(header) {
            let says = (header.result)(self.name, &field.name);
            let (kind, name) = (type_of(&field.name), name_of(&field.name));
            let (first, rest) = says.split_at(1);
            let says = format!("{}{rest}.", first.to_uppercase());
            text.push_str(&comment("    ", &[says], &[]));
            text.push_str(&format!("    {kind} {name};\n"));
        }
        text + "};\n\n"
    }
}
