//! glibc's malloc, which V8, Node, buffers and other addons use. Its functions are looked up at run time. On musl,
//! macOS, and glibc before 2.33, `mallinfo2` is missing, and the result is `None`. If another malloc replaces it
//! (`allocator`), all figures are zero.
//!
//! Both functions lock each arena while they walk it, and callers of malloc wait meanwhile: over 100 ms at 700 MB of
//! fragments. So they run only on an explicit call, never from a timer or a scrape.

/// Bytes, over all arenas. It is address space, not resident memory: what was never touched or was given back counts
/// too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Malloc {
    /// Taken from the system for arenas (`arena`).
    pub arenas: u64,
    /// In use in arenas, including chunks in the threads' caches (`uordblks`).
    pub in_use: u64,
    /// Free in arenas (`fordblks`).
    pub free: u64,
    /// Blocks that are mappings of their own, without free parts (`hblkhd`).
    pub mapped: u64,
}

/// `struct mallinfo2` of glibc's `malloc.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Mallinfo2 {
    arena: usize,
    ordblks: usize,
    smblks: usize,
    hblks: usize,
    hblkhd: usize,
    usmblks: usize,
    fsmblks: usize,
    uordblks: usize,
    fordblks: usize,
    keepcost: usize,
}

/// None if malloc does not report it.
pub fn malloc() -> Option<Malloc> {
    let found = symbol(c"mallinfo2")?;
    // SAFETY: the symbol is the C library's, whose `mallinfo2` takes nothing and returns the struct above. It may be
    // called from any thread.
    let info = unsafe { std::mem::transmute::<Symbol, unsafe extern "C" fn() -> Mallinfo2>(found)() };
    Some(Malloc {
        arenas: info.arena as u64,
        in_use: info.uordblks as u64,
        free: info.fordblks as u64,
        mapped: info.hblkhd as u64,
    })
}

/// Returns free memory to the system, and whether there was any. None if malloc cannot.
pub fn trim() -> Option<bool> {
    let found = symbol(c"malloc_trim")?;
    // SAFETY: the symbol is the C library's `int malloc_trim(size_t)`, which may be called from any thread.
    Some(unsafe { std::mem::transmute::<Symbol, unsafe extern "C" fn(usize) -> i32>(found)(0) } != 0)
}

type Symbol = std::ptr::NonNull<std::ffi::c_void>;

#[cfg(unix)]
fn symbol(name: &std::ffi::CStr) -> Option<Symbol> {
    // SAFETY: dlsym takes a NUL-terminated name and only looks it up.
    Symbol::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

#[cfg(not(unix))]
fn symbol(_: &std::ffi::CStr) -> Option<Symbol> {
    None
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn sees_what_malloc_holds_and_trims_it() {
        const BLOCK: usize = 4 << 20;
        // SAFETY: any size may be requested. The block is freed below, once.
        let block = unsafe { libc::malloc(BLOCK) };
        let malloc = malloc().unwrap();
        assert!(malloc.in_use + malloc.mapped >= BLOCK as u64, "{malloc:?}");
        assert_eq!(malloc.arenas, malloc.in_use + malloc.free);
        // SAFETY: from malloc above, and not freed yet.
        unsafe { libc::free(block) };
        assert!(trim().is_some());
    }
}
