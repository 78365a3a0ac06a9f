//! The methods: each reads a message, asks a building block, and writes a message.

use super::{convert, invoke};
use crate::app::{
    Caller, Shared,
    blocks::{configuration, lock, metadata, secrets, state},
    fault::Fault,
};
use futures_util::{StreamExt as _, stream};
use proto::dapr::{
    common::InvokeResponse,
    runtime::{
        BulkPublishRequest, BulkPublishResponse, DeleteBulkStateRequest, DeleteJobRequest,
        DeleteJobResponse, DeleteJobsByPrefixRequest, DeleteJobsByPrefixRequestAlpha1,
        DeleteJobsByPrefixResponse, DeleteJobsByPrefixResponseAlpha1, DeleteStateRequest,
        ExecuteStateTransactionRequest, GetBulkSecretRequest, GetBulkSecretResponse,
        GetBulkStateRequest, GetBulkStateResponse, GetConfigurationRequest,
        GetConfigurationResponse, GetJobRequest, GetJobResponse, GetMetadataRequest,
        GetMetadataResponse, GetSecretRequest, GetSecretResponse, GetStateRequest,
        GetStateResponse, InvokeServiceRequest, ListJobsRequest, ListJobsRequestAlpha1,
        ListJobsResponse, ListJobsResponseAlpha1, PublishEventRequest, SaveStateRequest,
        ScheduleJobRequest, ScheduleJobResponse, SecretResponse, SetMetadataRequest,
        ShutdownRequest, SubscribeConfigurationRequest, SubscribeConfigurationResponse,
        SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsResponseAlpha1, TryLockRequest,
        TryLockResponse, UnlockRequest, UnlockResponse, UnsubscribeConfigurationRequest,
        UnsubscribeConfigurationResponse, dapr_server,
    },
};
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming, async_trait, codegen::BoxStream};

type Answer<T> = Result<Response<T>, Status>;

/// The service as one caller sees it.
#[derive(Clone)]
pub(super) struct Dapr {
    pub(super) shared: Arc<Shared>,
    pub(super) caller: Caller,
}

#[async_trait]
impl dapr_server::Dapr for Dapr {
    async fn invoke_service(
        &self,
        request: Request<InvokeServiceRequest>,
    ) -> Answer<InvokeResponse> {
        invoke::invoke(&self.shared, &self.caller, request).await
    }

    async fn get_state(&self, request: Request<GetStateRequest>) -> Answer<GetStateResponse> {
        let GetStateRequest { store_name, key, .. } = request.into_inner();
        let got = state::get(&self.shared, &self.caller, &store_name, &key).await?;
        Ok(Response::new(convert::got(got)))
    }

    async fn get_bulk_state(
        &self,
        request: Request<GetBulkStateRequest>,
    ) -> Answer<GetBulkStateResponse> {
        let GetBulkStateRequest { store_name, keys, .. } = request.into_inner();
        let got = state::get_bulk(&self.shared, &self.caller, &store_name, &keys).await?;
        let items = got.into_iter().map(convert::got_many).collect();
        Ok(Response::new(GetBulkStateResponse { items }))
    }

    async fn save_state(&self, request: Request<SaveStateRequest>) -> Answer<()> {
        let SaveStateRequest { store_name, states } = request.into_inner();
        let writes = states.into_iter().map(convert::save).collect();
        state::save(&self.shared, &self.caller, &store_name, writes).await?;
        Ok(Response::new(()))
    }

    async fn delete_state(&self, request: Request<DeleteStateRequest>) -> Answer<()> {
        let mut request = request.into_inner();
        let store = std::mem::take(&mut request.store_name);
        state::delete(&self.shared, &self.caller, &store, convert::remove(request)).await?;
        Ok(Response::new(()))
    }

    async fn delete_bulk_state(&self, request: Request<DeleteBulkStateRequest>) -> Answer<()> {
        let DeleteBulkStateRequest { store_name, states } = request.into_inner();
        let removals = convert::remove_many(states);
        state::delete_bulk(&self.shared, &self.caller, &store_name, removals).await?;
        Ok(Response::new(()))
    }

