//! A set of small integers.

#[derive(Clone, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    pub fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(64)])
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    #[inline]
    pub fn get(&self, at: u32) -> bool {
        self.0[at as usize >> 6] >> (at & 63) & 1 != 0
    }

    #[inline]
    pub fn clear(&mut self, at: u32) {
        self.0[at as usize >> 6] &= !(1 << (at & 63));
    }

    /// Sets a bit. Returns whether it was new.
    #[inline]
    pub fn set(&mut self, at: u32) -> bool {
        let word = &mut self.0[at as usize >> 6];
        let before = *word;
        *word |= 1 << (at & 63);
        *word != before
    }
}
