//! Getting an image that the engine does not have.

use base::{Code, Diagnostic, ErrorChain};
use bollard::{Docker, query_parameters::CreateImageOptions};
use futures_util::StreamExt;
use std::time::Duration;
use tracing::info;

/// How long a pull may take: a gigabyte at 2 MB/s.
const PULL_TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// Lets the engine pull `image`.
///
/// # Errors
/// Why it could not, for the user.
pub(crate) async fn pull(docker: &Docker, image: &str) -> Result<(), Box<Diagnostic>> {
    info!(image, "pulling an image");
    let options =
        CreateImageOptions { from_image: Some(tagged(image)), ..CreateImageOptions::default() };
    // The engine answers only when its registry has; the bound below covers that.
    let docker = docker.clone().with_timeout(PULL_TIME_MAX);
    let progress = async {
        let mut steps = docker.create_image(Some(options), None, None);
        while let Some(step) = steps.next().await {
            step?;
        }
        Ok::<_, bollard::errors::Error>(())
    };
    let cause = match tokio::time::timeout(PULL_TIME_MAX, progress).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(e)) => ErrorChain(&e).to_string(),
        Err(_) => format!("not done within {} minutes", PULL_TIME_MAX.as_secs() / 60),
    };
    Err(Box::new(missing(image, &cause)))
}

fn missing(image: &str, cause: &str) -> Diagnostic {
    let is_denied =
        ["denied", "unauthorized", "authentication"].iter().any(|word| cause.contains(word));
    let fix = if is_denied {
        // The engine's client keeps the credentials in a file of its own, which is not read here.
        format!(
            "build it with `docker build -t {image} .`, or pull it yourself: `docker login`, `docker pull {image}`"
        )
    } else {
        format!("build it with `docker build -t {image} .`, or correct `image:`")
    };
    Diagnostic::error(Code::START_FAILED, format!("no such image: `{image}`"))
        .note(format!("pull failed: {cause}"))
        .help(fix)
}

/// `image` with a tag: without one the engine would pull every tag there is.
fn tagged(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, want) in [
            ("redis", "redis:latest"),
            ("redis:7", "redis:7"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("a/b@sha256:00", "a/b@sha256:00"),
        ] {
            assert_eq!(tagged(image), want);
        }
    }
}
