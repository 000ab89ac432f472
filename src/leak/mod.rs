//! Does the process leak? And which function allocates what stays, and what retains it?
//!
//! A leak is memory that grows *with requests*, not with time: a ramp of traffic is no leak. It must meet all of these conditions:
//!
//! 1. It grows for certain: Mann–Kendall, with its p corrected for autocorrelation and load.
//! 2. It grows by more than noise: the interval of the Theil–Sen slope.
//! 3. It grows to the end, and without a bend. A cache that fills bends.
//! 4. It is not given back. Sessions come and go.
//! 5. It reaches a level where it never was.
//!
//! A server is judged after each collection, for months: one error in a thousand judgements would be an alarm a day. So p is small, several
//! judgements in a row must agree, and the rate of false alarms is tested over whole runs. A leak may begin at any time, and may be slow, so
//! each series is judged in windows of several lengths ([`series`]).
//!
//! On the sampler thread: [`trend_sampler`] reads the points of [`quantities`] (heap, external memory, resident memory outside both),
//! [`series`] judges them, [`detector`] decides when a leak begins and ends.
//!
//! Descriptors, timers, worker threads and child processes are counted and judged in the same way ([`resources`]).
//!
//! On the JavaScript thread: [`monitor`] drives the rest. [`gc_schedule`] decides when V8 is asked for a collection, [`sites`] where the
//! growth is allocated, [`suspect`] which class leaks and what retains it, [`message`] puts all of it into words. What costs the server
//! something is repeated after growing pauses ([`backoff`]).

mod backoff;
pub mod detector;
pub mod gc_schedule;
pub mod message;
pub mod monitor;
pub mod owners;
pub mod quantities;
pub mod resources;
pub mod series;
pub mod sites;
pub mod suspect;
#[cfg(test)]
mod tests;
pub mod trend_sampler;
