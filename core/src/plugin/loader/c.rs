//! Plugins in C: the table and the host of `cdist_preos.h`, which says what the two sides may expect of each other.
//!
//! The types here are those of the header, field by field. FROZEN for all of 1.x; a test compares them.

use std::{
    borrow::Cow,
    ffi::{CStr, CString, c_char, c_int, c_void},
    io, iter,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cdist_plugin_api::{
    Host, HostServices_TO, Level, PluginError,
    abi::{RArc, RString},
};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use crate::plugin::text::PreosText;

/// The symbol of the table.
pub(super) const TABLE_SYMBOL: &[u8] = b"_cdist_preos_c1\0";

/// `cdist_preos_commandline`. With "C-unwind", a C++ exception that leaves it is no undefined behaviour.
pub(super) type Commandline =
    unsafe extern "C-unwind" fn(argc: c_int, argv: *const *const c_char, host: *const CHost) -> c_int;

/// `cdist_preos_entry`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Entry {
    name: *const c_char,
    commandline: Option<Commandline>,
}

type Ctx = *const c_void;
type Answer = *mut *const c_char;

/// `cdist_preos_host`.
#[repr(C)]
pub(super) struct CHost {
    size: u32,
    ctx: Ctx,
    log: unsafe extern "C" fn(Ctx, c_int, *const c_char),
    fail: unsafe extern "C" fn(Ctx, *const c_char),
    step_begin: unsafe extern "C" fn(Ctx, *const c_char) -> u64,
    step_progress: unsafe extern "C" fn(Ctx, u64, u64, u64, *const c_char),
    step_end: unsafe extern "C" fn(Ctx, u64, c_int, *const c_char),
    cancelled: unsafe extern "C" fn(Ctx) -> c_int,
    verbosity: unsafe extern "C" fn(Ctx) -> c_int,
    beta: unsafe extern "C" fn(Ctx) -> c_int,
    cdist_exe: unsafe extern "C" fn(Ctx) -> *const c_char,
    conf: unsafe extern "C" fn(Ctx, *const c_char) -> *const c_char,
    data_dir: unsafe extern "C" fn(Ctx, *const c_char) -> *const c_char,
    run: unsafe extern "C" fn(Ctx, *const c_char, Answer) -> c_int,
    build: unsafe extern "C" fn(Ctx, *const c_char, Answer) -> c_int,
    configure: unsafe extern "C" fn(Ctx, *const c_char, *const c_char, Answer) -> c_int,
    get_extension: unsafe extern "C" fn(Ctx, *const c_char) -> *const c_void,
}

/// The functions of the table, one for each PreOS of the text; `None` if the table is not what the text says.
///
/// # Safety
///
/// `table` leads to entries of a library that stays loaded, the last of which is `{0, 0}` if it has not as many as the text.
pub(super) unsafe fn entries(table: *const Entry, preoses: &[PreosText]) -> Option<Vec<Commandline>> {
    if table.is_null() || !table.is_aligned() {
        return None;
    }
    // SAFETY: read one by one, and no further than the first one that differs.
    let entry = |at: usize| unsafe { table.add(at).read() };
    let mut commandlines = Vec::new();
    for (at, preos) in preoses.iter().enumerate() {
        let Entry { name, commandline: Some(commandline) } = entry(at) else { return None };
        // SAFETY: a name is a C string that is never freed.
        if name.is_null() || unsafe { CStr::from_ptr(name) }.to_bytes() != preos.name().as_bytes() {
            return None;
        }
        commandlines.push(commandline);
    }
    let last = entry(preoses.len());
    (last.name.is_null() && last.commandline.is_none()).then_some(commandlines)
}

/// What `ctx` leads to during one call. Its functions are called from any thread.
struct Context<'a> {
    services: &'a HostServices_TO<RArc<()>>,
    /// Strings that were returned to the plugin.
    strings: Mutex<Vec<CString>>,
    failure: Mutex<Option<String>>,
}

const _: () = {
    const fn shared<T: Sync>() {}
    shared::<Context<'_>>();
};

