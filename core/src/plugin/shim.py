# Lists and runs PreOSes that are written in Python. cdist hands this text to `python3 -c`, with the words
#
#   list SECONDS FILE...                                   one JSON object a line for each FILE but helpers
#   run VERBOSITY NAME FILE COUNT SIBLING... ARGUMENT...   runs the PreOS NAME of FILE
#
# cdist has checked who can write the files; a plugin may import those beside it, and no others of its directory.
# A list executes each file in a process of its own: one that ends, hangs or breaks the interpreter is alone in that.
import os
import signal
import sys
import time
from importlib.machinery import ModuleSpec

MARK, CALL, NAME = '_cdist_preos', 'commandline', '_preos_name'
# How many files are executed at the same time.
AT_ONCE = 32


class Source:
    """Loads one file from its text; a compiled file in __pycache__ was not checked by cdist."""

    def __init__(self, path):
        self.path = path

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        # Not through a link, and without waiting for a FIFO, as cdist has opened it.
        with open(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), 'rb') as file:
            text = file.read()
        exec(compile(text, self.path, 'exec', dont_inherit=True), module.__dict__)


class Siblings:
    """Finds the checked files of the plugin's directory, after everything else, as in the original."""

    def __init__(self, paths):
        self.paths = {stem(path): path for path in paths}

    def find_spec(self, name, path=None, target=None):
        if path is None and name in self.paths:
            return spec_of(self.paths[name])
        return None


def stem(path):
    return os.path.basename(path)[:-len('.py')]


def spec_of(path):
    spec = ModuleSpec(stem(path), Source(path), origin=path)
    spec.has_location = True
    return spec


def load(path, siblings):
    spec = spec_of(path)
    module = type(sys)(spec.name)
    module.__spec__, module.__loader__, module.__file__, module.__package__ = spec, spec.loader, path, ''
    sys.meta_path.append(Siblings(siblings))
    # A plugin `platform.py` must not become the module that the standard library imports by this name.
    if spec.name not in sys.modules and spec.name not in getattr(sys, 'stdlib_module_names', ()):
        sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def preoses(module):
    """The module and the classes that are PreOSes, each with its name. What was imported belongs to other files."""
    found = [module]
    for _, value in sorted(vars(module).items()):
        if isinstance(value, type) and value.__module__ == module.__name__ and value not in found:
            found.append(value)
    for preos in found:
        if getattr(preos, MARK, False) and hasattr(preos, CALL):
            name = getattr(preos, NAME, None)
            if name is None:
                name = preos.__name__.lower()
            if not isinstance(name, str):
                raise TypeError('%s of %s is no string' % (NAME, preos.__name__))
            yield name, preos


def one_line(text):
    text = ' '.join(text.split())
    text = ''.join(c if c.isprintable() else c.encode('unicode_escape').decode() for c in text)
    return text if len(text) <= 200 else text[:200] + '...'


def last_line(path, frames):
    """The line of the file `path` that was reached last, as a clause; nothing if none was."""
    numbers = [number for frame, number in frames if frame.f_code.co_filename == path]
    return ' (line %d)' % numbers[-1] if numbers else ''


def raised(error, path):
    """What was raised, and in which line of the plugin."""
    frames, trace = [], error.__traceback__
    while trace:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        if error.filename == path:
            return one_line('%s: %s' % (kind, error.msg)) + ' (line %s)' % error.lineno
        where = '%s: %s in %s, line %s' % (kind, error.msg, error.filename, error.lineno)
        return one_line(where) + last_line(path, frames)
    try:
        text = str(error)
    except Exception:
        text = ''
    return one_line('%s: %s' % (kind, text) if text else kind) + last_line(path, frames)


# ---- list

def describe(path, siblings):
    try:
        entries = [
            {'name': name, 'type': preos.__name__, 'summary': one_line((preos.__doc__ or '').strip().split('\n')[0])}
            for name, preos in preoses(load(path, siblings))
        ]
    except SystemExit as error:
        return {'failed': 'it ends the program when it is executed: ' + raised(error, path)}
    except BaseException as error:
        return {'failed': raised(error, path)}
    if not entries:
        return {'failed': 'it holds no PreOS: no module or class with %s = True and %s' % (MARK, CALL)}
    return {'preoses': entries}


def list_one(path, siblings, seconds, too_late, pipe):
    """The child's whole life: executes the file and says what it holds."""
    # The process group of cdist and the terminal are nothing that a list may reach.
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)

    def say(record):
        text = (json.dumps(record) + '\n').encode()
        while text:
            text = text[os.write(pipe, text):]
        os._exit(0)

    def late(number, frame):
        frames = []
        while frame:
            frames.insert(0, (frame, frame.f_lineno))
            frame = frame.f_back
        say({'failed': too_late + last_line(path, frames)})

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    record = describe(path, siblings)
    signal.setitimer(signal.ITIMER_REAL, 0)
    say(record)


