//! Prepared transactions that were left behind.

use super::{Prepared, prepared::Ended};
use crate::{Answer, Branch, Decide, Decision, Error, Mode, Op, branch};
use std::time::Duration;
use tokio_postgres::{Client, types::Type};

/// Most transactions of one search. Each keeps locks and a place among `max_prepared_transactions`, which is rarely above hundreds.
const SWEEP_MAX: i64 = 1000;

/// What a search found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Names of transactions that were committed.
    pub committed: Vec<String>,
    /// Names of transactions that were rolled back.
    pub rolled_back: Vec<String>,
    /// Names of transactions that stay: the coordinator has not decided, or another session is at them.
    pub left: Vec<String>,
    /// Names of transactions about which the coordinator could not be asked, and why. They stay, too.
    pub unknown: Vec<(String, String)>,
}

impl Prepared {
    /// Looks for this system's transactions in this database that are prepared for longer than `age`, asks for the decision about each,
    /// and ends it so. Call it when the service starts and then from time to time: a minute is a good age and a good pause. Several
    /// instances may do so at once.
    ///
    /// # Errors
    /// [`Error::Database`] when the database cannot be asked. What is not known about one transaction is no error: it is left.
    /// # Cancel safety
    /// Each transaction was ended or not; the next search finds the rest.
    pub async fn sweep(
        &self,
        client: &mut Client,
        decide: &impl Decide,
        age: Duration,
    ) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for name in self.orphans(client, age).await? {
            let Some((gid, branch)) = self.parse(&name) else {
                swept.unknown.push((name, "its name was not made by this helper".into()));
                continue;
            };
            let decision = match decide.decide(&gid).await {
                Ok(decision) => decision,
                Err(error) => {
                    swept.unknown.push((name, error.to_string()));
                    continue;
                }
            };
            let list = match decision {
                Decision::Undecided => &mut swept.left,
                Decision::Commit => match self.end(client, "COMMIT", &name).await? {
                    Ended::Now | Ended::Gone => &mut swept.committed,
                    Ended::Busy => &mut swept.left,
                },
                Decision::Abort => match self.abandon(client, &gid, &branch).await? {
                    true => &mut swept.rolled_back,
                    false => &mut swept.left,
                },
            };
            list.push(name);
        }
        Ok(swept)
    }

    /// As if the coordinator had said it, so that a late vote finds the mark. The name does not tell the protocol, so all marks are left.
    async fn abandon(&self, client: &mut Client, gid: &str, id: &str) -> Result<bool, Error> {
        let mut is_done = true;
        for mode in [Mode::TwoPhase, Mode::ThreePhase, Mode::ThreePhaseClassic, Mode::Xa] {
            let Ok(branch) = Branch::new(gid, id, mode, Op::Rollback) else { return Ok(false) };
            is_done &= self.roll_back(client, &branch).await? == Answer::done();
        }
        Ok(is_done)
    }

    async fn orphans(&self, client: &Client, age: Duration) -> Result<Vec<String>, Error> {
        let sql = "SELECT gid FROM pg_catalog.pg_prepared_xacts
                   WHERE database = pg_catalog.current_database() AND pg_catalog.starts_with(gid, $1)
                     AND prepared <= now() - make_interval(secs => $2) ORDER BY prepared LIMIT $3";
        let prefix = format!("flotilla:{}:", self.system);
        let rows = client
            .query_typed(
                sql,
                &[
                    (&prefix, Type::TEXT),
                    (&age.as_secs_f64(), Type::FLOAT8),
                    (&SWEEP_MAX, Type::INT8),
                ],
            )
            .await;
        let names = rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        names.map_err(self.barrier.failed("look for prepared transactions"))
    }

    /// The transaction and the branch in a name.
    fn parse(&self, name: &str) -> Option<(String, String)> {
        let rest = name.strip_prefix("flotilla:")?.strip_prefix(self.system.as_str())?;
        let (gid, branch) = rest.strip_prefix(':')?.split_once(':')?;
        Some((branch::decoded(gid).into_owned(), branch::decoded(branch).into_owned()))
    }
}