    async fn execute_state_transaction(
        &self,
        request: Request<ExecuteStateTransactionRequest>,
    ) -> Answer<()> {
        let ExecuteStateTransactionRequest { store_name, operations, .. } = request.into_inner();
        let operations: Result<_, Fault> = operations.into_iter().map(convert::operation).collect();
        state::transact(&self.shared, &self.caller, &store_name, operations?).await?;
        Ok(Response::new(()))
    }

    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Answer<GetSecretResponse> {
        let GetSecretRequest { store_name, key, .. } = request.into_inner();
        let data = secrets::get(&self.shared, &self.caller, &store_name, &key).await?;
        Ok(Response::new(GetSecretResponse { data }))
    }

    async fn get_bulk_secret(
        &self,
        request: Request<GetBulkSecretRequest>,
    ) -> Answer<GetBulkSecretResponse> {
        let GetBulkSecretRequest { store_name, .. } = request.into_inner();
        let all = secrets::bulk(&self.shared, &self.caller, &store_name).await?;
        let all = all.into_iter().map(|(name, secrets)| (name, SecretResponse { secrets }));
        Ok(Response::new(GetBulkSecretResponse { data: all.collect() }))
    }

    async fn get_configuration(
        &self,
        request: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        let GetConfigurationRequest { store_name, keys, .. } = request.into_inner();
        let items = configuration::get(&self.shared, &self.caller, &store_name, &keys).await?;
        Ok(Response::new(GetConfigurationResponse { items: convert::items(items) }))
    }

    async fn get_configuration_alpha1(
        &self,
        request: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        self.get_configuration(request).await
    }

    async fn subscribe_configuration(
        &self,
        request: Request<SubscribeConfigurationRequest>,
    ) -> Answer<BoxStream<SubscribeConfigurationResponse>> {
        let SubscribeConfigurationRequest { store_name, keys, .. } = request.into_inner();
        let updates =
            configuration::subscribe(&self.shared, &self.caller, &store_name, &keys).await?;
        let id = updates.id.clone();
        let first = SubscribeConfigurationResponse { id: id.clone(), ..Default::default() };
        let later = stream::unfold((updates, id), |(mut updates, id)| async move {
            let items = convert::items(updates.next().await?);
            let message = SubscribeConfigurationResponse { id: id.clone(), items };
            Some((Ok(message), (updates, id)))
        });
        // Clients wait for the name of the subscription before they go on.
        let all = stream::once(std::future::ready(Ok(first))).chain(later);
        Ok(Response::new(Box::pin(all)))
    }

    async fn subscribe_configuration_alpha1(
        &self,
        request: Request<SubscribeConfigurationRequest>,
    ) -> Answer<BoxStream<SubscribeConfigurationResponse>> {
        self.subscribe_configuration(request).await
    }

    async fn unsubscribe_configuration(
        &self,
        request: Request<UnsubscribeConfigurationRequest>,
    ) -> Answer<UnsubscribeConfigurationResponse> {
        let UnsubscribeConfigurationRequest { store_name, id } = request.into_inner();
        let done = configuration::unsubscribe(&self.shared, &self.caller, &store_name, &id);
        let ok = done.is_ok();
        let message = done.err().unwrap_or_default();
        Ok(Response::new(UnsubscribeConfigurationResponse { ok, message }))
    }

    async fn unsubscribe_configuration_alpha1(
        &self,
        request: Request<UnsubscribeConfigurationRequest>,
    ) -> Answer<UnsubscribeConfigurationResponse> {
        self.unsubscribe_configuration(request).await
    }

    async fn try_lock_alpha1(&self, request: Request<TryLockRequest>) -> Answer<TryLockResponse> {
        let TryLockRequest { store_name, resource_id, lock_owner, expiry_in_seconds } =
            request.into_inner();
        let success = lock::try_lock(
            &self.shared,
            &self.caller,
            &store_name,
            &resource_id,
            &lock_owner,
            expiry_in_seconds.into(),
        );
        Ok(Response::new(TryLockResponse { success: success.await? }))
    }

