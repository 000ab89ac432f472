//! Runs long work on a thread of its own: libuv's pool is for the application.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::thread::Builder;

use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, Error, JsDeferred, Result};

const STACK_BYTES: usize = 512 << 10;

/// Runs `work` on a thread of its own, and returns a promise of its result. The promise keeps the event loop alive. It
/// is dropped if the environment ends first.
pub fn beside<'env, T: ToNapiValue + Send + 'static>(
    env: &'env Env,
    name: &str,
    work: impl FnOnce() -> std::result::Result<T, String> + Send + 'static,
) -> Result<Object<'env>> {
    beside_with(env, name, STACK_BYTES, work)
}

/// The same with a stack of this size.
pub fn beside_with<'env, T: ToNapiValue + Send + 'static>(
    env: &'env Env,
    name: &str,
    stack_bytes: usize,
    work: impl FnOnce() -> std::result::Result<T, String> + Send + 'static,
) -> Result<Object<'env>> {
    type Resolver<T> = Box<dyn FnOnce(Env) -> Result<T> + Send>;
    let (hand_over, promised) = channel::<JsDeferred<T, Resolver<T>>>();
    // The thread is started first: a promise without a thread would keep the event loop alive forever.
    let thread = move || {
        let Ok(deferred) = promised.recv() else { return };
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(made)) => deferred.resolve(Box::new(move |_| Ok(made))),
            Ok(Err(reason)) => deferred.reject(Error::from_reason(reason)),
            Err(_) => deferred.reject(Error::from_reason("plimsoll: internal error: the thread panicked")),
        }
    };
    Builder::new()
        .name(name.into())
        .stack_size(stack_bytes)
        .spawn(thread)
        .map_err(|error| Error::from_reason(format!("plimsoll: no thread for {name}: {error}")))?;
    let (deferred, promise) = env.create_deferred()?;
    // The thread waits for it.
    let _ = hand_over.send(deferred);
    Ok(promise)
}
