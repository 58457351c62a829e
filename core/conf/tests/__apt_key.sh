#!/bin/sh -e
# shellcheck disable=SC2154

fixture=$conf/tests/fixture
one=426F1AE075B082C43C5532912CAA83904E481724
two=781ADDF16E032FC34BB9FA5E1BADE0B85A2F6144
trusted=$R/etc/apt/trusted.gpg.d
mkdir -p "$trusted"

fingerprints() { # PATH
    "$conf/type/__apt_key/files/keys" "$R$1" | tr '\n' ' '
}

converge 'from a file' <<END
__apt_key one --source '$fixture/key-one.asc'
END
message 'says so' "__apt_key/one:added 'one'"
same 'attributes' '444 0:0' "$(attributes /etc/apt/trusted.gpg.d/one.gpg)"
same 'the key' "$one " "$(fingerprints /etc/apt/trusted.gpg.d/one.gpg)"
same 'nothing else is left' one.gpg "$(cd "$trusted" && echo one*)"

converge 'another key, from standard input, in a new directory' <<END
__apt_key two --keydir "/etc/apt/key rings" --source - <'$fixture/key-two.asc'
END
same 'the key' "$two " "$(fingerprints '/etc/apt/key rings/two.gpg')"

converge 'two blocks become one keyring, which replaces another' <<END
__apt_key one --source - <<KEYS
A comment.
$(sed 's/$/\r/' "$fixture/key-one.asc")
$(cat "$fixture/key-two.asc")
KEYS
END
same 'the keys' "$one $two " "$(fingerprints /etc/apt/trusted.gpg.d/one.gpg)"
cp "$trusted/one.gpg" "$tmp/both.gpg"
unchanged 'the same without ASCII armor' <<END
__apt_key one --source '$tmp/both.gpg'
END

converge 'the right key' <<END
__apt_key checked --source '$fixture/key-one.asc' --keyid 0x$(echo $one | tr A-F a-f)
END
message 'is called by its id' "__apt_key/checked:added '0x$(echo $one | tr A-F a-f)'"
refuse 'the wrong key' 'is not the one with the id' <<END
__apt_key wrong --source '$fixture/key-two.asc' --keyid $one
END
refuse 'the right key and another one' 'is not the one with the id' <<END
__apt_key wrong --source '$tmp/both.gpg' --keyid $two
END
refuse 'an id that can be forged' 'does not have 16 digits' <<END
__apt_key wrong --source '$fixture/key-one.asc' --keyid 4E481724
END
check 'no keyring of it' test ! -e "$trusted/wrong.gpg"

converge 'remove' <<END
__apt_key one --state absent
__apt_key two --keydir "/etc/apt/key rings" --state absent
__apt_key checked --state absent
END
message 'says so' "__apt_key/one:removed 'one'"
check 'is gone' test ! -e "$trusted/one.gpg"

# ---- downloads, from a server of our own

web=$tmp/web
mkdir -p "$web/pks"
cp "$fixture/key-one.asc" "$web/one.asc"
cp "$fixture/key-one.asc" "$web/pks/lookup"
port=$((20000 + $$ % 20000))
busybox httpd -f -p "127.0.0.1:$port" -h "$web" &
server=$!
sleep 1

converge 'from an address' <<END
__apt_key one --uri "http://127.0.0.1:$port/one.asc"
END
same 'the key' "$one " "$(fingerprints /etc/apt/trusted.gpg.d/one.gpg)"
refuse 'an address without a key' 'could not be downloaded' <<END
__apt_key none --uri "http://127.0.0.1:$port/none.asc"
END
refuse 'an address with another key' 'is not the one' <<END
__apt_key other --uri "http://127.0.0.1:$port/one.asc" --keyid $two
END
converge 'from a key server' <<END
__apt_key 0x$one --keyserver hkp://127.0.0.1:$port
__apt_key short --keyid $(echo $one | cut -c 25-) --keyserver http://127.0.0.1:$port/
END
same 'the key' "$one " "$(fingerprints "/etc/apt/trusted.gpg.d/0x$one.gpg")"
message 'says so' "__apt_key/0x$one:added '0x$one'"
refuse 'a key server that lies' 'is not the one' <<END
__apt_key $two --keyserver hkp://127.0.0.1:$port
END
converge 'by the old name' <<END
__apt_key_uri old --uri "http://127.0.0.1:$port/one.asc" --name 'One <one@example.org>'
END
same 'the key' "$one " "$(fingerprints /etc/apt/trusted.gpg.d/old.gpg)"
kill "$server"
wait "$server" 2>/dev/null || :
unchanged 'what is there is not fetched again' <<END
__apt_key one --uri "http://127.0.0.1:$port/one.asc"
__apt_key 0x$one --keyserver hkp://127.0.0.1:$port
__apt_key_uri old --uri "http://127.0.0.1:$port/one.asc"
END
refuse 'a key server that does not answer' 'could not be fetched' <<END
__apt_key $two --keyserver hkp://127.0.0.1:$port
END
converge 'remove all' <<END
__apt_key one --state absent
__apt_key short --state absent
__apt_key 0x$one --state absent
__apt_key_uri old --uri x --state absent
END
same 'no keys of ours' '' "$(cd "$trusted" && find . -name '*one*' -o -name 'old*' -o -name '0x*')"

# ---- bad input

refuse 'no key' 'cannot be used as a public key' <<'END'
__apt_key x --source /etc/passwd
END
refuse 'a secret key' 'of no public key' <<END
sed 's/PUBLIC/PRIVATE/' '$fixture/key-one.asc' | __apt_key x --source -
END
head -c 100 "$tmp/both.gpg" >"$tmp/cut.gpg"
refuse 'half a key' 'it is cut off' <<END
__apt_key x --source '$tmp/cut.gpg'
END
refuse 'no file' 'does not exist' <<'END'
__apt_key x --source /nonexistent
END
refuse 'neither an id nor a source' 'neither the id' <<'END'
__apt_key some-name
END
refuse 'two sources' 'both --source and --uri' <<END
__apt_key x --uri http://mirror.example/ --source '$fixture/key-one.asc'
END
refuse 'a name that apt ignores' 'cannot be the name of a keyring' <<END
__apt_key a/b --source '$fixture/key-one.asc'
END
refuse 'an option as an address' 'cannot be the URI' <<'END'
__apt_key x --uri=--version
END
refuse 'not a state' "state 'gone'" <<'END'
__apt_key x --state gone
END

# ---- apt-key itself, as long as there is one

unchanged 'who has no apt-key has no keys of it' <<END
__apt_key $one --use-deprecated-apt-key --state absent
END
if [ -z "$debian" ]; then
    refuse 'no apt-key' 'apt-key does not work' <<END
__apt_key one --use-deprecated-apt-key --source '$fixture/key-one.asc'
END
    return 0
fi
if ! in_root sh -c 'command -v apt-key' >/dev/null; then
    echo "skipped $test: the rest needs a Debian that still has apt-key"
    return 0
fi
converge 'gnupg, which apt-key needs' <<'END'
__package_apt gpg
__package_apt gnupg
END
converge 'add with apt-key' <<END
__apt_key $one --use-deprecated-apt-key --source '$fixture/key-one.asc'
END
check 'apt-key has it' sh -c "chroot '$R' apt-key export $one 2>/dev/null | grep -q BEGIN"
converge 'remove with apt-key' <<END
__apt_key some --keyid $one --use-deprecated-apt-key --state absent
END
message 'says so' "__apt_key/some:removed '$one'"
