//! `flotilla wait`: for scripts that go on when services are in a state.

use super::{
    Context,
    args::{State, Wait},
    exit::{Exit, Outcome},
    follow::{self, Follow, Followed, Goal},
    locate,
};
use api::client;

pub(crate) async fn run(context: &Context, args: &Wait) -> Outcome {
    let client = context.place()?.client();
    let status = match client.status().await {
        // Nothing runs is what was waited for.
        Err(client::Error::NotRunning { .. }) if args.state == State::Stopped => {
            return Ok(Exit::Success);
        }
        answer => answer.map_err(|e| locate::unanswered(&e))?,
    };
    locate::known(&args.services, &status)?;
    let goal = match args.state {
        State::Ready => Goal::Ready,
        State::Completed => Goal::Completed,
        State::Stopped => Goal::Stopped,
    };
    let follow = Follow {
        client: &client,
        out: &context.out,
        goal,
        services: &args.services,
        after: None,
        timeout: Some(args.timeout),
        is_shown: context.verbose > 0,
        is_start: false,
    };
    match follow.run().await? {
        Followed::Gone if goal == Goal::Stopped => Ok(Exit::Success),
        followed => follow::conclude(&context.out, &followed, goal, &args.services, "waiting"),
    }
}
