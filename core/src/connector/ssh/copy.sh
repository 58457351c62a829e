# Copies to a target as scp(1) does, for the types' own use of $__remote_copy: [OPTION]... SOURCE... [USER@]HOST:PATH
#
# scp needs an sftp-server there, or itself, and is disturbed by login scripts that print. This needs cat(1) there, and the
# options that ssh(1) takes, too. Whatever is no copy to a target is left to scp.

# Sets "quoted" to a word that a shell reads as TEXT.
quote() { # TEXT
    rest=$1
    quoted="'"
    while :; do
        case $rest in
            *\'*)
                quoted="$quoted${rest%%\'*}'\\''"
                rest=${rest#*\'}
                ;;
            *) break ;;
        esac
    done
    quoted="$quoted$rest'"
}

# Runs SCRIPT on the target, with WORDs as $1 and so on.
there() { # SCRIPT [WORD]...
    quote "$1"
    line="/bin/sh -c $quoted sh"
    shift
    for word; do
        quote "$word"
        line="$line $quoted"
    done
    # shellcheck disable=SC2086 # the options have no blanks
    ssh $options -- "$host" "$line"
}

# A new file gets the mode that the source has and the umask there allows. Nothing of it can be read by others before.
# shellcheck disable=SC2016 # read by the shell of the target
file='case $1 in */) [ -d "$1" ] || { echo "$1: no such directory" >&2; exit 1; } ;; esac
    [ ! -d "$1" ] || set -- "${1%/}/$2" "$2" "$3" "$4"
    mask=$(umask)
    if [ ! -e "$1" ]; then umask 077; : >"$1" || exit; mode=$(printf %o "$((0$3 & ~0$mask))"); fi
    [ -z "$4" ] || mode=$3
    cat >"$1" || exit
    [ -z "$mode" ] || chmod "$mode" "$1"'
# shellcheck disable=SC2016
directory='[ ! -d "$1" ] || [ -n "$3" ] || set -- "${1%/}/$2"; [ -d "$1" ] ||
    mkdir -m "$(printf %o "$((0$4 & ~0$(umask) | 0700))")" "$1" || exit; cd "$1" && echo && pwd'

copy_file() { # SOURCE PATH
    mode=$(stat -L -c %a -- "$1") || return
    # What login scripts print is nothing that a script here wants to read.
    there "$file" "$2" "${1##*/}" "$mode" "$keep" <"$1" >/dev/null
}

copy_directory() { # SOURCE PATH [EXACTLY]
    # The last line is what the command says; login scripts may have printed others, and one without a line end.
    mode=$(stat -L -c %a -- "$1") || return
    made=$(there "$directory" "$2" "${1##*/}" "$3" "$mode" </dev/null) || return
    made=${made##*"$newline"}
    for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
        if [ -d "$entry" ]; then
            # In a shell of its own: the variables of this one are needed after it.
            (copy_directory "$entry" "$made/${entry##*/}" exactly) || return
        elif [ -e "$entry" ]; then
            copy_file "$entry" "$made/${entry##*/}" || return
        fi
    done
}

main() {
    newline='
'
    options='' keep='' recursive=''
    while getopts 346ABCOpqRrsTvc:D:F:i:J:l:o:P:S:X: option; do
        case $option in
            4 | 6 | A | C | q | v) options="$options -$option" ;;
            c | F | i | J | o)
                # What has blanks is for scp.
                case $OPTARG in *[[:space:]]*) return 2 ;; esac
                options="$options -$option $OPTARG"
                ;;
            P) options="$options -p $OPTARG" ;;
            p) keep=1 ;;
            r) recursive=1 ;;
            B | l | O | R | s | T) ;;
            *) return 2 ;;
        esac
    done
    shift $((OPTIND - 1))
    [ $# -ge 2 ] || return 2
    for last; do :; done
    case $last in
        scp://* | /* | ./* | ../*) return 2 ;;
        \[*\]:*) host=${last%%\]:*} host=${host#\[} path=${last#*\]:} ;;
        *@\[*\]:*) host=${last%%\]:*} host=${host%%\[*}${host#*\[} path=${last#*\]:} ;;
        *:*) host=${last%%:*} path=${last#*:} ;;
        *) return 2 ;;
    esac
    case $host in '' | */*) return 2 ;; esac
    for source; do
        case $source in
            /* | ./* | ../*) ;;
            *:*) [ $# = 1 ] || [ "$source" = "$last" ] || return 2 ;;
        esac
    done
    while [ $# -gt 1 ]; do
        source=$1
        case $source in /* | ./* | ../*) ;; *) source=./$source ;; esac
        source=${source%/}
        if [ ! -d "$source" ]; then
            copy_file "$source" "${path:-.}" || exit 1
        elif [ -n "$recursive" ]; then
            copy_directory "$source" "${path:-.}" || exit 1
        else
            echo "$1 is a directory; -r copies those" >&2
            exit 1
        fi
        shift
    done
}

main "$@"
[ $? != 2 ] || exec scp "$@"
