//! The JavaScript stack of a thread whose event loop is blocked.
//!
//! Another thread asks V8 for an interrupt (`Isolate::RequestInterrupt`). V8 runs the callback on the isolate's thread
//! at its next stack check: in a loop, at the start of a function, or within a regular expression. Native code has no
//! stack check, so the callback runs after it has returned. In the callback, [`Stack::frames`] reads the stack.
//!
//! V8 collects the frames without running JavaScript: it calls no `prepareStackTrace`, and reads names from data
//! properties only. It may compile a function's table of positions and collect garbage, as `new Error()` does.
//!
//! Rejected: a signal handler that walks the stack. It sees native code too, but it may do nothing that allocates, and
//! V8 has no public function that names what it sees.

use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use super::ProbeError;
use super::symbols::IsolatePointer;
#[cfg(unix)]
use super::symbols::{GET_CURRENT, GetCurrent, symbol};

/// A string in the handle scope of the caller, or null.
pub type StringHandle = *const c_void;
type Handle = *const c_void;

/// V8's `Location`: two `int`s, counted from 0. It is returned in a register.
#[repr(C)]
#[derive(Clone, Copy)]
struct Location {
    line: i32,
    column: i32,
}

// SAFETY (of calling it): only V8 calls it, on the isolate's thread inside a handle scope, with the number it was asked with.
pub type InterruptCallback = unsafe extern "C" fn(IsolatePointer, *mut c_void);
// SAFETY (of calling it): on any thread, while the isolate lives.
type RequestInterrupt = unsafe extern "C" fn(IsolatePointer, InterruptCallback, *mut c_void);
// SAFETY (of calling it): on the isolate's thread, outside of a collection, inside a handle scope.
type CurrentStackTrace = unsafe extern "C" fn(IsolatePointer, i32, i32) -> Handle;
// SAFETY (of calling it): as `CurrentStackTrace`, with its live result.
type GetFrameCount = unsafe extern "C" fn(Handle) -> i32;
// SAFETY (of calling it): as `GetFrameCount`, with an index below the count.
type GetFrame = unsafe extern "C" fn(Handle, IsolatePointer, u32) -> Handle;
// SAFETY (of calling it): as `CurrentStackTrace`, with a live frame. It returns a `Local` of one pointer.
type GetString = unsafe extern "C" fn(Handle) -> StringHandle;
// SAFETY (of calling it): as `GetString`.
type GetLocation = unsafe extern "C" fn(Handle) -> Location;

/// Frames that are read: a module may have many of its own before the app's.
const FRAMES: i32 = 50;
/// `StackTraceOptions`: `kOverview`, and frames of all contexts.
const OPTIONS: i32 = 0xf | 1 << 8;

/// One frame. The handles are valid in the scope in which the frames were read.
#[derive(Clone, Copy, Debug)]
pub struct FrameHandles {
    pub script: StringHandle,
    pub function: StringHandle,
    pub source_map: StringHandle,
    /// Both counted from 1.
    pub line: u32,
    pub column: u32,
}

/// V8's functions for reading a stack, and the isolate of the thread that looked them up.
#[derive(Clone, Copy)]
pub struct Stack {
    isolate: IsolatePointer,
    request: RequestInterrupt,
    current: CurrentStackTrace,
    frame_count: GetFrameCount,
    frame: GetFrame,
    script: GetString,
    function: GetString,
    source_map: GetString,
    location: GetLocation,
}

