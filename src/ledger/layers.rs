//! What each function of the app's stack uses in a request: bytes and time, without the functions that it passes the
//! request to.

use std::collections::HashMap;

use crate::recorder::writer::{LayerUse, Writer};
use crate::recorder::{LAYER_ROWS_MAX, LAYERS_MAX};

/// The id of a layer. 0 is none.
pub type LayerId = u16;

/// Layers that are distinguished in one request. Further ones are charged to the last.
const PER_REQUEST: usize = 64;
/// The row for layers beyond the bound.
const OTHER: usize = LAYERS_MAX;

#[derive(Default)]
pub struct Layers {
    ids: HashMap<Box<str>, LayerId>,
    /// (route row, layer) → row.
    rows: HashMap<(u16, LayerId), u16>,
    /// By slot: what the layers of its request have used so far.
    uses: Vec<Vec<(LayerId, LayerUse)>>,
}

impl Layers {
    /// Returns the id of a layer, identified by its function's name and where that is defined.
    pub fn id(&mut self, writer: &Writer, name: &str, origin: &str) -> LayerId {
        let key = format!("{name}\0{origin}");
        if let Some(id) = self.ids.get(key.as_str()) {
            return *id;
        }
        let index = self.ids.len();
        if index >= OTHER {
            writer.layer(OTHER, "(other)", "");
            return OTHER as LayerId + 1;
        }
        writer.layer(index, name, origin);
        let id = index as LayerId + 1;
        self.ids.insert(key.into(), id);
        id
    }

    pub fn charge(&mut self, slot: usize, layer: LayerId, heap_bytes: i64, time_ns: u64) {
        if self.uses.len() <= slot {
            self.uses.resize_with(slot + 1, Vec::new);
        }
        let uses = &mut self.uses[slot];
        let known = uses.iter().position(|(id, _)| *id == layer);
        let at = match known {
            Some(at) => at,
            None if uses.len() < PER_REQUEST => {
                uses.push((layer, LayerUse::default()));
                uses.len() - 1
            }
            None => uses.len() - 1,
        };
        uses[at].1.heap_bytes += heap_bytes;
        uses[at].1.time_ns += time_ns;
    }

    /// The request in `slot` is over: its layers' figures are added to the rows of its route. Rows are bounded, and
    /// figures without a row are dropped.
    pub fn end(&mut self, writer: &Writer, slot: usize, route: usize, certain: bool) {
        let Some(uses) = self.uses.get_mut(slot) else { return };
        for (layer, used) in uses.drain(..) {
            let next = self.rows.len();
            let row = match self.rows.get(&(route as u16, layer)) {
                Some(row) => usize::from(*row),
                None if next < LAYER_ROWS_MAX => {
                    writer.open_layer_row(next, route, usize::from(layer) - 1);
                    self.rows.insert((route as u16, layer), next as u16);
                    next
                }
                None => continue,
            };
            writer.layer_use(row, &used, certain);
        }
    }
}
