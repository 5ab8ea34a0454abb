//! The proofs worth trying for one request, best first.
//!
//! Part of `authority::credential`. The credentials in the user's order, each with what its files hold now and then with what
//! worked last; the next one is tried when one cannot be used, or the authority does not take it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Credential, CredentialError, Proof};
use crate::authority::client_refusal::ClientRefusal;
use crate::authority::{AuthorityError, Posted};
use crate::clock::Clock;

/// What is left to try.
#[derive(Debug)]
pub(in crate::authority) struct Attempts<'a> {
    clock: &'a Clock,
    credentials: std::slice::Iter<'a, Arc<Credential>>,
    queue: VecDeque<Attempt<'a>>,
    /// Whose files are to be read again.
    again: Option<&'a Arc<Credential>>,
    /// Whose have been, so that they are not read a third time.
    reread: Option<&'a Arc<Credential>>,
    failure: Option<CredentialError>,
}

/// One proof of one credential.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Attempt<'a> {
    credential: &'a Arc<Credential>,
    pub(in crate::authority) proof: Arc<Proof>,
}

impl Attempt<'_> {
    /// How it proves us, for the log.
    pub(in crate::authority) fn method(&self) -> &'static str {
        self.credential.method().name()
    }
}

impl<'a> Attempts<'a> {
    pub(in crate::authority) fn new(credentials: &'a [Arc<Credential>], clock: &'a Clock) -> Self {
        Self {
            clock,
            credentials: credentials.iter(),
            queue: VecDeque::new(),
            again: None,
            reread: None,
            failure: None,
        }
    }

    /// The next to try.
    pub(in crate::authority) async fn next(&mut self) -> Option<Attempt<'a>> {
        if let Some(credential) = self.again.take()
            && let Ok(proof) = credential.load(self.clock).await
        {
            return Some(Attempt { credential, proof });
        }
        loop {
            if let Some(attempt) = self.queue.pop_front() {
                return Some(attempt);
            }
            let credential = self.credentials.next()?;
            match credential.proofs(self.clock).await {
                Ok(proofs) => {
                    let attempt = |proof| Attempt { credential, proof };
                    self.queue.extend(proofs.into_iter().map(attempt));
                }
                Err(error) => {
                    self.failure.get_or_insert(error);
                }
            }
        }
    }

    /// Takes note of how it went; whether another one is worth trying.
    pub(in crate::authority) fn learn(
        &mut self,
        attempt: &Attempt<'a>,
        posted: &Result<Posted, AuthorityError>,
    ) -> bool {
        let Attempt { credential, proof } = attempt;
        match posted {
            Ok(posted) => match ClientRefusal::of(&posted.answer) {
                None => {
                    if posted.answer.status.is_success() {
                        credential.worked(proof);
                    }
                    false
                }
                Some(ClientRefusal::Client) => false,
                Some(refusal) => {
                    credential.refused(proof, self.clock);
                    let is_reread = self.reread.is_some_and(|other| Arc::ptr_eq(other, credential));
                    if refusal == ClientRefusal::Certificate && !is_reread {
                        self.reread = Some(*credential);
                        self.again = Some(*credential);
                    }
                    true
                }
            },
            // A certificate may be refused in the handshake already, which looks like any broken connection.
            Err(AuthorityError::Unreachable(_)) => {
                let is_new = proof.certificate().is_some() && !credential.has_worked(proof);
                if is_new {
                    credential.refused(proof, self.clock);
                }
                is_new
            }
            Err(AuthorityError::Credential(_)) => true,
            Err(_) => false,
        }
    }

    /// Why there was nothing to try.
    pub(in crate::authority) fn failure(self) -> CredentialError {
        let nothing = || CredentialError("no credential can be used".into());
        self.failure.unwrap_or_else(nothing)
    }
}
