#!/bin/sh -e
# shellcheck disable=SC2154

etc=/etc/systemd/system
wants=$R$etc/multi-user.target.wants
mkdir -p "$R$etc"

converge 'new unit, offline' <<'END'
__systemd_unit it.service --enablement-state enabled --restart --source - <<UNIT
[Unit]
Description=100% \$it

[Service]
ExecStart=/bin/true

[Install]
WantedBy=multi-user.target
Alias=other.service
UNIT
END
check 'is enabled' test -h "$wants/it.service"
check 'has its alias' test -h "$R$etc/other.service"
same 'attributes' '644 0:0' "$(attributes $etc/it.service)"

unchanged 'without a source' <<'END'
__systemd_unit it.service
END

converge 'disable' <<'END'
__systemd_unit it.service --enablement-state disabled
END
check 'is disabled' test ! -h "$wants/it.service"

converge 'start on boot' <<'END'
__start_on_boot it
END
check 'is enabled again' test -h "$wants/it.service"
converge 'no start on boot' <<'END'
__start_on_boot it --state absent
END
check 'is disabled again' test ! -h "$wants/it.service"

converge 'mask' <<'END'
__systemd_unit it.service --enablement-state masked
END
same 'mask' /dev/null "$(readlink "$R$etc/it.service")"
converge 'unmask by a new file' <<'END'
echo '[Install]
RequiredBy=a.target' | __systemd_unit it.service --enablement-state enabled --source -
END
check 'is a file again' test ! -h "$R$etc/it.service"
check 'new link' test -h "$R$etc/a.target.requires/it.service"

converge 'remove' <<'END'
__systemd_unit it.service --state absent
END
check 'file is gone' test ! -e "$R$etc/it.service"
check 'link is gone' test ! -h "$R$etc/a.target.requires/it.service"

refuse 'without a kind' 'needs its kind' <<'END'
__systemd_unit it
END
