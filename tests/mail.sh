#!/usr/bin/env bash
# The recipes in procmail/ under the real mail systems: Postfix, Dovecot, maildrop, procmail, Exim,
# OpenSMTPD and three programs that fetch mail. What arrives where, what becomes of a mail when
# something fails, and two sites that keep in step over all that.
#
#   tests/mail.sh [FOLDER [SERVERS [FAST]]]
#
# FOLDER holds remsync and remsync-deliver; else target/debug. SERVERS has the files of the
# packages that Debian does not let stand beside Postfix, unpacked; else target/mail-servers. FAST
# holds the programs for what is large; else those of FOLDER do that too.
#
# Needs root, and changes nothing on the machine: everything runs in namespaces of its own, with
# its own mounts, accounts, processes and loopback, and ends with it. A server that is not there
# is a failure.
#
# REMSYNC_MAIL_PARTS="deliver fail" runs some of the parts in tests/mail/ only; REMSYNC_MAIL_KEEP is
# a folder for the logs of what fails.
set -Eeuo pipefail

if [ "${1-}" != --on-stage ]; then
  top=$(cd "$(dirname "$0")/.." && pwd)
  programs=${1:-${CARGO_TARGET_DIR:-$top/target}/debug}
  servers=${2:-${CARGO_TARGET_DIR:-$top/target}/mail-servers}
  fast=${3:-$programs}
  for program in {"$programs","$fast"}/{remsync,remsync-deliver}; do
    [ -x "$program" ] || { echo "mail.sh: $program: not built" >&2; exit 1; }
  done
  [ "$(id -u)" = 0 ] || { echo 'mail.sh: mail systems change accounts: run it as root' >&2; exit 1; }
  work=$(mktemp -d /tmp/remsync-mail.XXXXXX)
  chmod 755 "$work"
  # Copies, for the stage has no homes but its own.
  mkdir -p "$work"/{tests,local/bin,local/share,fast,servers}
  cp "$top"/tests/mail.sh "$work/tests/"
  cp -r "$top/tests/mail" "$work/tests/"
  cp "$programs/remsync" "$programs/remsync-deliver" "$work/local/bin/"
  cp "$fast/remsync" "$fast/remsync-deliver" "$work/fast/"
  cp -r "$top/procmail" "$work/local/share/remsync"
  chmod -R go+rX,go-w "$work"
  [ ! -d "$servers" ] || cp -a "$servers/." "$work/servers/"
  # The network has nothing but a loopback, and when the script ends so does all that it started.
  unshare --mount --pid --fork --mount-proc --net --kill-child \
    bash "$work/tests/mail.sh" --on-stage "$work" &
  trap 'kill -9 %1 2>/dev/null || true; wait; rm -rf "$work"' EXIT
  wait %1
  exit
fi

trap 'printf "mail.sh: %s:%d: failed: %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" >&2' ERR
work=$2
tests=$work/tests/mail
began=$SECONDS
passed=0
failed=0
# shellcheck source-path=SCRIPTDIR/mail
. "$tests/stage.sh"
. "$tests/words.sh"

for part in ${REMSYNC_MAIL_PARTS:-deliver fail others fetch exchange smtp unattended}; do
  start=$SECONDS
  # shellcheck disable=SC1090  # each is a file beside stage.sh
  . "$tests/$part.sh"
  printf '        %s: %d s\n' "$part" $((SECONDS - start))
done

printf 'mail.sh: %d s\n%d passed, %d failed\n' $((SECONDS - began)) "$passed" "$failed"
exit $((failed > 0))
