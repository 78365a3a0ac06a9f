//! Calls that get no good answer, and requests that are no calls.

use super::{call, client, framed, refused, status};
use crate::app::{Instance, grpc, testing::Rig};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::StreamBody;
use proto::dapr::{
    common::StateItem,
    runtime::{GetMetadataRequest, GetStateRequest, SaveStateRequest},
};
use proxy::local::BoxError;
use std::sync::Arc;
use tonic::{Code, metadata::MetadataValue};

/// A method of every building block that is not here, and the words that name it.
const ABSENT: &[(&str, &str)] = &[
    ("InvokeBinding", "bindings"),
    ("QueryStateAlpha1", "state queries"),
    ("InvokeActor", "actors"),
    ("StartWorkflowBeta1", "workflows"),
    ("EncryptAlpha1", "cryptography"),
    ("ConverseAlpha2", "conversation"),
];

#[tokio::test]
async fn a_call_of_what_is_not_here_is_unimplemented_and_says_what_is_missing() {
    let rig = Rig::new().await;
    for (method, block) in ABSENT {
        // What the message is does not matter: nobody reads it.
        let answer = rig.ask("web/1", call(method, "\0\0\0\0\u{1}\u{7f}")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let status = status(answer).await;
        assert_eq!(status.code(), Code::Unimplemented, "{method}");
        assert!(status.message().contains(method), "{status:?}");
        assert!(status.message().contains(block), "{status:?}");
    }
}

#[tokio::test]
async fn unknown_methods_and_services_are_unimplemented() {
    let rig = Rig::new().await;
    let answer = rig.ask("web/1", call("MakeCoffee", framed(&()))).await.unwrap();
    assert_eq!(status(answer).await.code(), Code::Unimplemented);
    for path in ["/TaskHubSidecarService/Hello", "/shop.Orders/Get", "/", "/x"] {
        let mut request = call("", framed(&()));
        *request.uri_mut() = path.parse().unwrap();
        let status = status(rig.ask("web/1", request).await.unwrap()).await;
        assert_eq!(status.code(), Code::Unimplemented, "{path}");
        assert!(status.message().contains(path), "{status:?}");
    }
}

#[tokio::test]
async fn a_call_of_another_service_leads_there() {
    let rig = Rig::new().await;
    rig.node.offer("orders", crate::app::Protocol::Grpc);
    let mut request = call("", framed(&()));
    *request.uri_mut() = "/shop.Orders/Get".parse().unwrap();
    request.headers_mut().insert("dapr-app-id", "orders".parse().unwrap());
    let to = rig.ask("web/1", request).await.unwrap_err();
    assert_eq!(to.service.as_str(), "orders");
}

#[tokio::test]
async fn the_token_is_asked_for() {
    let rig = Rig::new().await;
    let token = Some(Arc::from("let-me-in"));
    rig.node.put("web/1", Instance { token, ..Instance::default() });
    let mut web = client(&rig, "web/1");
    refused(web.get_metadata(GetMetadataRequest {}).await, Code::Unauthenticated);
    let with = |token: &'static str| {
        let mut request = tonic::Request::new(GetMetadataRequest {});
        request.metadata_mut().insert("dapr-api-token", MetadataValue::from_static(token));
        request
    };
    refused(web.get_metadata(with("let-me-out")).await, Code::Unauthenticated);
    web.get_metadata(with("let-me-in")).await.unwrap();
}

