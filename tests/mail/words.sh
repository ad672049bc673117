# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# What the checks are said with: how a mail is sent, what is counted, what is waited for.

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
    { tail -n 8 /var/log/mail.log /var/log/dovecot.log; postqueue -p; } 2>&1 | sed 's/^/        /'
    [ -z "${REMSYNC_MAIL_KEEP-}" ] || cp -r /var/log/. "$REMSYNC_MAIL_KEEP/"
  fi
}

# soon COMMAND...: whether it comes true within a minute.
soon() {
  local until=$((SECONDS + 60))
  until "$@"; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

state_of() { echo "/home/$1/.local/state/remsync"; }

# Packages that wait for the account.
queued() { count_files "$(state_of "$1")/queue/new"; }
count_files() { { find "$@" -type f 2>/dev/null || true; } | wc -l; }

waits_for() { has_more "$1" 0; }
has_more() { [ "$(queued "$1")" -gt "$2" ]; }

# Mails in the account's inbox, wherever its mail system files them.
inbox() {
  local files=0 lines=0
  files=$(count_files "/home/$1/Maildir/new" "/home/$1/Maildir/cur")
  lines=$({ cat "/var/mail/$1" "/home/$1/inbox" 2>/dev/null || true; } | grep -c '^From ' || true)
  echo $((files + lines))
}

# has ACCOUNT QUEUED INBOX: exactly so many, and soon.
has_now() { [ "$(queued "$1") $(inbox "$1")" = "$2 $3" ]; }
has() {
  soon has_now "$@" && return
  echo "        $1 has $(queued "$1") queued, $(inbox "$1") in the inbox; not $2, $3"
  return 1
}

# clear ACCOUNT...: as if no mail had ever come. What is still on its way comes first.
clear() {
  local account
  soon postfix_is_empty || true
  for account; do
    rm -rf "$(state_of "$account")" "/home/$account"/{Maildir,inbox} "/var/mail/$account"
  done
}

# send FILE ACCOUNT...: to each account on its own, from sam.
send() {
  local file=$1 account
  shift
  for account; do
    as sam /usr/sbin/sendmail -i -f sam@land.example -- "$account@land.example" <"$file"
  done
}

# Mails that Postfix has not got rid of.
in_postfix() { postqueue -j | wc -l; }
postfix_is_empty() { [ "$(in_postfix)" = 0 ]; }
# holds N: so many mails wait in Postfix, each after a try that failed.
holds_now() {
  local id count=0
  for id in $(postqueue -j | sed -n 's/.*"queue_id": "\([^"]*\)".*/\1/p'); do
    grep -q "$id: .*status=deferred" "$log" && count=$((count + 1))
  done
  [ "$count" = "$1" ]
}
postfix_holds() { soon holds_now "$1"; }

# Nothing was sent back to anybody: no mail system says so, and the author got nothing.
none_bounced() {
  ! grep -h 'status=bounced\|sender non-delivery' "$log" && [ "$(inbox sam)" = 0 ]
}

# replace_filter LINES: another program takes the filter's place.
replace_filter() {
  rm -f /usr/local/bin/remsync-deliver
  printf '#!/bin/sh\n%s\n' "$1" >"$work/filter"
  install -m 755 "$work/filter" /usr/local/bin/remsync-deliver
}
cp /usr/local/bin/remsync-deliver "$work/the-filter"
restore_filter() {
  rm -f /usr/local/bin/remsync-deliver
  install -m 755 "$work/the-filter" /usr/local/bin/remsync-deliver
}

# package NAME BYTES: a mail with a package in which there are so many random bytes.
package() {
  local far=$work/far
  install -d -o sam -g sam "$far"
  as sam mkdir -p "$far/$1"
  head -c "$2" /dev/urandom | as sam tee "$far/$1/$1.bin" >/dev/null
  [ -e /home/sam/.config/remsync/id_ed25519 ] || as sam remsync -q key new
  as sam remsync -C "$far/$1" init --title "$1" --here sam@land.example \
    --remote 'there@land.example -' >/dev/null
  as sam REMSYNC_TRANSPORT="maildir:$far/post" remsync -C "$far/$1" broadcast >/dev/null
  mv "$far"/post/there@land.example/new/* "$work/$1.eml"
  chmod 644 "$work/$1.eml"
}
package small 1000
printf 'From: sam@land.example\nTo: you@land.example\nSubject: hello\n\nno package here\n' \
  >"$work/plain.eml"
chmod 644 "$work/plain.eml"

# What the two sites say and do: each has its project in the folder notes of its home.
ship() { as ship sh -c 'cd && exec "$@"' - remsync --batch -C notes "$@" >"$work/said" 2>&1; }
port() { as port sh -c 'cd && exec "$@"' - remsync --batch -C notes "$@" >"$work/said" 2>&1; }
# Each site has a key, and trusts the other's.
acquaint() {
  local site other
  for site in ship port; do
    [ -e "/home/$site/.config/remsync/id_ed25519" ] ||
      as "$site" sh -c 'cd && remsync -q key new' >"$work/said" 2>&1
  done
  for site in ship port; do
    other=$([ "$site" = ship ] && echo port || echo ship)
    give "$site" other.pub <"/home/$other/.config/remsync/id_ed25519.pub"
    as "$site" sh -c 'cd && remsync -q key trust "$1" other.pub' - "$other@land.example" \
      >>"$work/said" 2>&1
  done
}
# write ACCOUNT FILE TEXT: an edit.
write() { printf '%s\n' "$3" | as "$1" sh -c 'cat >"$HOME/notes/$1"' - "$2"; }
# ended_with STATUS COMMAND...
ended_with() {
  local expected=$1 status=0
  shift
  "$@" || status=$?
  [ "$status" = "$expected" ] || { echo "        $*: $status"; sed 's/^/        /' "$work/said"; return 1; }
}
