//! The resident memory of a process by kind of mapping, from `/proc/<pid>/smaps`, whose `Rss` figures add up to the
//! resident set.
//!
//! Anonymous memory has no name, but has marks of its origin:
//!
//! - V8 excludes its mappings from forked children (`dc` among the `VmFlags`, Node 20 to 26).
//! - glibc's arenas are 64 MiB, aligned to their size, and their unused part is inaccessible. Its thread stacks have a
//!   guard page below and, since Linux 6.7, no huge pages (`nh`).
//! - jemalloc reserves no swap (`nr`). glibc's large blocks, each a mapping, do.
//!
//! Tried and dropped: V8's `CommittedPhysicalMemory` alone, which misses pooled pages, WebAssembly and other threads'
//! heaps. Also the stack pointers in `/proc/<pid>/task/*/syscall`, which running threads do not show.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// Resident bytes by kind of mapping. The kinds are disjoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// Files with an executable part: the program and its libraries, including their data.
    pub code: u64,
    /// Other mapped files.
    pub files: u64,
    /// Memory that other processes may share: tmpfs in `/dev/shm`, memfd, System V, shared anonymous.
    pub shared: u64,
    pub stacks: u64,
    pub stack_count: u64,
    /// The brk heap and glibc's other arenas.
    pub arenas: u64,
    /// Anonymous, with V8's mark.
    pub v8: u64,
    /// Other anonymous memory without reserved swap: jemalloc's.
    pub unreserved: u64,
    /// Other anonymous memory: blocks so large that malloc maps each separately.
    pub plain: u64,
    /// Anonymous memory for which the kernel shows no flags.
    pub unknown: u64,
    /// Bytes in huge pages, and swapped bytes. They are included in the kinds above.
    pub huge: u64,
    pub swapped: u64,
    /// A mapped library that is known to contain a malloc.
    pub allocator: Option<&'static str>,
}

impl Mappings {
    /// Of this process. None outside Linux, and if `/proc` does not show it.
    pub fn of_self() -> Option<Self> {
        Self::open("/proc/self/smaps")
    }

    /// Of another process of this user.
    pub fn of(pid: u32) -> Option<Self> {
        Self::open(&format!("/proc/{pid}/smaps"))
    }

    fn open(path: &str) -> Option<Self> {
        let mappings = Self::parse(BufReader::with_capacity(64 << 10, File::open(path).ok()?)).ok()?;
        // The process has ended, or the kernel omits the figures.
        (mappings.rss() > 0).then_some(mappings)
    }

    /// The resident set: the sum of the parts.
    pub fn rss(&self) -> u64 {
        let parts = [
            self.code,
            self.files,
            self.shared,
            self.stacks,
            self.arenas,
            self.v8,
            self.unreserved,
            self.plain,
            self.unknown,
        ];
        parts.into_iter().fold(0, u64::saturating_add)
    }

    /// Line by line, because a large heap has thousands of mappings. Unknown lines are skipped.
    pub fn parse(mut text: impl BufRead) -> io::Result<Self> {
        let mut walk = Walk::default();
        let mut line = Vec::new();
        while text.read_until(b'\n', &mut line)? > 0 {
            walk.line(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
        walk.finish(None);
        Ok(walk.sums())
    }
}

/// Resident bytes of this process from `smaps_rollup`, which is exact, while `statm` is rounded for each processor.
/// Otherwise `statm`. 0 if unknown.
pub fn exact_rss_bytes() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let rss = rollup.lines().find_map(|line| kilobytes(line.strip_prefix("Rss:")?));
    rss.filter(|rss| *rss > 0).unwrap_or_else(super::rss_bytes)
}

fn kilobytes(text: &str) -> Option<u64> {
    text.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1024)
}

