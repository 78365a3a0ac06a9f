//! All secrets of all stores, as they are at a moment.

use super::{
    Shared, file,
    file::Named,
    find_key,
    key_file::{Stamp, stamp},
    seal::{Key, Sealed},
    vocabulary::{KeyError, SecretFileError, SecretInfo},
};
use crate::{
    config::{Format, SecretSource, Stores},
    error::Error,
    secrets::{Secret, key_error},
};
use base::ErrorChain;
use ports::kv::Entry;
use runtime::Stop;
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{Arc, PoisonError},
    time::Duration,
};
use tracing::{info, warn};

/// How often files are looked at. One that changes is read when it looks the same twice: in between somebody may be
/// writing it, and half a file with secrets is often a good file with fewer secrets.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The secrets of each store by name.
pub(super) type Found = BTreeMap<String, BTreeMap<String, Known>>;

/// A secret.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) values: Result<BTreeMap<String, Secret>, Error>,
    /// It may be no secret at all.
    pub(super) is_ambient: bool,
    pub(super) info: SecretInfo,
}

/// What was found, and from what.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) found: Arc<Found>,
    stores: Arc<Stores>,
    batches: u64,
    key_stamp: Option<Stamp>,
    files: u64,
}

/// The files of all stores.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<Content>,
    /// Grows with each change.
    count: u64,
    /// What was said of files that cannot be read.
    said: BTreeSet<String>,
}

#[derive(Debug)]
struct Content {
    path: PathBuf,
    format: Format,
    /// Of what was read.
    stamp: Option<Stamp>,
    /// At the last look.
    seen: Option<Stamp>,
    named: Named,
}

impl Files {
    /// Reads the files of `stores` that it does not have yet. Blocks.
    pub(super) fn read(&mut self, stores: &Stores) -> Result<(), SecretFileError> {
        let mut new = Vec::new();
        for (path, format) in wanted(stores) {
            if self.get(path, format).is_none() {
                // The stamp first: what is written in between is then read once more.
                let stamp = fs::metadata(path).ok().as_ref().and_then(stamp);
                let named = file::read(path, format)?;
                let (path, format, seen) = (path.clone(), format.clone(), stamp);
                new.push(Content { path, format, stamp, seen, named });
            }
        }
        if !new.is_empty() {
            self.count += 1;
            self.files.extend(new);
        }
        Ok(())
    }

    /// Forgets those that `stores` does not name.
    fn keep(&mut self, stores: &Stores) {
        let wanted = wanted(stores);
        let is_wanted = |content: &Content| {
            wanted.iter().any(|(path, format)| **path == content.path && **format == content.format)
        };
        self.files.retain(is_wanted);
    }

    /// Looks at them, and reads those anew that have changed. What cannot be read stays as it was. Blocks.
    fn refresh(&mut self) {
        for content in &mut self.files {
            let now = fs::metadata(&content.path).ok().as_ref().and_then(stamp);
            let has_settled = content.seen == now;
            content.seen = now;
            if now == content.stamp || !has_settled {
                continue;
            }
            match file::read(&content.path, &content.format) {
                Ok(named) => {
                    (content.named, content.stamp) = (named, now);
                    self.count += 1;
                    self.said.clear();
                    info!(path = %content.path.display(), "secrets read anew");
                }
                Err(error) => {
                    let text = ErrorChain(&error).to_string();
                    if self.said.insert(text.clone()) {
                        warn!(error = text, "secrets stay as they were");
                    }
                }
            }
        }
    }

    fn get(&self, path: &PathBuf, format: &Format) -> Option<&Named> {
        let content =
            self.files.iter().find(|content| content.path == *path && content.format == *format)?;
        Some(&content.named)
    }
}

fn wanted(stores: &Stores) -> Vec<(&PathBuf, &Format)> {
    let sources = stores.secrets.iter().flat_map(|store| &store.sources);
    let files = sources.filter_map(|source| match source {
        SecretSource::File { path, format } => Some((path, format)),
        SecretSource::Kv { .. } | SecretSource::Values { .. } | SecretSource::Ambient { .. } => {
            None
        }
    });
    files.collect()
}

/// What people know a source by.
pub(super) fn label(source: &SecretSource) -> Cow<'_, str> {
    match source {
        SecretSource::Kv { .. } => Cow::Borrowed("kv"),
        SecretSource::File { path, .. } => path.to_string_lossy(),
        SecretSource::Values { label, .. } | SecretSource::Ambient { label, .. } => {
            Cow::Borrowed(label)
        }
    }
}

/// The secrets of a store with these sources; `stored` gives those of a namespace of the engine.
pub(super) fn of_sources(
    sources: &[SecretSource],
    files: &Files,
    stored: impl Fn(&str) -> Vec<Known>,
) -> BTreeMap<String, Known> {
    let mut found = BTreeMap::new();
    for source in sources {
        let label = label(source).into_owned();
        let is_ambient = matches!(source, SecretSource::Ambient { .. });
        let known = |name: &String, values: BTreeMap<String, Secret>| Known {
            values: Ok(values),
            is_ambient,
            info: SecretInfo { name: name.clone(), source: label.clone(), changed: None },
        };
        let secrets: Vec<Known> = match source {
            SecretSource::Kv { namespace } => stored(namespace),
            SecretSource::File { path, format } => {
                let named = files.get(path, format).into_iter().flatten();
                named.map(|(name, values)| known(name, values.clone())).collect()
            }
            SecretSource::Values { values, .. } | SecretSource::Ambient { values, .. } => {
                let single = |(name, value): (&String, &Secret)| {
                    known(name, BTreeMap::from([(name.clone(), value.clone())]))
                };
                values.iter().map(single).collect()
            }
        };
        for secret in secrets {
            found.entry(secret.info.name.clone()).or_insert(secret);
        }
    }
    found
}

