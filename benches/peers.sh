# shellcheck shell=bash
# The programs that a benchmark runs beside ours; to be read by it, from the top of the project.

# fetch PACKAGE...: what is absent, by its Debian packages; nothing where nothing is.
fetch() {
  [ $# -gt 0 ] || return 0
  if [ -n "${install:-}" ]; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    echo "not here, and so left out (--install fetches them): $*" >&2
  fi
}

# find_peers: fetches the programs on the lines of $peers, each followed by its package.
find_peers() {
  local program package absent=()
  while read -r program package; do
    command -v "$program" >/dev/null || absent+=("$package")
  done <<<"${peers:?}"
  fetch "${absent[@]}"
}
