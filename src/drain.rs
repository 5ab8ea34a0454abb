//! Ask everything that runs to finish, and know when it has.
//!
//! A leaf. [`Drain`] is held by whoever decides; a [`DrainWatch`] by everything that must notice.
//! Dropping the last watch means that nothing is left to wait for.

use tokio::sync::watch;

/// The deciding side.
#[derive(Debug)]
pub struct Drain {
    sender: watch::Sender<bool>,
}

impl Drain {
    /// A drain and the first watch of it.
    #[must_use]
    pub fn new() -> (Self, DrainWatch) {
        let (sender, receiver) = watch::channel(false);
        (Self { sender }, DrainWatch { receiver })
    }

    /// Tells every watch to finish.
    pub fn begin(&self) {
        self.sender.send_replace(true);
    }

    /// Waits until every watch is gone.
    pub async fn finished(&self) {
        self.sender.closed().await;
    }
}

/// The noticing side; clone it into every task that drain must wait for.
#[derive(Clone, Debug)]
pub struct DrainWatch {
    receiver: watch::Receiver<bool>,
}

impl DrainWatch {
    /// Resolves when the drain begins, or its decider is gone.
    pub async fn begun(&mut self) {
        let _ = self.receiver.wait_for(|begun| *begun).await;
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.receiver.borrow()
    }
}
