#!/usr/bin/env bash
# The recipe procmail/remsync.rc under the real procmail: what arrives where, and what becomes of a
# mail when the filter fails.
#
#   tests/procmail.sh [FOLDER]     FOLDER holds remsync and remsync-deliver; else target/debug
#
# Needs procmail. As root it becomes "nobody", for mail is delivered by ordinary accounts.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
programs=${1:-$top/target/debug}
passed=0
failed=0

fail() { printf 'FAILED  %s\n' "$*"; failed=$((failed + 1)); }

# check WHAT COMMAND...: one thing that has to be so.
check() {
  local what=$1
  shift
  if "$@"; then
    printf 'ok      %s\n' "$what"
    passed=$((passed + 1))
  else
    fail "$what"
    sed "s/^/        procmail: /" "$work/said" "$work/home/procmail.log" 2>/dev/null || true
  fi
}

command -v procmail >/dev/null || { echo "procmail.sh: there is no procmail" >&2; exit 1; }
for program in remsync remsync-deliver; do
  [ -x "$programs/$program" ] || { echo "procmail.sh: $programs/$program: not built" >&2; exit 1; }
done

# Short and open to whoever delivers; procmail passes over a recipe in a folder that others may
# write to.
work=$(mktemp -d /tmp/remsync-procmail.XXXXXX)
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{bin,home,sender,post,share}
cp "$programs/remsync" "$programs/remsync-deliver" "$work/bin/"
cp "$top/procmail/remsync.rc" "$work/share/"
chmod 755 "$work/bin" "$work/share"
chmod 644 "$work/share/remsync.rc"

# A sender, and a mail of its own with a package for b@x.example.
sender() {
  env -i HOME="$work/sender" PATH="$PATH" REMSYNC_TRANSPORT="maildir:$work/post" \
    "$work/bin/remsync" -C "$work/sender/tree" "$@"
}
mkdir "$work/sender/tree"
printf 'calm sea\n' >"$work/sender/tree/log.txt"
sender init --title 'Log' --here a@x.example --remote 'b@x.example -' >/dev/null
sender broadcast >/dev/null
mv "$work"/post/b@x.example/new/* "$work/package.eml"
printf 'From: c@x.example\nTo: b@x.example\nSubject: hello\n\nno package here\n' >"$work/plain.eml"
chmod 644 "$work"/*.eml

cat >"$work/home/procmailrc" <<RC
HOME=$work/home
MAILDIR=$work/home
DEFAULT=$work/home/inbox
LOGFILE=$work/home/procmail.log
PATH=$work/bin:/usr/bin:/bin
INCLUDERC=$work/share/remsync.rc
RC
chmod 644 "$work/home/procmailrc"

as_account=()
if [ "$(id -u)" = 0 ]; then
  as_account=(setpriv --reuid=nobody --regid=nogroup --clear-groups)
  chown -R nobody:nogroup "$work/home"
fi

# deliver MAIL: hands it to procmail as a mail system would; the status is in $status.
deliver() {
  status=0
  (cd / && "${as_account[@]}" env -i PATH="$PATH" procmail -f a@x.example "$work/home/procmailrc") \
    <"$work/$1" >"$work/said" 2>&1 || status=$?
}

# Mails in the inbox, by the line that begins each.
inbox() { grep -c '^From ' "$work/home/inbox" 2>/dev/null || true; }
# Packages that wait.
queued() { find "$work/home/.local/state/remsync/queue/new" -type f 2>/dev/null | wc -l; }
# is STATUS INBOX QUEUE
is() { [ "$status $(inbox) $(queued)" = "$1 $2 $3" ] || { echo "        is $status $(inbox) $(queued), not $*"; return 1; }; }
# What the account's missing home makes procmail say is none of ours.
silent() { ! grep -v 'chdir' "$work/said" && ! grep 'procmail:\|remsync-deliver:' "$work/home/procmail.log"; }
without_inbox() { [ ! -e "$work/home/inbox" ]; }

# replace_filter LINES: another program takes the filter's place.
replace_filter() {
  printf '#!/bin/sh\n%s\n' "$1" >"$work/bin/remsync-deliver"
  chmod 755 "$work/bin/remsync-deliver"
}
restore_filter() {
  rm -f "$work/bin/remsync-deliver"
  cp "$programs/remsync-deliver" "$work/bin/"
}

# Whatever goes wrong, the mail system keeps the mail and nothing is filed.
replace_filter 'cat >/dev/null; exit 75'
deliver package.eml
check "a filter in trouble gives the mail back" is 75 "" 0
check "and files nothing" without_inbox
replace_filter 'exit 1'
deliver package.eml
check "a filter that ends without reading gives the mail back" is 75 "" 0
replace_filter 'cat >/dev/null; kill -9 $$'
deliver package.eml
check "a filter that is killed gives the mail back" is 75 "" 0
rm "$work/bin/remsync-deliver"
deliver package.eml
check "a filter that is not there gives the mail back" is 75 "" 0
restore_filter
mkdir -p "$work/home/.local/state/remsync"
chmod -R a-w "$work/home/.local"
[ "$(id -u)" != 0 ] || chown -R root:root "$work/home/.local"
deliver package.eml
check "a queue that cannot be made gives the mail back" is 75 "" 0
chmod -R u+w "$work/home/.local"
[ "$(id -u)" != 0 ] || chown -R nobody:nogroup "$work/home/.local"

# The mail system tries again, and all is well.
rm -f "$work/home/procmail.log"
deliver package.eml
check "a package is queued, and its mail is in the inbox" is 0 1 1
check "and nothing is said" silent
same() { tail -n +2 "$work/home/inbox" | tr -d '\r' | grep -c "$1" | grep -qx 1; }
check "the mail in the inbox is the one that came" same 'filename="[.]*remsync.tar.gz"'
deliver plain.eml
check "a mail without a package is in the inbox only" is 0 2 1
deliver package.eml
check "the same package again is the same entry" is 0 3 1

# What was queued can be processed by its owner.
listed() {
  "${as_account[@]}" env -i HOME="$work/home" PATH="$PATH" "$work/bin/remsync" -C "$work/home" \
    queue list | grep -q 'new  "Log" from a@x.example'
}
check "the owner of the queue sees it" listed

printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
