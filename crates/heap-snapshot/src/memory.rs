//! Memory for columns. They are hundreds of megabytes, touched once in order and then here and there, so what they cost is page faults and
//! misses of the TLB: with huge pages there are five hundred times fewer of both.

/// Zeros, which come from the system as they are and are not touched.
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

/// Asks for huge pages where the system gives them to those who ask.
#[cfg(target_os = "linux")]
fn advise<T>(column: &mut [T]) {
    use rustix::mm::{Advice, madvise};

    const HUGE_PAGE_BYTES: usize = 2 << 20;
    let all = column.as_mut_ptr_range();
    let start = all.start.addr().next_multiple_of(HUGE_PAGE_BYTES);
    let end = all.end.addr() / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    if start < end {
        // SAFETY: whole pages within a slice that is borrowed alone; the advice changes no contents. That it is refused makes no difference.
        let _ = unsafe { madvise(all.start.with_addr(start).cast(), end - start, Advice::LinuxHugepage) };
    }
}

#[cfg(not(target_os = "linux"))]
fn advise<T>(_column: &mut [T]) {}
