//! Which malloc this process uses: the C library's, or a replacement that is mostly preloaded (jemalloc, tcmalloc,
//! mimalloc). With a replacement, glibc's figures are zeros.
//!
//! The malloc is identified by the library of `malloc_usable_size`: each malloc brings its own, since only it knows its
//! blocks. The address of `malloc` is not usable: in a program that is linked at a fixed address, like Node's releases,
//! it is an address in the program.

use std::sync::OnceLock;

use super::glibc;
use super::memory::Foreign;

/// Bytes of all threads together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub in_use: u64,
    /// Resident and free, including what the allocator needs for itself.
    pub free: u64,
}

/// The malloc that replaces the C library's. None if it is the C library's own.
pub fn foreign() -> Option<Foreign> {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let name = NAME.get_or_init(|| library::of_malloc().and_then(|file| name_of(&file))).as_deref()?;
    Some(Foreign { name, figures: figures(name) })
}

/// Bytes that malloc has handed out to all code. None if malloc does not report it. It may lock malloc while it counts.
pub fn in_use() -> Option<u64> {
    match foreign() {
        Some(foreign) => foreign.figures.map(|figures| figures.in_use),
        None => glibc::malloc().map(|malloc| malloc.in_use.saturating_add(malloc.mapped)),
    }
}

/// Returns free memory to the system, and whether that worked. None if malloc cannot.
pub fn trim() -> Option<bool> {
    match foreign() {
        None => glibc::trim(),
        Some(Foreign { name: "jemalloc", .. }) => library::jemalloc_purge(),
        Some(Foreign { name: "tcmalloc", .. }) => library::tcmalloc_release(),
        Some(_) => None,
    }
}

/// The name of a library's malloc. None for a C library.
pub fn name_of(file: &str) -> Option<String> {
    let name = file.rsplit('/').next().unwrap_or(file);
    let known = ["jemalloc", "tcmalloc", "mimalloc"].into_iter().find(|known| name.contains(known));
    let libc = name.starts_with("libc.so") || name.starts_with("libc-") || name.starts_with("ld-musl");
    known.map(str::to_owned).or_else(|| (!libc && !name.is_empty()).then(|| name.to_owned()))
}

fn figures(name: &str) -> Option<Figures> {
    match name {
        "jemalloc" => library::jemalloc(),
        "tcmalloc" => library::tcmalloc(),
        // mimalloc counts what it has got from the system, not what it has handed out.
        _ => None,
    }
}

#[cfg(target_os = "linux")]
mod library {
    use std::ffi::{CStr, c_char, c_int, c_void};
    use std::ptr::null_mut;

    use super::Figures;

    /// The file that contains malloc.
    pub fn of_malloc() -> Option<String> {
        let found = symbol(c"malloc_usable_size")?;
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
        // SAFETY: `found` is an address in a loaded object, and there is room for the answer.
        let known = unsafe { libc::dladdr(found, info.as_mut_ptr()) } != 0;
        // SAFETY: all zeros is a valid `Dl_info`, and dladdr has filled it in.
        let file = unsafe { info.assume_init() }.dli_fname;
        if !known || file.is_null() {
            return None;
        }
        // SAFETY: the loader's own NUL-terminated string, which is valid as long as the object is loaded. malloc's is
        // never unloaded.
        let file = unsafe { CStr::from_ptr(file) }.to_string_lossy().into_owned();
        // In the program itself: a stub of the linker for the C library's, or a malloc that is linked in, which its
        // functions identify.
        if std::fs::canonicalize(&file).ok() == std::env::current_exe().ok() { linked_in() } else { Some(file) }
    }

    fn linked_in() -> Option<String> {
        let marks = [
            (c"mallctl", "jemalloc"),
            (c"MallocExtension_GetNumericProperty", "tcmalloc"),
            (c"mi_version", "mimalloc"),
        ];
        marks.into_iter().find(|(mark, _)| symbol(mark).is_some()).map(|(_, name)| name.to_owned())
    }

    fn symbol(name: &CStr) -> Option<*mut c_void> {
        // SAFETY: dlsym takes a NUL-terminated name and only looks it up.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        (!found.is_null()).then_some(found)
    }