/// The size and alignment of an arena of glibc on 64-bit platforms (`HEAP_MAX_SIZE`).
const ARENA: u64 = 64 << 20;
/// Guards of thread stacks are a page by default, up to 64 KiB where pages are that large.
const MAX_GUARD: u64 = 64 << 10;
/// The usual `ulimit -s`. On kernels that do not mark stacks, a stack may be merged with a block of malloc above it.
const MAX_UNMARKED_STACK: u64 = 8 << 20;

#[derive(Default)]
struct Mapping {
    start: u64,
    end: u64,
    readable: bool,
    executable: bool,
    shared: bool,
    path: String,
    rss: u64,
    /// None if the kernel shows none.
    flags: Option<String>,
}

impl Mapping {
    /// None for lines that do not begin a mapping: `55d0c0a000-55d0c2b000 rw-p 00000000 00:00 0 [heap]`.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?;
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            readable: permissions.starts_with('r'),
            executable: permissions.contains('x'),
            shared: permissions.ends_with('s'),
            path: fields.nth(3).unwrap_or("").trim().to_owned(),
            ..Self::default()
        })
    }

    fn is_anonymous(&self) -> bool {
        !self.shared && (self.path.is_empty() || self.path.starts_with("[anon:"))
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.as_deref().is_some_and(|flags| flags.split(' ').any(|each| each == flag))
    }

    /// tmpfs at other paths cannot be distinguished from a disk.
    fn is_shared_memory(&self) -> bool {
        let path = self.path.as_str();
        let named = ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage", "anon_inode:", "[anon_shmem:"];
        named.iter().any(|prefix| path.starts_with(prefix)) || (self.shared && !path.starts_with('/'))
    }

    /// Whether this is (also) the used part of an arena: the rest, up to the next multiple of the size, is
    /// inaccessible.
    fn is_arena(&self, next: Option<&Mapping>) -> bool {
        let rest = next.filter(|next| next.start == self.end && !next.readable && next.is_anonymous());
        let end = rest.map_or(self.end, |rest| rest.end);
        self.start != 0 && self.start.is_multiple_of(ARENA) && end.is_multiple_of(ARENA)
    }
}

#[derive(Default)]
struct Walk {
    sums: Mappings,
    /// Resident bytes of each mapped file, and whether any of it is executable.
    files: HashMap<String, (u64, bool)>,
    current: Option<Mapping>,
    /// End of the guard page directly before.
    guard_end: Option<u64>,
}

impl Walk {
    fn line(&mut self, line: &str) {
        if let Some(next) = Mapping::parse(line) {
            self.finish(Some(next));
            return;
        }
        let (Some(current), Some((name, value))) = (&mut self.current, line.split_once(':')) else { return };
        match name {
            "Rss" => current.rss = kilobytes(value).unwrap_or(0),
            "VmFlags" => current.flags = Some(value.trim().to_owned()),
            "AnonHugePages" => add(&mut self.sums.huge, kilobytes(value).unwrap_or(0)),
            "Swap" => add(&mut self.sums.swapped, kilobytes(value).unwrap_or(0)),
            _ => {}
        }
    }

    fn finish(&mut self, next: Option<Mapping>) {
        if let Some(mapping) = self.current.take() {
            self.book(&mapping, next.as_ref());
            let size = mapping.end.saturating_sub(mapping.start);
            let guard = mapping.is_anonymous() && !mapping.readable && size <= MAX_GUARD && !mapping.has("dc");
            self.guard_end = guard.then_some(mapping.end);
        }
        self.current = next;
    }

