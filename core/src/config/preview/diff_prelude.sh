# Functions for gencode-diff, put before its code. They tell the engine, as
# hexadecimal digits that survive every way to the target, what a file holds
# and what it would hold. docs/diff.md is their description.
#
# The engine sets the variables.
# shellcheck disable=SC2154

# Reads one byte more than is shown, so that more can be told from enough.
__diff_hex() {
    od -An -v -tx1 -N "$((__diff_max + 1))"
}

diff_file() {
    echo file
    printf '%s' "$1" | od -An -v -tx1
    case $1 in
        -*) __diff_path=./$1 ;;
        *) __diff_path=$1 ;;
    esac
    __diff_hidden=$__diff_secret
    if [ -h "$__diff_path" ]; then
        echo 'current symlink'
    elif [ -f "$__diff_path" ]; then
        if [ -z "$__diff_reveal" ]; then
            # shellcheck disable=SC2012
            case $(ls -ld "$__diff_path") in
                ???????r*) ;;
                *) __diff_hidden=1 ;;
            esac
        fi
        if [ -n "$__diff_hidden" ]; then
            echo secret
        else
            echo 'current file'
            __diff_hex <"$__diff_path"
        fi
    elif [ -d "$__diff_path" ]; then
        echo 'current directory'
    elif [ -e "$__diff_path" ]; then
        echo 'current other'
    else
        echo 'current none'
        [ -z "$__diff_hidden" ] || echo secret
    fi
}

diff_wanted() {
    [ -z "$__diff_hidden" ] || return 0
    echo 'wanted file'
    __diff_hex
}

diff_wanted_here() {
    [ -n "$__diff_hidden" ] || printf 'wanted here %s\n' "$1"
}

diff_absent() {
    echo 'wanted none'
}