impl Stack {
    #[cfg(unix)]
    pub fn find() -> Result<Self, ProbeError> {
        const TRACE: &str = "StackTrace";
        const FRAME: &str = "StackFrame";
        let get_current: GetCurrent = symbol(GET_CURRENT.0, GET_CURRENT.1)?;
        // SAFETY: takes nothing and returns this thread's isolate or null.
        let isolate = unsafe { get_current() };
        if isolate.is_null() {
            return Err(ProbeError::Isolate);
        }
        Ok(Self {
            isolate,
            request: symbol(c"_ZN2v87Isolate16RequestInterruptEPFvPS0_PvES2_", "Isolate::RequestInterrupt")?,
            current: symbol(c"_ZN2v810StackTrace17CurrentStackTraceEPNS_7IsolateEiNS0_17StackTraceOptionsE", TRACE)?,
            frame_count: symbol(c"_ZNK2v810StackTrace13GetFrameCountEv", TRACE)?,
            frame: symbol(c"_ZNK2v810StackTrace8GetFrameEPNS_7IsolateEj", TRACE)?,
            script: symbol(c"_ZNK2v810StackFrame13GetScriptNameEv", FRAME)?,
            function: symbol(c"_ZNK2v810StackFrame15GetFunctionNameEv", FRAME)?,
            source_map: symbol(c"_ZNK2v810StackFrame25GetScriptSourceMappingURLEv", FRAME)?,
            location: symbol(c"_ZNK2v810StackFrame11GetLocationEv", FRAME)?,
        })
    }

    #[cfg(not(unix))]
    pub fn find() -> Result<Self, ProbeError> {
        Err(ProbeError::Platform)
    }

    pub fn is_of(&self, isolate: IsolatePointer) -> bool {
        self.isolate == isolate
    }

    /// The frames of this thread's stack, the innermost first.
    ///
    /// # Safety
    /// On the thread that called [`Stack::find`], while its isolate lives and runs no collection, inside a handle scope.
    pub unsafe fn frames(&self) -> Vec<FrameHandles> {
        // SAFETY: the conditions of this function.
        let trace = unsafe { (self.current)(self.isolate, FRAMES, OPTIONS) };
        if trace.is_null() {
            return Vec::new();
        }
        // SAFETY: the same, with the trace that V8 has just returned.
        let count = unsafe { (self.frame_count)(trace) }.clamp(0, FRAMES) as u32;
        let frames = (0..count).map(|index| {
            // SAFETY: the same, and the index is below the count.
            let frame = unsafe { (self.frame)(trace, self.isolate, index) };
            if frame.is_null() {
                return None;
            }
            // SAFETY: the same, with a frame in the same scope.
            let Location { line, column } = unsafe { (self.location)(frame) };
            // SAFETY: the same.
            let (script, function) = unsafe { ((self.script)(frame), (self.function)(frame)) };
            // SAFETY: the same.
            let source_map = unsafe { (self.source_map)(frame) };
            let counted = |from_0: i32| u32::try_from(from_0).unwrap_or(0) + 1;
            Some(FrameHandles { script, function, source_map, line: counted(line), column: counted(column) })
        });
        frames.flatten().collect()
    }
}

/// What an interrupt is asked of.
struct Target {
    isolate: IsolatePointer,
    request: RequestInterrupt,
    callback: InterruptCallback,
}

// SAFETY: V8 allows `RequestInterrupt` on any thread. Nothing else is done with the pointer.
unsafe impl Send for Target {}

/// Asks for interrupts of one isolate, from any thread. Clones share one state.
///
/// It is closed until [`open`](Self::open) and again after [`close`](Self::close), which the isolate's thread calls
/// before the isolate ends. The lock is held during a request, so none can reach an isolate that has ended.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Mutex<Option<Target>>>);

impl Interrupts {
    /// Call it on the isolate's thread, and `close` before the isolate ends.
    pub fn open(&self, stack: &Stack, callback: InterruptCallback) {
        self.set(Some(Target { isolate: stack.isolate, request: stack.request, callback }));
    }

    pub fn close(&self) {
        self.set(None);
    }

    /// V8 calls the callback once with `number`, which is no pointer: if the isolate ends before, nothing is left
    /// behind. False if it is closed.
    pub fn ask(&self, number: usize) -> bool {
        let target = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Target { isolate, request, callback }) = &*target else { return false };
        // SAFETY: the isolate lives, because `close` waits for the lock that is held here. The callback has V8's
        // signature.
        unsafe { request(*isolate, *callback, std::ptr::without_provenance_mut(number)) };
        true
    }

    fn set(&self, target: Option<Target>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_so_where_there_is_no_v8() {
        assert!(matches!(Stack::find(), Err(ProbeError::Symbol(_) | ProbeError::Platform)));
        assert!(!Interrupts::default().ask(1), "closed until it is opened");
    }
}
