//! Sizes in bytes: how they are written in layouts and rules, and how they are shown.

/// 1 MiB: everything on a disk begins and ends at a multiple of it.
pub(super) const MIB: u64 = 1 << 20;
/// 1 GiB.
pub(super) const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Units from the largest to the smallest.
const UNITS: [(&str, u64); 4] = [("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", 1 << 10)];

/// Reads a whole number with a unit, such as `512MiB`.
///
/// # Errors
///
/// What is wrong with it, and what to write instead.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let instead = match unit {
            "" if !number.is_empty() => format!("; give it a unit, such as {number}MiB"),
            "K" | "M" | "G" | "T" | "k" | "m" | "g" | "t" | "KB" | "kB" | "MB" | "GB" | "TB" => {
                format!("; write {number}{}iB, which counts by 1024", unit[..1].to_uppercase())
            }
            _ => "; write a whole number with KiB, MiB, GiB or TiB".to_owned(),
        };
        return Err(format!("`{text}` is no size{instead}"));
    };
    match number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor)) {
        Some(0) => Err(format!("`{text}` is nothing; write at least 1{unit}")),
        Some(bytes) if bytes <= i64::MAX as u64 => Ok(bytes),
        _ if number.is_empty() => {
            Err(format!("`{text}` has no number; write a whole number with KiB, MiB, GiB or TiB"))
        }
        _ => Err(format!("`{text}` is more than any disk has; write less than 8388608TiB")),
    }
}

/// The size as it is, in the largest unit from MiB on that it is a multiple of, else in bytes.
pub(super) fn exact(bytes: u64) -> String {
    let whole = UNITS[..3].iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    whole.map_or_else(|| format!("{bytes} bytes"), |(name, factor)| format!("{} {name}", bytes / factor))
}

/// The size in the largest unit that it has one of, with one place, rounded down: a disk never looks larger than it is.
pub(super) fn rounded(bytes: u64) -> String {
    let Some((name, factor)) = UNITS.iter().find(|(_, factor)| bytes >= *factor) else {
        return format!("{bytes} bytes");
    };
    let tenths = u128::from(bytes) * 10 / u128::from(*factor);
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// The size for people who compare it with another one: rounded, and exact beside it, so that two that differ never look equal.
pub(super) fn told(bytes: u64) -> String {
    let exact = exact(bytes);
    if exact.len() <= "99999 MiB".len() && !exact.ends_with("bytes") {
        exact
    } else {
        format!("{} ({bytes} bytes)", rounded(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in
            [("1KiB", 1024), ("512MiB", 512 * MIB), ("2TiB", 2 * TIB), ("8388607TiB", 8_388_607 * TIB)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for (text, part) in [
            ("", "write a whole number"),
            ("512", "such as 512MiB"),
            ("10G", "write 10GiB"),
            ("10gB", "write a whole number"),
            ("2GB", "write 2GiB"),
            ("MiB", "has no number"),
            ("0MiB", "is nothing"),
            ("1.5GiB", "write a whole number"),
            ("-1GiB", "write a whole number"),
            ("8388608TiB", "more than any disk"),
            ("99999999999999999999GiB", "more than any disk"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_are_shown() {
        for (bytes, shown, close) in [
            (0, "0 bytes", "0 bytes"),
            (16_896, "16896 bytes", "16.5 KiB"),
            (MIB, "1 MiB", "1.0 MiB"),
            (2818 * MIB, "2818 MiB", "2.7 GiB"),
            (20 * GIB, "20 GiB", "20.0 GiB"),
            (2_000_398_934_016, "2000398934016 bytes", "1.8 TiB"),
        ] {
            assert_eq!((exact(bytes), rounded(bytes)), (shown.to_owned(), close.to_owned()));
        }
        // Both are 1.8 TiB.
        assert_eq!(told(2_000_398_934_016), "1.8 TiB (2000398934016 bytes)");
        assert_ne!(told(2_000_398_934_016), told(2_000_398_934_528));
        assert_eq!(told(20 * GIB), "20 GiB");
        assert_eq!(told(1_907_729 * MIB), "1.8 TiB (2000398843904 bytes)");
    }
}
