# What follows is the same for every machine. Nothing runs before the last line is here; what fails takes back what was done.

say() { printf 'weir: %s\n' "$*"; }
fail() {
  printf 'weir: %s\n' "$*" >&2
  exit 1
}

mine="weir-agent weir-gateway"
config=/etc/weir/agent.yaml token=/etc/weir/join-token mark=/etc/weir/cluster
discovery=/etc/weir/discovery/discovery.yaml
work="" began="" finished=""

# What is here, half unpacked too.
installed() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n '/^not-installed\|^config-files/!s/^[^ ]* //p' | sort -u; }
version_here() { dpkg-query -W -f '${db:Status-Status} ${Version}\n' "$1" 2>/dev/null | sed -n 's/^installed //p'; }

# Takes back what this run did, unless it came to its end. What was there before it stays.
leave() {
  code=$?
  trap - EXIT
  set +e  # Each step is tried, whatever became of the one before.
  if [ -n "$began" ] && [ -z "$finished" ]; then
    systemctl disable --now weir-agent.service >/dev/null 2>&1
    rm -rf "$config" "$token" "$mark" /var/lib/weir-agent
    [ -e "$work/had-discovery" ] || rm -rf /etc/weir/discovery
    new=$(installed | comm -13 "$work/before" - | tr '\n' ' ')
    # shellcheck disable=SC2086  # One word each.
    if [ -n "$new" ] && ! DEBIAN_FRONTEND=noninteractive apt-get purge -y -q $new >"$work/purge.log" 2>&1; then
      printf 'weir: these packages could not be removed again: %s\n' "$new" >&2
    else
      printf 'weir: nothing of it was left on this machine\n' >&2
    fi
  fi
  [ -z "$work" ] || rm -rf "$work"
  exit "$code"
}

check_machine() {
  [ "$(id -u)" -eq 0 ] || fail 'this must run as root: ... | ssh HOST sudo sh'
  if ! command -v dpkg >/dev/null || ! command -v apt-get >/dev/null; then
    fail 'this machine has no dpkg and apt-get; the packages are for Debian 12'
  fi
  architecture=$(dpkg --print-architecture)
  chosen=$(printf '%s\n' "$PACKAGES" | awk -v a="$architecture" '$1 == a || $1 == "all"')
  for name in $mine; do
    printf '%s\n' "$chosen" | awk -v n="$name" '$2 == n { found = 1 } END { exit !found }' ||
      fail "there is no $name for $architecture, which this machine is; there is $(printf '%s\n' "$PACKAGES" | awk '{print $2 " for " $1}' | paste -sd, -)"
  done
  [ -d /run/systemd/system ] || fail 'systemd does not run here; the agent is a unit of it'
}

# True when this machine is the agent of this cluster already. Of another one, or set up by hand: no word of it is touched.
stands() {
  if [ -e "$mark" ]; then
    read -r fqn of < "$mark" || true
    [ "$fqn" = "$CLUSTER" ] || fail "this machine is the agent of $fqn already; weir cluster uninstall comes first"
    [ "$of" = "$ANCHOR_SHA256" ] || fail "this machine is the agent of $fqn at another weir-server; weir cluster uninstall comes first"
    return 0
  fi
  [ ! -e "$config" ] || fail "$config is there already, and not by this script; move it away first"
  if [ -n "$(ls -A /var/lib/weir-agent 2>/dev/null)" ]; then
    fail '/var/lib/weir-agent holds an agent already, and not by this script; move it away first'
  fi
  return 1
}

newest() {
  for name in $mine; do
    [ "$(version_here "$name")" = "$(printf '%s\n' "$chosen" | awk -v n="$name" '$2 == n { print $3 }')" ] || return 1
  done
}

# One answer of the server into $work/answer. It must be the one that the anchor signed: each such certificate holds "localhost",
# whatever its machine is called. The token is in files only, never in arguments.
ask() {  # ask FILE OFFSET
  {
    printf '{"file":"%s","offset":%s,"joinToken":"' "$1" "$2"
    join_token | tr -d '\n'
    printf '"}'
  } > "$work/question"
  mkdir -p "$work/no-other-authorities"  # Without --capath those of /etc/ssl/certs count beside the anchor.
  curl -q --silent --show-error --noproxy '*' --connect-timeout 10 --max-time 120 \
    --cacert "$work/anchor.pem" --capath "$work/no-other-authorities" \
    --connect-to "localhost:$REST_PORT:$HOST:$REST_PORT" -H 'Content-Type: application/json' \
    --data-binary "@$work/question" -o "$work/answer" -w '%{http_code}' \
    "https://localhost:$REST_PORT/v2/packages:fetch" > "$work/status" 2>"$work/curl.log" && code=0 || code=$?
  case $code in
    0) ;;
    35 | 51 | 58 | 60 | 77 | 83)
      fail "who answers at $HOST:$REST_PORT is not the weir-server of this script: its certificate is not under that server's anchor" ;;
    *) fail "weir-server cannot be reached at $HOST:$REST_PORT ($(cat "$work/curl.log")); --address names it as this machine knows it, --rest-port the port, --bundle needs neither" ;;
  esac
  [ "$(cat "$work/status")" = 200 ] && return
  why=$(sed -n 's/.*"detail": *"\([^"]*\)".*/\1/p' "$work/answer" | head -n 1)
  fail "weir-server does not give $1: ${why:-status $(cat "$work/status")}"
}

