#!/bin/sh -e
# shellcheck disable=SC2154

if ! config <<'END'
__ping
__cdistmarker
END
then
    failed 'the run failed'
    cat "$tmp/output"
fi
check 'the marker' grep -q UTC "$R/etc/cdist-configured"
check 'the answer' grep -r -q -x pong "$HOME"/.cdist/cache/*/object/__ping

if ! config <<'END'
__cdistmarker --destination "/root/it's" --format '+%s now'
END
then
    failed 'the run with odd values failed'
    cat "$tmp/output"
fi
check 'the format' grep -q -x '[0-9]* now' "$R/root/it's"
# Other tests look for what has been left in /etc.
rm -f "$R/etc/cdist-configured" "$R/root/it's"
