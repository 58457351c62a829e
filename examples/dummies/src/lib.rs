//! Three PreOSes in one library: the two dummies of cdist's documentation, and one that uses the host.

use cdist_plugin_api::{export_preos, CommandRequest, Host, Level, PluginError, PreOs, Recipe};

/// Registers under the name that it gives itself.
pub struct NetBsdModule;

impl PreOs for NetBsdModule {
    const PREOS_NAME: Option<&'static str> = Some("netbsd");
    const SUMMARY: &'static str = "NetBSD dummy PreOS";

    fn commandline(args: &[String], _host: &Host) -> Result<i32, PluginError> {
        println!("NetBSD PreOS: {:?}", args);
        Ok(0)
    }
}

/// Registers under the name of its type in lower case: `freebsd`.
pub struct FreeBSD;

impl PreOs for FreeBSD {
    const SUMMARY: &'static str = "FreeBSD dummy PreOS";

    fn commandline(args: &[String], _host: &Host) -> Result<i32, PluginError> {
        println!("FreeBSD dummy preos: {:?}", args);
        Ok(0)
    }
}

/// Packs a directory of its own making: data files beside the plugin, a command run as a child, a recipe whose
/// bootstrap is a command.
pub struct Toolbox;

impl PreOs for Toolbox {
    const SUMMARY: &'static str = "busybox in a netboot image";

    fn commandline(args: &[String], host: &Host) -> Result<i32, PluginError> {
        const USAGE: &str = "usage: cdist preos toolbox TARGET_DIR PXE_DIR";
        let (target, pxe) = match args {
            [help] if help == "-h" || help == "--help" => {
                println!("{}", USAGE);
                return Ok(0);
            }
            [target, pxe] => (target, pxe),
            _ => return Err(PluginError::usage(USAGE)),
        };
        let data = host
            .data_dir("Toolbox")
            .ok_or_else(|| PluginError::new("the directory toolbox/ beside the plugin is missing"))?;
        let machine = host.run(&CommandRequest::new("uname").arg("-m"))?;
        host.log(Level::Info, &format!("building for {}", machine.stdout().trim()));
        let script = format!("{}/bootstrap", data);
        host.build(
            &Recipe::new("toolbox", target.as_str())
                .bootstrap()
                .bootstrap_command(["/bin/sh", "-e", script.as_str(), "@ROOT@"])
                .pxe_dir(pxe.as_str()),
        )?;
        Ok(0)
    }
}

export_preos!(NetBsdModule, FreeBSD, Toolbox);

#[cfg(test)]
mod tests {
    use super::*;
    use cdist_plugin_api::{Call, FakeHost};

    #[test]
    fn the_toolbox_asks_for_a_build() {
        let fake = FakeHost::new().data_dir("Toolbox", "/data").answer_run(Ok("x86_64\n"));
        assert_eq!(fake.commandline::<Toolbox>(&["/t", "/p"]), Ok(0));
        let calls = fake.calls();
        match calls.last() {
            Some(Call::Build(recipe)) => assert_eq!(recipe.all("bootstrap.command").last(), Some("@ROOT@")),
            other => panic!("{:?}", other),
        }
        assert_eq!(fake.commandline::<Toolbox>(&[]).unwrap_err().exit_code, 2);
    }
}
