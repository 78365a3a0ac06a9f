//! What DTM's requests do, whichever protocol they came by.

use super::{
    asked::{Asked, Kind, Options},
    fault::Fault,
    rows,
    spec::{self, Delivery},
    topics::Topics,
};
use logic::tx::{Op, Outcome, Phase, Resolution};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use transactions::{
    Ask, Error, Filter, Gid, Handle, LIST_MAX, Page, Payload, Spec, StepSpec, View,
};

/// Who has resolved a transaction, in its history.
const OPERATOR: &str = "a client of DTM (forceStop)";

/// Does what is asked. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    pub(super) transactions: Handle,
    pub(super) topics: Topics,
    pub(super) clock: runtime::Clock,
}

/// A branch that a client makes known.
#[derive(Clone, Debug, Default)]
pub(super) struct Registered {
    pub(super) gid: String,
    pub(super) trans_type: String,
    pub(super) branch_id: String,
    pub(super) payload: Vec<u8>,
    /// `confirm` and `cancel`, or `url`, or `op` and `status`.
    pub(super) data: BTreeMap<String, String>,
}

impl Desk {
    /// Opens a transaction whose first phase is the client's.
    pub(super) async fn prepare(&self, asked: Asked) -> Result<(), Fault> {
        if matches!(asked.kind, Kind::Saga) {
            return Err(Fault::other("a saga has nothing to prepare: submit it"));
        }
        self.open(&asked).await.map(drop)
    }

    /// As it stands if it is open; its first form counts when it was opened before.
    async fn open(&self, asked: &Asked) -> Result<View, Fault> {
        let spec = self.spec(asked).await?;
        let opened = self.transactions.open(Some(asked.gid.clone()), whole(spec)).await;
        let view = match opened {
            Ok(taken) => taken.view,
            // DTM goes by the name alone.
            Err(Error::Conflict(_) | Error::Refused { .. }) => self.same(asked).await?,
            Err(error) => return Err(error.into()),
        };
        match view.state.phase {
            Phase::Open => Ok(view),
            _ if asked.kind == Kind::Workflow => Ok(view),
            phase => Err(cannot(&asked.gid, phase, "be prepared")),
        }
    }

    /// The transaction of that name, if it is of that kind.
    async fn same(&self, asked: &Asked) -> Result<View, Fault> {
        let view = self.transactions.get(&asked.gid).await?;
        let kind = Kind::word(view.spec.mode, view.spec.dialect);
        if kind == asked.kind.as_str() {
            return Ok(view);
        }
        Err(Fault::Failure(format!(
            "`{}` is a {kind}, not a {}: take another gid",
            asked.gid,
            asked.kind.as_str()
        )))
    }

    /// Lets a transaction run: a whole one, or one that was prepared.
    pub(super) async fn submit(&self, asked: Asked) -> Result<(), Fault> {
        let view = match asked.kind {
            Kind::Workflow => return self.end_workflow(&asked).await,
            Kind::Saga => self.submit_whole(&asked).await?,
            Kind::Msg | Kind::Tcc | Kind::Xa => self.submit_open(&asked).await?,
        };
        if asked.options.wait_result { self.follow(view).await } else { Ok(()) }
    }

    async fn submit_whole(&self, asked: &Asked) -> Result<View, Fault> {
        let spec = self.spec(asked).await?;
        let taken = self.transactions.submit(Some(asked.gid.clone()), whole(spec), None).await?;
        let phase = taken.view.state.phase;
        let is_over = phase.outcome().is_some() || phase == Phase::Aborting;
        if taken.is_known && is_over {
            return Err(cannot(&asked.gid, phase, "be submitted"));
        }
        // It was prepared at the same moment.
        if phase == Phase::Open {
            return self.commit(asked).await;
        }
        Ok(taken.view)
    }

    async fn submit_open(&self, asked: &Asked) -> Result<View, Fault> {
        let view = match self.transactions.get(&asked.gid).await {
            Ok(_known) => self.same(asked).await?,
            Err(Error::Missing(_)) if asked.kind == Kind::Msg => {
                return self.submit_whole(asked).await;
            }
            Err(Error::Missing(_)) => self.open(asked).await?,
            Err(error) => return Err(error.into()),
        };
        match view.state.phase {
            Phase::Open => self.commit(asked).await,
            Phase::Trying | Phase::Precommitting | Phase::Committing => Ok(view),
            phase => Err(cannot(&asked.gid, phase, "be submitted")),
        }
    }

