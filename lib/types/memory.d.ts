// What `memory()` and `trim()` resolve to. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.

/** What the platform cannot tell. */
export type Unsupported = 'unsupported'

/** What `memory` resolves to. */
export interface Memory {
  pid: number
  /** When it was read. */
  at: number
  /** Resident set size: the sum of the parts. */
  rssBytes: number
  /** Always the same ones in the same order; {@link MemoryPartName} has them. */
  parts: MemoryPart[]
  /** V8's own figures of the calling thread's heap. */
  v8: {
    /** Bytes in use, garbage included. */
    usedBytes: number
    /** Address space reserved for the heap. */
    totalBytes: number
    /** Of that committed and touched. */
    physicalBytes: number
    limitBytes: number
    /** What V8 itself has from malloc. */
    mallocedBytes: number
    /** Memory outside the heap that JavaScript objects hold; Buffers and ArrayBuffers are part of it. */
    externalBytes: number
    /** Sizes of Buffers and ArrayBuffers, touched or not. */
    arrayBuffersBytes: number
    spaces: { name: string; physicalBytes: number; usedBytes: number; totalBytes: number; availableBytes: number }[]
  }
  /**
   * Whose malloc the process has: `'glibc'`, `'musl'`, or what was preloaded in its place: `'jemalloc'`, `'tcmalloc'`, `'mimalloc'`, or another
   * library's file name.
   */
  allocator: string | Unsupported
  /**
   * glibc's malloc, all threads: addresses, of which not all need be resident. `'unsupported'` with musl, before glibc 2.33, and where another
   * malloc is in its place.
   */
  glibc:
    | {
        /** Taken from the system in arenas: in use and free together. */
        arenaBytes: number
        inUseBytes: number
        /** Held, but free. */
        freeBytes: number
        /** Blocks so large that each is a mapping of its own, beside the arenas. */
        mappedBytes: number
      }
    | Unsupported
  /** The addon's own allocator. */
  jemalloc:
    | {
        allocatedBytes: number
        activeBytes: number
        /** What jemalloc believes is resident: an upper bound. */
        residentBytes: number
        /** Address space kept for later, without memory behind it. */
        retainedBytes: number
      }
    | Unsupported
  /** The container's memory controller (v1 or v2). */
  cgroup:
    | {
        /** Null if there is no limit. */
        limitBytes: number | null
        /** Page cache included. */
        usedBytes: number | Unsupported
        /** Page cache that was not used lately: the kernel drops it before it kills. */
        inactiveFileBytes: number | Unsupported
        /** `usedBytes` less `inactiveFileBytes`: what Kubernetes goes by. */
        workingSetBytes: number | Unsupported
      }
    | Unsupported
  /** Of the resident set, in transparent huge pages. */
  hugePageBytes: number | Unsupported
  /** Swapped out, not resident. */
  swappedBytes: number | Unsupported
  /** The longest time that the event loop did not come round while this was read, whatever held it. */
  stalledMs: number
}

export interface MemoryPart {
  name: MemoryPartName
  /** Resident bytes. `'unsupported'` counts as 0: what it would be is in another part, `unexplained` in the end. */
  bytes: number | Unsupported
  /** What it is, in a sentence. */
  meaning: string
  /** What to do; null where nothing is to be done. */
  advice: string | null
}

export type MemoryPartName =
  /** The calling thread's heap, free room in its pages included. */
  | 'v8-heap'
  /** V8's memory beyond it: heaps of other threads, WebAssembly, emptied pages kept for reuse. */
  | 'v8-other'
  /** Contents of the calling thread's Buffers and ArrayBuffers, as far as they were touched. */
  | 'array-buffers'
  /** What V8 itself has from malloc. */
  | 'v8-malloc'
  /** What else is in use from malloc; where `malloc-free` is unsupported, what is free as well. */
  | 'malloc-in-use'
  /** Held by malloc, but free. */
  | 'malloc-free'
  /** plimsoll's own memory. */
  | 'jemalloc'
  /** The executable and libraries, their data included. */
  | 'code'
  /** Other mapped files. */
  | 'mapped-files'
  /** tmpfs in `/dev/shm`, memfd, shared anonymous memory; plimsoll's record is there. */
  | 'shared-memory'
  | 'thread-stacks'
  /** What no figure accounts for. */
  | 'unexplained'

/** What `snapshot` resolves to. */
export interface Snapshot {
  /** The file. */
  path: string
  /** Its size. */
  bytes: number
  /** How long the event loop stood: for the fork, or for all of it. */
  pauseMs: number
  /** From the call to the whole file. */
  tookMs: number
  /** How many children it took. */
  attempts: number
  mode: 'fork' | 'stop'
}

/** What `trim` resolves to. */
export interface Trimmed {
  rssBeforeBytes: number
  rssAfterBytes: number
  /** Before less after: negative if the process grew by more meanwhile. */
  freedBytes: number
  /** How long the trimming took, on its thread. */
  tookMs: number
  /** The longest time that the event loop did not come round meanwhile, whatever held it. */
  stalledMs: number
  /** Whether malloc had something to give back. */
  malloc: boolean | Unsupported
  /** Whether jemalloc gave its free pages back. */
  jemalloc: boolean | Unsupported
}
