//! Uses everything that plugin API 1.0 has, and says what it got, in lines that hold for every later host.
//!
//! `exhibit.c` says the same in C. What stands here is what the binaries of the museum were built from: it does not change.
#![allow(unknown_lints, non_local_definitions, non_camel_case_types)]

use abi_stable::{
    prefix_type::PrefixTypeTrait,
    std_types::{ROption, RStr, RString},
    StableAbi,
};
use cdist_plugin_api::{
    export_preos, CommandRequest, ConfigureRequest, Extension, Host, Level, PluginError, PreOs, Recipe,
};

/// Registers as `exhibit`.
pub struct Exhibit;

impl PreOs for Exhibit {
    const SUMMARY: &'static str = "what plugin API 1.0 has; é";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        match args.first().map(String::as_str) {
            Some("host") => ask(host),
            Some("status") => Ok(args[1].parse()?),
            Some("fail") => Err(PluginError { exit_code: 9, message: "it fails: é".into() }),
            Some("panic") => panic!("on demand"),
            _ => {
                println!("arguments: {}", args.join("|"));
                Ok(0)
            }
        }
    }
}

/// Registers under another name than its type's.
pub struct Other;

impl PreOs for Other {
    const PREOS_NAME: Option<&'static str> = Some("exhibit-2");

    fn commandline(_: &[String], _: &Host) -> Result<i32, PluginError> {
        println!("the other one");
        Ok(0)
    }
}

fn ask(host: &Host) -> Result<i32, PluginError> {
    for level in [Level::Debug, Level::Verbose, Level::Info, Level::Warning, Level::Error] {
        host.log(level, &format!("level {}", level as u8));
    }
    host.step("asking", |step| {
        host.progress(step, 1, Some(2), "half");
        host.progress(step, 2, None, "whole");
        Ok(())
    })?;
    println!("cancelled: {}", host.cancelled());
    println!("conf: {:?}", host.conf("no-such-setting"));
    println!("data_dir: {}", host.data_dir("Exhibit").is_some());
    println!("no data_dir: {:?}", host.data_dir("Other"));
    println!("cdist_exe: {}", host.cdist_exe().ends_with("/cdist"));
    println!("verbosity: {}", host.verbosity());
    println!("beta: {}", host.beta());
    println!("extension: {}", host.get_extension("museum/none").is_some());

    let command = CommandRequest::new("/bin/sh").args(["-c", "pwd; printf '%s\\n' \"$WORD\"; cat"]);
    let report = host.run(&command.env("WORD", "a\\b").cwd("/").stdin("read\r\nin"))?;
    println!("run: {:?}", report.stdout());
    let failed = host.run(&CommandRequest::new("/bin/sh").args(["-c", "exit 3"]));
    println!("failed run: {}", failed.is_err());
    let recipe = Recipe::new("exhibit", "/proc/none/target").bootstrap().packages(["a", "b"]);
    println!("refused key: {}", refused(host.build(&recipe.clone().with("key-of-nobody", "x"))));
    println!("failed build: {}", refused(host.build(&recipe.bootstrap_command(["/bin/false", "@ROOT@"]))));
    let request = ConfigureRequest::new("exit 0\n").conf_dir("/proc/none");
    println!("failed configure: {}", refused(host.configure("/proc/none", &request)));
    Ok(0)
}

fn refused<T>(result: Result<T, PluginError>) -> bool {
    result.map_or_else(|error| error.exit_code != 0 && !error.message().is_empty(), |_| false)
}

/// An ability of this plugin that cdist does not know.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = Echo_Ref)))]
pub struct Echo {
    /// Says it twice.
    #[sabi(last_prefix_field)]
    pub echo: extern "C" fn(text: RStr<'_>) -> RString,
}

extern "C" fn echo(text: RStr<'_>) -> RString {
    RString::from(format!("{} {}", text, text))
}

extern "C" fn extensions(id: RStr<'_>) -> ROption<Extension> {
    match id.as_str() {
        "exhibit/echo" => ROption::RSome(Extension::new(Echo { echo }.leak_into_prefix())),
        _ => ROption::RNone,
    }
}

export_preos!(Exhibit, Other; extensions = extensions);
