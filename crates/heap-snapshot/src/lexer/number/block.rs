//! How the text is divided: both readers search for ends in the same blocks.

/// Bytes that are searched for ends at once, and how often that is done before numbers are made.
pub const BLOCK_BYTES: usize = 64;
pub const BLOCKS: usize = 8;
/// Places that are noted without asking how many there are: mostly a block has no more than sixteen.
pub const UNASKED: usize = 8;