    async fn unlock_alpha1(&self, request: Request<UnlockRequest>) -> Answer<UnlockResponse> {
        let UnlockRequest { store_name, resource_id, lock_owner } = request.into_inner();
        let unlocked =
            lock::unlock(&self.shared, &self.caller, &store_name, &resource_id, &lock_owner);
        Ok(Response::new(UnlockResponse { status: unlocked.await?.number() }))
    }

    async fn publish_event(&self, request: Request<PublishEventRequest>) -> Answer<()> {
        self.publish(request).await
    }

    async fn bulk_publish_event(
        &self,
        request: Request<BulkPublishRequest>,
    ) -> Answer<BulkPublishResponse> {
        self.publish_bulk(request).await
    }

    async fn bulk_publish_event_alpha1(
        &self,
        request: Request<BulkPublishRequest>,
    ) -> Answer<BulkPublishResponse> {
        self.publish_bulk(request).await
    }

    async fn subscribe_topic_events_alpha1(
        &self,
        request: Request<Streaming<SubscribeTopicEventsRequestAlpha1>>,
    ) -> Answer<BoxStream<SubscribeTopicEventsResponseAlpha1>> {
        std::future::ready(self.subscribe(request)).await
    }

    async fn schedule_job(
        &self,
        request: Request<ScheduleJobRequest>,
    ) -> Answer<ScheduleJobResponse> {
        self.schedule(request.into_inner()).await
    }

    async fn schedule_job_alpha1(
        &self,
        request: Request<ScheduleJobRequest>,
    ) -> Answer<ScheduleJobResponse> {
        self.schedule(request.into_inner()).await
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Answer<GetJobResponse> {
        self.job(request.into_inner()).await
    }

    async fn get_job_alpha1(&self, request: Request<GetJobRequest>) -> Answer<GetJobResponse> {
        self.job(request.into_inner()).await
    }

    async fn delete_job(&self, request: Request<DeleteJobRequest>) -> Answer<DeleteJobResponse> {
        self.unschedule(request.into_inner()).await
    }

    async fn delete_job_alpha1(
        &self,
        request: Request<DeleteJobRequest>,
    ) -> Answer<DeleteJobResponse> {
        self.unschedule(request.into_inner()).await
    }

    async fn delete_jobs_by_prefix(
        &self,
        request: Request<DeleteJobsByPrefixRequest>,
    ) -> Answer<DeleteJobsByPrefixResponse> {
        self.unschedule_all(request.into_inner().name_prefix).await?;
        Ok(Response::new(DeleteJobsByPrefixResponse {}))
    }

    async fn delete_jobs_by_prefix_alpha1(
        &self,
        request: Request<DeleteJobsByPrefixRequestAlpha1>,
    ) -> Answer<DeleteJobsByPrefixResponseAlpha1> {
        self.unschedule_all(request.into_inner().name_prefix).await?;
        Ok(Response::new(DeleteJobsByPrefixResponseAlpha1 {}))
    }

    async fn list_jobs(&self, _: Request<ListJobsRequest>) -> Answer<ListJobsResponse> {
        Ok(Response::new(ListJobsResponse { jobs: self.jobs().await? }))
    }

    async fn list_jobs_alpha1(
        &self,
        _: Request<ListJobsRequestAlpha1>,
    ) -> Answer<ListJobsResponseAlpha1> {
        Ok(Response::new(ListJobsResponseAlpha1 { jobs: self.jobs().await? }))
    }

    async fn get_metadata(&self, _: Request<GetMetadataRequest>) -> Answer<GetMetadataResponse> {
        let metadata = metadata::get(&self.shared, &self.caller);
        Ok(Response::new(convert::metadata(metadata)))
    }

    async fn set_metadata(&self, request: Request<SetMetadataRequest>) -> Answer<()> {
        let SetMetadataRequest { key, value } = request.into_inner();
        metadata::set(&self.shared, &self.caller, key, value)?;
        Ok(Response::new(()))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Answer<()> {
        metadata::shutdown(&self.shared, &self.caller).await?;
        Ok(Response::new(()))
    }
}
