#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# A root within the root is what gets installed.

inner=$R/target
mkdir -p "$inner/bin" "$inner/dev" "$inner/etc" "$inner/tmp" "$inner/var/lib"
mknod -m 666 "$inner/dev/null" c 1 3
cp "$R/etc/os-release" "$R/etc/passwd" "$R/etc/group" "$inner/etc/"
# That of the root may need libraries.
cp "$(command -v busybox)" "$inner/bin/"
for applet in $("$inner/bin/busybox" --list); do
    [ -e "$inner/bin/$applet" ] || ln -s busybox "$inner/bin/$applet"
done

# The engine's own "install", with the objects of both kinds in one manifest.
install() {
    cat >"$tmp/manifest"
    # shellcheck disable=SC2086
    $CDIST install -b $CDIST_OPTIONS -v -c "$conf" -i "$tmp/manifest" \
        --remote-exec "$tmp/exec" --remote-copy "$tmp/copy" target.example \
        >"$tmp/output" 2>&1 </dev/null
}

if install <<'END'
__install_config
__file /etc/installed --source - --mode 0640 <<TEXT
it's ${__cdist_install_config:-outer} \$HOME
TEXT
END
then
    passed 'installs'
else
    failed 'the installation failed'
    cat "$tmp/output"
fi
content 'file in the inner root' /target/etc/installed <<'END'
it's yes $HOME
END
same 'its mode' '640 0:0' "$(attributes /target/etc/installed)"
check 'not in the outer root' test ! -e "$R/etc/installed"

for bad in / target '/tar get'; do
    if install <<END
__install_config --chroot '$bad'
END
    then failed "--chroot '$bad' is accepted"
    elif grep -q -e '--chroot' "$tmp/output"; then passed "--chroot '$bad' is refused"
    else failed "--chroot '$bad': no reason given"; cat "$tmp/output"
    fi
done

