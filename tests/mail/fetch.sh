# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Mail that is fetched from a server, with POP3 over TLS: fdm, getmail and fetchmail. There is no
# mail system to try again; the mail stays on the server instead.

fetchers=(finn gil fred)
recipe() { sed "s/\bann\b/$1/g" "$share/$2"; }
recipe finn fdm.conf | give finn .fdm.conf
recipe gil getmailrc | give gil .config/getmail/getmailrc
recipe fred fetchmailrc | give fred .fetchmailrc
install -d -o gil -g gil /home/gil/Maildir /home/gil/Maildir/{cur,new,tmp}

# At the server these accounts have their mail elsewhere, for the homes are those of the clients.
sed -i 's|^mail_location.*|mail_location = maildir:/var/mail/at-server/%n|' /etc/dovecot/dovecot.conf
install -d -m 1777 /var/mail/at-server
doveadm reload

# on_server FILE ACCOUNT...: a mail that waits there.
on_server() {
  local file=$1 account
  shift
  for account; do
    doveadm save -u "$account" -m INBOX <"$file"
  done
}
waiting() { count_files "/var/mail/at-server/$1"/{new,cur}; }
# A run of the account's program.
fetch() {
  case $1 in
  finn) as finn fdm fetch ;;
  gil) as gil getmail ;;
  fred) as fred fetchmail ;;
  esac >>"$work/fetch-$1.said" 2>&1 || true
}
# is ACCOUNT WAITING QUEUED INBOX
is() {
  [ "$(waiting "$1") $(queued "$1") $(inbox "$1")" = "$2 $3 $4" ] && return
  echo "        $1 is $(waiting "$1") $(queued "$1") $(inbox "$1"), not $2 $3 $4"
  sed 's/^/        /' "$work/fetch-$1.said"
  return 1
}
name() { case $1 in finn) echo fdm ;; gil) echo getmail ;; fred) echo fetchmail ;; esac; }

while IFS='|' read -r what lines; do
  replace_filter "$lines"
  on_server "$work/small.eml" "${fetchers[@]}"
  for account in "${fetchers[@]}"; do
    fetch "$account"
    fetch "$account"
    check "$(name "$account"), $what: the mail stays on the server, and is nowhere else" \
      is "$account" 1 0 0
  done
  restore_filter
  for account in "${fetchers[@]}"; do
    fetch "$account"
    left=0 home=1
    [ "$account" != fred ] || left=1 home=0 # it reads at the server
    check "$(name "$account"), $what, mended: a package is queued, the mail is there once" \
      is "$account" "$left" 1 "$home"
    fetch "$account"
    check "$(name "$account"), $what, mended: another run changes nothing" \
      is "$account" "$left" 1 "$home"
  done
  rm -rf /var/mail/at-server/* /home/fred/.fetchids
  clear "${fetchers[@]}"
  install -d -o gil -g gil /home/gil/Maildir /home/gil/Maildir/{cur,new,tmp}
done <<'R'
a filter in trouble|cat >/dev/null; echo trouble >&2; exit 75
a filter that is killed|cat >/dev/null; kill -9 $$
R

on_server "$work/plain.eml" "${fetchers[@]}"
for account in "${fetchers[@]}"; do
  fetch "$account"
done
check 'fdm: a plain mail is in the inbox' is finn 0 0 1
check 'getmail: a plain mail is in the inbox' is gil 0 0 1
check 'fetchmail: a plain mail stays on the server' is fred 1 0 0
sed -i 's|^mail_location.*|mail_location = maildir:~/Maildir|' /etc/dovecot/dovecot.conf
doveadm reload
