mod oracle;
mod runs;
mod series;
mod words;
