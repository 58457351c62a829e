#!/bin/sh -e
# shellcheck disable=SC2016,SC2154
# Let's Encrypt cannot be reached from here: a program of certbot's name keeps
# what it was asked for, and answers in certbot's words.

mkdir -p "$R/usr/bin"
cat >"$R/usr/bin/certbot" <<'END'
#!/bin/sh -e
state=/var/lib/certbot
case $1 in
    certificates)
        [ -s "$state" ] || { echo 'No certificates found.'; exit 0; }
        cat "$state"
        ;;
    delete) rm "$state" ;;
    certonly)
        echo "$*" >/var/lib/certbot.arguments
        domains='' test=''
        while [ $# -gt 0 ]; do
            case $1 in
                --domain) domains="$domains $2" ;;
                --staging) test='INVALID: TEST_CERT' ;;
            esac
            shift
        done
        cat >"$state" <<LIST
Found the following matching certs:
  Certificate Name: example.org
    Serial Number: 4c1b
    Key Type: ECDSA
    Domains:$domains
    Expiry Date: 2027-02-01 10:00:00+00:00 (${test:-VALID: 89 days})
    Certificate Path: /etc/letsencrypt/live/example.org/fullchain.pem
LIST
        ;;
esac
END
chmod 755 "$R/usr/bin/certbot"

converge 'create' <<'END'
__letsencrypt_cert example.org --admin-email root@example.org --staging --deploy-hook 'echo "it'"'"'s %s" >>/root/hook' \
    --deploy-hook 'echo "$RENEWED_DOMAINS" >>/root/hook' --pre-hook 'echo pre'
END
message 'create message' '__letsencrypt_cert/example.org:create'
same 'arguments' 'certonly --agree-tos --expand --non-interactive --quiet --staging --standalone --cert-name example.org --email root@example.org --domain example.org' \
    "$(cat "$R/var/lib/certbot.arguments")"
hook=/etc/letsencrypt/renewal-hooks/deploy/example.org.cdist.sh
same 'mode of the hook' '555 0:0' "$(attributes "$hook")"
in_root env RENEWED_LINEAGE=/etc/letsencrypt/live/other "$hook"
check 'another certificate' test ! -e "$R/root/hook"
in_root env RENEWED_LINEAGE=/etc/letsencrypt/live/example.org RENEWED_DOMAINS='a b' "$hook"
content 'this certificate' /root/hook <<'END'
it's %s
a b
END
check 'no hook' test ! -e "$R/etc/letsencrypt/renewal-hooks/post/example.org.cdist.sh"

converge 'a real one, for more' <<'END'
__letsencrypt_cert example.org --admin-email root@example.org --domain example.org --domain '*.example.org' --webroot "/srv/it's"
END
message 'change message' '__letsencrypt_cert/example.org:change'
same 'arguments of a change' "certonly --agree-tos --expand --non-interactive --quiet --force-renewal --webroot --webroot-path /srv/it's --cert-name example.org --email root@example.org --domain example.org --domain *.example.org" \
    "$(cat "$R/var/lib/certbot.arguments")"
check 'the hook is gone' test ! -e "$R$hook"

unchanged 'fewer domains' <<'END'
__letsencrypt_cert example.org --admin-email root@example.org
END
converge 'absent' <<'END'
__letsencrypt_cert example.org --admin-email root@example.org --state absent
END
message 'remove message' '__letsencrypt_cert/example.org:remove'

refuse 'no address' 'is not an address' <<'END'
__letsencrypt_cert example.org --admin-email root
END
refuse 'no domain' 'cannot be a domain' <<'END'
__letsencrypt_cert example.org --admin-email root@example.org --domain 'a b'
END
refuse 'no name' 'cannot be the name' <<'END'
__letsencrypt_cert a/x --admin-email root@example.org
END