    /// The client's part went well.
    async fn commit(&self, asked: &Asked) -> Result<View, Fault> {
        // Clients say the delay of a message here, and not when they prepare it.
        if let Some(delay) = asked.delay()? {
            self.transactions.put_off(&asked.gid, delay).await?;
        }
        Ok(self.transactions.commit(&asked.gid, None).await?)
    }

    /// A client says how its workflow ended.
    async fn end_workflow(&self, asked: &Asked) -> Result<(), Fault> {
        let gid = &asked.gid;
        let view = self.same(asked).await?;
        let ended = &asked.ended;
        let phase = view.state.phase;
        match (&*ended.status, phase) {
            ("succeed", Phase::Committing | Phase::Committed) => {}
            ("succeed", Phase::Open) => {
                if !ended.result.is_empty() {
                    let kept = StepSpec {
                        id: rows::RESULT.to_owned(),
                        payload: Some(Payload::Text(ended.result.clone())),
                        ..StepSpec::default()
                    };
                    self.transactions.enlist(gid, vec![kept]).await?;
                }
                self.transactions.commit(gid, None).await?;
            }
            ("failed", Phase::Aborting | Phase::Aborted) => {}
            ("failed", Phase::Open) => {
                self.transactions.abort(gid, ended.rollback_reason.clone(), None).await?;
            }
            ("succeed" | "failed", phase) => return Err(cannot(gid, phase, "end again")),
            (other, _) => {
                return Err(Fault::other(format!(
                    "`req_extra.status` of a workflow is succeed or failed, not `{other}`"
                )));
            }
        }
        Ok(())
    }

    /// Begins a workflow, or tells how far it is.
    pub(super) async fn prepare_workflow(&self, asked: Asked) -> Result<View, Fault> {
        if asked.kind != Kind::Workflow {
            return Err(Fault::other("prepareWorkflow takes transactions of trans_type workflow"));
        }
        self.open(&asked).await
    }

    /// Gives a transaction up that is still open.
    pub(super) async fn abort(&self, asked: Asked) -> Result<(), Fault> {
        let view = self.same(&asked).await?;
        let phase = view.state.phase;
        let may = match asked.kind {
            Kind::Msg => phase == Phase::Open,
            Kind::Tcc | Kind::Xa => matches!(phase, Phase::Open | Phase::Aborting),
            Kind::Saga | Kind::Workflow => false,
        };
        if !may {
            return Err(cannot(&asked.gid, phase, "be aborted"));
        }
        let reason = asked.rollback_reason;
        let view = self.transactions.abort(&asked.gid, reason, None).await?;
        if !asked.options.wait_result || view.state.phase == Phase::Aborted {
            return Ok(());
        }
        match self.follow(view).await {
            // That it is rolled back is what was asked for.
            Err(Fault::Failure(_)) => Ok(()),
            other => other,
        }
    }

    /// Ends a transaction as failed, whatever its branches are.
    pub(super) async fn force_stop(&self, gid: &Gid) -> Result<(), Fault> {
        let resolution = Resolution::All(Outcome::Aborted);
        self.transactions.resolve(gid, resolution, OPERATOR.to_owned()).await?;
        Ok(())
    }

    /// Makes a branch known before its participant is called, or keeps the result of a step of a workflow.
    pub(super) async fn register(&self, branch: Registered) -> Result<(), Fault> {
        let gid = super::asked::gid(&branch.gid)?;
        if branch.branch_id.is_empty() {
            return Err(Fault::other("no branch_id is given"));
        }
        let step = match &*branch.trans_type {
            "tcc" => self.branch(&gid, Kind::Tcc, branch).await?,
            "xa" => self.branch(&gid, Kind::Xa, branch).await?,
            "workflow" => progress(branch),
            other => {
                return Err(Fault::other(format!(
                    "trans_type `{other}` has no branches to register: tcc, xa and workflow have"
                )));
            }
        };
        self.transactions.enlist(&gid, vec![step]).await?;
        Ok(())
    }

    async fn branch(&self, gid: &Gid, kind: Kind, branch: Registered) -> Result<StepSpec, Fault> {
        let view = self.transactions.get(gid).await?;
        // A branch that is made known by gRPC or HTTP is called as its transaction was begun.
        let asked = Asked::like(&view, kind);
        let empty = String::new();
        let url = |name: &str| branch.data.get(name).unwrap_or(&empty);
        let calls = match kind {
            Kind::Xa => [(Op::Rollback, url("url")), (Op::Commit, url("url"))],
            _ => [(Op::Cancel, url("cancel")), (Op::Confirm, url("confirm"))],
        };
        asked.step(branch.branch_id.clone(), &calls, branch.payload)
    }

