//! Publishing.

use super::service::Dapr;
use crate::{
    app::blocks::pubsub::{self, Entry, Failed, Message},
    trace::Trace,
};
use proto::dapr::runtime::{
    BulkPublishRequest, BulkPublishRequestEntry, BulkPublishResponse,
    BulkPublishResponseFailedEntry, PublishEventRequest,
};
use tonic::{Request, Response, Status};

impl Dapr {
    pub(super) async fn publish(
        &self,
        request: Request<PublishEventRequest>,
    ) -> Result<Response<()>, Status> {
        let trace = Trace::of(request.metadata().as_ref());
        let PublishEventRequest { pubsub_name, topic, data, data_content_type, metadata } =
            request.into_inner();
        let message = Message { data, content_type: data_content_type, metadata };
        pubsub::publish(&self.shared, &self.caller, &pubsub_name, &topic, message, &trace).await?;
        Ok(Response::new(()))
    }

    pub(super) async fn publish_bulk(
        &self,
        request: Request<BulkPublishRequest>,
    ) -> Result<Response<BulkPublishResponse>, Status> {
        let trace = Trace::of(request.metadata().as_ref());
        let BulkPublishRequest { pubsub_name, topic, entries, metadata: of_all } =
            request.into_inner();
        let entry = |it: BulkPublishRequestEntry| {
            let mut metadata = of_all.clone();
            metadata.extend(it.metadata);
            let message = Message { data: it.event, content_type: it.content_type, metadata };
            Entry { id: it.entry_id, message }
        };
        let entries = entries.into_iter().map(entry).collect();
        let (shared, caller) = (&self.shared, &self.caller);
        let failed =
            pubsub::publish_bulk(shared, caller, &pubsub_name, &topic, entries, &trace).await?;
        let told = |Failed { id, error }| BulkPublishResponseFailedEntry { entry_id: id, error };
        let failed_entries = failed.into_iter().map(told).collect();
        Ok(Response::new(BulkPublishResponse { failed_entries }))
    }
}
