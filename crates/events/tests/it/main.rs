//! The service over the embedded engines.

#[cfg(test)]
mod embedded;