/// Calls a PreOS.
pub(super) fn call(commandline: Commandline, args: &[String], host: &Host) -> Result<i32, PluginError> {
    let args: Vec<CString> =
        args.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>().map_err(|_| {
            PluginError::usage("an argument holds a zero byte, which a plugin in C cannot take")
        })?;
    let argv: Vec<*const c_char> =
        args.iter().map(|arg| arg.as_ptr()).chain(iter::once(ptr::null())).collect();
    let argc = c_int::try_from(args.len()).map_err(|_| PluginError::usage("there are too many arguments"))?;

    let context = Context { services: host.services(), strings: Mutex::default(), failure: Mutex::default() };
    let host = context.host();
    // SAFETY: `argv` and `host` are what the header says, and outlive the call.
    let status = catch_unwind(AssertUnwindSafe(|| unsafe { commandline(argc, argv.as_ptr(), &host) }));
    let flushed = flush_stdout();
    let status = status.map_err(|payload| {
        // Today Rust aborts at an exception that is not its own, and cdist reports that. It may learn to catch it.
        std::mem::forget(payload);
        PluginError { exit_code: PluginError::PANICKED, message: "an exception left the plugin".into() }
    })?;
    match lock(&context.failure).take() {
        None => match flushed {
            // A reader that went away early has read enough.
            Err(error) if status == 0 && error.kind() != io::ErrorKind::BrokenPipe => {
                Err(PluginError::new(format!("writing to standard output: {error}")))
            }
            _ => Ok(status),
        },
        Some(message) => Err(PluginError {
            // What stands for a panic in Rust is no status of C's.
            exit_code: if matches!(status, 0 | PluginError::PANICKED) { 1 } else { status },
            message: if message.trim().is_empty() {
                "it failed without a message".into()
            } else {
                message.into()
            },
        }),
    }
}

/// Writes out what the plugin has printed, so that it comes before what cdist prints next. The end of the process would
/// do it too late, but takes care of all other streams; a thread that the plugin left behind may hold one of those.
///
/// # Errors
///
/// The reason why something that the plugin has printed was not written.
fn flush_stdout() -> io::Result<()> {
    unsafe extern "C" {
        static stdout: *mut libc::FILE;
    }
    // SAFETY: a stream of the C library, which the plugin shares with this program. `fflush` and `ferror` lock it.
    if unsafe { libc::fflush(stdout) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the same.
    if unsafe { libc::ferror(stdout) } != 0 {
        // Which error it was is not known any more, but whether it was that of a pipe without readers is.
        let out = io::stdout();
        let mut fds = [PollFd::new(out.as_fd(), PollFlags::empty())];
        let _ = poll(&mut fds, PollTimeout::ZERO);
        let is_closed = fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR));
        let kind = if is_closed { io::ErrorKind::BrokenPipe } else { io::ErrorKind::Other };
        return Err(io::Error::new(kind, "a part of it is lost"));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Context<'_> {
    fn host(&self) -> CHost {
        CHost {
            // The size of a structure of pointers: no truncation.
            size: size_of::<CHost>() as u32,
            ctx: ptr::from_ref(self).cast(),
            log,
            fail,
            step_begin,
            step_progress,
            step_end,
            cancelled,
            verbosity,
            beta,
            cdist_exe,
            conf,
            data_dir,
            run,
            build,
            configure,
            get_extension,
        }
    }

    /// A string for the plugin, which lives as long as this. A zero byte inside, as a command may print one, becomes U+FFFD.
    fn keep(&self, text: &str) -> *const c_char {
        let string = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
        let pointer = string.as_ptr();
        // A moved CString leaves its bytes where they are.
        lock(&self.strings).push(string);
        pointer
    }

    fn keep_some(&self, text: Option<RString>) -> *const c_char {
        text.map_or(ptr::null(), |text| self.keep(&text))
    }

    /// A key that has to be exact. Without one there is no answer, and the log says why.
    unsafe fn key<'k>(&self, key: *const c_char, what: &str) -> Option<&'k str> {
        // SAFETY: the caller's contract.
        unsafe { exact(key, what) }
            .inspect_err(|error| self.services.log(Level::Error as u8, error.message.as_rstr()))
            .ok()
    }

    /// Hands an answer or the message of an error to the plugin; the value is the exit status.
    ///
    /// # Safety
    ///
    /// `to` is NULL or can be written.
    unsafe fn answer(&self, answer: Result<RString, PluginError>, to: Answer) -> c_int {
        let (status, text) = match answer {
            Ok(text) => (0, text),
            Err(PluginError { exit_code: 0, message }) => (1, message),
            Err(PluginError { exit_code, message }) => (exit_code, message),
        };
        if !to.is_null() {
            // SAFETY: the caller's contract.
            unsafe { to.write(self.keep(&text)) };
        }
        status
    }
}

