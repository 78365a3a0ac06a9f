//! Calls that are known and not served, by the building block that would serve them.
//!
//! UNIMPLEMENTED is what clients wait for before they try an older name of a method, so every such call must get it.

use super::PREFIX;
use tonic::Status;

/// The methods of each building block that is not here.
const ABSENT: &[(&str, &[&str])] = &[
    ("bindings", &["InvokeBinding"]),
    ("state queries", &["QueryStateAlpha1"]),
    (
        "actors",
        &[
            "RegisterActorTimer",
            "UnregisterActorTimer",
            "GetActorTimer",
            "ListActorTimers",
            "RegisterActorReminder",
            "UnregisterActorReminder",
            "UnregisterActorRemindersByType",
            "GetActorReminder",
            "ListActorReminders",
            "GetActorState",
            "ExecuteActorStateTransaction",
            "InvokeActor",
            "SubscribeActorEventsAlpha1",
        ],
    ),
    (
        "workflows",
        &[
            "StartWorkflowAlpha1",
            "GetWorkflowAlpha1",
            "PurgeWorkflowAlpha1",
            "TerminateWorkflowAlpha1",
            "PauseWorkflowAlpha1",
            "ResumeWorkflowAlpha1",
            "RaiseEventWorkflowAlpha1",
            "StartWorkflowBeta1",
            "GetWorkflowBeta1",
            "PurgeWorkflowBeta1",
            "TerminateWorkflowBeta1",
            "PauseWorkflowBeta1",
            "ResumeWorkflowBeta1",
            "RaiseEventWorkflowBeta1",
        ],
    ),
    (
        "cryptography",
        &[
            "EncryptAlpha1",
            "DecryptAlpha1",
            "SubtleGetKeyAlpha1",
            "SubtleEncryptAlpha1",
            "SubtleDecryptAlpha1",
            "SubtleWrapKeyAlpha1",
            "SubtleUnwrapKeyAlpha1",
            "SubtleSignAlpha1",
            "SubtleVerifyAlpha1",
        ],
    ),
    ("conversation", &["ConverseAlpha1", "ConverseAlpha2"]),
];

/// Services beside the runtime's own that clients ask for.
const SERVICES: &[(&str, &str)] = &[("/TaskHubSidecarService/", "workflows")];

/// What to say when nothing here serves `path`.
pub(super) fn find(path: &str) -> Option<Status> {
    let Some(method) = path.strip_prefix(PREFIX) else {
        let block = SERVICES.iter().find(|(prefix, _)| path.starts_with(prefix));
        return Some(block.map_or_else(|| unknown(path), |(_, block)| missing(path, block)));
    };
    let block = ABSENT.iter().find(|(_, methods)| methods.contains(&method));
    block.map(|(block, _)| missing(method, block))
}

fn missing(method: &str, block: &str) -> Status {
    Status::unimplemented(format!("{method}: this node does not have the building block {block}"))
}

fn unknown(path: &str) -> Status {
    Status::unimplemented(format!(
        "{path}: no such service here; to call a service of the system, name it in the metadata \
         `dapr-app-id`"
    ))
}