#[tokio::test]
async fn an_instance_that_is_gone_gets_an_answer() {
    let rig = Rig::new().await;
    let status = status(rig.ask("api/7", call("GetMetadata", framed(&()))).await.unwrap()).await;
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn what_is_no_message_is_refused_without_harm() {
    let rig = Rig::new().await;
    let bodies: [(&[u8], Code); 6] = [
        (b"", Code::Internal),
        (b"\0\0\0\0\x02\x08", Code::Internal),
        (b"\0\0\0\0\x03\x0a\x7fx", Code::Internal),
        (b"\0\0\0\0\x03\x0a\x01\xff", Code::Internal),
        (b"\x01\0\0\0\x01x", Code::Internal),
        (b"\x07\0\0\0\x01x", Code::Internal),
    ];
    for (body, code) in bodies {
        let answer = rig.ask("web/1", call("GetState", Bytes::from_static(body))).await.unwrap();
        let status = status(answer).await;
        assert_eq!(status.code(), code, "{body:?}: {status:?}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_by_its_length_alone() {
    let rig = Rig::new().await;
    let huge = b"\0\xff\xff\xff\xffx";
    let answer = rig.ask("web/1", call("SaveState", Bytes::from_static(huge))).await.unwrap();
    let status = status(answer).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("4194304"), "{status:?}");
}

#[tokio::test]
async fn the_limit_of_an_instance_holds_for_its_messages() {
    let rig = Rig::new().await;
    rig.node.put("web/1", Instance { body_len_max: Some(8 << 20), ..Instance::default() });
    let item = |len| StateItem {
        key: "k".to_owned(),
        value: vec![b'x'; len].into(),
        ..StateItem::default()
    };
    let save = |len| SaveStateRequest { store_name: "statestore".into(), states: vec![item(len)] };
    let mut web = client(&rig, "web/1");
    // The message passes; the store has a limit of its own.
    refused(web.save_state(save(5 << 20)).await, Code::InvalidArgument);
    refused(web.save_state(save(9 << 20)).await, Code::ResourceExhausted);
    web.save_state(save(900 << 10)).await.unwrap();
    let request = GetStateRequest {
        store_name: "statestore".into(),
        key: "k".into(),
        ..GetStateRequest::default()
    };
    let found = web.get_state(request).await.unwrap().into_inner();
    assert_eq!(found.data.len(), 900 << 10);
}

#[tokio::test]
async fn a_request_that_is_no_call_is_told_so() {
    let rig = Rig::new().await;
    let request = |kind: &'static str, method: Method| {
        let mut request = call("GetState", framed(&()));
        request.headers_mut().insert(header::CONTENT_TYPE, kind.parse().unwrap());
        *request.method_mut() = method;
        request.map(proxy::local::LocalBody::whole)
    };
    let shared = rig.app.shared.clone();
    let caller = crate::app::Caller { id: super::id("web/1"), instance: Arc::default() };
    let answer = |request| grpc::answer(shared.clone(), caller.clone(), request);
    let wrong_kind = answer(request("application/json", Method::POST)).await;
    assert_eq!(wrong_kind.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let wrong_method = answer(request("application/grpc", Method::GET)).await;
    assert_eq!(status(wrong_method).await.code(), Code::Internal);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_never_comes_whole_is_given_up() {
    let rig = Rig::new().await;
    let shared = rig.app.shared.clone();
    let caller = crate::app::Caller { id: super::id("web/1"), instance: Arc::default() };
    let start = Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"\0\0\0\0\x02\x08")));
    let never = futures_util::stream::pending();
    let body = futures_util::StreamExt::chain(futures_util::stream::iter([start]), never);
    let (parts, ()) = call("GetState", "").map(drop).into_parts();
    let request = http::Request::from_parts(parts, Box::pin(StreamBody::new(body)));
    let status = status(grpc::answer(shared, caller, request).await).await;
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
}

#[test]
fn words_that_no_field_can_have_are_said_all_the_same() {
    let mut metadata = HeaderMap::new();
    metadata.insert("x", "y".parse().unwrap());
    let status = tonic::Status::with_metadata(
        Code::Aborted,
        "línea\r\nnueva %",
        tonic::metadata::MetadataMap::from_headers(metadata),
    );
    let answer = grpc::trailers_only(&status);
    assert_eq!(answer.headers()["grpc-status"], "10");
    let read = tonic::Status::from_header_map(answer.headers()).unwrap();
    assert_eq!(read.message(), "línea\r\nnueva %");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_get_a_status(
        bodies in proptest::collection::vec(proptest::collection::vec(0_u8.., 0..64), 8),
        is_framed in proptest::bool::ANY,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            let methods = [
                "GetState", "SaveState", "ExecuteStateTransaction", "TryLockAlpha1",
                "GetConfiguration", "GetSecret", "SetMetadata", "InvokeService",
            ];
            for (method, body) in methods.into_iter().zip(bodies) {
                let len = u32::try_from(body.len()).unwrap().to_be_bytes();
                let head = [&[0][..], &len].concat();
                let body = if is_framed { [head, body].concat() } else { body };
                // Whatever it is: it ends, and with a status.
                status(rig.ask("web/1", call(method, body)).await.unwrap()).await;
            }
        });
    }
}
