# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Something fails: the mail is never gone, never sent back, never there twice, and comes again by
# itself when all is mended. Where the host cannot try again it is in the inbox, with a flag.

again=(ann pat fay max) # Postfix tries again
flagged=(lou liz)       # Pigeonhole cannot
all=("${again[@]}" "${flagged[@]}")
package middle 3000000
package large 30000000

is_flagged_now() {
  [ "$(doveadm search -u "$1" mailbox INBOX flagged keyword remsync-failed | wc -l)" = "$2" ]
}
is_flagged() { soon is_flagged_now "$@"; }

# The mail of ann has an inbox of its own, and is there at once; no other files before the filter.
nothing_yet() {
  has ann 0 1 && has pat 0 0 && has fay 0 0 && has max 0 0
}
waits_with() {
  local what=$1
  check "$what: Postfix keeps the mail" postfix_holds ${#again[@]}
  check "$what: and nothing is filed before its time" nothing_yet
  check "$what: the mail of Sieve is in the inbox, flagged" is_flagged liz 1
  check "$what: that of dovecot-lda too" is_flagged lou 1
}
is_mended() {
  local what=$1 account
  for account in "${again[@]}"; do
    check "$what, mended: $account has the package, and the mail once" has "$account" 1 1
  done
  check "$what, mended: nothing waits any more" soon postfix_is_empty
  check "$what: nothing was bounced" none_bounced
}

# The recipe's own words on how mails are scanned again, without the marks of the comment.
rescan() {
  sed -n 's/^#     //; /^doveadm search/,/^done/p' "$share/remsync.sieve" >"$work/rescan"
  chmod 644 "$work/rescan"
  (cd / && as "$1" sh "$work/rescan") >"$work/said" 2>&1
}

# ---- a queue without permission
clear "${all[@]}"
for account in "${all[@]}"; do
  as "$account" mkdir -p "$(dirname "$(state_of "$account")")"
  install -d -m 000 "$(state_of "$account")"
done
send "$work/small.eml" "${all[@]}"
waits_with 'no permission'
for account in "${all[@]}"; do
  rmdir "$(state_of "$account")"
done
is_mended 'no permission'
for account in "${flagged[@]}"; do
  rescan "$account" || true
  check "no permission, mended: the recipe's commands scan the mail of $account again" \
    has "$account" 1 1
  check 'no permission, mended: and take the flag away' is_flagged "$account" 0
done

# ---- a full disk
clear "${all[@]}"
for account in "${all[@]}"; do
  install -d -o "$account" -g "$account" "$(state_of "$account")"
  mount -t tmpfs -o size=1m,mode=700,uid="$account",gid="$account" tmpfs "$(state_of "$account")"
done
send "$work/middle.eml" "${all[@]}"
waits_with 'a full disk'
for account in "${all[@]}"; do
  umount --lazy "$(state_of "$account")"
done
is_mended 'a full disk'

# ---- a filter that is not the one it should be
while IFS='|' read -r what lines; do
  clear "${all[@]}"
  replace_filter "$lines"
  [ -n "$lines" ] || rm /usr/local/bin/remsync-deliver
  send "$work/small.eml" "${all[@]}"
  waits_with "$what"
  restore_filter
  is_mended "$what"
done <<'R'
a filter that ends with 1 and reads nothing|exit 1
a filter that is killed|cat >/dev/null; kill -9 $$
no filter|
R

# ---- a filter that is killed while a mail streams into it
clear "${all[@]}"
# A filter that gets no further than five million bytes of a mail, for as long as it lives; dead and
# not buried yet, it has no program any more.
stopped_filter=/usr/local/bin/remsync-deliver-stopped
install -m 755 "$work/the-filter" "$stopped_filter"
rm -f /usr/local/bin/remsync-deliver
cat >"$work/filter" <<F
#!/bin/bash
exec $stopped_filter "\$@" < <(head -c 5000000; while readlink /proc/\$\$/exe; do sleep 0.1; done >/dev/null 2>&1)
F
install -m 755 "$work/filter" /usr/local/bin/remsync-deliver
# Kills the filters that wait in the middle of a large mail, until those of $1 accounts have died.
kill_in_the_middle() {
  local left=$1 process read owner
  local -A killed=()
  local until=$((SECONDS + 60))
  while [ "$left" -gt 0 ] && [ "$SECONDS" -lt "$until" ]; do
    for process in /proc/[0-9]*; do
      [ "$(readlink "$process/exe" 2>/dev/null)" = "$stopped_filter" ] || continue
      read=$(sed -n 's/^rchar: //p' "$process/io" 2>/dev/null)
      owner=$(stat -c %U "$process" 2>/dev/null) || continue
      [ "${read:-0}" -ge 4900000 ] && [ -z "${killed[$owner]-}" ] || continue
      kill -9 "${process#/proc/}" 2>/dev/null || continue
      killed[$owner]=yes
      left=$((left - 1))
    done
    sleep 0.1
  done
  [ "$left" = 0 ]
}
send "$work/large.eml" "${all[@]}"
check 'killed in the middle: each filter was' kill_in_the_middle ${#all[@]}
restore_filter
# Where somebody tried again meanwhile, that is one more.
pkill -9 -x -f "$stopped_filter.*" || true
rm -f "$stopped_filter"
check 'killed in the middle: the mail of Sieve is in the inbox, flagged' is_flagged liz 1
is_mended 'killed in the middle'
rescan liz || true
check 'killed in the middle, mended: the large mail is scanned again' has liz 1 1

# ---- a filter that hangs
clear "${all[@]}"
sed -i 's/timeout -k 9 900/timeout -k 9 1/' /etc/postfix/master.cf /home/fay/.forward
sed -i 's/exec_timeout = .*/exec_timeout = 1s/' /etc/dovecot/conf.d/95-remsync.conf
postfix reload 2>/dev/null
doveadm reload
replace_filter 'cat >/dev/null; exec sleep 30'
send "$work/small.eml" ann fay liz
check 'a filter that hangs is ended, and Postfix keeps the mail' postfix_holds 2
check 'a filter that hangs: past the limit of Pigeonhole the mail is in the inbox, flagged' \
  is_flagged liz 1
restore_filter
# Postfix thinks that what hung is still at work, and would wait longer than we.
sleep 2
postqueue -f
check 'a filter that hangs, mended: pipe(8)' has ann 1 1
check 'a filter that hangs, mended: .forward' has fay 1 1
check 'a filter that hangs: nothing was bounced' none_bounced
cp "$share/dovecot-remsync.conf" /etc/dovecot/conf.d/95-remsync.conf
sed -i 's/timeout -k 9 1 /timeout -k 9 900 /' /etc/postfix/master.cf
postfix reload 2>/dev/null
doveadm reload
