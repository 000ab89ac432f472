// What a heap snapshot that is open answers. Sizes are bytes. Classes, sizes and distances are those of Chrome DevTools.

/** Ids are V8's, and the same in all snapshots of one process for as long as the object lives. */
export type HeapObjectId = number

/** What is on the heap. */
export interface HeapSummary {
  nodes: number
  edges: number
  totalBytes: number
  /** By what their objects retain, largest first. */
  classes: HeapClass[]
  /** What kinds of things take, each byte in one of them: strings, closures, arrays, buffers, … */
  kinds: { kind: string; count: number; bytes: number }[]
  /** The 100 objects that retain most, largest first. */
  biggest: HeapObject[]
  duplicateStrings: {
    /** Strings beyond the first of each. */
    count: number
    wastedBytes: number
    /** The 100 that waste most. `value` is the beginning of the text. */
    strings: { value: string; count: number; bytes: number; wastedBytes: number }[]
  }
  /** Native nodes that no document holds any more. */
  detached: { count: number; selfBytes: number; nodes: HeapObject[] }
}

/** Objects of one constructor, plain objects of one shape, or what V8 has a name in parentheses for. */
export interface HeapClass {
  name: string
  count: number
  selfBytes: number
  /** What all of them retain together: nothing is counted twice. */
  retainedBytes: number
  /** The least of its objects. */
  distance: number
  /** Of the constructor, where V8 knows it; lines and columns from 1. */
  location?: HeapLocation
}

/** `scriptId` is the process's. */
export interface HeapLocation {
  scriptId: number
  line: number
  column: number
}

export interface HeapObject {
  id: HeapObjectId
  /** A string's text, a plain object's properties, a function's name, else the class. */
  name: string
  class: string
  /** V8's node type: `object`, `closure`, `string`, `array`, … */
  type: string
  /** With the arrays that only this object owns. */
  selfBytes: number
  /** What would be freed with it. */
  retainedBytes: number
  /** Steps from the global object; from 100,000,000 on from V8's own roots; -5 for what only weak references reach. */
  distance: number
  /** The nearest object without which this one would be freed; null for the root. */
  dominator: HeapObjectId | null
}

export interface HeapObjectDetail extends HeapObject {
  referenceCount: number
  retainerCount: number
  /** The first 100 of what it refers to. */
  references: HeapReference[]
  /** The first 100 of what refers to it. */
  retainers: HeapReference[]
}

export interface HeapReference {
  /** A property, a variable, an index, or V8's name for it. */
  name: string
  /** V8's edge type: `property`, `context`, `element`, `internal`, `hidden`, `weak`, `shortcut`. */
  type: string
  /** Whether it counts for who retains whom. */
  retains: boolean
  /** What is at its other end. */
  object: HeapObject
}

/** The shortest way from a root to an object. */
export interface HeapPath {
  /** As code reads: `global → module users.js → cache: Map → table → Session @1234`. Empty where only weak references lead there. */
  text: string
  /** The parts of that; what says nothing to who wrote the code is left out. */
  parts: string[]
  /** At most 200 steps, root first. Of a longer path the first 100 and the last 100 are here. */
  steps: { edge: string; edgeType: string; object: HeapObject }[]
  /** How many steps in the middle are not in `steps`. */
  stepsLeftOut: number
}

/** A row of the dominator tree: each node comes before what it dominates. */
export interface HeapDominator extends HeapObject {
  /** Below the root. */
  depth: number
  /** Of what it dominates at once, what is not listed. */
  restCount: number
  restBytes: number
}

/** What came and what went. */
export interface HeapDiff {
  /**
   * Whether objects were counted, by class and by how they are held, since their ids mean nothing: of snapshots that children made (`plimsoll.snapshot()`), of
   * which each numbers the objects for itself. Then `added` and `removed` are what there is more and less of, and the third snapshot is compared with the first.
   */
  counted: boolean
  added: number
  removed: number
  addedBytes: number
  removedBytes: number
  /** By what the added objects retain less what is gone, largest first. */
  classes: {
    name: string
    added: number
    removed: number
    addedBytes: number
    removedBytes: number
    /** What the added objects retain together. */
    retainedBytes: number
    /** How the one that retains most is kept, root first; empty from the 51st class on. */
    path: string[]
    /** The file of the module that the path goes through; null where it goes through none. */
    module: string | null
    /** The id of that one. */
    example: HeapObjectId | null
    location?: HeapLocation
  }[]
}
