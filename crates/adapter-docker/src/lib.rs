//! Containers of a Docker engine as a host.
