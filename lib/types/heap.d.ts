// Results of an open heap snapshot (`heap.open()`). Sizes are bytes. Classes, sizes and distances are those of Chrome DevTools.

/** Object id of V8. It is the same in all snapshots of one process while the object is alive, but see {@link HeapDiff.counted}. */
export type HeapObjectId = number

/** Result of `summary()`: what is on the heap. */
export interface HeapSummary {
  /** Number of nodes in the snapshot. */
  nodes: number
  /** Number of edges in the snapshot. */
  edges: number
  /** Total size of the heap, as in Chrome DevTools. */
  totalBytes: number
  /** All classes, by retained size, largest first. */
  classes: HeapClass[]
  /** Shallow size by kind: objects, arrays, strings, closures, buffers, … Each byte is counted in exactly one kind. */
  kinds: { kind: string; count: number; bytes: number }[]
  /** The 100 objects that retain most, largest first. */
  biggest: HeapObject[]
  /** Strings with the same text. */
  duplicateStrings: {
    /** Number of copies, without the first of each text. */
    count: number
    /** Size of these copies. */
    wastedBytes: number
    /** The 100 texts that waste most, largest first. `value` is the beginning of the text. */
    strings: { value: string; count: number; bytes: number; wastedBytes: number }[]
  }
  /** Detached nodes: native nodes that are no longer part of a document. `nodes` has the 100 that retain most. */
  detached: { count: number; selfBytes: number; nodes: HeapObject[] }
}

/** Objects of one constructor, plain objects of one shape, or a group that V8 names in parentheses, such as `(string)`. */
export interface HeapClass {
  name: string
  /** Number of objects. */
  count: number
  /** Shallow size of all objects together. */
  selfBytes: number
  /** Size that all objects retain together. No byte is counted twice. */
  retainedBytes: number
  /** Smallest distance of the objects, as in {@link HeapObject}. */
  distance: number
  /** Position of the constructor. Absent if V8 does not know it. */
  location?: HeapLocation
}

/** Position in a script. Lines and columns start at 1. */
export interface HeapLocation {
  /** Script id of V8, valid only in the process of the snapshot. */
  scriptId: number
  line: number
  column: number
}

export interface HeapObject {
  id: HeapObjectId
  /** Text of a string, properties of a plain object, name of a function. The class of any other object. */
  name: string
  class: string
  /** Node type of V8: `object`, `closure`, `string`, `array`, … */
  type: string
  /** Shallow size, with the arrays that only this object owns. */
  selfBytes: number
  /** Retained size: the bytes that would be freed with this object. */
  retainedBytes: number
  /**
   * Number of steps from a global object. From 100,000,000: the object is reachable only from V8's own roots. -5: it is reachable
   * only through weak references.
   */
  distance: number
  /** Immediate dominator: the nearest object without which this one would be freed. Null for the root. */
  dominator: HeapObjectId | null
}

/** Result of `object()`. */
export interface HeapObjectDetail extends HeapObject {
  /** Number of references from this object. */
  referenceCount: number
  /** Number of references to this object. */
  retainerCount: number
  /** The first 100 references from this object. */
  references: HeapReference[]
  /** The first 100 references to this object. */
  retainers: HeapReference[]
}

export interface HeapReference {
  /** Name of a property or variable, an index, or V8's name for an internal reference. */
  name: string
  /** Edge type of V8: `property`, `context`, `element`, `internal`, `hidden`, `weak`, `shortcut`. */
  type: string
  /** Whether the reference counts for retained sizes. */
  retains: boolean
  /** The object at the other end. */
  object: HeapObject
}

/** Result of `path()`: the shortest retaining path from a root to an object. */
export interface HeapPath {
  /**
   * The path as one line: `global → module users.js → cache: Map → table → Session @1234`. Empty if only weak references lead to
   * the object.
   */
  text: string
  /**
   * The parts of `text`, at most about 40. V8's internal links, such as a function's context, are left out. The part `… N more`
   * replaces parts that were left out.
   */
  parts: string[]
  /** Every step, root first, at most 200. Of a longer path: the first 100 and the last 100. */
  steps: { edge: string; edgeType: string; object: HeapObject }[]
  /** Number of steps in the middle that `steps` does not have. */
  stepsLeftOut: number
}

/** A row of the dominator tree. Each node comes before the nodes that it dominates. */
export interface HeapDominator extends HeapObject {
  /** Depth below the root; 0 for the root. */
  depth: number
  /** Number of nodes that it immediately dominates and that are not listed: too small, or too deep. */
  restCount: number
  /** Retained size of these nodes. */
  restBytes: number
}

/** Result of `diff()`: what was added and removed between two snapshots of one process. */
export interface HeapDiff {
  /**
   * False: objects were compared by id. True: ids could not be used, so objects were counted by class and by retainer.
   *
   * Snapshots of `plimsoll.snapshot()` are counted, because each is written by a child process that numbers the objects for itself.
   * Then `added` and `removed` are differences of counts. With a `final` snapshot, that one is compared with the first.
   */
  counted: boolean
  /** Number of objects that were added. */
  added: number
  /** Number of objects that were removed. */
  removed: number
  addedBytes: number
  removedBytes: number
  /** Classes with added or removed objects, by `retainedBytes` less `removedBytes`, largest first. */
  classes: {
    name: string
    added: number
    removed: number
    addedBytes: number
    removedBytes: number
    /** Size that the added objects retain together. */
    retainedBytes: number
    /** Retaining path of `example`, root first. Empty from the 51st class on; if `counted`, empty for classes that retain little. */
    path: string[]
    /** File of the module that the path goes through; null if there is none. */
    module: string | null
    /** Id of the added object that retains most; null if there is none. If `counted`, it may be an object that existed before. */
    example: HeapObjectId | null
    /** Position of the constructor. Absent if V8 does not know it. */
    location?: HeapLocation
  }[]
}
