//! Which parts of a root are left out of the initramfs.

/// A list of patterns for paths inside the root.
///
/// A pattern is a path with `*` (any characters but `/`, none too) and `?` (one byte but `/`); a `/` at its
/// begin or end may be written or not. What matches is left out with all that lies beneath: `/usr/share/doc`
/// drops the directory, `/var/cache/apt/archives/*` empties it and keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclude(Vec<Vec<u8>>);

impl Exclude {
    /// The list of these patterns. Empty ones match nothing.
    pub fn new<P: AsRef<[u8]>>(patterns: impl IntoIterator<Item = P>) -> Self {
        Self(patterns.into_iter().map(|p| bare(p.as_ref()).to_vec()).filter(|p| !p.is_empty()).collect())
    }

    /// True if the path, relative to the root, is to be left out.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.0.iter().any(|pattern| glob(pattern, path))
    }
}

fn bare(pattern: &[u8]) -> &[u8] {
    let mut rest = pattern;
    while let [b'/', inner @ ..] | [inner @ .., b'/'] = rest {
        rest = inner;
    }
    rest
}

/// Goes back to the last `*` only: an earlier one can never match better, so the time is bounded.
fn glob(pattern: &[u8], path: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < path.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(&c) if c == path[t] || (c == b'?' && path[t] != b'/') => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((at, from)) if path[from] != b'/' => {
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
            _ => return false,
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("/usr/share/doc", "usr/share/doc", true),
            ("usr/share/doc/", "usr/share/doc", true),
            ("/usr/share/doc", "usr/share/docs", false),
            ("/usr/share/doc", "usr/share", false),
            ("/var/cache/apt/archives/*", "var/cache/apt/archives", false),
            ("/var/cache/apt/archives/*", "var/cache/apt/archives/x.deb", true),
            ("/var/cache/apt/archives/*", "var/cache/apt/archives/.lock", true),
            ("/boot/vmlinuz*", "boot/vmlinuz", true),
            ("/boot/vmlinuz*", "boot/vmlinuz-6.1.0-9-amd64", true),
            ("/boot/*-amd64", "boot/x-amd64-amd64", true),
            ("/boot/*-amd64", "boot/x/y-amd64", false),
            ("/usr/*/doc", "usr/share/doc", true),
            ("/usr/*/doc", "usr/share/x/doc", false),
            ("/a?c", "abc", true),
            ("/a?c", "a/c", false),
            ("*", "bin", true),
            ("", "bin", false),
            ("/", "bin", false),
        ] {
            assert_eq!(Exclude::new([pattern]).matches(path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    /// The plain definition, exponential in the worst case.
    fn slow(pattern: &[u8], path: &[u8]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if slow(rest, path) => true,
            (Some((b'*', _)), Some((&t, tail))) => t != b'/' && slow(pattern, tail),
            (Some((&c, rest)), Some((&t, tail))) => (c == t || (c == b'?' && t != b'/')) && slow(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_definition(pattern in "[ab*?/]{0,8}", path in "[ab/]{0,10}") {
            prop_assert_eq!(
                glob(pattern.as_bytes(), path.as_bytes()),
                slow(pattern.as_bytes(), path.as_bytes())
            );
        }
    }
}
