//! `flotilla open`: the dashboard in the browser.

use super::{
    Context,
    args::Open,
    exit::{Exit, Failure, Outcome},
    locate::{self, Place},
};
use api::wire;
use std::{
    env, fs,
    process::{Command, Stdio},
};

pub(crate) async fn run(context: &Context, args: &Open) -> Outcome {
    let place = context.place()?;
    let system = place.client().system().await.map_err(|e| locate::unanswered(&e))?;
    let Some(url) = dashboard(&place, &system) else {
        return Err(Failure::new(Exit::Failure, "this system has no admin address"));
    };
    if !args.print {
        if browse(&url) {
            context.out.say(&format!("opening {url}"));
            return Ok(Exit::Success);
        }
        context.out.say("no browser was found; open this address yourself:");
    }
    context.out.line(&url)?;
    Ok(Exit::Success)
}

/// The dashboard's address with the token, which becomes a cookie at the first visit.
pub(crate) fn dashboard(place: &Place, system: &wire::System) -> Option<String> {
    let url = system.admin_url.as_deref()?.trim_end_matches('/');
    let token = fs::read_to_string(place.state().join("token")).ok();
    match token.as_deref().map(str::trim).filter(|token| !token.is_empty()) {
        Some(token) => Some(format!("{url}/?t={token}")),
        None => Some(url.to_owned()),
    }
}

/// Asks the desktop to show an address.
fn browse(url: &str) -> bool {
    let wish = env::var("BROWSER").ok().filter(|browser| !browser.is_empty());
    let programs = wish.into_iter().chain(["xdg-open", "open"].map(str::to_owned));
    for program in programs {
        let asked = Command::new(&program)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if asked.is_ok_and(|status| status.success()) {
            return true;
        }
    }
    false
}
