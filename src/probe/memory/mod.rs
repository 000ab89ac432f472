//! Where the resident set is: disjoint parts that add up to it.
//!
//! What V8, glibc and jemalloc say of themselves overlaps: buffers and V8's own tables lie in glibc's blocks, whose figures are
//! addresses rather than resident memory. So the resident bytes come from the kernel alone, by kind of mapping (`process::smaps`), and each
//! figure of an allocator *takes* from the kind of mapping that it lives in, never more than is there. What nobody takes is
//! unexplained. Whatever the figures say, the parts add up.
//!
//! ```text
//! mappings of V8     = v8-heap (committed by this thread's heap) + v8-other
//! arenas             = glibc in use + glibc free
//! other reserved     = glibc's large blocks + what the arenas do not hold of glibc's + unexplained
//! unreserved         = jemalloc + unexplained
//! glibc in use + large blocks = array-buffers + v8-malloc + malloc-in-use
//! ```
//!
//! Where another malloc is in glibc's place (`probe::allocator`), its figures take from all anonymous memory that is left.
//!
//! Of a buffer that was never written to, nothing is resident. glibc's figures say how much of what is in use is not there; that
//! is taken to be buffers, which is where large untouched blocks are.

mod advice;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

use super::allocator::Figures;
use super::glibc::Malloc;
use super::process::smaps::Mappings;

/// What is known; all in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    pub view: View,
    /// The resident set, where there are no mappings to add up.
    pub rss: u64,
    pub mappings: Option<Mappings>,
    pub heap: Option<Heap>,
    /// Buffers and ArrayBuffers; from outside all external memory, which they are nearly all of.
    pub array_buffers: Option<u64>,
    /// glibc's figures.
    pub malloc: Option<Malloc>,
    /// Another malloc in its place.
    pub foreign: Option<Foreign>,
    pub jemalloc: Option<Jemalloc>,
}

/// A malloc that is not the C library's.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    pub name: &'static str,
    /// None where it does not tell.
    pub figures: Option<Figures>,
}

/// Who is asking: what there is to be advised depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    #[default]
    Inside,
    /// From another process, through the record.
    Outside,
}

/// V8's figures of one thread's heap.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    pub used: u64,
    pub limit: u64,
    /// Committed and touched (`total_physical_size`).
    pub physical: u64,
    /// What V8 has from malloc (`malloced_memory`).
    pub malloced: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Jemalloc {
    #[serde(rename = "allocatedBytes")]
    pub allocated: u64,
    #[serde(rename = "activeBytes")]
    pub active: u64,
    #[serde(rename = "residentBytes")]
    pub resident: u64,
    #[serde(rename = "retainedBytes")]
    pub retained: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    pub name: Name,
    /// None where the platform cannot tell; then it counts under another part.
    #[serde(serialize_with = "or_unsupported")]
    pub bytes: Option<u64>,
    pub meaning: String,
    /// What to do, where something is to be done.
    pub advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Name {
    V8Heap,
    V8Other,
    ArrayBuffers,
    V8Malloc,
    MallocInUse,
    MallocFree,
    Jemalloc,
    Code,
    MappedFiles,
    SharedMemory,
    ThreadStacks,
    Unexplained,
}

/// Serialises nothing as what the interface promises for it.
///
/// # Errors
/// The serialiser's.
pub fn or_unsupported<S: Serializer, T: Serialize>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => value.serialize(serializer),
        None => serializer.serialize_str("unsupported"),
    }
}

impl Readings {
    /// The resident set that the parts add up to.
    pub fn rss(&self) -> u64 {
        self.mappings.map_or(self.rss, |mappings| mappings.rss())
    }

    /// Always the same parts in the same order, the unexplained rest last; their bytes add up to [`Readings::rss`].
    pub fn parts(&self) -> Vec<Part> {
        let bytes = self.split();
        bytes.into_iter().map(|(name, bytes)| advice::part(self, name, bytes)).collect()
    }

