//! The types that cross the plugin boundary, as abi_stable sees them: a snapshot that may not change in all of 1.x.

use std::collections::{BTreeSet, HashSet};

use abi_stable::{StableAbi, type_layout::TypeLayout};
use cdist_plugin_api::{Extension, Host, PluginError, PreosEntry, PreosModule_Ref};

/// What is compared when a plugin is loaded: sizes, alignments, fields in their order, functions.
#[derive(Default)]
struct Description {
    seen: HashSet<*const TypeLayout>,
    types: BTreeSet<String>,
}

impl Description {
    fn add(&mut self, layout: &'static TypeLayout) {
        if !self.seen.insert(layout) {
            return;
        }
        let (size, alignment) = (layout.size(), layout.alignment());
        let mut text =
            format!("{} of {}: {size} bytes, aligned to {alignment}\n", layout.full_type(), layout.package());
        for field in layout.get_fields().into_iter().flatten().chain(layout.phantom_fields()) {
            let functions = field.function_range();
            let mut shown: Vec<String> = functions
                .iter()
                .flat_map(|function| function.to_string().lines().next().map(str::to_owned))
                .collect();
            if shown.is_empty() {
                shown.push(field.full_type().to_string());
            }
            text.push_str(&format!("    {}: {}\n", field.name(), shown.join("; ")));
            self.add(field.layout());
            // Their parameters cannot be walked to; what is no type of ours there is one of abi_stable's one version.
            for returned in functions.iter().filter_map(|function| function.return_type_layout()) {
                self.add(returned());
            }
        }
        self.types.insert(text);
    }
}

#[test]
fn the_frozen_types() {
    let mut description = Description::default();
    for layout in [
        PreosModule_Ref::LAYOUT,
        <PreosEntry as StableAbi>::LAYOUT,
        <PluginError as StableAbi>::LAYOUT,
        <Host as StableAbi>::LAYOUT,
        <Extension as StableAbi>::LAYOUT,
    ] {
        description.add(layout);
    }
    insta::assert_snapshot!(description.types.into_iter().collect::<String>());
}