def ending(status):
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            return 'it died when it was executed: ' + signal.Signals(number).name
        except ValueError:
            return 'it died when it was executed: signal %d' % number
    return 'it ends the process with exit status %d when it is executed' % os.WEXITSTATUS(status)


def list_all(seconds, paths):
    wanted = [index for index, path in enumerate(paths) if not stem(path).startswith('_')]
    # One limit for all files together: two that hang take no longer than one.
    end = time.monotonic() + seconds
    too_late = 'it does not end within %g s when it is executed' % seconds
    # By the reading end of its pipe: index, process, what it said.
    running = {}
    sys.stdout.write(json.dumps({'python': 'Python ' + sys.version.split()[0]}) + '\n')
    sys.stdout.flush()
    while wanted or running:
        while wanted and len(running) < AT_ONCE:
            index = wanted.pop(0)
            path, left = paths[index], end - time.monotonic()
            if left <= 0:
                told(index, {'failed': 'other files took the %g s that a list may take' % seconds})
                continue
            beside = [other for other in paths if os.path.dirname(other) == os.path.dirname(path)]
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    for other in [reading, *running]:
                        os.close(other)
                    list_one(path, beside, left, too_late, writing)
                finally:
                    os._exit(1)
            os.close(writing)
            os.set_blocking(reading, False)
            running[reading] = [index, child, b'', True]
        # Once a pipe is closed, only the process is waited for.
        select.select([reading for reading, entry in running.items() if entry[3]], [], [], 0.01)
        late = time.monotonic() > end + 0.5
        for reading, entry in list(running.items()):
            index, child = entry[:2]
            # In this order: what it wrote before its end is there when the end is seen. Something that the plugin
            # has started may hold the pipe open, so its end is no sign.
            ended, status = os.waitpid(child, os.WNOHANG)
            try:
                while True:
                    part = os.read(reading, 65536)
                    entry[2] += part
                    if not part:
                        entry[3] = False
                        break
            except BlockingIOError:
                pass
            line, whole, _ = entry[2].partition(b'\n')
            if not (whole or ended or late):
                continue
            record = None
            try:
                record = json.loads(line.decode()) if whole else None
            except ValueError:
                pass
            if not isinstance(record, dict):
                record = {'failed': ending(status) if ended else too_late}
            # Also what it has started, if that has not made itself a session.
            try:
                os.killpg(child, signal.SIGKILL)
            except OSError:
                pass
            if not ended:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            os.close(reading)
            del running[reading]
            told(index, record)


def told(index, record):
    record['file'] = index
    sys.stdout.write(json.dumps(record) + '\n')
    sys.stdout.flush()


# ---- run

def call(preos, arguments):
    function = getattr(preos, CALL)
    if not isinstance(preos, type):
        return function(preos, arguments)
    owner = next((base for base in preos.__mro__ if CALL in vars(base)), None)
    plain = vars(owner)[CALL] if owner else None
    if isinstance(plain, classmethod):
        return function(arguments)
    if isinstance(plain, staticmethod):
        # Described with the class as its first argument, and called without it by the original.
        import inspect
        try:
            inspect.signature(function).bind(preos, arguments)
        except TypeError:
            return function(arguments)
    return function(preos, arguments)


def run(verbosity, name, path, siblings, arguments):
    sys.argv = ['cdist', 'preos', name, *arguments]
    interrupts = []

    def interrupt(number, frame):
        # A terminal sends the signal to everybody, and cdist hands it on: the second one of a pair is not the user's.
        interrupts.append(time.monotonic())
        if len(interrupts) < 2 or interrupts[-1] - interrupts[-2] > 0.4:
            signal.default_int_handler(number, frame)

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    try:
        found = dict(preoses(load(path, siblings)))
        if name not in found:
            return failed('%s holds no PreOS %s any more' % (one_line(path), name))
        status = call(found[name], arguments)
    except SystemExit as error:
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
            return 1
        status = error.code
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
        return 130
    except BaseException as error:
        if verbosity >= 3:
            import traceback
            traceback.print_exc()
        return failed('%s: %s in %s' % (name, raised(error, path), one_line(path)))
    # A failure must not look like success by truncation. The original knows no status; True is none.
    status = status if isinstance(status, int) and not isinstance(status, bool) else 0
    return flushed(status if 0 <= status <= 255 else 1)


def flushed(status):
    # At the end of the process a failure would come too late, and as a status of Python's own.
    try:
        sys.stdout.flush()
        return status
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        # A reader that went away early has read enough.
        if isinstance(error, BrokenPipeError):
            return status
        return failed('writing to standard output: %s' % error)


def failed(message):
    try:
        sys.stdout.flush()
    except OSError:
        pass
    print('error: ' + message, file=sys.stderr)
    return 1


if sys.argv[1] == 'list':
    import json
    import select
    list_all(float(sys.argv[2]), sys.argv[3:])
else:
    count = 6 + int(sys.argv[5])
    sys.exit(run(int(sys.argv[2]), sys.argv[3], sys.argv[4], sys.argv[6:count], sys.argv[count:]))
