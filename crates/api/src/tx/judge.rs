//! What an answer to a call means.
//!
//! | HTTP | gRPC | |
//! |---|---|---|
//! | 2xx but 202 | `OK` | done; with a vote or an outcome: what that says |
//! | 409 | `Aborted` | refused, for good |
//! | 202, 425 | `FailedPrecondition` | still at it: asked again |
//! | anything else | anything else | nobody knows: asked again |
//!
//! A vote is the field `Flotilla-Vote: read_only` or the body `{"vote": "read_only"}`; what a participant has decided alone is
//! the field `Flotilla-Outcome` or the body `{"outcome": …}` with `committed`, `aborted` or `mixed`. Redirects are not followed:
//! a call must reach whom the transaction names. Clients of DTM may also say `FAILURE` and `ONGOING` in the body.

use super::ask::{FRAME_HEAD_LEN, is_second_phase};
use crate::{
    app::deliver::{NOBODY, REASON_LEN_MAX, refusal, said},
    dtm::call as dtm,
    pool::Answered,
};
use http::{HeaderMap, StatusCode};
use logic::tx::{Answer, Heuristic, Op};
use serde_json::Value;
use tonic::{Code, Status};
use transactions::{CallRequest, Called, Dialect, RESULT_LEN_MAX, Target};

const VOTE: &str = "flotilla-vote";
const OUTCOME: &str = "flotilla-outcome";

/// What DTM's participants write into their answers.
const FAILURE: &[u8] = b"FAILURE";
const ONGOING: &[u8] = b"ONGOING";

/// A call that has no answer.
pub(super) fn unanswered(answer: Answer) -> Called {
    Called { answer, status: None, body: Value::Null }
}

/// What an answer means.
pub(super) fn judge(call: &CallRequest, answered: &Answered) -> Called {
    let response = &answered.0;
    let is_service = matches!(call.target, Target::Service { .. } | Target::GrpcService { .. });
    // Only the data plane's word counts: any other server could keep a transaction waiting for ever with it.
    if is_service && let Some(code) = response.headers().get(proxy::REFUSAL_FIELD) {
        let words = refusal(response);
        let is_nobody = code.to_str().is_ok_and(|code| NOBODY.contains(&code));
        let answer = if is_nobody { Answer::Away(words) } else { Answer::Failed(words) };
        return unanswered(answer);
    }
    match call.target {
        Target::Service { .. } | Target::Url(_) => by_http(call, answered),
        Target::GrpcService { .. } | Target::Grpc { .. } => by_grpc(call, answered),
    }
}

/// What a participant may say besides the status.
struct Words<'a> {
    fields: [&'a HeaderMap; 2],
    body: &'a Value,
}

impl Words<'_> {
    /// A word of a field or, when there is none, of the body. `Err`: the field has none of `known`.
    fn word<T: Copy>(
        &self,
        field: &str,
        key: &str,
        known: &[(&str, T)],
    ) -> Result<Option<T>, String> {
        let find = |word: &str| known.iter().find(|(name, _)| *name == word).map(|(_, it)| *it);
        if let Some(value) = self.fields.iter().find_map(|fields| fields.get(field)) {
            let word = String::from_utf8_lossy(value.as_bytes());
            return match find(word.trim()) {
                Some(known) => Ok(Some(known)),
                None => {
                    let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    let word: String = word.chars().take(40).collect();
                    Err(format!(
                        "it answered with `{field}: {}`, which is none of {}",
                        word.escape_debug(),
                        known.join(", ")
                    ))
                }
            };
        }
        // A body of the participant's own may have such a key and mean something else by it.
        Ok(self.body.get(key).and_then(Value::as_str).and_then(find))
    }

    fn outcome(&self) -> Result<Option<Heuristic>, String> {
        let known = [
            ("committed", Heuristic::Committed),
            ("aborted", Heuristic::Aborted),
            ("mixed", Heuristic::Mixed),
        ];
        self.word(OUTCOME, "outcome", &known)
    }

    /// Whether it votes that it has changed nothing.
    fn is_read_only(&self) -> Result<bool, String> {
        let vote = self.word(VOTE, "vote", &[("yes", false), ("read_only", true)])?;
        Ok(vote.unwrap_or(false))
    }

    /// What a good answer means.
    fn done(&self, op: Op) -> Result<Answer, String> {
        if is_second_phase(op) {
            return Ok(self.outcome()?.map_or(Answer::Done, Answer::Heuristic));
        }
        let has_votes = matches!(op, Op::Prepare | Op::PreCommit);
        let is_read_only = has_votes && self.is_read_only()?;
        Ok(if is_read_only { Answer::ReadOnly } else { Answer::Done })
    }

    /// What a no means.
    fn refused(&self, op: Op, reason: String) -> Result<Answer, String> {
        if is_second_phase(op)
            && let Some(outcome) = self.outcome()?
        {
            return Ok(Answer::Heuristic(outcome));
        }
        Ok(Answer::Refused(reason))
    }
}

