"""Run it with `python3 -m unittest`. It is not beside the plugin: cdist takes each Python file there for a plugin."""
import contextlib
import io
import os
import runpy
import tempfile
import unittest

FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'preos', '{{name}}.py')


class PreOs(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.plugin = runpy.run_path(FILE)
        # A stand-in, so that the test needs no package.
        busybox = self.plugin['make'].__globals__['BUSYBOX'] = os.path.join(self.directory, 'busybox')
        with open(busybox, 'w'):
            pass

    def run_it(self, *args):
        """The exit status, and what it has printed."""
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                status = self.plugin['commandline'](None, list(args))
            except SystemExit as end:
                status = end.code
        return status, printed.getvalue()

    def test_makes_a_root(self):
        target = os.path.join(self.directory, 'root')
        self.assertEqual(self.run_it(target), (0, ''))
        self.assertTrue(os.access(os.path.join(target, 'init'), os.X_OK))

    def test_a_failure_leaves_nothing(self):
        target = os.path.join(self.directory, 'busybox')
        with self.assertRaises(OSError):
            self.run_it(target)
        self.assertEqual(os.listdir(self.directory), ['busybox'])

    def test_usage(self):
        self.assertEqual(self.run_it()[0], 2)
        self.assertEqual(self.run_it('--nonsense', 'root')[0], 2)
        status, text = self.run_it('-h')
        self.assertEqual(status, 0)
        self.assertIn('TARGET_DIR', text)
