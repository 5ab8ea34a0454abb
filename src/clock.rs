//! Time that decides whether a token is still good.
//!
//! A leaf: every stage that judges validity takes a [`Clock`], so that tests can hold time still or
//! move it. Timers (deadlines, sleeps) use tokio; only *judgements* come here.
//!
//! Age is measured on the boot-time clock: nobody can set it, and unlike the monotonic clock it goes
//! on while the machine is suspended. A wall clock that jumps neither revives nor kills a token; it
//! is asked only what `exp` means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

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

    /// The moment now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let time = clock_gettime(ClockId::Boottime);
        // Neither part of a boot-time reading is ever negative.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
        Moment::of(Duration::new(seconds, nanos) + self.moved())
    }

    /// Time since the Unix epoch, as whoever set the clock believes.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place that reads wall time")]
    pub fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + self.moved()
    }

    fn moved(&self) -> Duration {
        self.manual.as_ref().map_or(Duration::ZERO, |manual| manual.offset())
    }
}

/// Moves a [`Clock::manual`] forward.
#[derive(Debug, Default)]
pub struct ManualClock {
    offset_millis: AtomicU64,
}

impl ManualClock {
    /// Lets `by` pass.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.offset_millis.fetch_add(millis, Ordering::SeqCst);
    }

    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_millis.load(Ordering::SeqCst))
    }
}

/// One reading of the boot-time clock: nanoseconds, enough for five centuries. Half the size of a
/// [`Duration`], which counts where a million cached tokens hold three of them each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Before every reading.
    pub const LONG_AGO: Self = Self(0);

    fn of(since_boot: Duration) -> Self {
        Self(u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The moment `later` from this one.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        Self(self.0.saturating_add(Self::of(later).0))
    }

    /// Time left until `deadline`; zero when it has passed.
    #[must_use]
    pub fn until(self, deadline: Self) -> Duration {
        Duration::from_nanos(deadline.0.saturating_sub(self.0))
    }
}
