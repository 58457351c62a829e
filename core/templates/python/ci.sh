#!/bin/sh
# What continuous integration runs. It needs cdist.
set -eu
cd "$(dirname "$0")"
python3 -m unittest
cdist plugin check 'preos/{{name}}.py'
