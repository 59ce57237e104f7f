# What follows is the same for every machine. Nothing runs before the last line is here.

say() { printf 'weir: %s\n' "$*"; }
fail() {
  printf 'weir: %s\n' "$*" >&2
  exit 1
}

main() {
  [ "$(id -u)" -eq 0 ] || fail 'this must run as root: ... | ssh HOST sudo sh'
  if [ ! -e /etc/weir/cluster ]; then
    say 'no script of weir cluster install has made this machine an agent, or it is none any more; nothing to do'
    return
  fi
  read -r fqn _ < /etc/weir/cluster || true
  [ "$fqn" = "$CLUSTER" ] || fail "this machine is the agent of $fqn; nothing was done"
  systemctl stop 'weir-tier1@*.service' 'weir-tier2@*.service' 'weir-podproxy@*.service' >/dev/null 2>&1 || true
  systemctl disable --now weir-agent.service >/dev/null 2>&1 || true
  # Purged, they leave nothing: no state, no settings, no keys.
  DEBIAN_FRONTEND=noninteractive apt-get purge -y -q weir-agent weir-gateway >/dev/null 2>&1 ||
    fail 'apt-get purge weir-agent weir-gateway fails; run it by hand'
  say "this machine is the agent of $CLUSTER no longer; the packages that these needed stay (apt-get autoremove)"
}
