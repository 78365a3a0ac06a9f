//! Jobs.

use super::{client, info, refused};
use crate::app::testing::Rig;
use proto::{
    dapr::{
        common::{JobFailurePolicy, JobFailurePolicyConstant, job_failure_policy::Policy},
        runtime::{
            DeleteJobRequest, DeleteJobsByPrefixRequest, DeleteJobsByPrefixRequestAlpha1,
            GetJobRequest, Job, ListJobsRequest, ListJobsRequestAlpha1, ScheduleJobRequest,
        },
    },
    prost_types::{Any, Duration},
};
use tonic::Code;

fn job(name: &str) -> ScheduleJobRequest {
    let (type_url, value) = ("type.googleapis.com/x.Y".to_owned(), b"\0\x01".to_vec());
    let constant = JobFailurePolicyConstant {
        interval: Some(Duration { seconds: 2, nanos: 0 }),
        max_retries: Some(3),
    };
    let job = Job {
        name: name.to_owned(),
        schedule: Some("@every 1h".to_owned()),
        repeats: Some(2),
        data: Some(Any { type_url, value }),
        failure_policy: Some(JobFailurePolicy { policy: Some(Policy::Constant(constant)) }),
        ..Job::default()
    };
    ScheduleJobRequest { job: Some(job), overwrite: false }
}

fn named(name: &str) -> GetJobRequest {
    GetJobRequest { name: name.to_owned() }
}

#[tokio::test]
async fn a_job_comes_back_as_it_was_asked_for() {
    let rig = Rig::new().await;
    let mut client = client(&rig, "web/1");
    client.schedule_job(job("a-1")).await.unwrap();
    let kept = client.get_job_alpha1(named("a-1")).await.unwrap().into_inner();
    assert_eq!(kept.job, job("a-1").job);
    client.schedule_job_alpha1(job("a-2")).await.unwrap();
    client.schedule_job(job("b")).await.unwrap();
    refused(client.schedule_job(job("b")).await, Code::AlreadyExists);
    client.schedule_job(ScheduleJobRequest { overwrite: true, ..job("b") }).await.unwrap();
    let names = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.name).collect::<Vec<_>>();
    let all = client.list_jobs(ListJobsRequest {}).await.unwrap().into_inner();
    assert_eq!(names(all.jobs), ["a-1", "a-2", "b"]);
    let name_prefix = Some("a-1".to_owned());
    let prefix = DeleteJobsByPrefixRequestAlpha1 { name_prefix };
    client.delete_jobs_by_prefix_alpha1(prefix).await.unwrap();
    let name_prefix = Some("a-".to_owned());
    client.delete_jobs_by_prefix(DeleteJobsByPrefixRequest { name_prefix }).await.unwrap();
    let all = client.list_jobs_alpha1(ListJobsRequestAlpha1 {}).await.unwrap().into_inner();
    assert_eq!(names(all.jobs), ["b"]);
    client.delete_job(DeleteJobRequest { name: "b".to_owned() }).await.unwrap();
    let gone = refused(client.get_job(named("b")).await, Code::Internal);
    assert_eq!(info(&gone).reason, "DAPR_SCHEDULER_GET_JOB");
}

#[tokio::test]
async fn a_job_that_cannot_be_meant_says_why() {
    let rig = Rig::new().await;
    let mut client = client(&rig, "web/1");
    let none = ScheduleJobRequest::default();
    let empty = refused(client.schedule_job(none).await, Code::InvalidArgument);
    assert_eq!(info(&empty).reason, "DAPR_SCHEDULER_EMPTY");
    let mut unnamed = job("x");
    unnamed.job.as_mut().unwrap().name.clear();
    let unnamed = refused(client.schedule_job(unnamed).await, Code::InvalidArgument);
    assert_eq!(info(&unnamed).reason, "DAPR_SCHEDULER_JOB_NAME_EMPTY");
    let mut never = job("x");
    never.job.as_mut().unwrap().schedule = None;
    let never = refused(client.schedule_job(never).await, Code::InvalidArgument);
    assert_eq!(info(&never).reason, "DAPR_SCHEDULER_SCHEDULE_EMPTY");
}
