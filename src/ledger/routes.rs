//! Assigns rows to requests: method × route × status class, bounded.

use std::collections::HashMap;

use super::sample_owners::RouteId;
use crate::recorder::writer::Writer;
use crate::recorder::{METHODS_MAX, ROUTES_MAX, StatusClass};

/// The last method's row is for all other methods.
const OTHER_METHOD: usize = METHODS_MAX - 1;
const OTHER_LABEL: usize = ROUTES_MAX;

pub struct Routes {
    methods: Vec<Box<str>>,
    labels: HashMap<Box<str>, u16>,
    rows: HashMap<(u8, u16, u64), u16>,
}

impl Routes {
    pub fn new(writer: &Writer, methods: &[String]) -> Self {
        let methods = &methods[..methods.len().min(OTHER_METHOD)];
        let padding = std::iter::repeat_n("", OTHER_METHOD - methods.len());
        writer.methods(methods.iter().map(String::as_str).chain(padding).chain(["*"]));
        Self {
            methods: methods.iter().map(|method| method.as_str().into()).collect(),
            labels: HashMap::new(),
            rows: HashMap::new(),
        }
    }

    pub fn method(&self, index: usize) -> usize {
        if index < self.methods.len() { index } else { OTHER_METHOD }
    }

    /// `GET /users/:id`, as the record's rows have it.
    pub fn name(&self, RouteId { method, label }: RouteId) -> String {
        let method = self.methods.get(usize::from(method)).map_or("*", |method| method);
        let known = self.labels.iter().find(|(_, index)| **index == label);
        format!("{method} {}", known.map_or("(other)", |(label, _)| label))
    }

    /// Ended requests of a route by its name (`GET /users/:id`). None if the route is unknown.
    pub fn requests(&self, writer: &Writer, name: &str) -> Option<u64> {
        let (method, label) = name.split_once(' ')?;
        let method = self.methods.iter().position(|known| **known == *method)? as u8;
        let label = *self.labels.get(label)?;
        let rows = (1..=5).filter_map(|status| self.rows.get(&(method, label, status)));
        Some(rows.map(|row| writer.route_count(usize::from(*row))).sum())
    }

    pub fn label(&mut self, writer: &Writer, label: &str) -> usize {
        if let Some(index) = self.labels.get(label) {
            return usize::from(*index);
        }
        let index = self.labels.len();
        if index >= ROUTES_MAX {
            writer.label(OTHER_LABEL, "(other)");
            return OTHER_LABEL;
        }
        writer.label(index, label);
        self.labels.insert(label.into(), index as u16);
        index
    }

    pub fn row(&mut self, writer: &Writer, method: usize, label: usize, status: StatusClass) -> usize {
        let label = label.min(OTHER_LABEL);
        let key = (method as u8, label as u16, status.digit());
        if let Some(row) = self.rows.get(&key) {
            return usize::from(*row);
        }
        let row = self.rows.len();
        if row < ROUTES_MAX {
            writer.open_route(row, method, label, status);
            self.rows.insert(key, row as u16);
            return row;
        }
        let row = ROUTES_MAX + status.digit() as usize - 1;
        writer.label(OTHER_LABEL, "(other)");
        writer.open_route(row, OTHER_METHOD, OTHER_LABEL, status);
        row
    }
}
