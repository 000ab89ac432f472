//! V8's functions, found at run time by their mangled C++ names (Itanium ABI).

use std::ffi::c_void;

use super::ProbeError;

pub type IsolatePointer = *mut c_void;
// SAFETY (of calling it): only V8 calls it, with the isolate of the thread and the `data` that was installed with it.
pub type GcCallback = unsafe extern "C" fn(IsolatePointer, i32, i32, *mut c_void);
/// `data`, the limit now, the limit at the start; returns the limit to be.
// SAFETY (of calling it): as `GcCallback`.
pub type NearHeapLimitCallback = unsafe extern "C" fn(*mut c_void, usize, usize) -> usize;

// SAFETY (of calling it): no conditions. It returns this thread's isolate or null.
pub type GetCurrent = unsafe extern "C" fn() -> IsolatePointer;
// SAFETY (of calling it): on the thread of the isolate, while it lives, with room for the words that V8 writes.
type GetHeapStatistics = unsafe extern "C" fn(IsolatePointer, *mut u64);
// SAFETY (of calling it): on the thread of the isolate, while it lives; `data` outlives the callback.
type AddGcCallback = unsafe extern "C" fn(IsolatePointer, GcCallback, *mut c_void, i32);
// SAFETY (of calling it): on the thread of the isolate, while it lives, with the pair that was added.
type RemoveGcCallback = unsafe extern "C" fn(IsolatePointer, GcCallback, *mut c_void);
// SAFETY (of calling it): on the thread of the isolate, while it lives and no collection runs, with a `MemoryPressureLevel`.
type NotifyMemoryPressure = unsafe extern "C" fn(IsolatePointer, i32);
// SAFETY (of calling it): as `AddGcCallback`.
type AddNearHeapLimitCallback = unsafe extern "C" fn(IsolatePointer, NearHeapLimitCallback, *mut c_void);
// SAFETY (of calling it): on the thread of the isolate, while it lives, with a callback that was added.
type RemoveNearHeapLimitCallback = unsafe extern "C" fn(IsolatePointer, NearHeapLimitCallback, usize);
#[cfg(unix)]
// SAFETY (of calling it): on the thread of the isolate, while it lives.
type GetHeapProfiler = unsafe extern "C" fn(IsolatePointer) -> *mut c_void;
#[cfg(unix)]
// SAFETY (of calling it): on the thread of the isolate, while it lives, with its own profiler.
type StartSampling = unsafe extern "C" fn(*mut c_void, u64, i32, i32) -> bool;

/// V8's functions, as found in this process.
#[derive(Clone, Copy)]
pub struct Symbols {
    pub get_current: GetCurrent,
    pub get_heap_statistics: GetHeapStatistics,
    pub add_prologue: AddGcCallback,
    pub add_epilogue: AddGcCallback,
    pub remove_prologue: RemoveGcCallback,
    pub remove_epilogue: RemoveGcCallback,
    /// None if it is missing: the probe works without it.
    pub memory_pressure: Option<NotifyMemoryPressure>,
}

/// The functions for a callback near the heap limit.
#[derive(Clone, Copy)]
pub struct NearLimitSymbols {
    pub get_current: GetCurrent,
    pub add: AddNearHeapLimitCallback,
    pub remove: RemoveNearHeapLimitCallback,
}

/// The functions that start the sampling heap profiler.
#[cfg(unix)]
#[derive(Clone, Copy)]
pub struct SamplingSymbols {
    pub get_current: GetCurrent,
    /// Returns V8's `HeapProfiler` of that isolate.
    pub get_heap_profiler: GetHeapProfiler,
    /// Takes the profiler, the bytes between samples, the depth of stacks, and `SamplingFlags`.
    pub start: StartSampling,
}

/// `T` is the type of a function pointer whose parameters the mangled name spells out.
#[cfg(unix)]
pub fn symbol<T: Copy>(mangled: &'static std::ffi::CStr, name: &'static str) -> Result<T, ProbeError> {
    const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
    // SAFETY: dlsym takes a NUL-terminated name and only looks it up.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, mangled.as_ptr()) };
    if found.is_null() {
        return Err(ProbeError::Symbol(name));
    }
    // SAFETY: T is a function pointer of the size of a pointer: the size is asserted above, and T is one of the types
    // here and in `function`. The mangled name fixes the parameters' types in V8's ABI.
    Ok(unsafe { std::mem::transmute_copy::<*mut c_void, T>(&found) })
}

#[cfg(unix)]
pub const GET_CURRENT: (&std::ffi::CStr, &str) = (c"_ZN2v87Isolate10GetCurrentEv", "Isolate::GetCurrent");

impl Symbols {
    #[cfg(unix)]
    pub fn find() -> Result<Self, ProbeError> {
        const CALLBACK: &str = "the garbage-collection callbacks";
        Ok(Self {
            get_current: symbol(GET_CURRENT.0, GET_CURRENT.1)?,
            get_heap_statistics: symbol(
                c"_ZN2v87Isolate17GetHeapStatisticsEPNS_14HeapStatisticsE",
                "Isolate::GetHeapStatistics",
            )?,
            add_prologue: symbol(
                c"_ZN2v87Isolate21AddGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_",
                CALLBACK,
            )?,
            add_epilogue: symbol(
                c"_ZN2v87Isolate21AddGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_S2_",
                CALLBACK,
            )?,
            remove_prologue: symbol(
                c"_ZN2v87Isolate24RemoveGCPrologueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_",
                CALLBACK,
            )?,
            remove_epilogue: symbol(
                c"_ZN2v87Isolate24RemoveGCEpilogueCallbackEPFvPS0_NS_6GCTypeENS_15GCCallbackFlagsEPvES4_",
                CALLBACK,
            )?,
            memory_pressure: symbol(
                c"_ZN2v87Isolate26MemoryPressureNotificationENS_19MemoryPressureLevelE",
                "Isolate::MemoryPressureNotification",
            )
            .ok(),
        })
    }

    #[cfg(not(unix))]
    pub fn find() -> Result<Self, ProbeError> {
        Err(ProbeError::Platform)
    }
}

impl NearLimitSymbols {
    #[cfg(unix)]
    pub fn find() -> Result<Self, ProbeError> {
        const CALLBACK: &str = "the near-heap-limit callback";
        Ok(Self {
            get_current: symbol(GET_CURRENT.0, GET_CURRENT.1)?,
            add: symbol(c"_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_", CALLBACK)?,
            remove: symbol(c"_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm", CALLBACK)?,
        })
    }

    #[cfg(not(unix))]
    pub fn find() -> Result<Self, ProbeError> {
        Err(ProbeError::Platform)
    }
}

#[cfg(unix)]
impl SamplingSymbols {
    pub fn find() -> Result<Self, ProbeError> {
        const SAMPLER: &str = "the sampling heap profiler";
        Ok(Self {
            get_current: symbol(GET_CURRENT.0, GET_CURRENT.1)?,
            get_heap_profiler: symbol(c"_ZN2v87Isolate15GetHeapProfilerEv", SAMPLER)?,
            start: symbol(c"_ZN2v812HeapProfiler25StartSamplingHeapProfilerEmiNS0_13SamplingFlagsE", SAMPLER)?,
        })
    }
}