    // SAFETY (of calling it): jemalloc's `mallctl`: a NUL-terminated name, and values of the type and size that the control has, or null.
    type Mallctl = unsafe extern "C" fn(*const c_char, *mut c_void, *mut usize, *mut c_void, usize) -> c_int;

    fn mallctl() -> Option<Mallctl> {
        // SAFETY: the process's malloc is jemalloc, whose function of this name has this type.
        symbol(c"mallctl").map(|found| unsafe { std::mem::transmute::<*mut c_void, Mallctl>(found) })
    }

    pub fn jemalloc() -> Option<Figures> {
        let control = mallctl()?;
        let mut epoch = 1u64;
        // SAFETY: `epoch` takes a u64 of this size and is not read.
        unsafe { control(c"epoch".as_ptr(), null_mut(), null_mut(), (&raw mut epoch).cast(), size_of::<u64>()) };
        let read = |name: &CStr| {
            let (mut value, mut size) = (0usize, size_of::<usize>());
            // SAFETY: the control gives a size_t, for which there is room.
            let status = unsafe { control(name.as_ptr(), (&raw mut value).cast(), &raw mut size, null_mut(), 0) };
            (status == 0).then_some(value as u64)
        };
        let (in_use, resident) = (read(c"stats.allocated")?, read(c"stats.resident")?);
        Some(Figures { in_use, free: resident.saturating_sub(in_use) })
    }

    pub fn jemalloc_purge() -> Option<bool> {
        let control = mallctl()?;
        // 4096 is `MALLCTL_ARENAS_ALL`.
        let name = c"arena.4096.purge".as_ptr();
        // SAFETY: this control neither reads nor writes a value: all else must be null.
        Some(unsafe { control(name, null_mut(), null_mut(), null_mut(), 0) } == 0)
    }

    // SAFETY (of calling it): gperftools' C interface: a NUL-terminated name, and room for a size_t.
    type NumericProperty = unsafe extern "C" fn(*const c_char, *mut usize) -> c_int;

    pub fn tcmalloc() -> Option<Figures> {
        let found = symbol(c"MallocExtension_GetNumericProperty")?;
        // SAFETY: the process's malloc is tcmalloc, whose function of this name has this type.
        let property = unsafe { std::mem::transmute::<*mut c_void, NumericProperty>(found) };
        let read = |name: &CStr| {
            let mut value = 0usize;
            // SAFETY: the name is NUL-terminated, and there is room for the value.
            (unsafe { property(name.as_ptr(), &raw mut value) } != 0).then_some(value as u64)
        };
        let in_use = read(c"generic.current_allocated_bytes")?;
        let held = read(c"generic.heap_size")?.saturating_sub(read(c"tcmalloc.pageheap_unmapped_bytes").unwrap_or(0));
        Some(Figures { in_use, free: held.saturating_sub(in_use) })
    }

    pub fn tcmalloc_release() -> Option<bool> {
        let found = symbol(c"MallocExtension_ReleaseFreeMemory")?;
        // SAFETY: the process's malloc is tcmalloc, whose function of this name takes nothing and returns nothing.
        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(found)() };
        Some(true)
    }
}

#[cfg(not(target_os = "linux"))]
mod library {
    use super::Figures;

    pub fn of_malloc() -> Option<String> {
        None
    }

    pub fn jemalloc() -> Option<Figures> {
        None
    }

    pub fn jemalloc_purge() -> Option<bool> {
        None
    }

    pub fn tcmalloc() -> Option<Figures> {
        None
    }

    pub fn tcmalloc_release() -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_replacement_of_the_c_librarys_malloc() {
        let name = |file: &str| name_of(file);
        for file in ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/libc-2.31.so", "/lib/ld-musl-x86_64.so.1"] {
            assert_eq!(name(file), None, "{file}");
        }
        assert_eq!(name("/usr/lib/libjemalloc.so.2").as_deref(), Some("jemalloc"));
        assert_eq!(name("/usr/lib/libtcmalloc_minimal.so.4.5.10").as_deref(), Some("tcmalloc"));
        assert_eq!(name("libmimalloc-secure.so").as_deref(), Some("mimalloc"));
        assert_eq!(name("/opt/lib/libasan.so.8").as_deref(), Some("libasan.so.8"));
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn this_process_has_the_c_librarys() {
        assert!(foreign().is_none());
        assert!(in_use().is_some_and(|bytes| bytes > 0));
    }
}
