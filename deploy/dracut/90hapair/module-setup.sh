#!/bin/bash
# Puts ccmd, the pair's configuration and key, and what the interconnect needs into dracut's initramfs. Nothing that is
# missing fails the build.
# shellcheck disable=SC2154 # moddir, initdir and the like are dracut's

early_boot=/usr/lib/hapair/hapair-early-boot

check() {
  return 0
}

depends() {
  return 0
}

# Told once: dracut asks twice, for the modules of the kernel and for the files.
hapair_plan() {
  if [[ ! -v hapair_lines ]]; then
    hapair_lines=$($early_boot plan) || hapair_lines=""
  fi
  [[ -n $hapair_lines ]]
}

installkernel() {
  hapair_plan || return 0
  local word name
  while read -r word name; do
    [[ $word == module ]] || continue
    if modinfo -k "$kernel" "$name" >/dev/null 2>&1; then
      # Empty: also what this machine has not loaded now.
      hostonly='' instmods "$name"
    else
      dwarn "hapair: kernel $kernel has no module $name, which the pair's interconnect needs early in the boot: install the" \
        "package that has it, or correct ccm.rails[].early_boot in /etc/hapair/hapair.json."
    fi
  done <<<"$hapair_lines"
  return 0
}

hapair_provider() {
  local driver name library _
  for driver in /etc/libibverbs.d/*.driver; do
    read -r _ name <"$driver"
    # ccmd opens them at run time by this name, so nothing that follows its libraries finds them.
    for library in /usr/lib/*/libibverbs/lib"$name"-rdmav*.so; do
      [[ -e $library && ($1 == '*' || $1 == "$name") ]] || continue
      inst_library "$library"
      inst_simple "$driver"
    done
  done
}

install() {
  inst_script "$early_boot" "$early_boot"
  inst_multiple mkdir modprobe nice
  # Also where there is nothing to start: it says so.
  if dracut_module_included systemd; then
    inst_simple /usr/lib/systemd/system/hapair-early.service "$systemdsystemunitdir/hapair-early.service"
    $SYSTEMCTL -q --root "$initdir" add-wants sysinit.target hapair-early.service
  else
    inst_hook pre-udev 01 "$moddir/hapair.sh"
  fi
  hapair_plan || return 0
  mkdir -p "$initdir/etc/hapair"
  printf '%s\n' "$hapair_lines" >"$initdir/etc/hapair/boot.plan"
  inst_multiple /usr/sbin/ccmd
  local word name
  while read -r word name; do
    case $word in
      config | key) [[ ! -r $name ]] || command install -D -m 600 "$name" "$initdir$name" ;;
      provider) hapair_provider "$name" ;;
    esac
  done <<<"$hapair_lines"
  return 0
}