fetch() {  # fetch FILE SIZE SHA256: into $work/FILE
  : > "$work/$1"
  if [ -n "$BUNDLE" ]; then
    bundled "$1" > "$work/$1"
  else
    at=0
    while [ "$at" -lt "$2" ]; do
      ask "$1" "$at"
      sed -n 's/.*"content": *"\([^"]*\)".*/\1/p' "$work/answer" | base64 -d >> "$work/$1"
      now=$(stat -c %s "$work/$1")
      [ "$now" -gt "$at" ] || fail "weir-server gives nothing of $1 after $at bytes"
      at=$now
    done
  fi
  echo "$3  $work/$1" | sha256sum --check --status || fail "$1 is not the file that this script was made for: its SHA-256 is another"
}

# With what the lists of packages know; if that is not enough, with newer lists.
apt_install() {
  began=yes
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "$@" >"$work/apt.log" 2>&1 && return
  apt-get update -q >"$work/update.log" 2>&1 || true
  apt-get install -y -q --no-install-recommends "$@" >"$work/apt.log" 2>&1 ||
    fail "apt-get cannot install $*: $(grep '^E:' "$work/apt.log" | head -n 3 | tr '\n' ' ')"
}

packages() {
  newest && return
  if [ -z "$BUNDLE" ] && ! command -v curl >/dev/null; then apt_install curl; fi
  printf '%s\n' "$chosen" > "$work/chosen"
  set --
  while read -r _ _ _ file size sha256; do
    fetch "$file" "$size" "$sha256"
    set -- "$@" "$work/$file"
  done < "$work/chosen"
  apt_install "$@"
}

settings() {  # settings [joinTokenFile]
  printf '# Of weir-agent; weir-agent --help names all settings.\nserver: "%s:%s"\ndiscoveryFile: %s\n' "$HOST" "$AGENT_PORT" "$discovery"
  [ -z "$LISTEN" ] || printf 'listen: "%s"\n' "$LISTEN"
  [ $# -eq 0 ] || printf 'joinTokenFile: %s\n' "$1"
}

join() {
  join_token > "$work/token"
  install -m 0600 -o weir -g weir "$work/token" "$token"
  install -d -m 0755 /etc/weir /etc/weir/discovery
  if [ ! -e "$discovery" ]; then
    printf '# What runs on this machine: see docs/operating/join-a-cluster.md.\nworkloads: []\nservices: []\n...\n' > "$work/discovery"
    install -m 0644 "$work/discovery" "$discovery"
  fi
  settings "$token" > "$work/agent.yaml"
  install -m 0644 "$work/agent.yaml" "$config"
  systemctl enable weir-agent.service >/dev/null 2>&1 || fail 'systemctl enable weir-agent fails'
  if ! timeout 60 systemctl start weir-agent.service >"$work/start.log" 2>&1; then
    why=$(journalctl -u weir-agent.service -n 20 -o cat 2>/dev/null | sed -n 's/.*"error":"\([^"]*\)".*/\1/p' | tail -n 1)
    fail "the agent could not join $HOST:$AGENT_PORT${why:+: $why}"
  fi
  # What was used up is not kept, and the settings do not ask for it.
  settings > "$work/agent.yaml"
  install -m 0644 "$work/agent.yaml" "$config"
  rm -f "$token"
  printf '%s %s\n' "$CLUSTER" "$ANCHOR_SHA256" > "$work/mark"
  install -m 0644 "$work/mark" "$mark"
}

report() {
  state=$(systemctl is-active weir-agent.service 2>/dev/null) || true
  say "cluster ${CLUSTER##*/}: weir-agent $(version_here weir-agent) is ${state:-not known}, at $HOST:$AGENT_PORT"
  say "what runs here is declared in $discovery; then: systemctl enable --now \"weir-tier2@\$(systemd-escape NAMESPACE/NAME)\""
  [ "$state" = active ]
}

main() {
  check_machine
  umask 077
  work=$(mktemp -d) || fail 'no temporary folder can be made'
  trap leave EXIT
  trap 'exit 1' HUP INT TERM PIPE
  anchor > "$work/anchor.pem"
  installed > "$work/before"
  [ ! -e /etc/weir/discovery ] || : > "$work/had-discovery"
  if stands; then
    finished=yes  # From here on nothing is taken back: it is not of this run.
    if newest; then
      say "this machine is the agent of $CLUSTER already, with the packages of this script; nothing to do"
    else
      packages
      say "this machine was the agent of $CLUSTER already; its packages are now those of this script"
    fi
    systemctl start weir-agent.service
  else
    packages
    began=yes
    join
    finished=yes
    say "this machine is the agent of $CLUSTER now"
  fi
  report
}
