"""{{name}}, a minimal OS to boot over the network"""
import argparse
import os
import shutil
import subprocess
import tempfile

_cdist_preos = True
_preos_name = '{{name}}'

# Of the package busybox-static.
BUSYBOX = '/bin/busybox'
# What makes a machine boot: packages pxelinux and syslinux-common, and the kernel of this machine.
BOOT = [
    '/boot/vmlinuz-' + os.uname().release,
    '/boot/config-' + os.uname().release,
    '/usr/lib/PXELINUX/pxelinux.0',
    '/usr/lib/syslinux/modules/bios/ldlinux.c32',
]
INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec >/dev/console 2>&1 </dev/console
echo 'This is {{name}}.'
exec sh
"""


def commandline(cls, args):
    """Runs `cdist preos {{name}} ARGS`; the value is the exit status."""
    parser = argparse.ArgumentParser(
        prog='cdist preos {{name}}', description='Makes the PreOS {{name}}.', allow_abbrev=False
    )
    parser.add_argument('target', metavar='TARGET_DIR', help='the root directory, which is made, or must be empty')
    parser.add_argument(
        '-p', dest='pxe', metavar='PXE_DIR', help='also write a directory from which machines boot over the network'
    )
    options = parser.parse_args(args)
    make(options.target, [BUSYBOX, *BOOT] if options.pxe else [BUSYBOX])
    if options.pxe:
        # Python plugins have no host that builds. But the PreOS debian makes a netboot directory of any root.
        return subprocess.call(['cdist', 'preos', 'debian', options.target, '-p', options.pxe])
    return 0


def make(target, files):
    """Makes the root directory `target`, with copies of `files`. It is there whole or not at all."""
    target = os.path.abspath(target)
    draft = tempfile.mkdtemp(prefix='.new-', dir=os.path.dirname(target))
    try:
        for name in ['bin', 'dev', 'etc', 'proc', 'sys']:
            os.mkdir(os.path.join(draft, name))
        for file in files:
            copy = draft + file
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copy(file, copy)
        write(os.path.join(draft, 'etc/hostname'), '{{name}}\n', 0o644)
        write(os.path.join(draft, 'init'), INIT, 0o755)
        os.chmod(draft, 0o755)
        os.rename(draft, target)
    except BaseException:
        shutil.rmtree(draft)
        raise


def write(path, text, mode):
    with open(path, 'w') as file:
        file.write(text)
    os.chmod(path, mode)
