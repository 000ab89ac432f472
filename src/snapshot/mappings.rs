//! The parts of memory that V8 excludes from children, and including them for one fork.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::ops::Range;

/// What was read in advance: reading takes 30 to 60 ms at 700 MB, so it is not done on the thread that forks.
#[derive(Debug, Default)]
pub struct Ahead {
    /// Addresses that children do not get (`dc` in `VmFlags`), in ascending order.
    kept_out: Vec<Range<usize>>,
}

impl Ahead {
    /// Reads those of this process, which takes time.
    pub fn read() -> io::Result<Self> {
        Ok(Self { kept_out: kept_out(BufReader::with_capacity(1 << 16, File::open("/proc/self/smaps")?))? })
    }

    /// Includes all memory of this process in the next child.
    pub fn let_in(&self) -> io::Result<LetIn<'_>> {
        let own = own(BufReader::with_capacity(1 << 16, File::open("/proc/self/maps")?))?;
        for range in &own {
            advise(range, libc::MADV_DOFORK);
        }
        Ok(LetIn { ahead: self, own })
    }
}

/// To be undone after the fork.
pub struct LetIn<'a> {
    ahead: &'a Ahead,
    own: Vec<Range<usize>>,
}

impl LetIn<'_> {
    /// Excludes from later children what was excluded before, and nothing else (a stack that a program's start needs,
    /// for example). What V8 has mapped since the reading is included in later children, which costs them a little
    /// time.
    pub fn keep_out(self) {
        for range in intersection(&self.ahead.kept_out, &self.own) {
            advise(&range, libc::MADV_DONTFORK);
        }
    }
}

fn advise(range: &Range<usize>, advice: libc::c_int) {
    // SAFETY: changes only what a later fork copies. An address that is no longer mapped causes an error without an
    // effect.
    unsafe { libc::madvise(range.start as *mut libc::c_void, range.len(), advice) };
}

/// Anonymous private mappings, from `/proc/…/maps`.
fn own(maps: impl BufRead) -> io::Result<Vec<Range<usize>>> {
    let mut found = Vec::new();
    for line in maps.lines() {
        let line = line?;
        // 7f0000000000-7f0000021000 rw-p 00000000 00:00 0    [name]
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(rights), Some(inode)) = (fields.next().and_then(range), fields.next(), fields.nth(2))
        else {
            continue;
        };
        let special = fields.next().is_some_and(|name| name.starts_with("[v"));
        if rights.ends_with('p') && inode == "0" && !special {
            found.push(range);
        }
    }
    Ok(found)
}

/// Mappings with `dc` among their flags, from `/proc/…/smaps`.
fn kept_out(smaps: impl BufRead) -> io::Result<Vec<Range<usize>>> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        let line = line?;
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            let is_kept_out = flags.split_ascii_whitespace().any(|flag| flag == "dc");
            found.extend(current.take().filter(|_| is_kept_out));
        } else if let Some(range) = line.split_ascii_whitespace().next().and_then(range) {
            current = Some(range);
        }
    }
    Ok(found)
}

fn range(text: &str) -> Option<Range<usize>> {
    let (start, end) = text.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    (range.start < range.end).then_some(range)
}

/// The common parts. Both are in ascending order and without overlaps.
fn intersection(one: &[Range<usize>], other: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut i, mut k) = (0, 0);
    while let (Some(a), Some(b)) = (one.get(i), other.get(k)) {
        let common = a.start.max(b.start)..a.end.min(b.end);
        if !common.is_empty() {
            found.push(common);
        }
        if a.end < b.end { i += 1 } else { k += 1 }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMAPS: &str = "\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 1234                       /usr/bin/node
Size:                  4 kB
VmFlags: rd mr mw me
7f0000000000-7f0000040000 rw-p 00000000 00:00 0
Size:                256 kB
VmFlags: rd wr mr mw me dc ac
7f0000040000-7f0000050000 rw-p 00000000 00:00 0                          [anon: v8]
VmFlags: rd wr mr mw me dc
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
VmFlags: rd wr mr mw me gd ac
";

    #[test]
    fn finds_what_children_do_not_get() {
        assert_eq!(
            kept_out(SMAPS.as_bytes()).unwrap(),
            [0x7f00_0000_0000..0x7f00_0004_0000, 0x7f00_0004_0000..0x7f00_0005_0000]
        );
        assert!(Ahead::read().is_ok());
    }

    #[test]
    fn takes_what_is_of_this_process_alone() {
        let maps = "\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 1234                       /usr/bin/node
7f0000000000-7f0000040000 rw-p 00000000 00:00 0
7f0000040000-7f0000050000 rw-s 00000000 00:01 77                         /dev/shm/record
7f0000050000-7f0000060000 ---p 00000000 00:00 0                          [anon: v8]
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc00030000-7ffc00034000 r--p 00000000 00:00 0                          [vvar]
";
        assert_eq!(
            own(maps.as_bytes()).unwrap(),
            [
                0x7f00_0000_0000..0x7f00_0004_0000,
                0x7f00_0005_0000..0x7f00_0006_0000,
                0x7ffc_0000_0000..0x7ffc_0002_1000
            ]
        );
    }

    fn ranges() -> impl Strategy<Value = Vec<Range<usize>>> {
        prop::collection::btree_set(0usize..60, 0..20).prop_map(|edges| {
            let edges: Vec<_> = edges.into_iter().collect();
            edges.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
        })
    }

    proptest! {
        #[test]
        fn intersects(one in ranges(), other in ranges()) {
            let common = intersection(&one, &other);
            for address in 0..60 {
                let within = |ranges: &[Range<usize>]| ranges.iter().any(|range| range.contains(&address));
                prop_assert_eq!(within(&common), within(&one) && within(&other));
            }
        }
    }
}
