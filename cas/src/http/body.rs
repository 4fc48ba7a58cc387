//! Bodies: how large, how long, and how many at a time. A stranger's is small; one from a session that lives may be large.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use tokio::time::timeout;

use super::{Limits, refusal};
use crate::boundary::Reply;
use crate::wire::{Code, Failure};

/// The bytes that bodies under way may still take, in all.
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new(bytes: usize) -> Rc<Budget> {
        Rc::new(Budget(Cell::new(bytes)))
    }

    fn reserve(self: &Rc<Budget>, bytes: usize) -> Option<Reserved> {
        self.0.set(self.0.get().checked_sub(bytes)?);
        Some(Reserved { budget: Rc::clone(self), bytes })
    }
}

/// A body's part of the budget, until it is dropped.
pub(super) struct Reserved {
    budget: Rc<Budget>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() + self.bytes);
    }
}

/// Whether it may be larger than a stranger's may be.
pub(super) fn is_large(body: &Incoming, limits: &Limits) -> bool {
    length(body) > limits.small_body
}

/// What its header says; one that does not say is as large as can be.
fn length(body: &Incoming) -> usize {
    body.size_hint().upper().and_then(|length| length.try_into().ok()).unwrap_or(usize::MAX)
}

/// Takes what is still to come of a refused body, and forgets it: over HTTP/2 a client in the middle of sending does not hear the answer otherwise.
pub(super) async fn discard(body: Incoming, limits: &Limits) {
    let mut body = Limited::new(body, 4 * limits.body);
    let all = async { while let Some(Ok(_)) = body.frame().await {} };
    // Whoever is too slow or sends too much has had his chance.
    let _ = timeout(limits.body_time, all).await;
}

/// A body of at most so many bytes, whole.
pub(super) async fn read(
    body: Incoming,
    limit: usize,
    limits: &Limits,
    budget: &Rc<Budget>,
) -> Result<(Bytes, Reserved), Reply> {
    let too_large = || refusal(400, Failure::new(Code::MALFORMED, format!("a body has at most {limit} bytes here")));
    if body.size_hint().lower() > limit as u64 {
        discard(body, limits).await;
        return Err(too_large());
    }
    let Some(reserved) = budget.reserve(length(&body).min(limit)) else {
        discard(body, limits).await;
        let failure = Failure::new(Code::OVERLOADED, "too much is being sent at once: try again in a second");
        return Err(refusal(503, failure).with_retry_after(1));
    };
    match timeout(limits.body_time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok((body.to_bytes(), reserved)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            Err(refusal(400, Failure::new(Code::MALFORMED, format!("the body could not be read: {error}"))))
        }
        Err(_) => Err(refusal(408, Failure::new(Code::MALFORMED, "the body did not come in time"))),
    }
}
