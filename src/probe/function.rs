//! Where a JavaScript function is defined, and which function a bound one calls: V8's `Function::GetScriptOrigin`,
//! `GetScriptLineNumber` and `GetBoundFunction`, which Node-API lacks.
//!
//! They are looked up at run time like the heap's figures (see `v8`). How V8 returns a struct cannot be checked before
//! the call, so they are called only if the V8's heap figures were verified. The answers are used only after a
//! self-test with functions whose place is known (`lib/core/function-info.js`).

use std::ffi::c_void;

#[cfg(unix)]
use super::v8::symbols::{GET_CURRENT, GetCurrent, symbol};

/// A function in a handle scope: what V8's `Local<Function>` and Node-API's `napi_value` point to.
pub type FunctionHandle = *const c_void;
/// A string in the handle scope of the caller.
pub type StringHandle = *const c_void;

/// V8's `ScriptOrigin` is 40 to 56 bytes on Node 20 to 26. It is returned through a pointer to the caller's memory, so
/// additional room does no harm.
#[repr(C)]
#[derive(Clone, Copy)]
struct ScriptOrigin([usize; 32]);

// SAFETY (of calling it): on the isolate's thread, with a live handle of a function.
type GetScriptOrigin = unsafe extern "C" fn(FunctionHandle) -> ScriptOrigin;
// SAFETY (of calling it): as `GetScriptOrigin`.
type GetScriptLineNumber = unsafe extern "C" fn(FunctionHandle) -> i32;
// SAFETY (of calling it): as `GetScriptOrigin`, inside a handle scope: it returns a new handle, a trivial `Local` of one pointer.
type GetBoundFunction = unsafe extern "C" fn(FunctionHandle) -> *const c_void;

#[derive(Clone, Copy)]
pub struct Functions {
    isolate: *const c_void,
    script_origin: GetScriptOrigin,
    line_number: GetScriptLineNumber,
    bound: GetBoundFunction,
}

impl Functions {
    /// None if V8 does not export these functions.
    #[cfg(unix)]
    pub fn find() -> Option<Self> {
        let current: GetCurrent = symbol(GET_CURRENT.0, GET_CURRENT.1).ok()?;
        Some(Self {
            // SAFETY: takes nothing and returns this thread's isolate or null.
            isolate: unsafe { current() },
            script_origin: symbol(c"_ZNK2v88Function15GetScriptOriginEv", "Function::GetScriptOrigin").ok()?,
            line_number: symbol(c"_ZNK2v88Function19GetScriptLineNumberEv", "Function::GetScriptLineNumber").ok()?,
            bound: symbol(c"_ZNK2v88Function16GetBoundFunctionEv", "Function::GetBoundFunction").ok()?,
        })
    }

    #[cfg(not(unix))]
    pub fn find() -> Option<Self> {
        None
    }

    /// The function that a bound function calls, or `undefined` for one that is not bound. None if V8 returns no
    /// handle.
    ///
    /// # Safety
    /// The conditions of [`Functions::origin`].
    pub unsafe fn bound(&self, function: FunctionHandle) -> Option<*const c_void> {
        // SAFETY: the conditions of this function.
        let target = unsafe { (self.bound)(function) };
        (!target.is_null()).then_some(target)
    }

    /// The name of the function's script and its line, counted from 1. None for bound and native functions.
    ///
    /// # Safety
    /// `function` is a live handle of a function of this thread's isolate, inside a handle scope. `self` was found on
    /// this thread.
    pub unsafe fn origin(&self, function: FunctionHandle) -> Option<(StringHandle, u32)> {
        // SAFETY: the conditions of this function.
        let line = unsafe { (self.line_number)(function) };
        let line = u32::try_from(line).ok()? + 1;
        // SAFETY: the same. The result fits (see `ScriptOrigin`).
        let ScriptOrigin(words) = unsafe { (self.script_origin)(function) };
        // Up to V8 11 the isolate comes before the name.
        let name = if words[0] == self.isolate as usize { words[1] } else { words[0] };
        (name != 0).then_some((name as StringHandle, line))
    }
}
