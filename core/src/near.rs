//! Which known word a misspelt one may stand for.

/// The one of `names` that is most like `wrong`, if one is near.
pub fn near_match<'a>(names: impl IntoIterator<Item = &'a str>, wrong: &str) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let distances = names.into_iter().map(|name| (name, strsim::damerau_levenshtein(name, &wrong)));
    let (name, distance) = distances.min_by_key(|&(_, distance)| distance)?;
    (distance <= 1 + name.len() / 4).then_some(name)
}
