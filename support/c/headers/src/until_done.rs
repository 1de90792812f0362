// SPDX-License-Identifier: BSD-2-Clause
//! The functions that repeat the calls of an operation of pmserver until it is done.

use pmserver_api::Operation;

use crate::function::{Header, Row};
use crate::text::{comment, declaration};

/// Operations that are called again as they are until they are done. With the first ones, an
/// object that is gone at a later call was torn down by somebody else.
const ENDS: &[Operation] = &[
    Operation::ContainerDestroy,
    Operation::Unshare,
    Operation::Unlock,
    Operation::Detach,
    Operation::AccountDestroy,
    Operation::AccountRemove,
];
const STEPS: &[Operation] = &[
    Operation::AccountSetLimits,
    Operation::Lock,
    Operation::Pin,
    Operation::AllocateContiguous,
    Operation::CreateFrom,
    Operation::CreateGather,
    Operation::SetHandler,
    Operation::Take,
];
/// Operations that are called piece by piece; the last ones pass over what is not there.
const PIECES: &[Operation] =
    &[Operation::Allocate, Operation::Map, Operation::Remap, Operation::Copy];
const SWEEPS: &[Operation] =
    &[Operation::Deallocate, Operation::Unmap, Operation::Renew, Operation::Ungrant];

/// A parameter: its name, and its declaration.
type Parameter = (String, String);

/// What a function is made of: its comment, its parameters as declared, and its body.
type Parts = (String, Vec<String>, String);

/// Returns the function for an operation, if one call may not suffice for it.
pub(crate) fn until_done(operation: Operation, row: &Row, header: &Header) -> Option<String> {
    let name = format!("pm_{}", operation.name());
    let parameters = row.parameters(header);
    let arguments = row.arguments(header).len();
    let (says, declared, body) = match operation {
        one if ENDS.contains(&one) || STEPS.contains(&one) => again(one, &name, &parameters),
        one if PIECES.contains(&one) || SWEEPS.contains(&one) => {
            pieces(one, &name, parameters.split_at(arguments))
        }
        _ => return None,
    };
    let head = format!("static inline struct pm_result {name}_until_done");
    let text = comment("", &[says], &[]) + &declaration(&head, &declared);
    Some(format!("{text}{{\n{body}}}\n"))
}

fn declared(parameters: &[Parameter]) -> Vec<String> {
    parameters.iter().map(|(_, declared)| declared.clone()).collect()
}

/// Returns a function that makes the same call again.
fn again(operation: Operation, name: &str, parameters: &[Parameter]) -> Parts {
    let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
    let call = format!("{name}({})", names.join(", "));
    let gone = "        if (call.error == PM_INVALID_CAP) {\n            \
                /* Somebody else has done the rest (PM-130). */\n            \
                return pm_outcome(PM_OK);\n        }\n";
    let gone = if ENDS.contains(&operation) { gone } else { "" };
    let body = format!(
        "    struct pm_result call = {call};\n    \
         while (pm_is_to_go_on(call)) {{\n        call = {call};\n{gone}    }}\n    \
         return call;\n"
    );
    (format!("{name}(), called again until it is done."), declared(parameters), body)
}

/// Returns a function that goes through a range of any length.
fn pieces(
    operation: Operation,
    name: &str,
    (arguments, results): (&[Parameter], &[Parameter]),
) -> Parts {
    let further = arguments.iter().map(|(name, _)| match name.as_str() {
        "count" => "piece".to_owned(),
        "vaddr" => "vaddr + PM_PAGE_BYTES * progress.passed".to_owned(),
        "start" | "source_start" | "destination_start" | "address" => {
            format!("{name} + progress.passed")
        }
        _ => name.clone(),
    });
    let mut further: Vec<String> = further.collect();
    further.extend(results.iter().map(|_| "0".to_owned()));
    // A large frame begins at a multiple of its size; pages are counted from the first one on.
    let first = match operation {
        Operation::Copy => {
            "(source_start + progress.passed) | (destination_start + progress.passed)"
        }
        Operation::Unmap | Operation::Remap | Operation::Ungrant => "progress.passed",
        _ => "start + progress.passed",
    };
    let most = match operation {
        Operation::Renew | Operation::Ungrant => "PM_CALL_FRAMES_MAX",
        _ => "PM_LARGE_FRAMES",
    };
    let (further, passes) = (further.join(", "), SWEEPS.contains(&operation));
    let body = format!(
        "    struct pm_progress progress = {{ 0, 0, {most} }};\n    \
         struct pm_result call = {{ PM_OK, 0, 0 }};\n    \
         while (progress.passed < count) {{\n        \
         seL4_Word piece = pm_piece(progress, {first}, count);\n        \
         call = {name}({further});\n        \
         if (!pm_goes_on(&progress, &call, piece, {passes})) {{\n            \
         break;\n        }}\n    }}\n    \
         call.done = progress.done;\n    return call;\n"
    );
    let says = format!(
        "{name}() for a range of any length, piece by piece. After an error `done` says how many \
         were done, and they stay so."
    );
    (says, declared(arguments), body)
}
