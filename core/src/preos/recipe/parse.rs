//! The record of a recipe: its keys, and where their values go.

use cdist_plugin_api::Record;

use super::{Bootstrap, Configure, Pxe, Recipe, RecipeError, Secret};

/// The versions of the recipe that this program reads.
pub(super) const VERSIONS: std::ops::RangeInclusive<u32> = 1..=1;

/// A recipe while its fields are read: parts have values whether they are asked for or not.
#[derive(Debug, Default)]
struct Draft {
    name: String,
    target: String,
    remove_target: bool,
    is_bootstrapped: bool,
    bootstrap: Bootstrap,
    is_configured: bool,
    configure: Configure,
    has_pxe: bool,
    pxe: Pxe,
}

/// What the value of a key is.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// `yes`, or the key is not there.
    Switch(fn(&mut Draft) -> &mut bool),
    /// A text. Of a key that is repeated the last one counts, unless it is added to a list.
    Text(fn(&mut Draft, String)),
}

use Value::{Switch, Text};

/// All keys. A key that is not here is refused, unless it begins with `?`.
const KEYS: [(&str, Value); 29] = [
    ("name", Text(|draft, value| draft.name = value)),
    ("target", Text(|draft, value| draft.target = value)),
    ("remove-target", Switch(|draft| &mut draft.remove_target)),
    ("bootstrap", Switch(|draft| &mut draft.is_bootstrapped)),
    ("bootstrap.suite", Text(|draft, value| draft.bootstrap.suite = value)),
    ("bootstrap.mirror", Text(|draft, value| draft.bootstrap.mirror = Some(value))),
    ("bootstrap.arch", Text(|draft, value| draft.bootstrap.arch = Some(value))),
    ("bootstrap.script", Text(|draft, value| draft.bootstrap.script = Some(value))),
    ("bootstrap.keyring", Text(|draft, value| draft.bootstrap.keyring = Some(value))),
    ("bootstrap.component", Text(|draft, value| draft.bootstrap.components.push(value))),
    ("bootstrap.package", Text(|draft, value| draft.bootstrap.packages.push(value))),
    ("bootstrap.path-exclude", Text(|draft, value| draft.bootstrap.path_exclude.push(value))),
    ("bootstrap.path-include", Text(|draft, value| draft.bootstrap.path_include.push(value))),
    ("bootstrap.command", Text(|draft, value| draft.bootstrap.command.push(value))),
    ("configure", Switch(|draft| &mut draft.is_configured)),
    ("configure.manifest", Text(|draft, value| draft.configure.manifest = value)),
    ("configure.key-file", Text(|draft, value| draft.configure.key_files.push(value.into()))),
    ("configure.trigger-command", Text(|draft, value| draft.configure.trigger_command = Some(value))),
    ("configure.trigger-url", Text(|draft, value| draft.configure.trigger_url = Some(value))),
    (
        "configure.trigger-token-file",
        Text(|draft, value| draft.configure.trigger_token_file = Some(value.into())),
    ),
    ("configure.root-password", Text(|draft, value| draft.configure.root_password = Some(Secret(value)))),
    ("configure.remote-exec", Text(|draft, value| draft.configure.remote_exec = Some(value))),
    ("configure.remote-copy", Text(|draft, value| draft.configure.remote_copy = Some(value))),
    ("configure.parameter", Text(|draft, value| draft.configure.parameters.push(value))),
    (
        "pxe.dir",
        Text(|draft, value| {
            draft.has_pxe = true;
            draft.pxe.dir = value.into();
        }),
    ),
    ("pxe.compress", Text(|draft, value| draft.pxe.compress = Some(value))),
    ("pxe.kernel-parameter", Text(|draft, value| draft.pxe.kernel_parameters.push(value))),
    ("pxe.leave-out", Text(|draft, value| draft.pxe.leave_out.push(value))),
    ("pxe.group", Text(|draft, value| draft.pxe.group = Some(value))),
];

impl Recipe {
    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// It is malformed, of another version, or has a key that this program does not know.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let record = Record::parse(text).map_err(RecipeError::Record)?;
        if record.kind() != "recipe" || !VERSIONS.contains(&record.version()) {
            return Err(RecipeError::Version { kind: record.kind().to_owned(), version: record.version() });
        }
        let mut draft = Draft::default();
        for (key, value) in record.fields() {
            match KEYS.iter().find(|(known, _)| *known == key).map(|(_, value)| *value) {
                Some(Text(set)) => set(&mut draft, value.to_owned()),
                Some(Switch(switch)) if value == "yes" => *switch(&mut draft) = true,
                Some(Switch(_)) => {
                    let text = format!("the plugin's recipe has `{key}` with another value than `yes`");
                    return Err(RecipeError::Unfit(text));
                }
                None if key.starts_with('?') => {}
                None => return Err(RecipeError::UnknownKey(key.to_owned())),
            }
        }
        for (key, value) in [("name", &draft.name), ("target", &draft.target)] {
            if value.is_empty() {
                return Err(RecipeError::Unfit(format!("the plugin's recipe has no `{key}`")));
            }
        }
        Ok(Self {
            name: draft.name,
            target: draft.target.into(),
            bootstrap: draft.is_bootstrapped.then_some(draft.bootstrap),
            configure: draft.is_configured.then_some(draft.configure),
            pxe: draft.has_pxe.then_some(draft.pxe),
            remove_target: draft.remove_target,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cdist_plugin_api::Recipe as Asked;

    use super::*;

    #[test]
    fn every_key_is_documented_for_authors_in_c() {
        let documentation = include_str!("../../../../docs/plugins.md");
        for (key, _) in KEYS {
            assert!(documentation.contains(&format!("`{key}`")), "{key}");
        }
    }

    #[test]
    fn reads_what_the_plugin_api_writes() {
        let asked = Asked::new("debian", "/srv/preos")
            .bootstrap()
            .suite("bookworm")
            .packages(["curl", "file"])
            .configure()
            .manifest("__file /a\n")
            .root_password("x y")
            .pxe_dir("/srv/pxe")
            .with("?later", "1");
        let recipe = Recipe::parse(&asked.to_text()).unwrap();
        assert_eq!(recipe.target, Path::new("/srv/preos"));
        assert_eq!(recipe.bootstrap.unwrap().packages, ["curl", "file"]);
        assert_eq!(recipe.pxe.unwrap().dir, Path::new("/srv/pxe"));
        assert!(!format!("{:?}", recipe.configure).contains("x y"));
        let error = Recipe::parse(&asked.with("boot.uefi", "1").to_text()).unwrap_err();
        assert!(error.to_string().contains("`boot.uefi`"));
    }

    #[test]
    fn a_switch_is_yes_or_absent() {
        for key in ["bootstrap", "configure", "remove-target"] {
            let asked = Asked::new("debian", "/srv/preos").with(key, "true");
            let error = Recipe::parse(&asked.to_text()).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}` with another value than `yes`")), "{error}");
        }
    }
}
