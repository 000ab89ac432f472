//! Memory for columns. They are hundreds of megabytes, accessed once in order and then randomly. So their cost is page
//! faults and misses of the TLB. With huge pages there are five hundred times fewer of both.

/// Zeros, which come from the system and are not touched.
pub fn zeros<T: Clone + Default>(length: usize) -> Vec<T> {
    let mut column = vec![T::default(); length];
    advise(&mut column);
    column
}

/// Room for `length`.
pub fn room<T>(length: usize) -> Vec<T> {
    let mut column = Vec::with_capacity(length);
    advise(column.spare_capacity_mut());
    column
}

pub fn filled<T: Clone>(value: T, length: usize) -> Vec<T> {
    let mut column = room(length);
    column.resize(length, value);
    column
}

/// Requests huge pages, on systems that provide them on request only.
#[cfg(target_os = "linux")]
fn advise<T>(column: &mut [T]) {
    use rustix::mm::{Advice, madvise};

    const HUGE_PAGE_BYTES: usize = 2 << 20;
    let all = column.as_mut_ptr_range();
    let start = all.start.addr().next_multiple_of(HUGE_PAGE_BYTES);
    let end = all.end.addr() / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if start < end {
        // SAFETY: whole pages within a slice that is borrowed exclusively. The advice changes no contents, and may be
        // refused.
        let _ = unsafe { madvise(all.start.with_addr(start).cast(), end - start, Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_column: &mut [T]) {}
