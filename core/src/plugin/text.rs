//! The readable text of a plugin library.
//!
//! ```text
//! cdist-preos 1.0
//! built-with rustc 1.95.0
//! preos <PREOS_NAME or nothing>\t<type name>\t<summary>
//! ```

/// The API major version that this program speaks.
pub const API_MAJOR: u32 = 1;
/// The longest name of a PreOS.
const NAME_MAX: usize = 64;

/// What the text of a library says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginText {
    /// The API version it was built with, major and minor.
    pub api: (u32, u32),
    /// The compiler that built it.
    pub built_with: String,
    /// Its PreOSes; at least one after [`parse`].
    pub preoses: Vec<PreosText>,
}

/// One `preos` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreosText {
    /// `_preos_name`, if it has one.
    pub preos_name: Option<String>,
    /// The name of the type.
    pub type_name: String,
    /// One line that says what it makes; may hold anything but line ends and tabs.
    pub summary: String,
}

impl PreosText {
    /// The name under which it is registered: `_preos_name`, else the type's name in lower case.
    pub fn name(&self) -> String {
        self.preos_name.clone().unwrap_or_else(|| self.type_name.to_lowercase())
    }
}

/// Why a text is refused. The messages complete the line "skipped FILE: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Not UTF-8, or not in the form above.
    #[error("its _cdist_preos text is damaged: {0}")]
    Malformed(&'static str),
    /// Another major version.
    #[error(
        "it is built for plugin API {}.{} ({built_with}), this cdist speaks {API_MAJOR}.x; \
         build it again with cdist-plugin-api {API_MAJOR}", .api.0, .api.1
    )]
    Major {
        /// Its version.
        api: (u32, u32),
        /// Its compiler.
        built_with: String,
    },
    /// A name that cannot be typed or shown.
    #[error(
        "it names a PreOS {0:?}; a name is 1 to 64 letters, digits, '.', '_', '+' or '-', the first one a letter or digit"
    )]
    Name(String),
}

/// Reads the text and checks what it says.
///
/// # Errors
///
/// It is malformed, of another API major version, or names a PreOS badly.
pub fn parse(bytes: &[u8]) -> Result<PluginText, TextError> {
    let text = read(bytes)?;
    if text.api.0 != API_MAJOR {
        return Err(TextError::Major { api: text.api, built_with: text.built_with });
    }
    if text.preoses.is_empty() {
        return Err(TextError::Malformed("it names no PreOS"));
    }
    if let Some(bad) = text.preoses.iter().map(PreosText::name).find(|name| !is_name(name)) {
        return Err(TextError::Name(bad.chars().take(NAME_MAX).collect()));
    }
    Ok(text)
}

/// Reads the text, whatever version and names it has: for showing, not for loading.
///
/// # Errors
///
/// It is malformed.
pub fn read(bytes: &[u8]) -> Result<PluginText, TextError> {
    let bytes = match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => &bytes[..end],
        None => bytes,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| TextError::Malformed("it is not UTF-8"))?;
    let mut lines = text.lines();
    let api = lines
        .next()
        .and_then(|line| line.strip_prefix("cdist-preos "))
        .and_then(|version| version.split_once('.'))
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or(TextError::Malformed("the first line is not `cdist-preos MAJOR.MINOR`"))?;
    let (mut built_with, mut preoses) = (String::new(), Vec::new());
    for line in lines {
        if let Some(compiler) = line.strip_prefix("built-with ") {
            built_with = compiler.to_owned();
        } else if let Some(fields) = line.strip_prefix("preos ") {
            let mut fields = fields.splitn(3, '\t');
            let (name, type_name, summary) = (fields.next(), fields.next(), fields.next());
            preoses.push(PreosText {
                preos_name: name.filter(|name| !name.is_empty()).map(str::to_owned),
                type_name: type_name.ok_or(TextError::Malformed("a preos line has no type"))?.to_owned(),
                summary: summary.unwrap_or_default().to_owned(),
            });
        }
        // Other lines belong to later minor versions.
    }
    Ok(PluginText { api, built_with, preoses })
}

/// Whether a PreOS may have this name.
pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_summaries() {
        let text = b"cdist-preos 1.7\nbuilt-with gcc 12\nnew thing\npreos netbsd\tNetBSD\tmakes\ta\npreos \tFreeBsd\t\n\0junk";
        let text = parse(text).unwrap();
        assert_eq!((text.api, text.built_with.as_str()), ((1, 7), "gcc 12"));
        assert_eq!(text.preoses[0].name(), "netbsd");
        assert_eq!(text.preoses[0].summary, "makes\ta");
        assert_eq!(text.preoses[1].name(), "freebsd");
    }

    #[test]
    fn refuses_other_majors_and_bad_names() {
        let error = parse(b"cdist-preos 2.0\nbuilt-with rustc 9\npreos a\tA\t\n").unwrap_err();
        assert!(error.to_string().contains("built for plugin API 2.0 (rustc 9), this cdist speaks 1.x"));
        for name in ["a/b", "a b", "-a", "\x1b[31m", &"x".repeat(65), "é"] {
            let text = format!("cdist-preos 1.0\npreos {name}\tT\t\n");
            assert!(matches!(parse(text.as_bytes()), Err(TextError::Name(_))), "{name}");
        }
        assert!(matches!(parse(b"cdist-preos 1.0\n"), Err(TextError::Malformed(_))));
        assert!(matches!(parse(b"\xff"), Err(TextError::Malformed(_))));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = parse(&[b"cdist-preos 1.0\npreos ", &bytes[..]].concat());
        }
    }
}
