//! What the operating system reports of this process. Linux reports all of it. What a platform does not report is
//! `None` or 0.

use std::fs;
use std::path::{Path, PathBuf};

pub mod smaps;

/// User and system CPU time of the process, microseconds.
pub fn cpu_us() -> (u64, u64) {
    #[cfg(unix)]
    {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: `usage` is valid memory for one rusage. Zeroed is a valid value of it, so it is initialised in any
        // case.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
            usage.assume_init()
        };
        let us = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
        (us(usage.ru_utime), us(usage.ru_stime))
    }
    #[cfg(not(unix))]
    (0, 0)
}

/// Resident set, bytes. 0 if unknown.
pub fn rss_bytes() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let pages =
            fs::read_to_string("/proc/self/statm").ok().and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
        pages.unwrap_or(0) * rustix::param::page_size() as u64
    }
    #[cfg(not(target_os = "linux"))]
    0
}

/// Open descriptors and their limit. 0 if unknown. Costs a directory listing.
pub fn fds() -> (u64, u64) {
    #[cfg(unix)]
    {
        let open = fs::read_dir(if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" });
        // One of them is the listing itself.
        let open = open.map_or(0, |entries| entries.count().saturating_sub(1) as u64);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(0);
        (open, limit)
    }
    #[cfg(not(unix))]
    (0, 0)
}

/// Whether the descriptors may reach their limit soon. Few are cheap to count, so that can be done more often.
pub fn is_urgent(open: u64, limit: u64) -> bool {
    limit > 0 && open >= limit.div_ceil(4)
}

/// What the open descriptors are, the most frequent first: `sockets`, `pipes`, `files in /tmp`. Empty if unknown. Costs a
/// system call for each descriptor, of which at most some thousands are read.
pub fn descriptor_kinds() -> Vec<(String, u64)> {
    const MOST: usize = 4096;
    let mut kinds = std::collections::HashMap::<String, u64>::new();
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten().take(MOST);
    for link in entries.filter_map(|entry| fs::read_link(entry.path()).ok()) {
        *kinds.entry(kind_of(&link)).or_default() += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    kinds
}

fn kind_of(link: &Path) -> String {
    match link.to_string_lossy().split_once(':') {
        Some(("socket", _)) => "sockets".to_owned(),
        Some(("pipe", _)) => "pipes".to_owned(),
        Some(("anon_inode", _)) => "event descriptors".to_owned(),
        _ => format!("files in {}", link.parent().unwrap_or(link).display()),
    }
}

/// The kernel's boot id. 0 if unknown.
pub fn boot_id() -> u128 {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&id.trim().replace('-', ""), 16).unwrap_or(0)
}

/// Start of this process in clock ticks since boot. 0 if unknown. With the boot id it identifies a process forever,
/// which a pid does not.
pub fn start_ticks() -> u64 {
    start_ticks_in("/proc/self/stat")
}

/// The parent's pid. 0 if it is not visible, none if the platform does not report it.
pub fn parent_id() -> Option<u32> {
    #[cfg(unix)]
    return Some(std::os::unix::process::parent_id());
    #[cfg(not(unix))]
    None
}

/// The same for another process. 0 if no process has this pid.
pub fn start_ticks_of(pid: u32) -> u64 {
    start_ticks_in(&format!("/proc/{pid}/stat"))
}

fn start_ticks_in(path: &str) -> u64 {
    stat_fields(path, 19, 1).sum()
}

/// CPU time of another process, user and system, in clock ticks. 0 if no process has this pid.
pub fn cpu_ticks_of(pid: u32) -> u64 {
    stat_fields(&format!("/proc/{pid}/stat"), 11, 2).sum()
}

/// `count` fields of `/proc/…/stat`, from `first` on, counted from the process's state. None if they cannot be read.
fn stat_fields(path: &str, first: usize, count: usize) -> impl Iterator<Item = u64> {
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The second field is the command in parentheses, which may contain any characters, including spaces and
    // parentheses.
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    let fields: Vec<_> = after.split(' ').skip(first).take(count).filter_map(|field| field.parse().ok()).collect();
    fields.into_iter()
}

/// The memory controller of this process's control group, v1 or v2.
pub struct Cgroup {
    limit: PathBuf,
    used: PathBuf,
    events: PathBuf,
    stat: PathBuf,
}

impl Cgroup {
    /// None outside Linux, and if no memory controller is visible.
    pub fn of_self() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/cgroup").ok()?, Path::new("/sys/fs/cgroup"))
    }

    fn parse(cgroup: &str, root: &Path) -> Option<Self> {
        let group = |matches: fn(&str) -> bool| {
            cgroup.lines().find_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                matches(controllers).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        // In a container the path is that of the host's tree, while the container sees its own group at the root.
        let visible = |base: PathBuf, path: &str, file: &str| {
            [base.join(path), base].into_iter().find(|folder| folder.join(file).exists())
        };
        if let Some(path) = group(|controllers| controllers.split(',').any(|name| name == "memory")) {
            let folder = visible(root.join("memory"), &path, "memory.limit_in_bytes")?;
            return Some(Self {
                limit: folder.join("memory.limit_in_bytes"),
                used: folder.join("memory.usage_in_bytes"),
                events: folder.join("memory.oom_control"),
                stat: folder.join("memory.stat"),
            });
        }
        let folder = visible(root.to_owned(), &group(str::is_empty)?, "memory.current")?;
        Some(Self {
            limit: folder.join("memory.max"),
            used: folder.join("memory.current"),
            events: folder.join("memory.events"),
            stat: folder.join("memory.stat"),
        })
    }

    /// Bytes. None if there is no limit ("max", or v1's page-rounded maximum).
    pub fn limit_bytes(&self) -> Option<u64> {
        number(&self.limit).filter(|limit| *limit < 1 << 60)
    }

    /// Includes the page cache, which the kernel drops before it kills: see [`Cgroup::inactive_file_bytes`].
    pub fn used_bytes(&self) -> Option<u64> {
        number(&self.used)
    }

    /// Page cache that was not used recently, of the group and those below it. Usage less this is what Kubernetes calls
    /// the working set.
    pub fn inactive_file_bytes(&self) -> Option<u64> {
        let stat = fs::read_to_string(&self.stat).ok()?;
        let figure = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        // In v1 the plain figure excludes the groups below.
        figure("total_inactive_file ").or_else(|| figure("inactive_file "))
    }

    /// Usage less what the kernel can drop at once: Kubernetes' working set. None if either is unknown.
    pub fn working_set_bytes(&self) -> Option<u64> {
        Some(self.used_bytes()?.saturating_sub(self.inactive_file_bytes()?))
    }

    /// How many processes of the group the kernel has killed for lack of memory.
    pub fn oom_kills(&self) -> Option<u64> {
        let events = fs::read_to_string(&self.events).ok()?;
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn knows_this_process() {
        assert!(rss_bytes() > 1 << 20);
        assert!(boot_id() != 0);
        assert!(start_ticks() > 0);
        assert_eq!(start_ticks_of(std::process::id()), start_ticks());
        assert_eq!(start_ticks_of(u32::MAX), 0);
        assert_eq!(cpu_ticks_of(u32::MAX), 0);
        assert!(fds().0 >= 3 && fds().1 >= fds().0);
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn reads_cgroup_v2_from_its_own_group() {
        let root = tree(&[
            ("app/memory.current", "1000\n"),
            ("app/memory.max", "2000\n"),
            ("app/memory.events", "low 0\noom 1\noom_kill 3\n"),
            ("app/memory.stat", "anon 900\ninactive_file 80\nactive_file 20\n"),
        ]);
        let cgroup = Cgroup::parse("0::/app\n", root.path()).unwrap();
        assert_eq!((cgroup.used_bytes(), cgroup.limit_bytes(), cgroup.oom_kills()), (Some(1000), Some(2000), Some(3)));
        assert_eq!(cgroup.inactive_file_bytes(), Some(80));
        assert_eq!(cgroup.working_set_bytes(), Some(920));
    }

    #[test]
    fn reads_cgroup_v2_seen_from_inside_a_container() {
        let root = tree(&[("memory.current", "5\n"), ("memory.max", "max\n")]);
        let cgroup = Cgroup::parse("0::/kubepods/pod1/abc\n", root.path()).unwrap();
        assert_eq!((cgroup.used_bytes(), cgroup.limit_bytes(), cgroup.oom_kills()), (Some(5), None, None));
        assert_eq!(cgroup.inactive_file_bytes(), None);
    }

    #[test]
    fn reads_cgroup_v1() {
        let root = tree(&[
            ("memory/x/memory.usage_in_bytes", "7"),
            ("memory/x/memory.limit_in_bytes", "9223372036854771712"),
            ("memory/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("memory/x/memory.stat", "cache 9\ninactive_file 1\ntotal_inactive_file 6\n"),
        ]);
        let cgroup = Cgroup::parse("9:name=systemd:/\n4:cpu,memory:/x\n0::/\n", root.path()).unwrap();
        assert_eq!((cgroup.used_bytes(), cgroup.limit_bytes(), cgroup.oom_kills()), (Some(7), None, Some(2)));
        assert_eq!(cgroup.inactive_file_bytes(), Some(6));
    }
}
