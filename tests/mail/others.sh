# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Exim and OpenSMTPD, which Debian lets nobody install beside Postfix: their files are laid over
# /usr for them alone.

# ---- Exim: erin by the router and transport, evan by .forward

mkdir -p /etc/exim4 /var/spool/exim4 /var/log/exim4 /run/exim4
chown -R Debian-exim:Debian-exim /var/spool/exim4 /var/log/exim4 /run/exim4
router() { sed 's/# local_parts = .*/local_parts = erin/' "$share/exim-router.conf"; }
{
  cat <<'R'
primary_hostname = mail.land.example
domainlist local_domains = land.example
local_interfaces = <; 127.0.0.1
daemon_smtp_ports = 2525
tls_advertise_hosts =
log_file_path = /var/log/exim4/%slog
trusted_users = sam
begin routers
R
  router
  cat <<'R'
userforward:
  driver = redirect
  check_local_user
  file = $home/.forward
  allow_filter = false
  no_verify
  no_expn
  check_ancestor
  pipe_transport = address_pipe
  file_transport = address_file
  reply_transport = address_reply
local_user:
  driver = accept
  check_local_user
  transport = local_delivery
begin transports
R
  cat "$share/exim-transport.conf"
  cat <<'R'
local_delivery:
  driver = appendfile
  file = /var/mail/$local_part_data
  user = $local_part_data
  group = mail
  mode = 0660
# The strictest there is: any word that the program says, and the mail goes back to its author.
address_pipe:
  driver = pipe
  return_output
address_file:
  driver = appendfile
address_reply:
  driver = autoreply
begin retry
*  *  F,1h,1s
R
} >/etc/exim4/exim4.conf

# behind COMMAND...: with the files of the other servers laid over /usr.
behind() {
  unshare --mount bash -c 'mount -t overlay overlay -o "lowerdir=$0/servers/usr:/usr" /usr &&
    mount --bind "$0/local" /usr/local && exec "$@"' "$work" "$@"
}
behind /usr/sbin/exim4 -bdf -q1s >"$work/exim.said" 2>&1 &

to_exim() {
  local file=$1 account
  shift
  for account; do
    behind /usr/sbin/exim4 -odb -i -f sam@land.example "$account@land.example" <"$file"
  done
}
exim_holds_now() { [ "$(behind /usr/sbin/exim4 -bpc)" = "$1" ]; }
exim_bounced_none() {
  grep -q ' == ' /var/log/exim4/mainlog && ! grep ' \*\* \| <= <> ' /var/log/exim4/mainlog
}

to_exim "$work/small.eml" erin evan
check 'Exim, router: a package is queued, its mail is in the inbox' has erin 1 1
check 'Exim, .forward: a package is queued, its mail is in the inbox' has evan 1 1
to_exim "$work/plain.eml" erin evan
check 'Exim, router: a plain mail is in the inbox' has erin 1 2
check 'Exim, .forward: a plain mail is in the inbox' has evan 1 2
to_exim "$work/small.eml" erin evan
check 'Exim, router: the same package again is the same entry' has erin 1 3
check 'Exim, .forward: the same package again is the same entry' has evan 1 3

# Both run the filter apart from the inbox: the mail is there at once, and only the filter is tried
# again.
while IFS='|' read -r what lines; do
  clear erin evan
  replace_filter "$lines"
  to_exim "$work/small.eml" erin evan
  check "Exim, $what: the mail is kept for the filter" soon exim_holds_now 2
  sleep 2
  check "Exim, $what: after more tries the mail is there once" has erin 0 1
  check "Exim, $what: and with .forward" has evan 0 1
  restore_filter
  check "Exim, $what, mended: router" has erin 1 1
  check "Exim, $what, mended: .forward" has evan 1 1
done <<'R'
a filter in trouble|cat >/dev/null; echo trouble >&2; exit 75
a filter that is killed|cat >/dev/null; kill -9 $$
a filter that ends with 1 and reads nothing|exit 1
R
check 'Exim: nothing waits any more' soon exim_holds_now 0
check 'Exim: nothing was bounced' exim_bounced_none

# ---- OpenSMTPD: olga by .forward, oscar by a rule

mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty
chmod 711 /var/spool/smtpd
chgrp opensmtpq "$work/servers/usr/sbin/smtpctl"
chmod 2755 "$work/servers/usr/sbin/smtpctl"
{
  echo 'listen on 127.0.0.1 port 2526'
  sed 's/\bann\b/oscar/g' "$share/opensmtpd.conf"
  cat <<'R'
action "local" mbox
match from any for domain "land.example" action "local"
R
} >/etc/smtpd.conf
behind /usr/sbin/smtpd -d -f /etc/smtpd.conf >"$work/smtpd.said" 2>&1 &

to_smtpd() {
  local file=$1 address
  shift
  for address; do
    behind /usr/bin/smtp -s smtp://127.0.0.1:2526 -F sam@land.example "$address@land.example" \
      <"$file" >"$work/smtp.said" 2>&1
  done
}
smtpd_holds_now() { [ "$(behind /usr/sbin/smtpctl show queue | wc -l)" = "$1" ]; }
smtpd_tries_again() { behind /usr/sbin/smtpctl schedule all >"$work/said" 2>&1; }
# That it speaks of what waits shows that it would speak of what it sends back.
smtpd_bounced_none() {
  grep -q 'result="\?TempFail' "$work/smtpd.said" && ! grep 'result="\?PermFail\|bounce' "$work/smtpd.said"
}
is_there() { [ -S /run/smtpd.sock ]; }
soon is_there

to_smtpd "$work/small.eml" olga oscar+sync
check 'OpenSMTPD, .forward: a package is queued, its mail is in the inbox' has olga 1 1
check 'OpenSMTPD, rule: a package is queued, and there is no mail' has oscar 1 0
to_smtpd "$work/plain.eml" olga oscar
check 'OpenSMTPD, .forward: a plain mail is in the inbox' has olga 1 2
check 'OpenSMTPD, rule: mail for the account itself is in the inbox' has oscar 1 1
to_smtpd "$work/small.eml" olga oscar+sync
check 'OpenSMTPD, .forward: the same package again is the same entry' has olga 1 3
check 'OpenSMTPD, rule: the same package again is the same entry' has oscar 1 1
while IFS='|' read -r what lines; do
  clear olga oscar
  replace_filter "$lines"
  to_smtpd "$work/small.eml" olga oscar+sync
  check "OpenSMTPD, $what: the mail is kept for the filter" soon smtpd_holds_now 2
  smtpd_tries_again
  sleep 2
  check "OpenSMTPD, $what: after another try the mail is there once" has olga 0 1
  restore_filter
  smtpd_tries_again
  check "OpenSMTPD, $what, mended: .forward" has olga 1 1
  check "OpenSMTPD, $what, mended: rule" has oscar 1 0
done <<'R'
a filter in trouble|cat >/dev/null; echo trouble >&2; exit 75
a filter that is killed|cat >/dev/null; kill -9 $$
R
check 'OpenSMTPD: nothing waits any more' soon smtpd_holds_now 0
check 'OpenSMTPD: nothing was bounced' smtpd_bounced_none
