//! Follows the log of one container into the sink, over cuts of the connection and restarts of the node.

use crate::output::{Piece, Place, Reader};
use base::{ErrorChain, InstanceId};
use bollard::{Docker, container::LogOutput, query_parameters::LogsOptions};
use futures_util::StreamExt;
use ports::logs::{Line, Sink, Stream};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tracing::{debug, warn};

/// Frames taken at a time: with the engine's 16 KiB frames at most 8 MiB of memory for a run that floods.
const FRAMES_MAX: usize = 256;

/// How long lines are gathered before they are handed on together: the engine sends each on its own, and handing on
/// costs a change of thread and a write.
const GATHER_TIME: Duration = Duration::from_millis(10);

/// How long the stream may go on after the end before the rest is asked for anew. The engine mostly ends it
/// at once, but waits for ever where another process holds the container's output open.
const AFTER_END_MAX: Duration = Duration::from_millis(300);

/// How old a line may be when it arrives while the log is followed, and how many lines must have come for that to
/// count. An engine that is followed too slowly leaves out whole files of its log without a word (seen with 20.10), so
/// whoever is late stops following and reads the files instead, which leaves nothing out unseen. Within this time no
/// container fills more than one file ([`crate::plan::LOG_FILE_SIZE_MAX`]).
const LATE_MAX: Duration = Duration::from_secs(1);
const LATE_LINES_MIN: usize = 1_000;

/// What a pause between attempts grows to; an engine that restarts is back within seconds.
const PAUSE_MAX: Duration = Duration::from_secs(5);
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// Pauses that double.
#[derive(Debug)]
pub(crate) struct Pause(Duration);

impl Pause {
    pub(crate) fn new() -> Self {
        Self(PAUSE_MIN)
    }

    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
    }
}

/// The file that keeps how far the log of `run` has been read.
pub(crate) fn place_file(state_dir: &Path, run: &str) -> PathBuf {
    state_dir.join("run").join("docker").join(format!("{run}.place"))
}

/// Reads one container's log.
pub(crate) struct Tail {
    docker: Docker,
    container: String,
    instance: InstanceId,
    sink: Arc<dyn Sink>,
    reader: Reader,
    /// `None` when it cannot be written; then a killed node repeats lines.
    file: Option<Arc<File>>,
    saved: Place,
}

/// How a reading ended.
enum Cut {
    /// The engine sent all it has.
    End,
    /// Lines arrive later than they should.
    Late,
    /// The container is gone.
    Gone,
    /// The connection was lost.
    Lost,
}

impl Tail {
    /// A tail that goes on where the last node stopped.
    pub(crate) async fn open(
        docker: Docker,
        container: String,
        instance: InstanceId,
        sink: Arc<dyn Sink>,
        state_dir: &Path,
    ) -> Self {
        let path = place_file(state_dir, &container);
        let opened = runtime::blocking(move || {
            open_place(&path).map_err(|e| {
                warn!(file = %path.display(), error = %ErrorChain(&e), "cannot keep how far a log was read");
            })
        });
        let (file, saved) = match opened.await {
            Ok((file, place)) => (Some(Arc::new(file)), place),
            Err(()) => (None, Place::default()),
        };
        Self { docker, container, instance, sink, reader: Reader::new(saved), file, saved }
    }

    /// Hands on all output until the container has ended (`ended` becomes true) and its log is read to the end, or
    /// it is gone.
    ///
    /// # Cancel safety
    /// Cancel safe: a batch is handed on and remembered as one, whether or not somebody waits.
    pub(crate) async fn follow(&mut self, mut ended: watch::Receiver<bool>) {
        let mut pause = Pause::new();
        // What is there already is read from the files first.
        let mut is_late = self.saved != Place::default();
        loop {
            let is_last = *ended.borrow();
            let follows = !is_last && !is_late;
            let began = Instant::now();
            match self.read(follows, &mut ended, &mut pause).await {
                Cut::End if is_last => break,
                Cut::End if !follows => {
                    is_late = began.elapsed() > LATE_MAX;
                    continue;
                }
                Cut::Late => {
                    is_late = true;
                    continue;
                }
                Cut::Gone => {
                    // What it printed last is gone with it.
                    let _ = ended.wait_for(|ended| *ended).await;
                    break;
                }
                Cut::Lost => is_late = true,
                Cut::End => {}
            }
            if !*ended.borrow() || is_last {
                // A cut is no news; the end is.
                tokio::select! {
                    () = pause.wait() => {}
                    _ = ended.changed(), if !is_last => {}
                }
            }
        }
        let mut pieces = Vec::new();
        self.reader.end(&mut pieces);
        self.hand_on(pieces).await;
    }