    /// A transaction, if there is one.
    pub(super) async fn query(&self, gid: &str) -> Result<Option<View>, Fault> {
        let gid = super::asked::gid(gid)?;
        match self.transactions.get(&gid).await {
            Ok(view) => Ok(Some(view)),
            Err(Error::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn list(&self, filter: &Filter) -> Result<Page, Fault> {
        Ok(self.transactions.list(filter).await?)
    }

    /// Tries one at once; nothing happens to one that has ended.
    pub(super) async fn retry(&self, gid: &Gid) -> Result<(), Fault> {
        match self.transactions.retry(gid).await {
            Ok(_) | Err(Error::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Tries those at once that would wait longer than `timeout`, up to `limit` of them: how many, and whether there are more.
    pub(super) async fn retry_all(
        &self,
        timeout: Duration,
        limit: usize,
    ) -> Result<(usize, bool), Fault> {
        let later = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let due = self.clock.date().millis().saturating_add(later);
        let mut tried = 0;
        let mut filter = Filter { phases: UNFINISHED.to_vec(), ..Filter::default() };
        filter.limit = Some(LIST_MAX);
        loop {
            let page = self.transactions.list(&filter).await?;
            for view in &page.transactions {
                if rows::next_ms(view).is_none_or(|next| next <= due) {
                    continue;
                }
                if tried == limit {
                    return Ok((tried, true));
                }
                self.retry(&view.gid).await?;
                tried += 1;
            }
            let Some(next) = page.next else { return Ok((tried, false)) };
            filter.cursor = Some(next);
        }
    }

    async fn spec(&self, asked: &Asked) -> Result<Spec, Fault> {
        let deliveries = match asked.kind {
            Kind::Msg => self.deliveries(asked).await?,
            Kind::Saga | Kind::Tcc | Kind::Xa | Kind::Workflow => Vec::new(),
        };
        asked.spec(deliveries)
    }

    /// What a message is delivered to: each step, and for topics each subscriber.
    async fn deliveries(&self, asked: &Asked) -> Result<Vec<Delivery>, Fault> {
        let mut out = Vec::new();
        for (position, step) in asked.steps.iter().enumerate() {
            let id = spec::number(position);
            let Some(topic) = step.topic() else {
                out.push((id, step.action.clone(), step.payload.clone()));
                continue;
            };
            let urls = self.topics.urls(topic).await?;
            let is_one = urls.len() == 1;
            for (place, url) in urls.into_iter().enumerate() {
                let number = spec::number(place);
                let id = if is_one { id.clone() } else { format!("{id}-{number}") };
                out.push((id, url, step.payload.clone()));
            }
        }
        Ok(out)
    }
}

const UNFINISHED: [Phase; 5] =
    [Phase::Open, Phase::Trying, Phase::Precommitting, Phase::Committing, Phase::Aborting];

/// The result of a step, kept as a branch without calls.
fn progress(branch: Registered) -> StepSpec {
    let said = |name: &str| branch.data.get(name).cloned().unwrap_or_default();
    let body = json!({ "branch_id": branch.branch_id, "op": said("op"), "status": said("status") });
    StepSpec {
        id: format!("{}-{}", branch.branch_id, said("op")),
        body: Some(body),
        payload: Some(spec::payload_of(branch.payload)),
        ..StepSpec::default()
    }
}

impl Asked {
    /// What a branch of this transaction needs to know of it.
    fn like(view: &View, kind: Kind) -> Self {
        let extra = |name: &str| view.spec.extra.get(name).and_then(Value::as_str);
        let options = extra("options").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let request_timeout =
            options.and_then(|options| options.get("request_timeout")?.as_u64()).unwrap_or(0);
        Self {
            gid: view.gid.clone(),
            kind,
            protocol: extra("protocol").map(super::asked::Protocol::kept).unwrap_or_default(),
            steps: Vec::new(),
            query_prepared: String::new(),
            custom_data: String::new(),
            options: Options { request_timeout, ..Options::default() },
            rollback_reason: String::new(),
            ended: super::asked::Ended::default(),
            traceparent: None,
        }
    }
}

fn whole(spec: Spec) -> Ask {
    Ask::Spec(Box::new(spec))
}

fn cannot(gid: &Gid, phase: Phase, what: &str) -> Fault {
    Fault::Failure(format!("`{gid}`: current status '{}', it cannot {what}", rows::status(phase)))
}