/// Text for people: NULL is nothing, and what is not UTF-8 is replaced.
///
/// # Safety
///
/// `text` is NULL or a C string that lives as long as the value.
unsafe fn lossy<'t>(text: *const c_char) -> Cow<'t, str> {
    if text.is_null() {
        return Cow::Borrowed("");
    }
    // SAFETY: the caller's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy()
}

/// Text that has to be exact; `what` names it in the error.
///
/// # Safety
///
/// As for [`lossy`].
unsafe fn exact<'t>(text: *const c_char, what: &str) -> Result<&'t str, PluginError> {
    if text.is_null() {
        return Err(PluginError::new(format!("the plugin gives NULL as {what}")));
    }
    // SAFETY: the caller's contract.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|error| {
        PluginError::new(format!(
            "the plugin gives {what} that is not UTF-8 from byte {} on",
            error.valid_up_to()
        ))
    })
}

/// # Safety
///
/// `ctx` is the one of the host that a plugin was given, and its `commandline` has not returned.
unsafe fn context<'c>(ctx: Ctx) -> &'c Context<'c> {
    // SAFETY: the caller's contract.
    unsafe { &*ctx.cast() }
}

// The functions of the host. SAFETY of all: the plugin keeps the contract of cdist_preos.h; `ctx` is of `Context::host`,
// strings are C strings or NULL. Nothing here panics; the services stop a panic of their own, and if one came as far as
// here, it would end the process at `extern "C"`, never unwind into the plugin.

unsafe extern "C" fn log(ctx: Ctx, level: c_int, message: *const c_char) {
    // In the range of u8 after the clamp.
    let level = level.clamp(0, u8::MAX.into()) as u8;
    unsafe { context(ctx).services.log(level, lossy(message).as_ref().into()) }
}

unsafe extern "C" fn fail(ctx: Ctx, message: *const c_char) {
    unsafe { *lock(&context(ctx).failure) = Some(lossy(message).into_owned()) }
}

unsafe extern "C" fn step_begin(ctx: Ctx, name: *const c_char) -> u64 {
    unsafe { context(ctx).services.step_begin(lossy(name).as_ref().into()) }
}

unsafe extern "C" fn step_progress(ctx: Ctx, step: u64, done: u64, total: u64, what: *const c_char) {
    unsafe { context(ctx).services.step_progress(step, done, total, lossy(what).as_ref().into()) }
}

unsafe extern "C" fn step_end(ctx: Ctx, step: u64, ok: c_int, outcome: *const c_char) {
    unsafe { context(ctx).services.step_end(step, ok != 0, lossy(outcome).as_ref().into()) }
}

unsafe extern "C" fn cancelled(ctx: Ctx) -> c_int {
    unsafe { context(ctx).services.cancelled().into() }
}

unsafe extern "C" fn verbosity(ctx: Ctx) -> c_int {
    unsafe { context(ctx).services.verbosity() }
}

unsafe extern "C" fn beta(ctx: Ctx) -> c_int {
    unsafe { context(ctx).services.beta().into() }
}

unsafe extern "C" fn cdist_exe(ctx: Ctx) -> *const c_char {
    unsafe { context(ctx).keep(&context(ctx).services.cdist_exe()) }
}

unsafe extern "C" fn conf(ctx: Ctx, key: *const c_char) -> *const c_char {
    let context = unsafe { context(ctx) };
    let key = unsafe { context.key(key, "a key of the configuration") };
    context.keep_some(key.and_then(|key| context.services.conf(key.into()).into_option()))
}

unsafe extern "C" fn data_dir(ctx: Ctx, preos: *const c_char) -> *const c_char {
    let context = unsafe { context(ctx) };
    let preos = unsafe { context.key(preos, "the name of a data directory") };
    context.keep_some(preos.and_then(|preos| context.services.data_dir(preos.into()).into_option()))
}

unsafe extern "C" fn run(ctx: Ctx, command: *const c_char, answer: Answer) -> c_int {
    let context = unsafe { context(ctx) };
    let report = unsafe { exact(command, "a command") }
        .and_then(|command| context.services.run(command.into()).into_result());
    unsafe { context.answer(report, answer) }
}

