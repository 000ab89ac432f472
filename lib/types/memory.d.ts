// Results of `memory()`, `trim()` and `snapshot()`. Sizes are bytes, `*Ms` are milliseconds, times are milliseconds since the epoch.

/** A figure that the platform does not provide. */
export type Unsupported = 'unsupported'

/** Result of `memory()`. Without a binary it has only what Node reports. */
export interface Memory {
  pid: number
  /** Time of the reading. */
  at: number
  /** Resident set size: the sum of all parts. */
  rssBytes: number
  /** All parts of the resident set, always the same ones in the same order. {@link MemoryPartName} describes them. */
  parts: MemoryPart[]
  /** V8's figures for the heap of the calling thread. */
  v8: {
    /** Heap in use, garbage included. */
    usedBytes: number
    /** Address space reserved for the heap. */
    totalBytes: number
    /** Heap memory that is committed and was touched. */
    physicalBytes: number
    /** V8's heap limit. */
    limitBytes: number
    /** Memory that V8 itself has allocated with malloc. */
    mallocedBytes: number
    /** Memory outside the heap that JavaScript objects own, Buffers and ArrayBuffers included. */
    externalBytes: number
    /** Size of all Buffers and ArrayBuffers, touched or not. */
    arrayBuffersBytes: number
    /** The same figures by heap space. */
    spaces: { name: string; physicalBytes: number; usedBytes: number; totalBytes: number; availableBytes: number }[]
  }
  /**
   * The malloc of the process: `'glibc'` or `'musl'`, or a preloaded library instead: `'jemalloc'`, `'tcmalloc'`, `'mimalloc'`, or
   * the file name of another one.
   */
  allocator: string | Unsupported
  /**
   * glibc's malloc, for all threads. The figures are address space, which need not be resident.
   *
   * `'unsupported'` with musl, before glibc 2.33, and if another malloc is preloaded.
   */
  glibc:
    | {
        /** Memory of all arenas, in use and free. */
        arenaBytes: number
        /** Memory in use. */
        inUseBytes: number
        /** Free memory that malloc has not returned to the system. */
        freeBytes: number
        /** Large blocks outside the arenas, each in a mapping of its own. */
        mappedBytes: number
      }
    | Unsupported
  /** The addon's own allocator. */
  jemalloc:
    | {
        /** Bytes in allocations. */
        allocatedBytes: number
        /** Bytes in pages with at least one allocation. */
        activeBytes: number
        /** Resident bytes by jemalloc's count: an upper bound. */
        residentBytes: number
        /** Address space that jemalloc reserves for later, without memory. */
        retainedBytes: number
      }
    | Unsupported
  /** Memory controller of the container (cgroup v1 or v2). */
  cgroup:
    | {
        /** Memory limit; null if there is none. */
        limitBytes: number | null
        /** Memory in use, page cache included. */
        usedBytes: number | Unsupported
        /** Page cache that was not used recently. The kernel frees it before it kills a process. */
        inactiveFileBytes: number | Unsupported
        /** `usedBytes` less `inactiveFileBytes`. Kubernetes uses this figure. */
        workingSetBytes: number | Unsupported
      }
    | Unsupported
  /** Part of the resident set that is in transparent huge pages. */
  hugePageBytes: number | Unsupported
  /** Memory that is swapped out. It is not part of the resident set. */
  swappedBytes: number | Unsupported
  /** Longest event-loop delay during the reading, whatever its cause. */
  stalledMs: number
}

export interface MemoryPart {
  name: MemoryPartName
  /** Resident bytes. An `'unsupported'` part counts as 0; its memory is then in another part, in the end in `unexplained`. */
  bytes: number | Unsupported
  /** Description of the part, one sentence. */
  meaning: string
  /** What to do about it; null if there is nothing to do. */
  advice: string | null
}

export type MemoryPartName =
  /** Heap of the calling thread, with the free room in its pages. */
  | 'v8-heap'
  /** Other memory of V8: heaps of other threads, WebAssembly, emptied pages that V8 reserves. */
  | 'v8-other'
  /** Contents of the calling thread's Buffers and ArrayBuffers, as far as they were touched. */
  | 'array-buffers'
  /** Memory that V8 itself has allocated with malloc. */
  | 'v8-malloc'
  /** Other memory that malloc has in use. If `malloc-free` is unsupported, free memory of malloc too. */
  | 'malloc-in-use'
  /** Free memory that malloc has not returned to the system. */
  | 'malloc-free'
  /** Plimsoll's own memory. */
  | 'jemalloc'
  /** The executable, the libraries and their data. */
  | 'code'
  /** Other mapped files. */
  | 'mapped-files'
  /** tmpfs in `/dev/shm`, memfd, and shared anonymous memory. Plimsoll's record is here. */
  | 'shared-memory'
  /** Stacks of all threads, as far as they were touched. */
  | 'thread-stacks'
  /** Memory that no figure accounts for. */
  | 'unexplained'

/** Result of `snapshot()`. */
export interface Snapshot {
  /** Path of the file. */
  path: string
  /** Size of the file. */
  bytes: number
  /** How long the event loop was paused: with `'fork'` for the fork only, with `'stop'` for the whole write. */
  pauseMs: number
  /** Time from the call until the file was complete. */
  tookMs: number
  /** Number of child processes that were needed, 1 to 4. 1 with `'stop'`. */
  attempts: number
  mode: 'fork' | 'stop'
}

/** Result of `trim()`. */
export interface Trimmed {
  /** RSS before the trim. */
  rssBeforeBytes: number
  /** RSS after the trim. */
  rssAfterBytes: number
  /** Difference of both. Negative if the process grew meanwhile. */
  freedBytes: number
  /** Duration of the trim on its thread. */
  tookMs: number
  /** Longest event-loop delay during the trim, whatever its cause. */
  stalledMs: number
  /** Whether malloc had memory to return. */
  malloc: boolean | Unsupported
  /** Whether jemalloc has returned its free pages. */
  jemalloc: boolean | Unsupported
}
