#!/bin/sh -e
# shellcheck disable=SC2016,SC2154

debian_only || return 0

converge 'parameters' <<'END'
__postfix_postconf mydomain --value example.org
__postfix_postconf banner --key smtpd_banner --value "\$myhostname it's 100% \\ here"
END
same 'value' "\$myhostname it's 100% \\ here" "$(in_root postconf -h smtpd_banner)"
converge 'another value' <<'END'
__postfix_postconf mydomain --value "  example.com  "
END
same 'other value' example.com "$(in_root postconf -h mydomain)"
converge 'absent' <<'END'
__postfix_postconf mydomain --value example.com --state absent
END
same 'not set' '' "$(in_root postconf -n mydomain)"
refuse 'no name' 'cannot be a parameter' <<'END'
__postfix_postconf 'my domain' --value x
END