    fn book(&mut self, mapping: &Mapping, next: Option<&Mapping>) {
        let sums = &mut self.sums;
        if mapping.is_shared_memory() {
            return add(&mut sums.shared, mapping.rss);
        }
        if mapping.path.starts_with("[stack") {
            sums.stack_count += 1;
            return add(&mut sums.stacks, mapping.rss);
        }
        if mapping.path == "[heap]" {
            return add(&mut sums.arenas, mapping.rss);
        }
        if !mapping.is_anonymous() {
            // The rest are files, and what the kernel maps into every process ([vdso], for example), which is code.
            let file = self.files.entry(mapping.path.clone()).or_default();
            add(&mut file.0, mapping.rss);
            file.1 |= mapping.executable || !mapping.path.starts_with('/');
            return;
        }
        if mapping.has("dc") {
            return add(&mut sums.v8, mapping.rss);
        }
        let size = mapping.end.saturating_sub(mapping.start);
        let guarded = self.guard_end == Some(mapping.start) && size <= MAX_UNMARKED_STACK && !mapping.has("nr");
        if mapping.readable && (mapping.has("nh") || guarded) {
            sums.stack_count += 1;
            return add(&mut sums.stacks, mapping.rss);
        }
        if mapping.is_arena(next) {
            return add(&mut sums.arenas, mapping.rss);
        }
        match (&mapping.flags, mapping.has("nr")) {
            (None, _) => add(&mut sums.unknown, mapping.rss),
            (Some(_), true) => add(&mut sums.unreserved, mapping.rss),
            (Some(_), false) => add(&mut sums.plain, mapping.rss),
        }
    }

    fn sums(mut self) -> Mappings {
        self.sums.allocator = ["jemalloc", "tcmalloc", "mimalloc"].into_iter().find(|name| {
            let brings = |file: &String| {
                file.rsplit('/').next().is_some_and(|file| file.starts_with("lib") && file.contains(name))
            };
            self.files.keys().any(brings)
        });
        for (rss, executable) in self.files.into_values() {
            add(if executable { &mut self.sums.code } else { &mut self.sums.files }, rss);
        }
        self.sums
    }
}

