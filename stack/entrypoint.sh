#!/bin/sh
# Starts a server of the stack: checks what it needs, puts the variables into its configuration, and becomes the server.
#
#   entrypoint.sh NEED ... -- COMMAND ...
#
# A NEED is one of these, told apart by its shape:
#   /etc/loki/loki.yml   a configuration file; the server reads its copy with all variables put in, $GWZ_RENDERED/loki.yml
#   /loki/               a folder that the server must be able to write
#   GRAFANA_URL          a variable that the server reads by itself
#   REDIS_PASSWORD?      one that may be missing; only a reference that came to nothing is wrong with it
#   @GATE_LOKI_TARGET    one whose host must have an address
#
# In a file, ${NAME} is the variable, or what the file holds that NAME_FILE names; ${NAME:-value} has a default. The name says
# what a value looks like: *_TARGET is host:port, *_URL begins with http:// or https://, *_PORT is a number, and
# *_TOKEN, *_PASSWORD and *_KEY have at least 16 characters. What is wrong is told in one sentence with its name, all at once.
set -u
umask 077
export GWZ_RENDERED="${GWZ_RENDERED:-/tmp}"
# nginx does not read resolv.conf by itself.
export RESOLVER="${RESOLVER:-$(awk '$1 == "nameserver" { print $2 ~ /:/ ? "[" $2 "]" : $2; exit }' /etc/resolv.conf 2>/dev/null)}"

# shellcheck disable=SC2016  # awk's dollars, not the shell's
PROGRAM='
function wrong(name, what) { if (!(name in told)) print "gwz: " name " " what "." > "/dev/stderr"; told[name] = 1; bad = 1 }
function get(name,    value, line, file) {
  file = ENVIRON[name "_FILE"]
  if (ENVIRON[name] != "" || file == "") return ENVIRON[name]
  while ((getline line < file) > 0) value = value line
  close(file)
  return value
}
function secret(name) { return name ~ /_(TOKEN|PASSWORD|KEY)$/ }
function shown(name, value) { sub(/.*@/, "...@", value); return secret(name) ? "its value" : "\"" value "\"" }
function host(value) {
  sub(/^[a-z0-9+.-]*:\/\//, "", value)
  sub(/[\/?].*/, "", value)
  sub(/.*@/, "", value)
  if (value ~ /^\[/) gsub(/^\[|\].*/, "", value)
  else sub(/:.*/, "", value)
  return value
}
function check(name, value, optional) {
  if (value == "") { if (!optional) wrong(name, "is not set") }
  else if (index(value, "${") || index(value, "{{") || !optional && index(value, "}")) wrong(name, "is mis-expanded: a reference is left in " shown(name, value))
  else if (!optional && value ~ /[^!-~]|["\047\\`;#$]/) wrong(name, "is mis-expanded: " shown(name, value) " holds a space, a quote, or one of \\ ` ; # $")
  else if (!optional && secret(name) && length(value) < 16) wrong(name, "is too short for a secret: it has " length(value) " characters of at least 16")
  else if (name ~ /_(TARGET|URL|ADDR)$/ && host(value) == "") wrong(name, "is mis-expanded: " shown(name, value) " has no host, so a reference in it came to nothing")
  else if (name ~ /_TARGET$/ && value !~ /^(\[[0-9a-fA-F:]+\]|[^:\/]+):[0-9]+$/) wrong(name, "is no host:port: " shown(name, value))
  else if (name ~ /_URL$/ && value !~ /^https?:\/\//) wrong(name, "is no URL with http:// or https://: " shown(name, value))
  else if (name ~ /_PORT$/ && value !~ /^[0-9]+$/) wrong(name, "is no number: " shown(name, value))
  return value
}
function expand(line,    done, start, end, inside, colon, name, value) {
  while ((start = index(line, "${")) && (end = index(substr(line, start), "}"))) {
    inside = substr(line, start + 2, end - 3)
    colon = index(inside, ":-")
    name = colon ? substr(inside, 1, colon - 1) : inside
    value = get(name)
    value = colon && value == "" ? substr(inside, colon + 2) : check(name, value)
    done = done substr(line, 1, start - 1) value
    line = substr(line, start + end)
  }
  return done line
}
'

failed=0
wrong() { # one sentence, and no start
  echo "gwz: $1." >&2
  failed=78 # EX_CONFIG
}

checked() { # the host that the variable $1, which may be $2, names, or a failure when its value is wrong
  awk "$PROGRAM"'BEGIN { value = check(ARGV[1], get(ARGV[1]), ARGV[2] != ""); if (bad) exit 78; print host(value) }' "$1" "${2:-}"
}

has_address() {
  case $1 in
  *:*) ;; # an address of IPv6
  *[!0-9.]*) getent hosts "$1" >/dev/null 2>&1 || nslookup "$1" >/dev/null 2>&1 ;;
  esac
}

while [ $# -gt 0 ] && [ "$1" != -- ]; do
  case $1 in
  */)
    { [ -d "$1" ] && [ -w "$1" ]; } || wrong "$1 cannot be written by user $(id -u): it belongs to another one; on Railway set RAILWAY_RUN_UID=0, elsewhere chown it"
    ;;
  */*)
    if [ -r "$1" ]; then
      awk "$PROGRAM"'/^[ \t]*#/ { print; next } { print expand($0) } END { exit bad ? 78 : 0 }' "$1" >"$GWZ_RENDERED/${1##*/}" || failed=78
    else
      wrong "$1 cannot be read by user $(id -u)"
    fi
    ;;
  @*)
    if host=$(checked "${1#@}"); then
      has_address "$host" || wrong "${1#@} names the host $host, which has no address: it is misspelt, or not running yet"
    else
      failed=78
    fi
    ;;
  *\?)
    checked "${1%\?}" missing >/dev/null || failed=78
    ;;
  *)
    checked "$1" >/dev/null || failed=78
    ;;
  esac
  shift
done
[ "$failed" = 0 ] || exit "$failed"
shift
exec "$@"
