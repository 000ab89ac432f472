//! Where a function of the app is defined.

use std::cell::OnceCell;

use napi::bindgen_prelude::{FromNapiValue, Function, JsValue, Unknown};
use napi_derive::napi;

use super::environment::trusts_v8;
use crate::probe::function::Functions;

thread_local! {
    static FUNCTIONS: OnceCell<Option<Functions>> = const { OnceCell::new() };
}

#[napi(object)]
pub struct FunctionOrigin {
    /// A path or a `file:` URL, as the module loader named the script.
    pub script: String,
    /// Counted from 1.
    pub line: u32,
}

/// The function that a bound one calls, or `undefined` for one that is not bound. None if V8 does not export the
/// function for that. Use it under the same condition as `functionOrigin`.
#[napi(catch_unwind)]
pub fn bound_function<'env>(of: Function<'env, Unknown<'env>, Unknown<'env>>) -> Option<Unknown<'env>> {
    if !trusts_v8() {
        return None;
    }
    let functions = FUNCTIONS.with(|functions| *functions.get_or_init(Functions::find))?;
    // SAFETY: as in `function_origin`.
    let target = unsafe { functions.bound(of.raw().cast_const().cast()) }?;
    // SAFETY: a handle in the scope of this call.
    unsafe { Unknown::from_napi_value(of.value().env, target.cast_mut().cast()) }.ok()
}

/// None in these cases: functions that are not written in JavaScript, bound ones, a V8 that does not export the
/// functions for that, and a probe that is off. Use it only after it was right for a function whose place is known.
#[napi(catch_unwind)]
pub fn function_origin(of: Function<'_, Unknown<'_>, Unknown<'_>>) -> Option<FunctionOrigin> {
    if !trusts_v8() {
        return None;
    }
    let functions = FUNCTIONS.with(|functions| *functions.get_or_init(Functions::find))?;
    // SAFETY: Node-API passes a live function of the environment's isolate, which is this thread's, and keeps a handle
    // scope open for the call.
    let (script, line) = unsafe { functions.origin(of.raw().cast_const().cast()) }?;
    // SAFETY: a handle in the same scope. If it is not a string (the name of evaluated code), the result is an error.
    let script = unsafe { String::from_napi_value(of.value().env, script.cast_mut().cast()) };
    Some(FunctionOrigin { script: script.ok()?, line })
}
