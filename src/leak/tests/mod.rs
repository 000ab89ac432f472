mod monitor;
mod oracle;
mod runs;
mod series;
mod words;
