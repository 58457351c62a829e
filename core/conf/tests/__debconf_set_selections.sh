#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

refuse 'no answer' 'there is no --line' <<'END'
__debconf_set_selections x
END
refuse 'half an answer' 'needs the words PACKAGE' <<'END'
__debconf_set_selections x --line 'it it/half'
END
debian_only 'needs debconf' || return 0

answer() { # QUESTION
    echo "GET $1" | in_root debconf-communicate it
}

converge 'answers of every kind' <<'END'
__debconf_set_selections it --line 'it it/plain string a\b "$q" it'"'"'s' \
    --line 'it it/blank string  two  ' --line 'it it/empty string' --line '# a comment' \
    --line 'it it/secret password p&ss' --line 'it it/many multiselect a, b
  it	it/tab	boolean	true

it it/long string one \
two'
END
message 'says so' '__debconf_set_selections/it:set it it/long string one two'
message 'but not the password' '__debconf_set_selections/it:set it it/secret password'
same 'a value' '0 a\b "$q" it'"'"'s' "$(answer it/plain)"
same 'a long one' '0 one two' "$(answer it/long)"
same 'a password' '0 p&ss' "$(answer it/secret)"

converge 'one of them has changed' <<'END'
__debconf_set_selections it --line 'it it/tab boolean true' --line 'it it/many multiselect b'
END
same 'only that is set' '__debconf_set_selections/it:set it it/many multiselect b' "$messages"
converge 'another owner, and a flag' <<'END'
__debconf_set_selections it --line 'other it/tab boolean true' --line 'it it/tab seen false'
END
converge 'the flag again' <<'END'
__debconf_set_selections it --line 'it it/tab seen true'
END

check 'a password alone' config <<'END'
__debconf_set_selections it --line 'it it/other password s3cret'
END
same 'its code is marked as secret' 1 "$(find "$HOME" -name secret -path '*/__debconf_set_selections/it/*' | wc -l)"
check 'from a file' config <<'END'
echo 'it it/file string 1' | __debconf_set_selections it --file -
END
same 'is set' '0 1' "$(answer it/file)"
refuse 'no file' 'does not exist' <<'END'
__debconf_set_selections it --file /nonexistent
END
refuse 'both' 'both --file and --line' <<'END'
__debconf_set_selections it --file /dev/null --line 'a b c d'
END
