//! The environment of each kind of script.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{declare::object::ObjectName, engine::Engine, here::messages::Messages, variables::Variables};

impl Engine {
    fn log_variables(&self) -> Variables {
        let level = self.run.log_level;
        let mut variables: Variables = vec![
            ("__cdist_log_level", level.number().to_string().into()),
            ("__cdist_log_level_name", level.name().into()),
        ];
        if self.run.dry_run {
            variables.push(("__cdist_dry_run", "1".into()));
        }
        variables
    }

    fn tags(&self) -> (&'static str, OsString) {
        ("__target_host_tags", self.run.tags.join(",").into())
    }

    /// The environment of a local script: what this process has, the variables of the run, and `own`.
    pub(super) fn local_environment(&self, own: Variables) -> Vec<(OsString, OsString)> {
        let mut all: BTreeMap<OsString, OsString> = self.base.iter().cloned().collect();
        let mut set = |variables: Variables| {
            all.extend(variables.into_iter().map(|(key, value)| (key.into(), value)));
        };
        set(self.target_variables());
        set(vec![self.tags(), ("__files", self.stage.conf("files").into())]);
        set(self.log_variables());
        set(own);
        all.into_iter().collect()
    }

    /// What manifests have besides: what type calls need, and messages.
    pub(super) fn manifest_variables(&self, manifest: &Path, messages: &Messages) -> Variables {
        let mut variables = self.type_call_variables(manifest);
        variables.extend([
            ("__messages_in", messages.input.as_os_str().to_owned()),
            ("__messages_out", messages.output.as_os_str().to_owned()),
        ]);
        variables
    }

    /// Type names as commands, and what these need. Objects tell `manifest` as their source.
    pub(super) fn type_call_variables(&self, manifest: &Path) -> Variables {
        let mut path = self.stage.out.join("bin").into_os_string();
        if let Some((_, inherited)) = self.base.iter().find(|(key, _)| key == "PATH") {
            path.push(":");
            path.push(inherited);
        }
        vec![
            ("PATH", path),
            ("__manifest", self.stage.conf("manifest").into()),
            ("__cdist_manifest", manifest.into()),
            ("__cdist_type_base_path", self.stage.conf("type").into()),
            ("__cdist_object_marker", self.stage.marker.clone()),
            ("__cdist_colored_log", if self.run.colored { "true" } else { "false" }.into()),
        ]
    }

    /// What local scripts of an object have.
    pub(super) fn object_variables(&self, object: &ObjectName) -> Variables {
        vec![
            ("__object", self.stage.object_dir(object).into()),
            ("__object_id", object.id().to_owned()),
            ("__object_name", object.full()),
            ("__type", self.stage.conf("type").join(object.type_name()).into()),
            ("__cdist_object_marker", self.stage.marker.clone()),
            ("__cdist_remote_dir", self.stage.remote.clone().into()),
        ]
    }

    /// What explorers have, in the order in which it is exported.
    pub(super) fn explorer_variables(&self) -> Variables {
        let mut variables = self.target_variables();
        variables.push(("__explorer", self.stage.remote_explorers().into()));
        variables.push(self.tags());
        variables.extend(self.log_variables());
        variables
    }

    /// What type explorers have besides.
    pub(super) fn type_explorer_variables(&self, object: &ObjectName) -> Variables {
        let mut variables = self.explorer_variables();
        variables.extend(self.code_remote_variables(object));
        let mut full = object.full();
        if !object.id().is_empty() {
            full.push("/");
        }
        full.push(&self.stage.marker);
        variables.extend([
            ("__object_name", object.full()),
            ("__object_fq", full),
            ("__type_explorer", self.stage.remote_type_explorers(object.type_name()).into()),
        ]);
        variables
    }

    /// What generated code has on the target.
    pub(super) fn code_remote_variables(&self, object: &ObjectName) -> Variables {
        vec![
            ("__object", self.stage.remote_object_dir(object).into()),
            ("__object_id", object.id().to_owned()),
        ]
    }
}
