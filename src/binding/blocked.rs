//! Captures the JavaScript stack of a blocked event loop, on its own thread, when V8 runs the interrupt that the sampler
//! thread has asked for.
//!
//! The interrupt's data is a number, and what the callback needs is in this thread's local storage. So an interrupt that
//! runs after the environment has ended finds nothing. The callback only reads strings: no JavaScript runs, and nothing
//! of the environment is accessed, which may be borrowed.

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Instant;

use napi::{Env, sys};
use napi_derive::napi;

use super::environment::{trusts_v8, with};
use crate::ledger::blocked::{Captured, Frame, Listener};
use crate::probe::v8::is_silent;
use crate::probe::v8::stack::{Stack, StringHandle};
use crate::recorder::EventKind;

/// Number of the self-test's interrupt. Those of the sampler thread begin with 1.
const TRIAL: usize = usize::MAX;
/// The most bytes of a function's name, which is cut, of a script's name, and of the URL of a source map.
const FUNCTION_BYTES: usize = 256;
const SCRIPT_BYTES: usize = 4096;
const SOURCE_MAP_BYTES: usize = 8 << 20;

struct Capture {
    env: sys::napi_env,
    stack: Stack,
    listener: Listener,
    /// The innermost frame at the self-test's interrupt.
    trial: Option<Frame>,
}

thread_local! {
    static CAPTURE: RefCell<Option<Capture>> = const { RefCell::new(None) };
}

/// A frame of the self-test.
#[napi(object)]
pub struct TrialFrame {
    pub script: String,
    pub function: String,
    /// Both counted from 1.
    pub line: u32,
    pub column: u32,
}

/// Begins the self-test: asks for an interrupt of this thread. Returns why stacks cannot be captured, or none.
#[napi(catch_unwind)]
pub fn blocked_trial(env: &Env) -> Option<String> {
    if !trusts_v8() {
        return Some("the exact heap probe is off".into());
    }
    let stack = match Stack::find() {
        Ok(stack) => stack,
        Err(error) => return Some(error.to_string()),
    };
    let sides = with(|environment| Some((environment.interrupts.clone(), environment.listener.take()?))).flatten();
    let Some((interrupts, listener)) = sides else { return Some("there is no sampler thread".into()) };
    CAPTURE.set(Some(Capture { env: env.raw(), stack, listener, trial: None }));
    interrupts.open(&stack, on_interrupt);
    interrupts.ask(TRIAL);
    None
}

/// The innermost frame at the self-test's interrupt, once V8 has run it.
#[napi(catch_unwind)]
pub fn blocked_trial_frame() -> Option<TrialFrame> {
    let frame = CAPTURE.with_borrow_mut(|capture| capture.as_mut()?.trial.take())?;
    let Frame { script, function, line, column, .. } = frame;
    Some(TrialFrame { script, function, line, column })
}

/// The self-test has failed: no stack is captured from now on. The reason goes into the record.
#[napi(catch_unwind)]
pub fn blocked_failed(reason: String) {
    with(|environment| {
        environment.interrupts.close();
        let detail = format!("the code that blocks the event loop cannot be named: {reason}");
        environment.ledger.writer().event(EventKind::Blocked, None, &detail);
    });
    forget();
}

/// An interrupt that runs from now on finds nothing.
pub fn forget() {
    // The thread's local storage may be gone when a thread is terminated.
    let _ = CAPTURE.try_with(|capture| {
        if let Ok(mut capture) = capture.try_borrow_mut() {
            *capture = None;
        }
    });
}

// SAFETY (of calling it): only V8 calls it, on the thread of an isolate that was asked, inside a handle scope.
unsafe extern "C" fn on_interrupt(isolate: *mut c_void, data: *mut c_void) {
    if is_silent() {
        return;
    }
    // A panic must not unwind into V8. The line then stays unknown.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        let _ = CAPTURE.try_with(|capture| {
            // It is borrowed if the interrupt runs inside another one. The first one is enough.
            let mut capture = capture.try_borrow_mut().ok()?;
            let capture = capture.as_mut().filter(|capture| capture.stack.is_of(isolate))?;
            // SAFETY: on the thread of this isolate, in its interrupt.
            unsafe { capture.run(data.addr()) };
            Some(())
        });
    }));
}

impl Capture {
    /// # Safety
    /// On the isolate's thread, in an interrupt of it.
    unsafe fn run(&mut self, number: usize) {
        if number != TRIAL && !self.listener.takes(number) {
            return;
        }
        let at = Instant::now();
        let mut scope = ptr::null_mut();
        // SAFETY: the environment lives, because its end forgets the capture. It is used on its own thread.
        if unsafe { sys::napi_open_handle_scope(self.env, &mut scope) } != sys::Status::napi_ok {
            return;
        }
        // SAFETY: the conditions of this function. V8 runs no interrupt inside a collection.
        let frames = unsafe { self.frames() };
        // SAFETY: the scope was opened above, and no handle of it is used from here on.
        unsafe { sys::napi_close_handle_scope(self.env, scope) };
        match number {
            TRIAL => self.trial = frames.into_iter().next(),
            number => self.listener.found(Captured { number, at, frames }),
        }
    }

    /// # Safety
    /// As `run`, inside a handle scope.
    unsafe fn frames(&self) -> Vec<Frame> {
        // SAFETY: the conditions of this function.
        let found = unsafe { self.stack.frames() };
        let mut frames: Vec<Frame> = Vec::with_capacity(found.len());
        for handles in found {
            let whole = |handle, bytes| self.text(handle, bytes).filter(|(_, cut)| !cut).map(|(text, _)| text);
            let script = whole(handles.script, SCRIPT_BYTES).unwrap_or_default();
            // A map inside the script may be large, so its URL is read once for each script.
            let known = frames.iter().find(|frame| frame.script == script).map(|frame| frame.source_map.clone());
            let source_map = known.unwrap_or_else(|| match script.starts_with("node:") {
                true => String::new(),
                false => whole(handles.source_map, SOURCE_MAP_BYTES).unwrap_or_default(),
            });
            let function = self.text(handles.function, FUNCTION_BYTES).map_or(String::new(), |(text, _)| text);
            frames.push(Frame { script, function, line: handles.line, column: handles.column, source_map });
        }
        frames
    }

    /// At most `bytes` bytes of a string, and whether it is longer. None without a string.
    fn text(&self, handle: StringHandle, bytes: usize) -> Option<(String, bool)> {
        if handle.is_null() {
            return None;
        }
        let value = handle.cast_mut().cast();
        let mut length = 0;
        // SAFETY: a handle of the scope that the caller has open.
        let status = unsafe { sys::napi_get_value_string_utf8(self.env, value, ptr::null_mut(), 0, &mut length) };
        if status != sys::Status::napi_ok {
            return None;
        }
        let cut = length > bytes;
        let mut text = vec![0u8; length.min(bytes) + 1];
        // SAFETY: the same handle. The buffer has the size that is given.
        let status = unsafe {
            sys::napi_get_value_string_utf8(self.env, value, text.as_mut_ptr().cast(), text.len(), &mut length)
        };
        text.truncate(if status == sys::Status::napi_ok { length } else { 0 });
        Some((String::from_utf8_lossy(&text).into_owned(), cut))
    }
}