    fn split(&self) -> [(Name, Option<u64>); 12] {
        let mappings = self.mappings;
        let unmapped = Mappings { unknown: self.rss, ..Mappings::default() };
        // What of each kind of mapping nobody has taken yet.
        let mut left = mappings.unwrap_or(unmapped);

        let heap = self.heap.map(|heap| match left.v8 {
            // No flags are known.
            0 => take(heap.physical, [&mut left.unreserved, &mut left.plain, &mut left.unknown]),
            _ => take(heap.physical, [&mut left.v8]),
        });
        let v8_other = mappings.filter(|mappings| mappings.v8 > 0).map(|_| take(u64::MAX, [&mut left.v8]));
        // What it calls resident includes pages that were never touched.
        let jemalloc = self.jemalloc.map(|jemalloc| match left.unreserved {
            // Nor are they where the system allows no overcommitment.
            0 => take(jemalloc.resident, [&mut left.plain, &mut left.unknown]),
            _ => take(jemalloc.resident, [&mut left.unreserved]),
        });

        let (held, absent, free) = match self.foreign() {
            Some(foreign) => foreign.split(&mut left),
            None => self.malloc(&mut left),
        };
        let mut held = held;
        let array_buffers = self.array_buffers.map(|bytes| take(bytes.saturating_sub(absent), [&mut held]));
        let v8_malloc = self.heap.map(|heap| take(heap.malloced, [&mut held]));
        let in_use = (self.malloc.is_some() || self.foreign.is_some() || mappings.is_some())
            .then(|| take(u64::MAX, [&mut held]));

        let of = |figure: fn(&Mappings) -> u64| mappings.as_ref().map(figure);
        let (code, files, shared, stacks) = (of(|m| m.code), of(|m| m.files), of(|m| m.shared), of(|m| m.stacks));
        let named = [
            (Name::V8Heap, heap),
            (Name::V8Other, v8_other),
            (Name::ArrayBuffers, array_buffers),
            (Name::V8Malloc, v8_malloc),
            (Name::MallocInUse, in_use),
            (Name::MallocFree, free),
            (Name::Jemalloc, jemalloc),
            (Name::Code, code),
            (Name::MappedFiles, files),
            (Name::SharedMemory, shared),
            (Name::ThreadStacks, stacks),
        ];
        let explained = named.iter().filter_map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        let mut all = [(Name::Unexplained, Some(self.rss().saturating_sub(explained))); 12];
        all[..11].copy_from_slice(&named);
        all
    }

    /// The malloc in glibc's place: from outside, by the libraries that are mapped.
    fn foreign(&self) -> Option<Foreign> {
        let mapped = || Some(Foreign { name: self.mappings?.allocator?, figures: None });
        if self.view == View::Outside { mapped() } else { self.foreign }
    }

    /// What of the C library's malloc is resident and in use; how much of what it says is in use is not resident; and what
    /// is resident and free.
    fn malloc(&self, left: &mut Mappings) -> (u64, u64, Option<u64>) {
        let Some(malloc) = self.malloc else {
            // All of it together, as far as it can be told from the rest.
            let all = take(u64::MAX, [&mut left.arenas, &mut left.plain]);
            return (all + self.buffers_elsewhere(all, left), 0, None);
        };
        let in_arenas = take(malloc.in_use, [&mut left.arenas, &mut left.unknown]);
        let mapped = take(malloc.mapped, [&mut left.plain, &mut left.unknown]);
        // Where something lies behind the heap, brk is refused, and the main arena goes on in mappings.
        let in_use = in_arenas + take(malloc.in_use - in_arenas, [&mut left.plain]);
        let free = take(malloc.free, [&mut left.arenas, &mut left.plain, &mut left.unknown]);
        let said = malloc.in_use.saturating_add(malloc.mapped);
        let elsewhere = self.buffers_elsewhere(said, left);
        (in_use + mapped + elsewhere, said - (in_use + mapped), Some(free))
    }

    /// Buffers and V8's tables that are more than malloc holds: they are in memory of another malloc then, which was not recognised.
    fn buffers_elsewhere(&self, held: u64, left: &mut Mappings) -> u64 {
        let malloced = self.heap.map_or(0, |heap| heap.malloced);
        let more = self.array_buffers.unwrap_or(0).saturating_add(malloced).saturating_sub(held);
        take(more, [&mut left.unreserved, &mut left.plain, &mut left.unknown])
    }
}

impl Foreign {
    /// As [`Readings::malloc`]. What is left of anonymous memory may all be its: each maps its memory in its own way.
    fn split(&self, left: &mut Mappings) -> (u64, u64, Option<u64>) {
        let Mappings { arenas, unreserved, plain, unknown, .. } = left;
        let mut all = |wanted| take(wanted, [&mut *arenas, &mut *unreserved, &mut *plain, &mut *unknown]);
        match self.figures {
            None => (all(u64::MAX), 0, None),
            Some(Figures { in_use, free }) => {
                let resident = all(in_use);
                (resident, in_use - resident, Some(all(free)))
            }
        }
    }
}

/// Takes up to `wanted` bytes out of these, in turn, and says how many there were.
fn take<const N: usize>(wanted: u64, from: [&mut u64; N]) -> u64 {
    let mut wanting = wanted;
    for left in from {
        let taken = wanting.min(*left);
        *left -= taken;
        wanting -= taken;
    }
    wanted - wanting
}
