//! The same over gRPC, and participants that are methods of gRPC.

use super::rig::{Rig, short};
use crate::app::grpc::loopback;
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request};
use proto::{
    dtm::{
        DtmBranchRequest, DtmGidReply, DtmProgressesReply, DtmRequest, DtmTopicRequest,
        DtmTransOptions,
    },
    prost::Message,
};
use serde_json::json;
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// Calls a method of the façade.
async fn call<T: Message + Default>(
    rig: &Rig,
    method: &str,
    message: &impl Message,
) -> Result<T, Status> {
    let at = rig.dtm.grpc();
    let encoded = message.encode_to_vec();
    let mut body = BytesMut::new();
    body.put_u8(0);
    body.put_u32(u32::try_from(encoded.len()).unwrap());
    body.put_slice(&encoded);
    let request = Request::post(format!("http://{at}/dtmgimp.Dtm/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body.freeze());
    let (answer, trailers) = exchange(rig, request.unwrap()).await;
    let status = Status::from_header_map(&trailers);
    let status = status.or_else(|| Status::from_header_map(answer.headers())).unwrap();
    if status.code() != Code::Ok {
        return Err(status);
    }
    Ok(T::decode(&answer.body()[5..]).unwrap())
}

async fn exchange(rig: &Rig, request: Request<Bytes>) -> (http::Response<Bytes>, HeaderMap) {
    let io = TcpStream::connect(rig.dtm.grpc()).await.unwrap();
    let (sender, connection) = loopback::begin(io).await.unwrap();
    let talk = loopback::talk(sender, request, 1 << 20);
    tokio::pin!(talk);
    tokio::select! {
        done = &mut talk => done.unwrap(),
        _ = connection => talk.await.unwrap(),
    }
}

fn tcc(gid: &str) -> DtmRequest {
    DtmRequest { gid: gid.to_owned(), trans_type: "tcc".to_owned(), ..DtmRequest::default() }
}

fn branch(rig: &Rig, gid: &str) -> DtmBranchRequest {
    let data = [("confirm", rig.url("/confirm")), ("cancel", rig.url("/cancel"))];
    DtmBranchRequest {
        gid: gid.to_owned(),
        trans_type: "tcc".to_owned(),
        branch_id: "01".to_owned(),
        op: String::new(),
        data: data.into_iter().map(|(name, url)| (name.to_owned(), url)).collect(),
        busi_payload: "{}".into(),
    }
}

#[tokio::test]
async fn a_tcc_by_grpc_is_confirmed_or_cancelled() {
    let rig = Rig::new().await;
    let gid = call::<DtmGidReply>(&rig, "NewGid", &()).await.unwrap().gid;
    assert_eq!(gid.len(), 26);
    call::<()>(&rig, "Prepare", &tcc("good")).await.unwrap();
    call::<()>(&rig, "RegisterBranch", &branch(&rig, "good")).await.unwrap();
    call::<()>(&rig, "Submit", &tcc("good")).await.unwrap();
    assert_eq!(short(&rig.until("good", "succeed").await), "ps");
    call::<()>(&rig, "Prepare", &tcc("bad")).await.unwrap();
    call::<()>(&rig, "RegisterBranch", &branch(&rig, "bad")).await.unwrap();
    let abort = DtmRequest { rollback_reason: "so".to_owned(), ..tcc("bad") };
    call::<()>(&rig, "Abort", &abort).await.unwrap();
    let answer = rig.until("bad", "failed").await;
    assert_eq!((&*short(&answer), &answer["transaction"]["rollback_reason"]), ("sp", &json!("so")));
    assert_eq!(rig.participant.told(), ["/confirm confirm", "/cancel cancel"]);
}

#[tokio::test]
async fn errors_by_grpc_have_the_codes_that_clients_know() {
    let rig = Rig::new().await;
    let refused = call::<()>(&rig, "RegisterBranch", &branch(&rig, "unknown")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let magic = DtmRequest { trans_type: "magic".to_owned(), ..tcc("x") };
    let wrong = call::<()>(&rig, "Submit", &magic).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Internal, "{wrong}");
    let steps = DtmRequest { steps: "7".to_owned(), ..tcc("x") };
    let wrong = call::<()>(&rig, "Submit", &steps).await.unwrap_err();
    assert!(wrong.message().contains("Steps"), "{wrong}");
    let unknown = call::<()>(&rig, "Magic", &()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented, "{unknown}");
    rig.participant.says("/a", &[(425, "")]);
    let options = DtmTransOptions { wait_result: true, retry_interval: 600, ..Default::default() };
    let waits = DtmRequest { trans_options: Some(options), ..saga(&rig, "slow") };
    let goes_on = call::<()>(&rig, "Submit", &waits).await.unwrap_err();
    assert_eq!(goes_on.code(), Code::FailedPrecondition, "{goes_on}");
    let plain = Request::get("http://x/").body(Bytes::new()).unwrap();
    assert_eq!(exchange(&rig, plain).await.0.status(), 415);
}

/// As clients of gRPC send it: steps as JSON, payloads as bytes.
fn saga(rig: &Rig, gid: &str) -> DtmRequest {
    let steps = json!([
        { "action": rig.url("/a"), "compensate": rig.url("/ua") },
        { "action": rig.url("/b"), "compensate": rig.url("/ub") },
    ]);
    DtmRequest {
        gid: gid.to_owned(),
        trans_type: "saga".to_owned(),
        customed_data: "{\"concurrent\":true,\"orders\":{\"1\":[0]}}".to_owned(),
        bin_payloads: vec![Bytes::from_static(b"{}"), Bytes::from_static(b"\xff\x00")],
        steps: steps.to_string(),
        ..DtmRequest::default()
    }
}

#[tokio::test]
async fn a_saga_by_grpc_keeps_its_order_and_its_bytes() {
    let rig = Rig::new().await;
    call::<()>(&rig, "Submit", &saga(&rig, "saga")).await.unwrap();
    let answer = rig.until("saga", "succeed").await;
    assert_eq!(answer["transaction"]["protocol"], "grpc");
    assert_eq!(answer["branches"][2]["bin_data"], "/wA=");
    assert_eq!(rig.participant.told(), ["/a action", "/b action"]);
    call::<()>(&rig, "Submit", &saga(&rig, "saga")).await.unwrap_err();
}

#[tokio::test]
async fn a_workflow_by_grpc_gets_its_steps_back() {
    let rig = Rig::new().await;
    let flow = DtmRequest {
        gid: "flow".to_owned(),
        trans_type: "workflow".to_owned(),
        query_prepared: "127.0.0.1:1/workflow.Workflow/Execute".to_owned(),
        customed_data: json!({ "name": "flow", "data": "AP8=" }).to_string(),
        ..DtmRequest::default()
    };
    let reply: DtmProgressesReply = call(&rig, "PrepareWorkflow", &flow).await.unwrap();
    assert_eq!(reply.transaction.unwrap().status, "prepared");
    let step = DtmBranchRequest {
        gid: "flow".to_owned(),
        trans_type: "workflow".to_owned(),
        branch_id: "01".to_owned(),
        data: [("op", "action"), ("status", "succeed")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
        busi_payload: Bytes::from_static(b"\xff\x00"),
        ..DtmBranchRequest::default()
    };
    call::<()>(&rig, "RegisterBranch", &step).await.unwrap();
    let extra = [("status", "succeed"), ("result", "cmVzdWx0")];
    let end = DtmRequest {
        req_extra: extra.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        ..flow.clone()
    };
    call::<()>(&rig, "Submit", &end).await.unwrap();
    rig.until("flow", "succeed").await;
    let reply: DtmProgressesReply = call(&rig, "PrepareWorkflow", &flow).await.unwrap();
    let transaction = reply.transaction.unwrap();
    assert_eq!((&*transaction.status, &*transaction.result), ("succeed", "cmVzdWx0"));
    let [progress] = &reply.progresses[..] else { panic!("{:?}", reply.progresses) };
    assert_eq!(
        (&*progress.branch_id, &*progress.op, &*progress.status),
        ("01", "action", "succeed")
    );
    assert_eq!(progress.bin_data, b"\xff\x00"[..]);
}

#[tokio::test]
async fn topics_can_be_changed_by_grpc() {
    let rig = Rig::new().await;
    let topic =
        DtmTopicRequest { topic: "t".to_owned(), url: rig.url("/a"), remark: String::new() };
    call::<()>(&rig, "Subscribe", &topic).await.unwrap();
    call::<()>(&rig, "Subscribe", &topic).await.unwrap_err();
    call::<()>(&rig, "Unsubscribe", &topic).await.unwrap();
    call::<()>(&rig, "DeleteTopic", &topic).await.unwrap();
    call::<()>(&rig, "DeleteTopic", &topic).await.unwrap_err();
}
