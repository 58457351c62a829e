#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

mkdir -p "$R/p"
lib=/usr/local/lib/cdist

run_unit() { # NAME
    in_root env PREOS_RETRY_PAUSE=0 PREOS_RETRY_AFTER=/p/after PATH=/p:/usr/sbin:/usr/bin:/sbin:/bin /bin/sh "$lib/preos-retry" "$lib/preos-trigger-$1.command"
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

# The pauses, with a sleep that only tells of them. Outside of the root, since the
# sleep of busybox is part of its shell.
mkdir "$tmp/stub"
cat >"$tmp/stub/sleep" <<'END'
#!/bin/sh
echo "$1" >>slept
END
chmod 755 "$tmp/stub/sleep"
cat >"$tmp/stub/asking" <<'END'
head -n 1 answers >"$PREOS_RETRY_AFTER"
sed -i 1d answers
test ! -s answers
END
pauses() ( # PAUSE
    cd "$tmp/stub"
    rm -f slept
    PREOS_RETRY_PAUSE=$1 PREOS_RETRY_AFTER=$tmp/stub/after PATH=$tmp/stub:$PATH \
        /bin/sh "$R$lib/preos-retry" asking 2>said
)
between() { # LINE LEAST MOST
    slept=$(sed -n "$1p" "$tmp/stub/slept")
    test "$slept" -ge "$2" && test "$slept" -le "$3"
}
printf '%s\n' 120 99999 4000 010 -5 '12 34' x '' 0 >"$tmp/stub/answers"
check 'a command that asks for pauses' pauses 0
check 'as long as was asked for, and random' between 2 120 240
check 'said to the person at the console' grep -q -x "preos-retry: exit status 1, next try in $(sed -n 2p "$tmp/stub/slept") seconds; at least 120 were asked for" "$tmp/stub/said"
check 'an hour at most' between 3 3600 3900
check 'an hour at most, in four digits' between 4 3600 3900
same 'what is no number of seconds counts for nothing' '0 0 0 0 0' "$(sed 1,4d "$tmp/stub/slept" | tr '\n' ' ' | sed 's/ $//')"
for line in 1 2 3 4 5 6 7 8 9 10; do echo; done >"$tmp/stub/answers"
check 'a command that asks for nothing' pauses 5
check 'the first run' between 1 0 30
check 'the first pause' between 2 2 7
check 'the second pause' between 3 5 15
check 'the last pause' between 10 150 450

# The agent, with a curl that records what it gets.
mkdir -p "$R/etc/ssh"
echo 'ssh-ed25519 AAAAabc root@"odd"' >"$R/etc/ssh/ssh_host_test_key.pub"
cat >"$R/p/curl" <<'END'
#!/bin/sh
cat >/p/body
echo "$*" >/p/arguments
cp "$2" /p/config
while [ "$1" != --dump-header ]; do shift; done
status=$(tail -n 1 /p/status)
sed -i '$d' /p/status
if [ "$status" = 000 ]; then
    printf '\n000'
    echo 'curl: (7) Failed to connect' >&2
    exit 7
fi
printf 'HTTP/1.1 100 Continue\r\nRetry-After: 7\r\n\r\nHTTP/1.1 %s x\r\n' "$status" >"$2"
cat /p/header >>"$2"
if [ -s /p/text ]; then cat /p/text; else echo 'job 17'; fi
echo "$status"
END
chmod 755 "$R/p/curl"
: >"$R/p/header"
printf '%s\n' 202 503 000 404 >"$R/p/status"
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

# One call. What it says is in $tmp/check.
answer() { # STATUS TEXT [HEADER]
    printf '%s\n' "$1" >"$R/p/status"
    printf '%s\n' "$2" >"$R/p/text"
    printf '%s\r\n' "$3" >"$R/p/header"
    : >"$R/p/after"
    in_root env PREOS_RETRY_AFTER=/p/after PATH=/p:/usr/sbin:/usr/bin:/sbin:/bin \
        /bin/sh $lib/preos-trigger-url.command
}
answers() { # WHAT AFTER LINE ARGUMENT...
    call=$1 after=$2 line=$3
    shift 3
    if answer "$@" >"$tmp/said" 2>&1; then failed "$call: it succeeded"; fi
    check "$call: what it says" grep -q -x -F -e "$line" "$tmp/said"
    same "$call: seconds to wait" "$after" "$(cat "$R/p/after")"
}
answers 'full' 120 'trigger refused: HTTP status 503: the queue is full' 503 'the queue is full' 'retry-after:  0120 '
answers 'for a day' 3600 'trigger refused: HTTP status 500: x' 500 x 'Retry-After: 86400'
answers 'at a date' '' 'trigger refused: HTTP status 503: x' 503 x 'Retry-After: Wed, 21 Oct 2015 07:28:00 GMT'
answers 'nothing said' '' 'trigger refused: HTTP status 404: x' 404 x
answers 'refused' 60 'trigger refused: HTTP status 409: run cdist trigger arm web1' 409 'run cdist trigger arm web1'
answers 'refused, and it asks again' 60 'preos-agent: this machine asks again by itself, so arming it is enough' 409 x
answers 'refused for a while' 900 'trigger refused: HTTP status 409: x' 409 x 'Retry-After: 900'
answers 'another token' '' 'trigger refused: HTTP status 401: who are you' 401 'who are you'
answers 'nobody there' '' 'trigger not reached: there was no answer' 000 ''
answers 'text for a terminal' '' 'trigger refused: HTTP status 500: a[2Jb' 500 "$(printf 'a\033[2J\177b')"
answer 202 'install queued: job 17' >"$tmp/said" || failed 'accepted: it failed'
same 'accepted: what it says' 'trigger accepted: install queued: job 17' "$(cat "$tmp/said")"

# The token.
token=$tmp/token
umask 077
printf 'abcDEF123-._~+/==\n' >"$token"
options=$CDIST_OPTIONS
CDIST_OPTIONS="$CDIST_OPTIONS -vvv"
converge 'token' <<END
__cdist_preos_trigger url --trigger-url http://server.example/ --trigger-token-file '$token'
END
CDIST_OPTIONS=$options
same 'token for root alone' '600 0:0' "$(attributes $lib/preos-trigger-url.curl)"
content 'token in the configuration of curl' $lib/preos-trigger-url.curl <<'END'
proto = "=http,https"
url = "http://server.example/"
header = "Authorization: Bearer abcDEF123-._~+/=="
END
echo 202 >"$R/p/status"
check 'accepted with it' run_unit url
check 'the token is no argument' sh -c '! grep -q abcDEF "$1"' _ "$R/p/arguments"
check 'the token is not in the log' sh -c '! grep -q abcDEF "$@"' _ "$tmp/output" "$tmp/output.first"
same 'nowhere else in the root' $lib/preos-trigger-url.curl "$(cd "$R" && grep -rlF abcDEF etc run tmp usr/local var 2>/dev/null | sed 's|^|/|')"
# Of what is kept of the run: the file or a directory above it is closed.
(cd "$HOME" && grep -rlF abcDEF .) >"$tmp/kept" || :
check 'the run keeps it where we look' test -s "$tmp/kept"
while read -r file; do
    while [ "$file" != . ] && [ -n "$(find "$HOME/$file" -prune '(' -perm -040 -o -perm -004 ')')" ]; do
        file=${file%/*}
    done
    if [ "$file" = . ]; then failed 'others can read the token in a file of the run'; fi
done <"$tmp/kept"
check 'the object is marked as secret' sh -c 'find "$1" -path "*/__preos_trigger/url/*" -name secret | grep -q .' _ "$HOME/.cdist"
umask 022

printf 'abcDEF123' >"$token"
converge 'token without a newline' <<END
__preos_trigger url --trigger-url http://server.example/ --trigger-token-file '$token'
END
check 'the header is whole' grep -q -x 'header = "Authorization: Bearer abcDEF123"' "$R$lib/preos-trigger-url.curl"
converge 'a command instead of URL and token' <<'END'
__preos_trigger url --trigger-command true
END
check 'no token is left' test ! -e "$R$lib/preos-trigger-url.curl"

refuse_token() { # WHAT PATTERN: of the file that is there
    refuse "$1" "$2" <<END
__preos_trigger x --trigger-url http://server.example/ --trigger-token-file '$token'
END
}
chmod 640 "$token"
refuse_token 'readable for the group' 'can be read by others'
chmod 604 "$token"
refuse_token 'readable for others' 'can be read by others'
chmod 600 "$token"
ln -s token "$tmp/link"
chmod 644 "$token"
token=$tmp/link
refuse_token 'readable through a link' 'can be read by others'
chmod 600 "$token"
: >"$token"
refuse_token 'empty' 'holds no token'
echo >"$token"
refuse_token 'an empty line' 'holds no token'
printf '%0512d\n' 7 >"$token"
converge 'token of 512 bytes' <<END
__preos_trigger x --trigger-url http://server.example/ --trigger-token-file '$token'
END
printf '%0513d' 7 >"$token"
refuse_token 'longer' 'more than 512 bytes'
for text in 'a b' 'a"b' 'a\\b' 'a=b' '=' 'a\r\n' 'a\nb\n' 'a\n\n' '\na' 'a\000b' '\303\274' 'a\n=\n'; do
    # The escapes are the point.
    # shellcheck disable=SC2059
    printf "$text" >"$token"
    refuse_token "no token: $text" 'something else than one token'
done
rm "$tmp/token"
refuse_token 'none there' 'is missing'
refuse 'a token for a command' 'for --trigger-url alone' <<END
__preos_trigger x --trigger-command true --trigger-token-file '$token'
END

# Without systemd.
if [ -n "$debian" ]; then return 0; fi
mkdir -p "$R/etc/init.d"
printf '%s\n' '#!/bin/sh' >"$R/sbin/update-rc.d"
cat >>"$R/sbin/update-rc.d" <<'END'
test "$2" != defaults || { mkdir -p /etc/rc2.d && ln -s "../init.d/$1" "/etc/rc2.d/S01$1"; }
END
rm -f "$R/sbin/init"
echo sysvinit >"$R/sbin/init"
chmod 755 "$R/sbin/update-rc.d" "$R/sbin/init"
converge 'sysvinit' <<'END'
__preos_trigger sysv --trigger-command 'echo called >/p/sysv'
END
check 'it is started at boot' test -h "$R/etc/rc2.d/S01cdist-preos-trigger-sysv"
check 'and has no unit' test ! -e "$R/etc/systemd/system/cdist-preos-trigger-sysv.service"
# The init script starts what it starts in the background.
rm -f "$R/p/sysv"
mkfifo "$R/p/sysv"
check 'started' in_root env PREOS_RETRY_PAUSE=0 "/etc/init.d/cdist-preos-trigger-sysv" start
same 'the command runs' called "$(timeout 30 cat "$R/p/sysv")"
check 'stopping is nothing' in_root /etc/init.d/cdist-preos-trigger-sysv stop

echo own >"$R/init"
converge 'an /init of its own' <<'END'
__preos_trigger own --trigger-command true
END
check 'the script is there' test -x "$R$lib/preos-trigger-own.command"
check 'and nobody starts it' sh -c '! find "$1/etc" -name "*trigger-own*" | grep .' _ "$R"
rm "$R/init" "$R/sbin/init" "$R/sbin/update-rc.d"
