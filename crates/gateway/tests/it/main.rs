//! The gateway on a real data plane, with instances that are a few lines of TCP each.

#[cfg(test)]
mod app;
#[cfg(test)]
mod apply;
#[cfg(test)]
mod traffic;
