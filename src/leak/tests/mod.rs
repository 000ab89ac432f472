mod monitor;
mod oracle;
mod resources;
mod runs;
mod series;
mod words;
