#!/bin/sh -e
# shellcheck disable=SC2154

mkdir "$R/m"

converge 'a change is seen' <<'END'
echo one | __file /m/one --source -
require='__file/m/one' __check_messages it --pattern '^__(file|link)/m/one:upload$' --execute 'echo "it'"'"'s $0" >>/m/ran'
require='__file/m/one' __check_messages not --pattern '^one' --execute 'touch /m/not'
require='__check_messages/it' __check_messages chain --pattern '^__check_messages/it:echo' --execute 'touch /m/chain'
END
same 'run once' 1 "$(wc -l <"$R/m/ran" | tr -d ' ')"
check 'a message of its own' test -e "$R/m/chain"
check 'no match, no code' test ! -e "$R/m/not"

refuse 'a bad pattern' 'not an extended regular expression' <<'END'
__check_messages it --pattern '(' --execute true
END
