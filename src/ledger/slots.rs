//! The slots of the requests in flight. A handle contains a generation, so that a stale one finds nothing.

use std::ops::{Index, IndexMut};
use std::time::Instant;

use super::Handle;
use crate::recorder::SLOTS_MAX;
use crate::recorder::writer::NativeUse;

const GENERATIONS: u32 = (1 << 31) / SLOTS_MAX as u32;

/// The figures of one request so far.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// 0 while the slot is free.
    pub handle: Handle,
    pub started: Instant,
    pub method: usize,
    /// Bytes charged. It never falls.
    pub heap: i64,
    /// False once V8's own work has blurred one of its spans (see `charge`).
    pub certain: bool,
    /// None after a collection during one of its spans.
    pub external: Option<i64>,
    pub native: NativeUse,
    pub body: u64,
    pub spans: u64,
    pub limited: bool,
    /// The window in which it entered, or 0.
    pub window: u32,
}

#[derive(Default)]
pub struct Slots {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

impl Slots {
    /// Takes a free slot for a request that enters now, in this window. None if all are taken.
    pub fn take(&mut self, now: Instant, window: u32) -> Option<usize> {
        let fresh = |handle| Slot {
            handle,
            started: now,
            method: 0,
            heap: 0,
            certain: true,
            external: Some(0),
            native: NativeUse::default(),
            body: 0,
            spans: 0,
            limited: false,
            window,
        };
        if let Some(index) = self.free.pop() {
            let index = usize::from(index);
            // A free slot stores its last generation in `spans`.
            let generation = self.slots[index].spans as u32 % (GENERATIONS - 1) + 1;
            self.slots[index] = fresh(generation * SLOTS_MAX as u32 + index as u32);
            return Some(index);
        }
        let index = self.slots.len();
        if index == SLOTS_MAX {
            return None;
        }
        self.slots.push(fresh(SLOTS_MAX as u32 + index as u32));
        Some(index)
    }

    /// The index of a handle's slot. None for a stale handle.
    pub fn index(&self, handle: Handle) -> Option<usize> {
        let index = handle as usize % SLOTS_MAX;
        (handle != 0 && self.slots.get(index)?.handle == handle).then_some(index)
    }

    pub fn free(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.spans = u64::from(slot.handle / SLOTS_MAX as u32);
        slot.handle = 0;
        self.free.push(index as u16);
    }

    /// Number of slots in use.
    pub fn taken(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl Index<usize> for Slots {
    type Output = Slot;

    fn index(&self, index: usize) -> &Slot {
        &self.slots[index]
    }
}

impl IndexMut<usize> for Slots {
    fn index_mut(&mut self, index: usize) -> &mut Slot {
        &mut self.slots[index]
    }
}
