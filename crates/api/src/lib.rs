//! The admin surface: REST, events, OpenAPI, and the client the command line uses.
