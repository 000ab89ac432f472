//! How the text is divided: both readers search for ends in the same blocks.

/// Bytes that are searched for ends at once, and the number of such blocks before numbers are computed.
pub const BLOCK_BYTES: usize = 64;
pub const BLOCKS: usize = 8;
/// Places that are noted without checking how many there are: most blocks have no more than sixteen.
pub const UNASKED: usize = 8;
