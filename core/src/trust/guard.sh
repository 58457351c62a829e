# guard DIR: true if no user of this machine but root could change what the path of the directory DIR leads to. Says on
# standard error what is wrong. DIR itself need not be there. For other users than root, and where there is no id or ls,
# there is nothing to say.
#
# The same rules as in rules.rs. It also travels as one word, with its lines joined by blanks.
guard() (
    set -f;
    [ "$(id -u 2>/dev/null)" = 0 ] || exit 0;
    case $1 in /*) way=${1%/*};; *) way=$PWD;; esac;
    for at in "$way" "$(cd -P -- "${way:-/}" 2>/dev/null && pwd -P)"; do
        while :; do
            # shellcheck disable=SC2046 # the fields
            set -- $(ls -ldn -- "${at:-/}" 2>/dev/null);
            if [ "${1:-}" ] && [ "$3" != 0 ]; then
                echo "${at:-/} belongs to user $3, who could change what root does there" >&2;
                exit 1;
            fi;
            case ${1:-} in
                l* | ?????????[tT]*) ;;
                ?????w* | ????????w*) echo "${at:-/} is writable by group or others" >&2; exit 1;;
            esac;
            [ "$at" ] || break;
            at=${at%/*};
        done;
    done
)
