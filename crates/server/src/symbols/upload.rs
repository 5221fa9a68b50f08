//! Receiving files: in pieces onto the disk, within bounds, checked before they are believed.
//!
//! ```text
//! announce ─▶ receive ─▶ inspect (ELF? the build ID that was said?) ─▶ finish: index, keep
//! ```
//!
//! Agents take these steps in calls of their own; `hearth symbols upload` takes them all at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::container::{Facts, Origin};
use super::index::{Brought, inspect};
use super::shelf::{Incoming, Kept, Offer, Refusal, Shelf};

/// How many files are received at the same time: each may take as much disk as one upload may.
const RECEIVERS: usize = 4;
/// Most uploads that are announced and not finished.
const PENDING_MAX: usize = 1_000;

/// How uploads are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether at all.
    pub enabled: bool,
    /// How long one may take to arrive.
    pub timeout: Duration,
    /// How long one that was announced keeps others from announcing the same.
    pub stale_after: Duration,
}

/// An upload between its announcement and its end.
#[derive(Debug)]
struct Pending {
    name: String,
    since: Instant,
    file: Option<(Incoming, Brought)>,
}

/// Whether a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is: there is nothing yet.
    New,
    /// It is: who announced it before did not finish.
    Stale,
    /// It is: what is there names nothing.
    Better,
    /// Somebody sends it right now.
    InProgress,
    /// There are symbols already.
    Known,
    /// Uploads are turned off.
    Disabled,
}

impl Wanted {
    /// Whether to send it.
    pub(crate) fn is_wanted(self) -> bool {
        matches!(self, Self::New | Self::Stale | Self::Better)
    }

    /// The reason, for people and for agents that compare it: Pyroscope's own words where it has any.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::New => "First time we see this Build ID, therefore please upload!",
            Self::Stale => {
                "A previous upload was started but not finished and is now stale, so it can be retried."
            }
            Self::Better => "What is known of this Build ID has no names, therefore please upload!",
            Self::InProgress => {
                "A previous upload is still in-progress and not stale yet (only stale uploads can be retried)."
            }
            Self::Known => {
                "Debuginfo already exists and is not marked as invalid, therefore no new upload is needed."
            }
            Self::Disabled => "DebugInfo upload disabled",
        }
    }
}

/// Takes uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    shelf: Arc<Shelf>,
    rules: Rules,
    pending: Mutex<HashMap<(String, String), Pending>>,
    receivers: Arc<Semaphore>,
}

