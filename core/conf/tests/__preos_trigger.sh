#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/p"
lib=/usr/local/lib/cdist

run_unit() { # NAME
    in_root env PREOS_RETRY_PAUSE=0 PATH=/p:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh "$lib/preos-retry" "$lib/preos-trigger-$1.command"
}

cat >"$tmp/command" <<'END'
printf '%s|' "it's" '100% $HOME %n %%' "$0" \\ `echo x` "${A-b}" >>/p/out; echo >>/p/tries; test $(wc -l </p/tries) -gt 3 # $X
END
converge 'command with every odd character' <<END
__cdist_preos_trigger http --trigger-command "\$(cat '$tmp/command')"
__preos_trigger second/one --trigger-command true
END
{ echo '#!/bin/sh'; cat "$tmp/command"; } >"$tmp/script"
content 'the script has it byte by byte' $lib/preos-trigger-http.command <"$tmp/script"
same 'for root alone' '700 0:0' "$(attributes $lib/preos-trigger-http.command)"
check 'unit is enabled' test -h "$R/etc/systemd/system/multi-user.target.wants/cdist-preos-trigger-http.service"
check 'retried until it succeeds' run_unit http
same 'number of calls' 4 "$(wc -l <"$R/p/tries")"
same 'what it ran' "it's|100% \$HOME %n %%|$lib/preos-trigger-http.command|\\|x|b|" "$(tail -n 1 "$R/p/out" | cut -c 1-$(($(wc -c <"$R/p/out") / 4)))"

if [ -e "$R/usr/bin/systemd-analyze" ]; then
    check 'systemd accepts the unit' in_root systemd-analyze verify /etc/systemd/system/cdist-preos-trigger-http.service
fi

refuse 'neither' 'needs --trigger-command or' <<'END'
__preos_trigger x
END
refuse 'not a URL' 'has to begin with' <<'END'
__preos_trigger x --trigger-url 'file:///etc/passwd'
END

# The agent, with a curl that records what it gets.
mkdir -p "$R/etc/ssh"
echo 'ssh-ed25519 AAAAabc root@"odd"' >"$R/etc/ssh/ssh_host_test_key.pub"
cat >"$R/p/curl" <<'END'
#!/bin/sh
cat >/p/body
echo "$*" >/p/arguments
cp "$2" /p/config
echo 'job 17'
tail -n 1 /p/status
sed -i '$d' /p/status
END
chmod 755 "$R/p/curl"
printf '%s\n' 202 503 404 >"$R/p/status"
converge 'agent' <<'END'
__preos_trigger url --trigger-url 'http://server.example:3000/install/?a="b\c"&d=$e%20'
END
same 'URL for root alone' '600 0:0' "$(attributes $lib/preos-trigger-url.curl)"
check 'HTTP errors are failures' run_unit url
check 'tried until it was accepted' test ! -s "$R/p/status"
content 'URL in the configuration of curl' /p/config <<'END'
proto = "=http,https"
url = "http://server.example:3000/install/?a=\"b\\c\"&d=$e%20"
END
check 'the URL is no argument' sh -c '! grep -q server.example "$1"' _ "$R/p/arguments"
check 'facts' grep -q '"ssh_host_keys":\["ssh-ed25519 AAAAabc"\]}$' "$R/p/body"
if command -v python3 >/dev/null 2>&1; then
    check 'facts are JSON' python3 -m json.tool "$R/p/body"
fi