unsafe extern "C" fn build(ctx: Ctx, recipe: *const c_char, answer: Answer) -> c_int {
    let context = unsafe { context(ctx) };
    let report = unsafe { exact(recipe, "a recipe") }
        .and_then(|recipe| context.services.build(recipe.into()).into_result());
    unsafe { context.answer(report, answer) }
}

unsafe extern "C" fn configure(
    ctx: Ctx,
    root: *const c_char,
    request: *const c_char,
    answer: Answer,
) -> c_int {
    let context = unsafe { context(ctx) };
    let texts = unsafe {
        exact(root, "a root directory")
            .and_then(|root| Ok((root, exact(request, "a request for a configuration")?)))
    };
    let report = texts
        .and_then(|(root, request)| context.services.configure(root.into(), request.into()).into_result());
    unsafe { context.answer(report, answer) }
}

/// There are none yet. Those of Rust plugins are of no use to C.
unsafe extern "C" fn get_extension(_: Ctx, _: *const c_char) -> *const c_void {
    ptr::null()
}

#[cfg(test)]
mod tests {
    use std::{fs, mem::offset_of, path::Path, process::Command};

    use cdist_plugin_api::FakeHost;

    use super::*;

    /// The size of a type and the offsets of its fields, as Rust has them, and C statements that print the same.
    macro_rules! layout {
        ($type:ident, $c:literal: $($field:ident)+) => {(
            [
                format!("{} {}\n", $c, size_of::<$type>()),
                $(format!("{}.{} {}\n", $c, stringify!($field), offset_of!($type, $field)),)+
            ].concat(),
            [
                format!("printf(\"{0} %zu\\n\", sizeof({0}));\n", $c),
                $(format!("printf(\"{0}.{1} %zu\\n\", offsetof({0}, {1}));\n", $c, stringify!($field)),)+
            ].concat(),
        )};
    }

    #[test]
    fn the_frozen_layout_is_that_of_the_header() {
        let (host, print_host) = layout!(CHost, "cdist_preos_host":
            size ctx log fail step_begin step_progress step_end cancelled verbosity beta cdist_exe conf data_dir run build
            configure get_extension);
        let (entry, print_entry) = layout!(Entry, "cdist_preos_entry": name commandline);
        let dir = tempfile::tempdir().unwrap();
        let [source, program] = ["layout.c", "layout"].map(|name| dir.path().join(name));
        let includes = "#include <stddef.h>\n#include <stdio.h>\n#include \"cdist_preos.h\"\n";
        let main = format!("{includes}int main(void) {{\n{print_host}{print_entry}return 0;\n}}\n");
        fs::write(&source, main).unwrap();
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/include");
        let built = Command::new("cc").arg("-I").args([&include, &source]).arg("-o").arg(&program).status();
        assert!(built.expect("starting cc, of the package gcc").success());
        let printed = String::from_utf8(Command::new(&program).output().unwrap().stdout).unwrap();
        assert_eq!(printed, format!("{host}{entry}"));
        insta::assert_snapshot!(printed);
    }

    unsafe extern "C-unwind" fn runs_true(argc: c_int, _: *const *const c_char, host: *const CHost) -> c_int {
        // SAFETY: as a plugin in C has it.
        unsafe {
            let mut answer = ptr::null();
            let host = &*host;
            let status = (host.run)(host.ctx, c"command 1\narg true\n".as_ptr(), &mut answer);
            (host.fail)(host.ctx, answer);
            status + argc
        }
    }

    #[test]
    fn an_error_never_has_the_status_of_success() {
        let error = PluginError { exit_code: 0, message: "no\0true".into() };
        let host = FakeHost::new().answer_run(Err(error)).host();
        let error = call(runs_true, &[], &host).unwrap_err();
        assert_eq!((error.exit_code, error.message()), (1, "no\u{fffd}true"));
        let error = call(runs_true, &[], &host).unwrap_err();
        assert_eq!((error.exit_code, error.message()), (1, "report 1\n"));
    }

    #[test]
    fn an_argument_with_a_zero_byte_is_refused() {
        let error = call(runs_true, &["a\0b".to_owned()], &FakeHost::new().host()).unwrap_err();
        let expected = "an argument holds a zero byte, which a plugin in C cannot take";
        assert_eq!((error.exit_code, error.message()), (2, expected));
    }
}
