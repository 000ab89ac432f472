//! Weak handles on JavaScript objects, to check whether they are alive without retaining them.
//!
//! JavaScript's `WeakRef` pins its target to the end of the job whenever it is read. An object that is read at each
//! tick of a timer may stay alive for that reason. A weak reference of Node-API is read in a handle scope of its own,
//! which ends with the call.

use std::cell::RefCell;
use std::ptr;

use napi::bindgen_prelude::{JsValue, Unknown};
use napi::{Env, sys};
use napi_derive::napi;

use super::environment::with;

/// The most objects that are watched.
const HANDLES_MAX: usize = 1024;

#[derive(Default)]
struct Handles {
    rows: Vec<sys::napi_ref>,
    free: Vec<u32>,
}

thread_local! {
    // Node frees the rest when the environment ends, so there is nothing to drop.
    static HANDLES: RefCell<Handles> = RefCell::default();
}

impl Handles {
    fn put(&mut self, reference: sys::napi_ref) -> u32 {
        if let Some(id) = self.free.pop() {
            self.rows[id as usize] = reference;
            return id;
        }
        self.rows.push(reference);
        self.rows.len() as u32 - 1
    }

    fn get(&self, id: u32) -> Option<sys::napi_ref> {
        self.rows.get(id as usize).copied().filter(|reference| !reference.is_null())
    }

    fn take(&mut self, id: u32) -> Option<sys::napi_ref> {
        let reference = self.get(id)?;
        self.rows[id as usize] = ptr::null_mut();
        self.free.push(id);
        Some(reference)
    }

    fn full(&self) -> bool {
        self.rows.len() - self.free.len() >= HANDLES_MAX
    }
}

/// Returns a weak handle on an object. None if there are too many, or if it is not an object.
#[napi(catch_unwind)]
pub fn weak_hold(env: &Env, of: Unknown<'_>) -> Option<u32> {
    if HANDLES.with_borrow(Handles::full) {
        return None;
    }
    let mut reference = ptr::null_mut();
    // SAFETY: a live value of this environment, on its thread. A count of 0 makes the reference weak.
    let status = unsafe { sys::napi_create_reference(env.raw(), of.raw(), 0, &mut reference) };
    (status == sys::Status::napi_ok).then(|| HANDLES.with_borrow_mut(|handles| handles.put(reference)))
}

/// Whether the object is alive.
#[napi(catch_unwind)]
pub fn weak_alive(env: &Env, handle: u32) -> bool {
    let Some(reference) = HANDLES.with_borrow(|handles| handles.get(handle)) else { return false };
    let (mut scope, mut value) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the reference was made in this environment. Only `weak_drop` deletes it, and removes it from the table.
    // The scope is closed in the same call, so that the value, if there is one, is not retained after it.
    unsafe {
        if sys::napi_open_handle_scope(env.raw(), &mut scope) != sys::Status::napi_ok {
            return false;
        }
        let status = sys::napi_get_reference_value(env.raw(), reference, &mut value);
        sys::napi_close_handle_scope(env.raw(), scope);
        status == sys::Status::napi_ok && !value.is_null()
    }
}

/// Drops a handle.
#[napi(catch_unwind)]
pub fn weak_drop(env: &Env, handle: u32) {
    if let Some(reference) = HANDLES.with_borrow_mut(|handles| handles.take(handle)) {
        // SAFETY: made in this environment, and removed from the table, so it is deleted once.
        unsafe { sys::napi_delete_reference(env.raw(), reference) };
    }
}

/// Number of major collections since the start.
#[napi(catch_unwind)]
pub fn major_collections() -> f64 {
    with(|environment| environment.pressure.watch.borrow().majors() as f64).unwrap_or(0.0)
}
