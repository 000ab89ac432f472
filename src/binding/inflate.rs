//! Inflates a body in steps: a small one here, others on libuv's pool.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{AsyncTask, BufferSlice};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;

use super::body::limit_of;
use crate::payload::budget::{Charge, DECODERS};
use crate::payload::inflate::{Encoding, Fault, Inflation, Ratio, State};

/// The output of one step: a fifth of a millisecond of gzip.
const STEP_BYTES: usize = 64 << 10;
/// The most input that is read on the JavaScript thread.
const INLINE_BYTES: usize = 16 << 10;

struct Work {
    inflation: Inflation,
    /// The largest chunk that is inflated synchronously.
    inline_bytes: usize,
    /// The output of the last step.
    output: Vec<u8>,
}

impl Work {
    fn step(&mut self, limit: f64) -> &'static str {
        let mut output = vec![0; STEP_BYTES];
        match self.inflation.step(limit_of(limit), &mut output) {
            Ok((written, state)) => {
                output.truncate(written);
                self.output = output;
                word(state)
            }
            Err(fault) => fault_word(fault),
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Hungry => "hungry",
        State::More => "more",
        State::OverLimit => "over limit",
        State::OverRatio => "over ratio",
    }
}

fn fault_word(fault: Fault) -> &'static str {
    match fault {
        Fault::Corrupt => "corrupt",
        Fault::Truncated => "truncated",
        Fault::Trailing => "trailing",
        Fault::Window => "window",
        Fault::Memory => "memory",
    }
}

/// Empty once it is closed.
type Shared = Arc<Mutex<Option<Work>>>;

/// JavaScript runs one step at a time, so there is no waiting for the lock. After a panic the work is gone.
fn with<T>(shared: &Shared, act: impl FnOnce(&mut Work) -> T) -> Option<T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(act)
}

/// One body that is inflated. `close` frees its memory, otherwise the garbage collector does.
#[napi]
pub struct BodyInflation {
    shared: Shared,
}

/// How a body is inflated, sizes in bytes.
#[napi(object, object_to_js = false)]
pub struct InflateOptions {
    pub encoding: String,
    pub ratio: f64,
    pub threshold: f64,
    /// Bytes that all decoders of the process may use.
    pub memory: f64,
}

/// Null for an unknown encoding.
#[napi(catch_unwind)]
pub fn inflate_open(options: InflateOptions) -> Option<BodyInflation> {
    let encoding = Encoding::named(&options.encoding)?;
    let ratio = Ratio { max: options.ratio, threshold: limit_of(options.threshold) };
    let charge = Charge::new(&DECODERS, limit_of(options.memory));
    let work = Work {
        inflation: Inflation::new(encoding, ratio, charge),
        inline_bytes: if encoding.works_ahead() { 0 } else { INLINE_BYTES },
        output: Vec::new(),
    };
    Some(BodyInflation { shared: Arc::new(Mutex::new(Some(work))) })
}

#[napi]
impl BodyInflation {
    /// Takes a chunk, once the last one is used up, and runs a step if it is small. Returns the state: `hungry` for
    /// another chunk, `more` to be made, `over limit`, `over ratio`, or an error: `corrupt`, `trailing`, `window`,
    /// `memory`, `closed`.
    #[napi(catch_unwind)]
    pub fn feed(&self, chunk: &[u8], limit: f64) -> &'static str {
        let fed = with(&self.shared, |work| {
            work.inflation.take_in(chunk);
            if chunk.len() <= work.inline_bytes { work.step(limit) } else { word(State::More) }
        });
        fed.unwrap_or("closed")
    }

    /// Runs a step on another thread.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn step(&self, limit: f64) -> AsyncTask<Step> {
        AsyncTask::new(Step { shared: Arc::clone(&self.shared), limit })
    }

    /// The output of the last step, copied to memory that V8 counts. Null if there is none.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Option<BufferSlice<'env>>> {
        let output = with(&self.shared, |work| std::mem::take(&mut work.output)).unwrap_or_default();
        if output.is_empty() { Ok(None) } else { BufferSlice::copy_from(env, output).map(Some) }
    }

    /// Call this after the last chunk. Returns null, or the error.
    #[napi(catch_unwind)]
    pub fn finish(&self) -> Option<&'static str> {
        match with(&self.shared, |work| work.inflation.finish()) {
            None => Some("closed"),
            Some(end) => end.err().map(fault_word),
        }
    }

    /// From now on the ratio is not checked.
    #[napi(catch_unwind)]
    pub fn lift_ratio(&self) {
        with(&self.shared, |work| work.inflation.lift_ratio());
    }

    /// Bytes made so far.
    #[napi(catch_unwind)]
    pub fn made(&self) -> f64 {
        with(&self.shared, |work| work.inflation.made()).unwrap_or(0) as f64
    }

    /// Bytes of memory that the decoder has committed.
    #[napi(catch_unwind)]
    pub fn memory(&self) -> f64 {
        with(&self.shared, |work| work.inflation.memory()).unwrap_or(0) as f64
    }

    /// Bytes read so far.
    #[napi(catch_unwind)]
    pub fn taken(&self) -> f64 {
        with(&self.shared, |work| work.inflation.taken()).unwrap_or(0) as f64
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

pub struct Step {
    shared: Shared,
    limit: f64,
}

impl Task for Step {
    type Output = &'static str;
    type JsValue = String;

    fn compute(&mut self) -> Result<Self::Output> {
        // No other code on this thread catches panics.
        let stepped = catch_unwind(AssertUnwindSafe(|| with(&self.shared, |work| work.step(self.limit))));
        if stepped.is_err() {
            *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        stepped.map(|state| state.unwrap_or("closed")).map_err(|_| Error::from_reason("inflating a body has failed"))
    }

    fn resolve(&mut self, _env: Env, output: Self::Output) -> Result<Self::JsValue> {
        Ok(output.to_owned())
    }
}

/// Bytes of the decoders of all threads.
#[napi(catch_unwind)]
pub fn decoders_in_flight() -> f64 {
    DECODERS.in_flight() as f64
}