/// The value of `NAME`, or of `NAME/KEY`.
pub(super) fn look_up(
    found: &BTreeMap<String, Known>,
    name: &str,
) -> Result<Option<Secret>, Error> {
    if let Some(secret) = found.get(name) {
        let values = secret.values.as_ref().map_err(Clone::clone)?;
        let value =
            values.get(name).or_else(|| values.values().next().filter(|_| values.len() == 1));
        return value.cloned().map(Some).ok_or_else(|| {
            let keys: Vec<&str> = values.keys().map(String::as_str).collect();
            let keys = keys.join(", ");
            Error::Invalid(format!(
                "`{name}` has several values: write `{name}/KEY`, KEY of {keys}"
            ))
        });
    }
    let Some((name, key)) = name.rsplit_once('/') else { return Ok(None) };
    let Some(secret) = found.get(name) else { return Ok(None) };
    Ok(secret.values.as_ref().map_err(Clone::clone)?.get(key).cloned())
}

impl Shared {
    /// The view, made anew if stores or stored secrets have changed since.
    pub(super) async fn fresh_view(self: &Arc<Self>) -> Arc<Found> {
        let view = self.last_view();
        let is_fresh = view.batches == self.mirror.table().count()
            && Arc::ptr_eq(&view.stores, &self.stores.borrow());
        if is_fresh {
            return Arc::clone(&view.found);
        }
        let shared = Arc::clone(self);
        runtime::blocking(move || shared.look(false)).await
    }

    fn last_view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at all sources, at files if asked for, and makes the view anew if one has changed. Blocks.
    fn look(&self, at_files: bool) -> Arc<Found> {
        let stores = Arc::clone(&self.stores.borrow());
        // Held to the end, so that of two that look the later one does not publish what is older.
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.keep(&stores);
        if at_files {
            files.refresh();
        }
        let (keys, key_stamp) = {
            let mut file = self.key_file.lock().unwrap_or_else(PoisonError::into_inner);
            let stamp = file.stamp();
            (file.keys(), stamp)
        };
        let (entries, batches) = {
            let table = self.mirror.table();
            (table.entries.values().cloned().collect::<Vec<_>>(), table.count())
        };
        let last = self.last_view();
        let is_same = last.batches == batches
            && last.files == files.count
            && last.key_stamp == key_stamp
            && Arc::ptr_eq(&last.stores, &stores);
        if is_same {
            return Arc::clone(&last.found);
        }
        let stored = self.open_all(&entries, keys);
        let none = Vec::new();
        let found = stores.secrets.iter().map(|store| {
            let of_namespace = |name: &str| stored.get(name).unwrap_or(&none).clone();
            (store.name.clone(), of_sources(&store.sources, &files, of_namespace))
        });
        let found: Arc<Found> = Arc::new(found.collect());
        let known = found.values().flat_map(BTreeMap::values).filter(|known| !known.is_ambient);
        let values = known.filter_map(|known| known.values.as_ref().ok());
        self.redactor.set(values.flat_map(BTreeMap::values).cloned().collect());
        let files = files.count;
        let view = View { found: Arc::clone(&found), stores, batches, key_stamp, files };
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
        found
    }

    /// Opens what is stored: by namespace.
    fn open_all(
        &self,
        entries: &[Entry],
        keys: Result<Vec<Key>, KeyError>,
    ) -> BTreeMap<String, Vec<Known>> {
        let keys = keys.map_err(key_error);
        let mut all: BTreeMap<String, Vec<Known>> = BTreeMap::new();
        for entry in entries {
            let Ok(place) = std::str::from_utf8(&entry.key) else { continue };
            let parts = place.strip_prefix(&self.root).and_then(|own| own.split_once('/'));
            let Some((namespace, name)) = parts else { continue };
            let (value, changed) = match Sealed::read(name, &entry.value) {
                Ok(sealed) => {
                    let keys = keys.as_ref().map_err(Clone::clone);
                    let opened = keys.and_then(|keys| self.open(keys, place, name, &sealed));
                    (opened, Some(sealed.changed))
                }
                Err(error) => (Err(error), None),
            };
            if let Err(error) = &value {
                warn!(name, error = %ErrorChain(error), "a stored secret cannot be used");
            }
            let values = value.map(|value| BTreeMap::from([(name.to_owned(), value)]));
            let info = SecretInfo { name: name.to_owned(), source: "kv".to_owned(), changed };
            all.entry(namespace.to_owned()).or_default().push(Known {
                values,
                is_ambient: false,
                info,
            });
        }
        all
    }

    pub(super) fn open(
        &self,
        keys: &[Key],
        place: &str,
        name: &str,
        sealed: &Sealed<'_>,
    ) -> Result<Secret, Error> {
        let key = find_key(keys, sealed, name, &self.key_path)?;
        key.open(place, sealed).ok_or_else(|| {
            let (secret, id) = (name.to_owned(), sealed.id.to_string());
            key_error(KeyError::Forged { secret, id })
        })
    }
}

/// Keeps the view, and with it the redactor, up to date until it shall end.
pub(crate) async fn keep_fresh(secrets: super::Secrets, mut stop: Stop) {
    let shared = secrets.0;
    let (mut progress, mut stores) = (shared.mirror.progress(), shared.stores.clone());
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut at_files = false;
    loop {
        progress.borrow_and_update();
        stores.borrow_and_update();
        let looking = Arc::clone(&shared);
        runtime::blocking(move || looking.look(at_files)).await;
        at_files = false;
        tokio::select! {
            _ = progress.changed() => {}
            _ = ticks.tick() => at_files = true,
            changed = stores.changed() => if changed.is_err() { return },
            () = stop.wait() => return,
        }
    }
}
