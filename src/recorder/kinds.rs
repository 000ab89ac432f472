//! Values that are numbers in the record and names for users.

/// Kinds of collection, in the order of their rows in `GC_TOTALS`; V8's `GCType` bit is `1 << index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcKind {
    Scavenge = 0,
    MinorMarkSweep = 1,
    MarkSweepCompact = 2,
    IncrementalMarking = 3,
    WeakCallbacks = 4,
}

impl GcKind {
    pub const ALL: [GcKind; 5] =
        [Self::Scavenge, Self::MinorMarkSweep, Self::MarkSweepCompact, Self::IncrementalMarking, Self::WeakCallbacks];

    /// The name in `stats().gc`, in files and in the label `kind` of metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scavenge => "scavenge",
            Self::MinorMarkSweep => "minor-mark-sweep",
            Self::MarkSweepCompact => "mark-sweep-compact",
            Self::IncrementalMarking => "incremental-marking",
            Self::WeakCallbacks => "weak-callbacks",
        }
    }
}

/// The first digit of a response's status; a response without a valid one counts as `5xx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusClass(u8);

impl StatusClass {
    pub fn of(status: u32) -> Self {
        match status / 100 {
            class @ 1..=5 => StatusClass(class as u8),
            _ => StatusClass(5),
        }
    }
    pub fn digit(self) -> u64 {
        u64::from(self.0)
    }
    pub fn name(self) -> &'static str {
        ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(self.0) - 1]
    }
}

/// What a trend describes. Users see the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// V8's heap.
    Heap = 0,
    /// Memory outside the heap that its objects retain: Buffers, ArrayBuffers.
    External = 1,
    /// Other resident memory: the C library's heap, other addons', fragmentation, code.
    Native = 2,
}

impl Quantity {
    pub const ALL: [Quantity; 3] = [Self::Heap, Self::External, Self::Native];

    pub fn name(self) -> &'static str {
        ["heap", "external", "native"][self as usize]
    }
}

/// The state of a trend. Users see the names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrendState {
    #[default]
    Learning = 0,
    Steady = 1,
    Uncertain = 2,
    Leaking = 3,
}

impl serde::Serialize for TrendState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl TrendState {
    pub const ALL: [TrendState; 4] = [Self::Learning, Self::Steady, Self::Uncertain, Self::Leaking];

    pub fn name(self) -> &'static str {
        ["learning", "steady", "uncertain", "leaking"][self as usize]
    }
}

/// How severe a finding is. Users see the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Info = 0,
    Warning = 1,
    Critical = 2,
}

impl Severity {
    pub const ALL: [Severity; 3] = [Self::Info, Self::Warning, Self::Critical];

    pub fn name(self) -> &'static str {
        ["info", "warning", "critical"][self as usize]
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == name)
    }
}

/// The subject of an event. Users see the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Start = 1,
    Exit = 2,
    UncaughtException = 3,
    Limit = 4,
    Blocked = 5,
    StatsFile = 6,
    Recorder = 7,
    LastDeath = 8,
    InternalError = 9,
    NearLimit = 10,
    Shed = 11,
    Trim = 12,
    Snapshot = 13,
    Sites = 14,
    Path = 15,
}

impl EventKind {
    pub const ALL: [EventKind; 15] = [
        Self::Start,
        Self::Exit,
        Self::UncaughtException,
        Self::Limit,
        Self::Blocked,
        Self::StatsFile,
        Self::Recorder,
        Self::LastDeath,
        Self::InternalError,
        Self::NearLimit,
        Self::Shed,
        Self::Trim,
        Self::Snapshot,
        Self::Sites,
        Self::Path,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Exit => "exit",
            Self::UncaughtException => "uncaught-exception",
            Self::Limit => "limit",
            Self::Blocked => "blocked",
            Self::StatsFile => "stats-file",
            Self::Recorder => "recorder",
            Self::LastDeath => "last-death",
            Self::InternalError => "fault",
            Self::NearLimit => "near-limit",
            Self::Shed => "shed",
            Self::Trim => "trim",
            Self::Snapshot => "snapshot",
            Self::Sites => "allocation-sites",
            Self::Path => "retaining-path",
        }
    }

    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u64 == code)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