    /// Reads from the place reached until the stream ends or is given up.
    async fn read(
        &mut self,
        follows: bool,
        ended: &mut watch::Receiver<bool>,
        pause: &mut Pause,
    ) -> Cut {
        self.reader.rewind();
        let options = LogsOptions {
            follow: follows,
            stdout: true,
            stderr: true,
            timestamps: true,
            since: self.reader.place().since_s(),
            until: 0,
            tail: "all".to_owned(),
        };
        let docker = self.docker.clone();
        let mut log =
            Box::pin(docker.logs(&self.container, Some(options))).ready_chunks(FRAMES_MAX);
        let over = async {
            // Files are read to their end in any case.
            if !follows || ended.wait_for(|ended| *ended).await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(AFTER_END_MAX).await;
        };
        tokio::pin!(over);
        let mut lines = 0;
        let mut pieces = Vec::new();
        let mut hand_on_at = tokio::time::Instant::now();
        let cut = loop {
            let batch = tokio::select! {
                biased;
                () = tokio::time::sleep_until(hand_on_at), if !pieces.is_empty() => None,
                batch = log.next() => match batch {
                    Some(batch) => Some(batch),
                    None => break Cut::End,
                },
                () = &mut over => break Cut::Lost,
            };
            let is_due = batch.is_none() || pieces.len() >= FRAMES_MAX;
            if pieces.is_empty() {
                hand_on_at = tokio::time::Instant::now() + GATHER_TIME;
            }
            if let Some(cut) = batch.and_then(|batch| self.take_all(batch, &mut pieces)) {
                break cut;
            }
            if is_due {
                lines += pieces.len();
                *pause = Pause::new();
                self.hand_on(std::mem::take(&mut pieces)).await;
                if follows && lines >= LATE_LINES_MIN && self.lateness() > LATE_MAX {
                    break Cut::Late;
                }
            }
        };
        self.hand_on(pieces).await;
        cut
    }

    /// Takes frames until one says that there are no more.
    fn take_all(
        &mut self,
        batch: Vec<Result<LogOutput, bollard::errors::Error>>,
        pieces: &mut Vec<Piece>,
    ) -> Option<Cut> {
        for frame in batch {
            match frame {
                Ok(frame) => self.take(&frame, pieces),
                Err(e) if crate::engine::is_missing(&e) => return Some(Cut::Gone),
                Err(e) => {
                    debug!(container = self.container, error = %ErrorChain(&e), "log stream cut");
                    return Some(Cut::Lost);
                }
            }
        }
        None
    }

    /// How long ago the engine got what was read last.
    fn lateness(&self) -> Duration {
        let now_ns = runtime::Clock::wall().0.saturating_mul(1_000);
        Duration::from_nanos(now_ns.saturating_sub(self.reader.latest_ns()))
    }

    fn take(&mut self, frame: &LogOutput, pieces: &mut Vec<Piece>) {
        let stream = match frame {
            LogOutput::StdErr { .. } => Stream::Err,
            LogOutput::StdOut { .. } | LogOutput::StdIn { .. } | LogOutput::Console { .. } => {
                Stream::Out
            }
        };
        let at = pieces.len();
        if self.reader.take(stream, frame.as_ref(), pieces) {
            let text = format!(
                "some output is lost: the Docker engine keeps {} of a container, and more was printed while nobody \
                 read it",
                crate::plan::LOG_KEPT
            );
            pieces.insert(at, Piece { stream: Stream::Node, text, is_cut: false });
        }
    }

    /// Gives lines to the sink and then remembers that it did: a kill between the two repeats lines, and
    /// loses none.
    async fn hand_on(&mut self, pieces: Vec<Piece>) {
        let place = self.reader.place();
        if pieces.is_empty() && place == self.saved {
            return;
        }
        self.saved = place;
        let at = runtime::Clock::wall();
        let instance = self.instance.clone();
        let line = |Piece { stream, text, is_cut }| Line {
            at,
            instance: instance.clone(),
            stream,
            text,
            is_cut,
        };
        let lines: Vec<Line> = pieces.into_iter().map(line).collect();
        let sink = Arc::clone(&self.sink);
        let file = self.file.clone();
        runtime::blocking(move || {
            if !lines.is_empty() {
                sink.append(&lines);
            }
            if let Some(Err(e)) = file.map(|file| file.write_all_at(&place.write(), 0)) {
                warn!(error = %ErrorChain(&e), "cannot keep how far a log was read");
            }
        })
        .await;
    }
}

/// Opens or makes the file, and reads the place in it.
fn open_place(path: &Path) -> io::Result<(File, Place)> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut bytes = [0; Place::LEN];
    let length = file.read_at(&mut bytes, 0)?;
    let text = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
    Ok((file, Place::read(&text).unwrap_or_default()))
}
