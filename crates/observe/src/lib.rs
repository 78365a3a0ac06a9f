//! Keeps what services print, and finds it again.
