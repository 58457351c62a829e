#!/bin/sh
# What continuous integration runs. It needs cdist, which also brings cdist_preos.h.
set -eu
cd "$(dirname "$0")"
make test
make
cdist plugin check '{{name}}.so'
