//! Processes of this machine as a host.
