//! The text of a limit.

use policy::rate::{COUNT_MAX, parse};

/// What is read reads back as it is printed, and can be kept; what is refused says where.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match parse(text) {
        Ok(spec) => {
            assert!(
                (1..=COUNT_MAX).contains(&spec.count) && (1..=COUNT_MAX).contains(&spec.burst())
            );
            assert!(spec.rate().is_ok());
            let printed = spec.to_string();
            assert_eq!(parse(&printed).as_ref(), Ok(&spec), "printed as {printed:?}");
        }
        Err(error) => assert!(text.is_char_boundary(error.offset), "{error:?}"),
    }
}
