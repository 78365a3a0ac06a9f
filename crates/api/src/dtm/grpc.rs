//! DTM's requests over gRPC: `dtmgimp.Dtm`.

use super::{
    asked::Asked,
    desk::{Desk, Registered},
    fault::Fault,
    rows,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use proto::dtm::{
    DtmBranchRequest, DtmGidReply, DtmProgress, DtmProgressesReply, DtmRequest, DtmTopicRequest,
    DtmTransaction, dtm_server,
};
use serde_json::Value;
use tonic::{Request, Response, Status, async_trait};
use transactions::Gid;

type Answer<T> = Result<Response<T>, Status>;

/// The methods.
#[derive(Clone, Debug)]
pub(super) struct Dtm(pub(super) Desk);

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Failure(words) => Self::aborted(words),
            Fault::Ongoing(words) => Self::failed_precondition(words),
            Fault::Other(words) => Self::internal(words),
        }
    }
}

fn asked(request: Request<DtmRequest>) -> Result<Asked, Fault> {
    let (metadata, _, request) = request.into_parts();
    Ok(Asked::called(request)?.traced(&metadata.into_headers()))
}

fn done(outcome: Result<(), Fault>) -> Answer<()> {
    Ok(Response::new(outcome?))
}

#[async_trait]
impl dtm_server::Dtm for Dtm {
    async fn new_gid(&self, _: Request<()>) -> Answer<DtmGidReply> {
        std::future::ready(Ok(Response::new(DtmGidReply { gid: Gid::generate().to_string() })))
            .await
    }

    async fn submit(&self, request: Request<DtmRequest>) -> Answer<()> {
        done(self.0.submit(asked(request)?).await)
    }

    async fn prepare(&self, request: Request<DtmRequest>) -> Answer<()> {
        done(self.0.prepare(asked(request)?).await)
    }

    async fn abort(&self, request: Request<DtmRequest>) -> Answer<()> {
        done(self.0.abort(asked(request)?).await)
    }

    async fn register_branch(&self, request: Request<DtmBranchRequest>) -> Answer<()> {
        let request = request.into_inner();
        let registered = Registered {
            gid: request.gid,
            trans_type: request.trans_type,
            branch_id: request.branch_id,
            payload: request.busi_payload.to_vec(),
            data: request.data.into_iter().collect(),
        };
        done(self.0.register(registered).await)
    }

    async fn prepare_workflow(&self, request: Request<DtmRequest>) -> Answer<DtmProgressesReply> {
        let view = self.0.prepare_workflow(asked(request)?).await?;
        let transaction = DtmTransaction {
            gid: view.gid.to_string(),
            status: rows::status(view.state.phase).to_owned(),
            rollback_reason: rows::reason(&view),
            result: rows::result(&view),
        };
        let progresses = rows::rows(&view).iter().map(progress).collect();
        Ok(Response::new(DtmProgressesReply { transaction: Some(transaction), progresses }))
    }

    async fn subscribe(&self, request: Request<DtmTopicRequest>) -> Answer<()> {
        let DtmTopicRequest { topic, url, remark } = request.into_inner();
        done(self.0.topics.subscribe(&topic, &url, &remark).await)
    }

    async fn unsubscribe(&self, request: Request<DtmTopicRequest>) -> Answer<()> {
        let DtmTopicRequest { topic, url, .. } = request.into_inner();
        done(self.0.topics.unsubscribe(&topic, &url).await)
    }

    async fn delete_topic(&self, request: Request<DtmTopicRequest>) -> Answer<()> {
        done(self.0.topics.delete(&request.into_inner().topic).await)
    }
}

fn progress(row: &Value) -> DtmProgress {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    DtmProgress {
        status: text("status"),
        bin_data: BASE64.decode(text("bin_data")).unwrap_or_default().into(),
        branch_id: text("branch_id"),
        op: text("op"),
    }
}
