//! Time that decides whether a token is still good.
//!
//! A leaf: every stage that judges validity takes a [`Clock`], so that tests can hold time still or
//! move it. Timers (deadlines, sleeps) use tokio; only *judgements* come here.
//!
//! Two clocks are read together. The monotonic one is immune to someone setting the date; the wall
//! clock notices a machine that was suspended, during which the monotonic clock stands still.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of [`Moment`]s: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    manual: Option<Arc<ManualClock>>,
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that starts at the system's time and is moved by its handle as well.
    #[must_use]
    pub fn manual() -> (Self, Arc<ManualClock>) {
        let handle = Arc::new(ManualClock::default());
        (Self { manual: Some(Arc::clone(&handle)) }, handle)
    }

    /// The time now, on both clocks.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads time")]
    pub fn now(&self) -> Moment {
        static START: OnceLock<Instant> = OnceLock::new();
        let offset = self.manual.as_ref().map_or(Duration::ZERO, |manual| manual.offset());
        Moment {
            monotonic: START.get_or_init(Instant::now).elapsed() + offset,
            wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + offset,
        }
    }
}

/// Moves a [`Clock::manual`] forward.
#[derive(Debug, Default)]
pub struct ManualClock {
    offset_millis: AtomicU64,
}

impl ManualClock {
    /// Lets `by` pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.offset_millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_millis.load(Ordering::SeqCst))
    }
}

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since the process first looked; never goes back.
    pub monotonic: Duration,
    /// Since the Unix epoch; may be set by anyone with the right to.
    pub wall: Duration,
}

impl Moment {
    /// The moment `later` from this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self {
            monotonic: self.monotonic.saturating_add(later),
            wall: self.wall.saturating_add(later),
        }
    }

    /// Whether `deadline` is reached on either clock: the cautious reading.
    #[must_use]
    pub fn reached(self, deadline: Self) -> bool {
        self.monotonic >= deadline.monotonic || self.wall >= deadline.wall
    }

    /// Time left until `deadline` on the clock that reaches it first; zero when it has passed.
    #[must_use]
    pub fn until(self, deadline: Self) -> Duration {
        deadline
            .monotonic
            .saturating_sub(self.monotonic)
            .min(deadline.wall.saturating_sub(self.wall))
    }

    /// Time since an `earlier` moment, by the monotonic clock.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }
}
