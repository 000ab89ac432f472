//! The header of a snapshot: the number of fields of its rows, their order, and the meaning of the types' numbers. All
//! of that differs between versions of V8, so none of it is assumed.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Real headers have 2 to 3 KiB.
pub const HEADER_BYTES: usize = 1 << 20;
/// Rows of nodes have 6 or 7 fields, those of edges 3.
pub const MOST_FIELDS: usize = 16;
/// The upper bit of an edge's type is ours.
const MOST_TYPES: usize = 128;
/// For a type that the snapshot does not have.
pub const ABSENT: u8 = u8::MAX;

#[derive(Deserialize)]
struct Header {
    meta: RawMeta,
    node_count: u64,
    edge_count: u64,
    /// Index of the root in numbers, not in rows.
    #[serde(default)]
    root_index: u64,
    #[serde(default)]
    extra_native_bytes: Option<f64>,
}

#[derive(Deserialize)]
struct RawMeta {
    node_fields: Vec<String>,
    node_types: Vec<Value>,
    edge_fields: Vec<String>,
    edge_types: Vec<Value>,
    #[serde(default)]
    location_fields: Vec<String>,
}

/// The positions of the fields in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeFields {
    pub count: usize,
    pub kind: usize,
    pub name: usize,
    pub id: usize,
    pub self_size: usize,
    pub edge_count: usize,
    pub detachedness: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeFields {
    pub count: usize,
    pub kind: usize,
    pub name: usize,
    pub to: usize,
}

impl NodeFields {
    /// V8's order since `detachedness` exists, which is the last of `count` fields.
    pub const fn usual(count: usize) -> Self {
        let detachedness = Some(count.saturating_sub(1));
        Self { count, kind: 0, name: 1, id: 2, self_size: 3, edge_count: 4, detachedness }
    }
}

impl EdgeFields {
    /// The order that V8 has always had.
    pub const USUAL: Self = Self { count: 3, kind: 0, name: 1, to: 2 };
}

#[derive(Clone, Copy, Debug)]
pub struct LocationFields {
    pub count: usize,
    pub object: usize,
    pub script: usize,
    pub line: usize,
    pub column: usize,
}

/// The numbers of the types that matter here.
#[derive(Clone, Copy, Debug)]
pub struct NodeKinds {
    pub hidden: u8,
    pub array: u8,
    pub string: u8,
    pub object: u8,
    pub code: u8,
    pub closure: u8,
    pub regexp: u8,
    pub native: u8,
    pub synthetic: u8,
    pub cons_string: u8,
    pub sliced_string: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct EdgeKinds {
    pub context: u8,
    pub element: u8,
    pub property: u8,
    pub internal: u8,
    pub hidden: u8,
    pub shortcut: u8,
    pub weak: u8,
    pub invisible: u8,
}

#[derive(Clone, Debug)]
pub struct Meta {
    pub node_count: u64,
    pub edge_count: u64,
    pub root_index: u64,
    pub extra_native_bytes: f64,
    pub node_fields: NodeFields,
    pub edge_fields: EdgeFields,
    pub location_fields: Option<LocationFields>,
    pub node_types: Vec<String>,
    pub node_kinds: NodeKinds,
    pub edge_kinds: EdgeKinds,
    pub edge_types: Vec<String>,
}

impl Meta {
    /// `offset` is where `json`, the value of `snapshot`, begins.
    pub fn parse(json: &[u8], offset: u64) -> Result<Self> {
        let broken = |what: String| Error::malformed(format!("the header \"snapshot\": {what}"), offset);
        let header: Header = serde_json::from_slice(json).map_err(|error| broken(error.to_string()))?;
        let (nodes, edges) = (&header.meta.node_fields, &header.meta.edge_fields);
        if nodes.len() > MOST_FIELDS || edges.len() > MOST_FIELDS {
            return Err(broken(format!("rows of more than {MOST_FIELDS} fields")));
        }
        let node = |name: &str| field(nodes, name).ok_or_else(|| broken(format!("node_fields has no {name:?}")));
        let edge = |name: &str| field(edges, name).ok_or_else(|| broken(format!("edge_fields has no {name:?}")));
        let node_fields = NodeFields {
            count: nodes.len(),
            kind: node("type")?,
            name: node("name")?,
            id: node("id")?,
            self_size: node("self_size")?,
            edge_count: node("edge_count")?,
            detachedness: field(nodes, "detachedness"),
        };
        let edge_fields =
            EdgeFields { count: edges.len(), kind: edge("type")?, name: edge("name_or_index")?, to: edge("to_node")? };
        let types = |all: &[Value], at: usize, what: &str| {
            let types = all.get(at).and_then(|types| Vec::<String>::deserialize(types).ok());
            types
                .filter(|types| types.len() <= MOST_TYPES)
                .ok_or_else(|| broken(format!("{what} has no list of types")))
        };
        let node_types = types(&header.meta.node_types, node_fields.kind, "node_types")?;
        let edge_types = types(&header.meta.edge_types, edge_fields.kind, "edge_types")?;
        Ok(Self {
            node_count: header.node_count,
            edge_count: header.edge_count,
            root_index: header.root_index,
            extra_native_bytes: header.extra_native_bytes.unwrap_or(0.0),
            node_fields,
            edge_fields,
            location_fields: locations(&header.meta.location_fields),
            node_kinds: NodeKinds::of(&node_types),
            edge_kinds: EdgeKinds::of(&edge_types),
            node_types,
            edge_types,
        })
    }
}

fn field(fields: &[String], name: &str) -> Option<usize> {
    fields.iter().position(|field| field == name)
}

/// Absent in old snapshots.
fn locations(fields: &[String]) -> Option<LocationFields> {
    Some(LocationFields {
        count: Some(fields.len()).filter(|count| *count <= MOST_FIELDS)?,
        object: field(fields, "object_index")?,
        script: field(fields, "script_id")?,
        line: field(fields, "line")?,
        column: field(fields, "column")?,
    })
}

fn number_of(types: &[String], name: &str) -> u8 {
    field(types, name).map_or(ABSENT, |at| at as u8)
}

impl NodeKinds {
    fn of(types: &[String]) -> Self {
        let of = |name| number_of(types, name);
        Self {
            hidden: of("hidden"),
            array: of("array"),
            string: of("string"),
            object: of("object"),
            code: of("code"),
            closure: of("closure"),
            regexp: of("regexp"),
            native: of("native"),
            synthetic: of("synthetic"),
            cons_string: of("concatenated string"),
            sliced_string: of("sliced string"),
        }
    }

    pub fn is_string(&self, kind: u8) -> bool {
        kind == self.string || kind == self.cons_string || kind == self.sliced_string
    }
}

impl EdgeKinds {
    fn of(types: &[String]) -> Self {
        let of = |name| number_of(types, name);
        Self {
            context: of("context"),
            element: of("element"),
            property: of("property"),
            internal: of("internal"),
            hidden: of("hidden"),
            shortcut: of("shortcut"),
            weak: of("weak"),
            invisible: of("invisible"),
        }
    }

    /// Whether an edge's name is a number and not a string.
    pub fn is_indexed(&self, kind: u8) -> bool {
        kind == self.element || kind == self.hidden
    }
}
