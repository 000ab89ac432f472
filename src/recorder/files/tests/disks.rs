//! Full disks, on file systems mounted for the test: the process must continue, whichever page it writes to.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use super::super::{Recorder, open};
use super::*;

struct Mounted(TempDir);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// None, with the reason on the terminal, if mounting is not possible.
fn mounted(arguments: &[&str]) -> Option<Mounted> {
    let dir = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(arguments).arg(dir.path()).output();
    match mount {
        Ok(output) if output.status.success() => Some(Mounted(dir)),
        Ok(output) => {
            skip(&format!("mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            None
        }
        Err(error) => {
            skip(&format!("mount: {error}"));
            None
        }
    }
}

fn tmpfs(size: &str) -> Option<Mounted> {
    mounted(&["-t", "tmpfs", "-o", &format!("size={size}"), "plimsoll-test"])
}

fn ext4(image: &Path) -> Option<Mounted> {
    fs::File::create(image).unwrap().set_len(24 << 20).unwrap();
    match Command::new("mkfs.ext4").arg("-q").arg("-F").arg(image).output() {
        Ok(output) if output.status.success() => mounted(&["-o", "loop", image.to_str().unwrap()]),
        other => {
            skip(&format!("mkfs.ext4: {other:?}"));
            None
        }
    }
}

fn fill(dir: &Path) {
    let mut file = fs::File::create(dir.join("fill")).unwrap();
    for size in [1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
    }
}

fn is_left_alone(dir: &Path) {
    let (recorder, _writer) = Recorder::create(&options(dir, "api"), identity());
    let warning = recorder.warning().unwrap();
    assert!(warning.contains("reserving") && warning.contains("No space left"), "{warning}");
    assert_eq!(entries(&private(dir)), [] as [PathBuf; 0]);
    write_everywhere(&recorder);
}

#[test]
fn a_full_tmpfs_means_a_record_in_memory_and_no_file() {
    let Some(disk) = tmpfs("1m") else { return };
    is_left_alone(disk.0.path());
}

#[test]
fn a_full_tmpfs_is_passed_over_for_the_next_folder() {
    let Some(full) = tmpfs("1m") else { return };
    let next = disk();
    let folders = [full.0.path().to_owned(), next.path().to_owned()];
    let (recorder, _writer) =
        Recorder::create_in(&folders, &Options { name: "api".into(), ..Options::default() }, identity());
    assert_eq!(recorder.warning(), None);
    assert!(recorder.path().unwrap().starts_with(next.path()));
}

#[test]
fn a_tmpfs_that_fills_up_later_causes_no_sigbus() {
    let Some(disk) = tmpfs("8m") else { return };
    let (recorder, writer) = create(disk.0.path(), "api");
    assert!(!open(recorder.path().unwrap()).unwrap().mirrored);
    fill(disk.0.path());
    write_everywhere(&recorder);
    writer.request_untracked();
    assert_eq!(open(recorder.path().unwrap()).unwrap().requests.untracked, 1);
}

#[test]
fn dead_records_make_room_for_the_living() {
    let Some(disk) = tmpfs("16m") else { return };
    let first = dead(disk.0.path(), "api", 1);
    let second = dead(disk.0.path(), "api", 2);
    let options = Options { max_dead_bytes: FILE_BYTES as u64, ..options(disk.0.path(), "api") };
    let (recorder, _writer) = Recorder::create(&options, identity());
    assert_eq!(recorder.warning(), None);
    assert!(!first.exists() && second.exists());
}

#[test]
fn a_disk_that_fills_up_later_still_takes_the_mirror() {
    let image = disk();
    let Some(disk) = ext4(&image.path().join("image")) else { return };
    let (recorder, writer) = create(disk.0.path(), "api");
    fill(disk.0.path());
    write_everywhere(&recorder);
    writer.request_untracked();
    recorder.flush();
    assert_eq!((recorder.write_errors(), recorder.take_write_warning()), (0, None));
    let path = recorder.path().unwrap().to_owned();
    recorder.close(true);
    let record = open(&path).unwrap();
    assert_eq!((record.alive, record.mirrored, record.requests.untracked), (false, true, 1));
}

#[test]
fn a_full_disk_means_a_record_in_memory_and_no_file() {
    let image = disk();
    let Some(disk) = ext4(&image.path().join("image")) else { return };
    let (first, _writer) = create(disk.0.path(), "api");
    fill(disk.0.path());
    first.close(false);
    fill(disk.0.path().join("lost+found").as_path());
    is_left_alone(disk.0.path());
}

#[test]
fn a_read_only_file_system_means_a_record_in_memory() {
    let Some(disk) = mounted(&["-t", "tmpfs", "-o", "ro", "plimsoll-test"]) else { return };
    let (recorder, _writer) = Recorder::create(&options(disk.0.path(), "api"), identity());
    assert!(recorder.warning().unwrap().contains("Read-only file system"));
}
