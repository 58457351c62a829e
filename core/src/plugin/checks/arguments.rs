//! Random arguments, the same ones for the same seed.

/// How many lists of arguments a PreOS gets.
pub(super) const LISTS: u64 = 50;
/// The longest argument; the kernel takes 128 KiB.
const LONG: usize = 100_000;

/// What arguments are made of. No absolute path and no `..`: a plugin may believe what it gets, and run without a sandbox.
const WORDS: [&str; 24] = [
    "",
    " ",
    "-",
    "--",
    "---",
    "-x",
    "-hx",
    "--no-such-option-x",
    "--no-such-option-x=1",
    "--=",
    "=",
    "-1",
    "0",
    "255",
    "256",
    "99999999999999999999",
    "1e999",
    "NaN",
    "%s%n",
    "\u{1b}[2J\u{7}",
    "a\nb\tc\rd",
    "\u{e9}\u{6f22}\u{1f980}\u{202e}",
    "$(exit 3);`exit 3`'\"\\",
    "a directory/that is not there",
];

/// Where lists come from.
#[derive(Debug)]
struct Numbers(fastrand::Rng);

impl Numbers {
    fn word(&mut self) -> String {
        let mut chars = |count: usize| -> String {
            // Control characters and others; NUL cannot be in an argument.
            (0..count).filter_map(|_| char::from_u32(1 + self.0.u32(..0x2fff))).collect()
        };
        let random = chars(6);
        match self.0.usize(..WORDS.len() + 4) {
            at if at < WORDS.len() => WORDS[at].to_owned(),
            at if at == WORDS.len() => "x".repeat(LONG),
            at if at == WORDS.len() + 1 => format!("--{}", "y".repeat(LONG)),
            at if at == WORDS.len() + 2 => format!("-{random}"),
            _ => random,
        }
    }
}

/// The list number `index` of a seed.
pub(super) fn list(seed: u64, index: u64) -> Vec<String> {
    // Each list has numbers of its own, so that one can be made without those before it.
    let mut numbers = Numbers(fastrand::Rng::with_seed(seed ^ index.rotate_left(32)));
    let count = numbers.0.usize(1..7);
    (0..count).map(|_| numbers.word()).collect()
}

/// A random seed; short, because people type it.
pub fn random_seed() -> u64 {
    fastrand::u64(..1_000_000)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn lists_depend_on_the_seed_alone() {
        let lists = |seed| (0..LISTS).map(|index| list(seed, index)).collect::<Vec<_>>();
        assert_eq!(lists(7), lists(7));
        assert_ne!(lists(7), lists(8));
        assert!(lists(7).iter().collect::<HashSet<_>>().len() > 40);
    }

    #[test]
    fn arguments_fit_into_a_command_line_and_name_nothing_outside() {
        for word in (0..40).flat_map(|seed| (0..LISTS).flat_map(move |index| list(seed, index))) {
            assert!(
                word.len() < 128 * 1024 && !word.contains('\0') && !word.starts_with('/') && word != ".."
            );
        }
    }
}
