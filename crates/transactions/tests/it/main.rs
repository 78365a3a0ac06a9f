//! Transactions over the engine that a node has on its disk.

#[cfg(test)]
mod embedded;