fn add(sum: &mut u64, bytes: u64) {
    *sum = sum.saturating_add(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIB: u64 = 1024;

    fn parse(text: &str) -> Mappings {
        Mappings::parse(text.as_bytes()).unwrap()
    }

    fn mapping(head: &str, rss: u64, flags: &str) -> String {
        let flags = if flags.is_empty() { String::new() } else { format!("VmFlags: {flags} \n") };
        format!("{head}\nSize: 99 kB\nRss:       {rss} kB\nSwap: 1 kB\nAnonHugePages:  2 kB\n{flags}")
    }

    #[test]
    fn distinguishes_kinds_of_mappings() {
        let text = [
            mapping("00400000-00401000 r--p 00000000 08:01 77     /usr/bin/node", 1, "rd mr mw me"),
            mapping("00401000-05000000 r-xp 00001000 08:01 77     /usr/bin/node", 2, "rd ex mr mw me"),
            mapping("0565d000-05689000 rw-p 00000000 00:00 0 ", 4, "rd wr mr mw me ac"),
            mapping("1a003000-1a2c6000 rw-p 00000000 00:00 0      [heap]", 8, "rd wr mr mw me ac"),
            mapping("e30f640000-e30f680000 rw-p 00000000 00:00 0 ", 16, "rd wr mr mw me dc nr"),
            mapping("7f9338000000-7f9338021000 rw-p 00000000 00:00 0 ", 32, "rd wr mr mw me nr"),
            mapping("7f9338021000-7f933c000000 ---p 00000000 00:00 0 ", 0, "mr mw me nr"),
            mapping("7f933ea00000-7f933ec00000 rw-p 00000000 00:00 0 ", 64, "rd wr mr mw me nr"),
            mapping("7f933f9fd000-7f9340000000 rw-p 00000000 00:00 0 ", 128, "rd wr mr mw me ac"),
            mapping("7f9371ffc000-7f9371ffd000 ---p 00000000 00:00 0 ", 0, "mr mw me nh"),
            mapping("7f9371ffd000-7f93727fd000 rw-p 00000000 00:00 0 ", 256, "rd wr mr mw me ac nh"),
            mapping("7f9372800000-7f9372900000 r--s 00000000 08:01 9      /srv/data file (deleted)", 512, "rd mr"),
            mapping("7f9373800000-7f9373900000 rw-s 00000000 00:19 9      /dev/shm/x", 1024, "rd wr sh mr"),
            mapping("7fff33dde000-7fff33dff000 rw-p 00000000 00:00 0      [stack]", 2048, "rd wr gd ac"),
        ]
        .concat();
        let expected = Mappings {
            code: 3 * KIB,
            plain: (4 + 128) * KIB,
            arenas: (8 + 32) * KIB,
            v8: 16 * KIB,
            unreserved: 64 * KIB,
            stacks: (256 + 2048) * KIB,
            stack_count: 2,
            files: 512 * KIB,
            shared: 1024 * KIB,
            unknown: 0,
            swapped: 14 * KIB,
            huge: 28 * KIB,
            allocator: None,
        };
        assert_eq!(parse(&text), expected);
        assert_eq!(parse(&text).rss(), 4095 * KIB);
    }

    #[test]
    fn knows_stacks_by_their_guard_where_the_kernel_does_not_mark_them() {
        let guard = mapping("7f9371ffc000-7f9371ffd000 ---p 00000000 00:00 0 ", 0, "mr mw me");
        let stack = mapping("7f9371ffd000-7f93727fd000 rw-p 00000000 00:00 0 ", 5, "rd wr mr mw me ac");
        assert_eq!(parse(&format!("{guard}{stack}")).stacks, 5 * KIB);
        assert_eq!(parse(&stack).plain, 5 * KIB, "without a guard it is any memory");
        let large = mapping("7f9371ffd000-7f93827fd000 rw-p 00000000 00:00 0 ", 5, "rd wr mr mw me ac");
        assert_eq!(parse(&format!("{guard}{large}")).plain, 5 * KIB);
    }

    #[test]
    fn full_arenas_that_have_grown_together_are_arenas() {
        let two = mapping("7f9338000000-7f9340000000 rw-p 00000000 00:00 0 ", 7, "rd wr mr mw me nr");
        assert_eq!(parse(&two).arenas, 7 * KIB);
    }

    #[test]
    fn knows_a_malloc_that_was_preloaded_by_its_library() {
        let library = |file: &str| mapping(&format!("7f00-8f00 r-xp 00000000 08:01 9      {file}"), 7, "rd ex mr");
        assert_eq!(parse(&library("/usr/lib/libjemalloc.so.2")).allocator, Some("jemalloc"));
        assert_eq!(parse(&library("/usr/lib/libtcmalloc_minimal.so.4.5.10")).allocator, Some("tcmalloc"));
        assert_eq!(parse(&library("/srv/jemalloc/libc.so.6")).allocator, None);
    }

    #[test]
    fn without_flags_anonymous_memory_is_unknown() {
        assert_eq!(parse(&mapping("7f00-8f00 rw-p 00000000 00:00 0 ", 7, "")).unknown, 7 * KIB);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn agrees_with_the_kernel_on_this_process() {
        let mappings = Mappings::of_self().unwrap();
        let (rss, rollup) = (mappings.rss(), exact_rss_bytes());
        assert!(rss.abs_diff(rollup) < rollup / 2, "{rss} and {rollup}");
        assert!(mappings.code > 0 && mappings.stacks > 0 && mappings.stack_count >= 2);
        assert_eq!(Mappings::of(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn takes_anything(text in "([0-9a-f]{1,16}-[0-9a-f]{1,16} [rwxsp-]{0,5} .{0,40}\n|Rss: *[0-9]{0,20} kB\n|VmFlags:.{0,9}\n|.{0,20}\n){0,30}") {
            parse(&text).rss();
        }

        #[test]
        fn takes_any_bytes(bytes: Vec<u8>) {
            Mappings::parse(&bytes[..]).unwrap();
        }
    }
}
