//! Coordination over the embedded engine, with real time and real threads.

#[cfg(test)]
mod embedded;