fn by_http(call: &CallRequest, answered: &Answered) -> Called {
    let (response, trailers) = answered;
    let (status, bytes) = (response.status(), &response.body()[..]);
    let body = json(bytes);
    let words = Words { fields: [response.headers(), trailers], body: &body };
    let is_dtm = call.dialect.is_dtm();
    if call.dialect == Dialect::DtmJsonRpc
        && let Some(answer) = dtm::judge_rpc(bytes)
    {
        return Called { answer, status: Some(status.as_u16()), body };
    }
    let is_working = matches!(status, StatusCode::ACCEPTED | StatusCode::TOO_EARLY);
    let answer = if is_working || is_dtm && has(bytes, ONGOING) {
        Ok(Answer::Working)
    } else if status == StatusCode::CONFLICT || is_dtm && has(bytes, FAILURE) {
        words.refused(call.op, said(status, bytes))
    } else if status.is_success() {
        words.done(call.op)
    } else if status.is_redirection() {
        Ok(Answer::Failed(format!("it answered {status}; redirects are not followed")))
    } else {
        Ok(Answer::Failed(said(status, bytes)))
    };
    Called { answer: answer.unwrap_or_else(Answer::Failed), status: Some(status.as_u16()), body }
}

fn by_grpc(call: &CallRequest, answered: &Answered) -> Called {
    let (response, trailers) = answered;
    let headers = response.headers();
    let status = Status::from_header_map(trailers).or_else(|| Status::from_header_map(headers));
    let Some(status) = status else {
        let words = format!("it answered {} and no status of gRPC", response.status());
        return unanswered(Answer::Failed(words));
    };
    let body = response.body().get(FRAME_HEAD_LEN..).map_or(Value::Null, json);
    let words = Words { fields: [headers, trailers], body: &body };
    let message: String = status.message().chars().take(REASON_LEN_MAX).collect();
    let told = format!("it answered {:?}: {message}", status.code());
    let is_dtm = call.dialect.is_dtm();
    let answer = match status.code() {
        Code::Ok => words.done(call.op),
        Code::FailedPrecondition => Ok(Answer::Working),
        // Older clients of DTM have one code for both.
        Code::Aborted if is_dtm && has(message.as_bytes(), ONGOING) => Ok(Answer::Working),
        Code::Aborted => words.refused(call.op, told),
        _ => Ok(Answer::Failed(told)),
    };
    let code = u16::try_from(i32::from(status.code())).ok();
    Called { answer: answer.unwrap_or_else(Answer::Failed), status: code, body }
}

/// The body, if it is JSON that later steps may use.
fn json(bytes: &[u8]) -> Value {
    if bytes.is_empty() || bytes.len() > RESULT_LEN_MAX {
        return Value::Null;
    }
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|at| at == word)
}
