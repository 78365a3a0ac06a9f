//! Turns routes and the registry's knowledge into the data plane's snapshots.
