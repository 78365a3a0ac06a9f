//! `Accept-Encoding`.

use policy::compress::{Accepted, Coding, MEMBERS_MAX};

const ALL: [Coding; 3] = [Coding::Br, Coding::Zstd, Coding::Gzip];

/// It makes no difference in how many fields the list comes, in which case, nor with which spaces; what is
/// chosen was offered, and offering more only ever changes the choice to what was added.
pub(crate) fn check(data: &[u8]) {
    let whole = Accepted::parse(data);
    if data.split(|byte| *byte == b',').count() <= MEMBERS_MAX {
        let mut apart = Accepted::default();
        data.split(|byte| *byte == b',').for_each(|member| apart.add(member));
        assert_eq!(apart, whole);
    }
    assert_eq!(
        Accepted::parse(&data.to_ascii_uppercase()),
        Accepted::parse(&data.to_ascii_lowercase())
    );
    let spaced = data.split(|byte| *byte == b',').map(|member| [b" \t", member, b" "].concat());
    assert_eq!(Accepted::parse(&spaced.collect::<Vec<_>>().join(&b","[..])), whole);
    assert_eq!(whole.choose(&[]), None);
    let best = whole.choose(&ALL);
    for coding in ALL {
        let only = whole.choose(&[coding]);
        assert!(only.is_none_or(|only| only == coding));
        assert!(best.is_some() || only.is_none(), "{coding:?} is wanted only alone");
    }
}
