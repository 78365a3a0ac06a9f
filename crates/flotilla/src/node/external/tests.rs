use super::*;
use base::InstanceId;
use ports::host::Limits;

/// Stands for the host of processes; says who was asked.
struct Inner;

#[async_trait]
impl Host for Inner {
    fn capabilities(&self) -> Capabilities {
        Capabilities { processes: true, ..Capabilities::default() }
    }
    async fn start(&self, _: &Spec) -> Result<Run, Error> {
        Err(Error::Unsupported("inner".to_owned()))
    }
    async fn wait(&self, _: &RunId) -> Result<Exit, Error> {
        Ok(Exit::Code(7))
    }
    async fn signal(&self, run: &RunId, _: Signal) -> Result<(), Error> {
        Err(Error::Unknown(run.clone()))
    }
    async fn forget(&self, _: &RunId) -> Result<Leftovers, Error> {
        Ok(Leftovers { processes: vec!["inner".to_owned()] })
    }
    async fn survivors(&self) -> Result<Vec<Run>, Error> {
        Ok(Vec::new())
    }
    async fn usage(&self, run: &RunId) -> Result<Usage, Error> {
        Err(Error::Unknown(run.clone()))
    }
    async fn listening(&self, run: &RunId) -> Result<Vec<SocketAddr>, Error> {
        Err(Error::Unknown(run.clone()))
    }
    async fn command(
        &self,
        run: &RunId,
        _: &Program,
        _: Duration,
    ) -> Result<Option<CommandOutcome>, Error> {
        Err(Error::Unknown(run.clone()))
    }
    fn reach(&self) -> IpAddr {
        IpAddr::from([127, 0, 0, 1])
    }
}

fn spec(program: Program) -> Spec {
    Spec {
        instance: InstanceId::parse("api/1").unwrap(),
        program,
        dir: "/".into(),
        env: BTreeMap::new(),
        port: None,
        limits: Limits::default(),
        labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
    }
}

#[tokio::test]
async fn what_somebody_else_started_runs_until_it_is_let_go() {
    let host = External::around(Arc::new(Inner));
    let address = Some(SocketAddr::from(([127, 0, 0, 1], 3000)));
    let run = host.start(&spec(Program::External(address))).await.unwrap();
    assert_eq!((run.address, run.port, run.pid), (address, Some(3000), None));
    assert_eq!(run.labels["a"], "b");
    assert_eq!(host.usage(&run.id).await.unwrap(), Usage::default());
    host.signal(&run.id, Signal::Hup).await.unwrap();
    let waiting = host.wait(&run.id);
    let end = async { host.signal(&run.id, Signal::Term).await.unwrap() };
    let (exit, ()) = tokio::join!(waiting, end);
    assert_eq!(exit.unwrap(), Exit::Code(0));
    host.forget(&run.id).await.unwrap();
    host.forget(&run.id).await.unwrap();
    assert!(matches!(host.wait(&run.id).await, Err(Error::Unknown(_))));
    assert!(matches!(host.signal(&run.id, Signal::Kill).await, Err(Error::Unknown(_))));
    let again = host.start(&spec(Program::External(None))).await.unwrap();
    assert_eq!((again.address, again.port), (None, None));
}

#[tokio::test]
async fn everything_else_is_passed_on() {
    let host = External::around(Arc::new(Inner));
    let asked = host.start(&spec(Program::Shell("x".to_owned()))).await;
    assert!(matches!(asked, Err(Error::Unsupported(what)) if what == "inner"));
    let run = RunId("api.1".into());
    assert_eq!(host.wait(&run).await.unwrap(), Exit::Code(7));
    assert_eq!(host.forget(&run).await.unwrap().processes, ["inner"]);
    assert!(host.capabilities().processes);
}
