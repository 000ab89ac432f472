//! Where the resident set is: disjoint parts that add up to it.
//!
//! The figures of V8, glibc and jemalloc overlap: buffers and V8's own tables are in glibc's blocks, whose figures are
//! addresses rather than resident memory. So the resident bytes come from the kernel alone, by kind of mapping
//! (`process::smaps`). Each figure of an allocator *takes* from the kind of mapping that contains it, never more than
//! is there. What no figure takes is unexplained. With any figures, the parts add up.
//!
//! ```text
//! mappings of V8     = v8-heap (committed by this thread's heap) + v8-other
//! arenas             = glibc in use + glibc free
//! other reserved     = glibc's large blocks + what the arenas do not hold of glibc's + unexplained
//! unreserved         = jemalloc + unexplained
//! glibc in use + large blocks = array-buffers + v8-malloc + malloc-in-use
//! ```
//!
//! If another malloc replaces glibc's (`probe::allocator`), its figures take from all remaining anonymous memory.
//!
//! A buffer that was never written to is not resident. glibc's figures show how much of what is in use is not resident.
//! That is attributed to buffers, because large untouched blocks are usually buffers.

mod advice;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

use super::allocator::Figures;
use super::glibc::Malloc;
use super::process::smaps::Mappings;

/// The input, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Readings {
    pub view: View,
    /// The resident set, if there are no mappings to add up.
    pub rss: u64,
    pub mappings: Option<Mappings>,
    pub heap: Option<Heap>,
    /// Buffers and ArrayBuffers. From outside it is all external memory, which consists almost only of these.
    pub array_buffers: Option<u64>,
    /// glibc's figures.
    pub malloc: Option<Malloc>,
    /// Another malloc that replaces it.
    pub foreign: Option<Foreign>,
    pub jemalloc: Option<Jemalloc>,
}

/// A malloc that is not the C library's.
#[derive(Clone, Copy, Debug)]
pub struct Foreign {
    pub name: &'static str,
    /// None if it reports none.
    pub figures: Option<Figures>,
}

/// The point of view. The advice depends on it.
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
    /// Bytes that V8 has allocated with malloc (`malloced_memory`).
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
    /// None if the platform does not report it. It then counts under another part.
    #[serde(serialize_with = "or_unsupported")]
    pub bytes: Option<u64>,
    pub meaning: String,
    /// What to do, if anything.
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

/// Serialises `None` as the interface promises.
///
/// # Errors
/// Those of the serialiser.
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

    /// Always the same parts in the same order, with the unexplained rest last. Their bytes add up to
    /// [`Readings::rss`].
    pub fn parts(&self) -> Vec<Part> {
        let bytes = self.split();
        bytes.into_iter().map(|(name, bytes)| advice::part(self, name, bytes)).collect()
    }

    fn split(&self) -> [(Name, Option<u64>); 12] {
        let mappings = self.mappings;
        let unmapped = Mappings { unknown: self.rss, ..Mappings::default() };
        // What no figure has taken yet, by kind of mapping.
        let mut left = mappings.unwrap_or(unmapped);

        let heap = self.heap.map(|heap| match left.v8 {
            // No flags are known.
            0 => take(heap.physical, [&mut left.unreserved, &mut left.plain, &mut left.unknown]),
            _ => take(heap.physical, [&mut left.v8]),
        });
        let v8_other = mappings.filter(|mappings| mappings.v8 > 0).map(|_| take(u64::MAX, [&mut left.v8]));
        // What jemalloc calls resident includes pages that were never touched.
        let jemalloc = self.jemalloc.map(|jemalloc| match left.unreserved {
            // Without overcommitment there is no such mark.
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

    /// The malloc that replaces glibc's. From outside it is identified by the mapped libraries.
    fn foreign(&self) -> Option<Foreign> {
        let mapped = || Some(Foreign { name: self.mappings?.allocator?, figures: None });
        if self.view == View::Outside { mapped() } else { self.foreign }
    }

    /// Of the C library's malloc: resident bytes in use, bytes in use that are not resident, and resident free bytes.
    fn malloc(&self, left: &mut Mappings) -> (u64, u64, Option<u64>) {
        let Some(malloc) = self.malloc else {
            // All of it together, as far as the other figures show it.
            let all = take(u64::MAX, [&mut left.arenas, &mut left.plain]);
            return (all + self.buffers_outside_malloc(all, left), 0, None);
        };
        let in_arenas = take(malloc.in_use, [&mut left.arenas, &mut left.unknown]);
        let mapped = take(malloc.mapped, [&mut left.plain, &mut left.unknown]);
        // If another mapping follows the heap, brk fails, and the main arena continues in mappings.
        let in_use = in_arenas + take(malloc.in_use - in_arenas, [&mut left.plain]);
        let free = take(malloc.free, [&mut left.arenas, &mut left.plain, &mut left.unknown]);
        let said = malloc.in_use.saturating_add(malloc.mapped);
        let outside = self.buffers_outside_malloc(said, left);
        (in_use + mapped + outside, said - (in_use + mapped), Some(free))
    }

    /// Buffers and V8's tables beyond what malloc holds: they are in memory of another malloc, which was not
    /// recognised.
    fn buffers_outside_malloc(&self, held: u64, left: &mut Mappings) -> u64 {
        let malloced = self.heap.map_or(0, |heap| heap.malloced);
        let more = self.array_buffers.unwrap_or(0).saturating_add(malloced).saturating_sub(held);
        take(more, [&mut left.unreserved, &mut left.plain, &mut left.unknown])
    }
}

impl Foreign {
    /// Like [`Readings::malloc`]. All remaining anonymous memory may belong to it, since each malloc maps memory
    /// differently.
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

/// Takes up to `wanted` bytes out of these, in order, and returns how many there were.
fn take<const N: usize>(wanted: u64, from: [&mut u64; N]) -> u64 {
    let mut wanting = wanted;
    for left in from {
        let taken = wanting.min(*left);
        *left -= taken;
        wanting -= taken;
    }
    wanted - wanting
}
