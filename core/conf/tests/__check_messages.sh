#!/bin/sh -e
# shellcheck disable=SC2154

mkdir "$R/messages"

converge 'a change is seen' <<'END'
echo one | __file /messages/one --source -
require='__file/messages/one' __check_messages it --pattern '^__(file|link)/messages/one:upload$' --execute 'echo "it'"'"'s $0" >>/messages/ran'
require='__file/messages/one' __check_messages not --pattern '^one' --execute 'touch /messages/not'
require='__check_messages/it' __check_messages chain --pattern '^__check_messages/it:echo' --execute 'touch /messages/chain'
END
same 'run once' 1 "$(wc -l <"$R/messages/ran" | tr -d ' ')"
check 'a message of its own' test -e "$R/messages/chain"
check 'no match, no code' test ! -e "$R/messages/not"

refuse 'a bad pattern' 'not an extended regular expression' <<'END'
__check_messages it --pattern '(' --execute true
END