/// Checks a build ID as somebody says it, and gives it the form under which it is kept.
pub(crate) fn build_id(text: &str) -> Result<String, Refusal> {
    let valid = (2..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid {
        return Ok(text.to_ascii_lowercase());
    }
    let shown: String = text.chars().take(60).collect();
    Err(Refusal::Wrong(format!("build ID {shown:?}: expected 2 to 128 hexadecimal digits")))
}

impl Uploads {
    /// Takes uploads for a shelf.
    pub(crate) fn new(shelf: Arc<Shelf>, rules: Rules) -> Self {
        let receivers = Arc::new(Semaphore::new(RECEIVERS));
        Self { shelf, rules, pending: Mutex::default(), receivers }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<(String, String), Pending>> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        // Long dead ones give back their files.
        let dead = self.rules.stale_after.saturating_mul(4);
        pending.retain(|_, upload| upload.since.elapsed() < dead);
        pending
    }

    /// Whether symbols of a binary are wanted; `force` asks for whatever is there to be looked past.
    pub(crate) fn wanted(&self, tenant: &str, build_id: &str, force: bool) -> Wanted {
        if !self.rules.enabled {
            return Wanted::Disabled;
        }
        let known: Option<Arc<Facts>> = self.shelf.facts(tenant, build_id);
        if !force && known.as_ref().is_some_and(|facts| facts.has_names()) {
            return Wanted::Known;
        }
        match self.pending().get(&(tenant.to_owned(), build_id.to_owned())) {
            Some(upload) if upload.since.elapsed() < self.rules.stale_after => Wanted::InProgress,
            Some(_) => Wanted::Stale,
            None if known.is_some() => Wanted::Better,
            None => Wanted::New,
        }
    }

    /// Notes that somebody is about to send a file.
    pub(crate) fn announce(&self, tenant: &str, build_id: &str, name: &str) -> Result<(), Refusal> {
        let mut pending = self.pending();
        let key = (tenant.to_owned(), build_id.to_owned());
        if pending.len() >= PENDING_MAX && !pending.contains_key(&key) {
            return Err(Refusal::Server(format!(
                "{PENDING_MAX} uploads are announced and not finished; retry later"
            )));
        }
        let upload = Pending { name: name.to_owned(), since: Instant::now(), file: None };
        pending.insert(key, upload);
        Ok(())
    }

    /// Whether a file was announced.
    pub(crate) fn is_announced(&self, tenant: &str, build_id: &str) -> bool {
        self.pending().contains_key(&(tenant.to_owned(), build_id.to_owned()))
    }

    /// A place in the queue of those who send; there are few.
    pub(crate) fn slot(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        if !self.rules.enabled {
            return Err(Refusal::Wrong("uploads are turned off here (debug-info.enabled)".to_owned()));
        }
        self.receivers.clone().try_acquire_owned().map_err(|_| {
            Refusal::Server(format!("{RECEIVERS} files are being received already; retry later"))
        })
    }

    /// Receives pieces of a file until `next` has no more.
    pub(crate) async fn receive(&self, mut next: impl AsyncPieces) -> Result<Incoming, Refusal> {
        let failed = |error: std::io::Error| Refusal::Server(format!("cannot keep the file: {error}"));
        let limit = self.shelf.bounds().upload_bytes_max;
        let receive = async {
            let (incoming, file) = self.shelf.receive().map_err(failed)?;
            let mut file = tokio::fs::File::from_std(file);
            let mut bytes = 0u64;
            while let Some(piece) = next.next().await? {
                bytes = bytes.saturating_add(piece.len() as u64);
                if bytes > limit {
                    return Err(Refusal::TooLarge(format!(
                        "the file exceeds the limit of {limit} bytes (debug-info.max-upload-size)"
                    )));
                }
                file.write_all(&piece).await.map_err(failed)?;
            }
            file.flush().await.map_err(failed)?;
            Ok(incoming)
        };
        let seconds = self.rules.timeout.as_secs();
        let late = || Err(Refusal::Wrong(format!("the file did not arrive within {seconds} s")));
        tokio::time::timeout(self.rules.timeout, receive).await.unwrap_or_else(|_| late())
    }

    /// Looks at a file that was received; `claimed` is whose it is said to be.
    pub(crate) async fn check(
        &self,
        incoming: Incoming,
        claimed: Option<&str>,
    ) -> Result<(Incoming, Brought), Refusal> {
        let (incoming, brought) = blocking(move || {
            let brought = inspect(incoming.path()).map_err(Refusal::Wrong)?;
            Ok((incoming, brought))
        })
        .await?;
        match claimed {
            Some(claimed) if claimed != brought.build_id => {
                Err(Refusal::OtherBinary { found: brought.build_id, claimed: claimed.to_owned() })
            }
            _ => Ok((incoming, brought)),
        }
    }

    /// Keeps a file that was announced and checked until it is finished.
    pub(crate) fn hold(&self, tenant: &str, build_id: &str, file: (Incoming, Brought)) {
        if let Some(upload) = self.pending().get_mut(&(tenant.to_owned(), build_id.to_owned())) {
            upload.file = Some(file);
        }
    }

    /// Makes an announced file that was received into symbols.
    pub(crate) async fn finish(&self, tenant: &str, build_id: &str) -> Result<Option<Kept>, Refusal> {
        let upload = self.pending().remove(&(tenant.to_owned(), build_id.to_owned()));
        let Some(Pending { name, file: Some((incoming, brought)), .. }) = upload else { return Ok(None) };
        self.keep(tenant, incoming, brought, name, Origin::Upload).await.map(Some)
    }

    /// Makes a file into symbols.
    pub(crate) async fn keep(
        &self,
        owner: &str,
        incoming: Incoming,
        brought: Brought,
        name: String,
        origin: Origin,
    ) -> Result<Kept, Refusal> {
        let (shelf, owner) = (self.shelf.clone(), owner.to_owned());
        blocking(move || {
            shelf.take(&owner, &Offer { incoming: &incoming, brought: &brought, name: &name, origin })
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let failed = |error| Err(Refusal::Server(format!("reading the file failed: {error}")));
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// Pieces of a file, one after the other.
pub(crate) trait AsyncPieces: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Refusal>> + Send;
}

/// The body of a plain request.
#[derive(Debug)]
pub(crate) struct Plain(pub Body);

impl AsyncPieces for Plain {
    async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        while let Some(frame) = self.0.frame().await {
            let frame = frame
                .map_err(|error| Refusal::Wrong(format!("the file did not arrive completely: {error}")))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}
