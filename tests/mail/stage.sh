# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# The stage: private mounts, accounts, and the mail systems, started. Sourced by mail.sh in
# namespaces of its own, so that nothing has to be undone.

for program in postfix dovecot doveadm sievec maildrop procmail fdm getmail fetchmail; do
  PATH=$PATH:/usr/sbin command -v "$program" >/dev/null ||
    { echo "mail.sh: there is no $program" >&2; exit 1; }
done
for program in exim4 smtpd; do
  [ -x "$work/servers/usr/sbin/$program" ] ||
    { echo "mail.sh: there is no $program below the folder SERVERS" >&2; exit 1; }
done

PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C HOME=/
unset XDG_CONFIG_HOME XDG_STATE_HOME REMSYNC_CONFIG REMSYNC_QUEUE REMSYNC_TRANSPORT
umask 022
log=/var/log/mail.log
share=/usr/local/share/remsync

# private FOLDER [FROM]: what others see of FOLDER stays as it is; here it is empty, or as FROM.
private() {
  local mine=$work/stage$1
  mkdir -p "$mine"
  [ -z "${2-}" ] || cp -a "$2/." "$mine/"
  mount --bind "$mine" "$1"
}

mount --make-rprivate /
cp -a /var/lib/postfix "$work/"
ip link set lo up
private /etc /etc
private /home
private /run
private /var/log
private /var/mail
private /var/spool /var/spool
private /var/lib
cp -a "$work/postfix" /var/lib/
mount --bind "$work/local" /usr/local
chmod 2775 /var/mail
chgrp mail /var/mail

# Who has mail here, by what brings it:
#   ann    Postfix, pipe(8)            pat    Postfix, procmail      fay    Postfix, .forward
#   max    Postfix, maildrop           lou    Postfix, dovecot-lda   liz    Postfix, LMTP, Sieve
#   erin   Exim, router                evan   Exim, .forward
#   olga   OpenSMTPD, .forward         oscar  OpenSMTPD, rule
#   finn   fdm                         gil    getmail                fred   fetchmail
#   ship   Postfix, procmail           port   Postfix, LMTP, Sieve
#   sam    sends mail, and gets what comes back
accounts='ann pat fay max lou liz erin evan olga oscar finn gil fred ship port sam'
number=7001
for account in $accounts; do
  echo "$account:x:$number:$number::/home/$account:/bin/sh" >>/etc/passwd
  echo "$account:x:$number:" >>/etc/group
  install -d -m 755 -o "$number" -g "$number" "/home/$account"
  number=$((number + 1))
done
# What Exim and OpenSMTPD ask for when they are installed.
for account in Debian-exim opensmtpd opensmtpq; do
  echo "$account:x:$number:$number::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
  echo "$account:x:$number:" >>/etc/group
  number=$((number + 1))
done
echo '127.0.0.1 localhost land.example mail.land.example' >/etc/hosts
: >/etc/aliases

# as ACCOUNT COMMAND...: as a login of the account would.
as() {
  local account=$1
  shift
  setpriv --reuid="$account" --regid="$account" --init-groups env -i HOME="/home/$account" \
    USER="$account" LOGNAME="$account" PATH="$PATH" LC_ALL=C "$@"
}
# give ACCOUNT FILE: standard input becomes a file of the account's home.
give() {
  install -D -m 600 /dev/stdin "/home/$1/$2"
  chown -R "$1:$1" "/home/$1/${2%%/*}"
}

# The server's certificate, of an authority that this machine trusts, and one that vouches for
# itself and that nobody knows.
{
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=The port authority' \
    -keyout /etc/ssl/authority.key -out /etc/ssl/authority.pem
  openssl req -newkey rsa:2048 -nodes -subj /CN=mail.land.example \
    -keyout /etc/ssl/known.key -out /etc/ssl/known.csr
  printf 'subjectAltName=DNS:mail.land.example\n' |
    openssl x509 -req -in /etc/ssl/known.csr -days 30 -CA /etc/ssl/authority.pem \
      -CAkey /etc/ssl/authority.key -CAcreateserial -extfile /dev/stdin -out /etc/ssl/known.pem
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mail.land.example \
    -addext 'subjectAltName=DNS:mail.land.example' \
    -keyout /etc/ssl/stranger.key -out /etc/ssl/stranger.pem
} 2>"$work/said"
mkdir -p /etc/ssl/certs
cat /etc/ssl/authority.pem >>/etc/ssl/certs/ca-certificates.crt
cp /etc/ssl/authority.pem \
  "/etc/ssl/certs/$(openssl x509 -hash -noout -in /etc/ssl/authority.pem).0"

# ---- the recipes, put where they say that they go

# procmail
for account in pat ship; do
  printf 'DEFAULT=/var/mail/%s\nLOGFILE=/home/%s/procmail.log\nINCLUDERC=%s/remsync.rc\n' \
    "$account" "$account" "$share" | give "$account" .procmailrc
done
# .forward; what follows is that of Postfix, Exim and OpenSMTPD
for account in fay evan olga; do
  sed "s/^\\\\ann\$/\\\\$account/" "$share/forward" | give "$account" .forward
done
# maildrop
printf 'logfile "/home/max/maildrop.log"\nDEFAULT="/home/max/inbox"\ninclude "%s"\n' \
  "$share/remsync.mailfilter" | give max .mailfilter
# Dovecot
mkdir -p /usr/local/lib/remsync/sieve /etc/dovecot/conf.d
ln -s /usr/local/bin/remsync-deliver /usr/local/lib/remsync/sieve/
cp "$share/dovecot-remsync.conf" /etc/dovecot/conf.d/95-remsync.conf
# Postfix
rm -f /etc/postfix/main.cf
cp "$share/postfix-main.cf" /etc/postfix/main.cf
cat "$share/postfix-master.cf" >>/etc/postfix/master.cf

# ---- Dovecot: LMTP, POP3 over TLS, and the passwords for Postfix

cat >/etc/dovecot/dovecot.conf <<'R'
protocols = lmtp pop3
listen = 127.0.0.1
log_path = /var/log/dovecot.log
mail_location = maildir:~/Maildir
postmaster_address = postmaster@land.example
first_valid_uid = 1000
recipient_delimiter = +
auth_username_format = %Ln
ssl_cert = </etc/ssl/known.pem
ssl_key = </etc/ssl/known.key
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = passwd
}
protocol lmtp {
  mail_plugins = sieve
}
protocol lda {
  mail_plugins = sieve
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0666
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
service lmtp {
  unix_listener /var/spool/postfix/private/dovecot-lmtp {
    mode = 0666
  }
}
!include conf.d/95-remsync.conf
R
# With which nothing but the settings of the recipe changes.
touch /var/log/dovecot.log
chmod 666 /var/log/dovecot.log
sievec -c /etc/dovecot/dovecot.conf "$share/remsync.sieve"
dovecot

# ---- Postfix, as it stands on a machine of its own

cat >>/etc/postfix/main.cf <<'R'
compatibility_level = 3.6
maillog_file = /var/log/mail.log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.land.example
mydestination = $myhostname, localhost, land.example
mynetworks = 127.0.0.0/8
default_transport = error:there is nothing outside
relay_transport = error:there is nothing outside
alias_maps =
mailbox_size_limit = 0
message_size_limit = 400000000
mailbox_command_maps = texthash:/etc/postfix/commands
mailbox_transport_maps = inline:{
  { liz = lmtp:unix:private/dovecot-lmtp } { port = lmtp:unix:private/dovecot-lmtp } }
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
smtpd_tls_cert_file = /etc/ssl/known.pem
smtpd_tls_key_file = /etc/ssl/known.key
smtpd_tls_security_level = may
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_sasl_authenticated, permit_mynetworks, reject_unauth_destination
R
cat >/etc/postfix/commands <<'R'
pat   /usr/bin/procmail -t -a "$EXTENSION"
ship  /usr/bin/procmail -t -a "$EXTENSION"
max   /usr/bin/maildrop
lou   /usr/lib/dovecot/dovecot-lda -f "$SENDER" -a "$RECIPIENT"
R
login='-o smtpd_sasl_auth_enable=yes -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject'
stranger='-o smtpd_tls_cert_file=/etc/ssl/stranger.pem -o smtpd_tls_key_file=/etc/ssl/stranger.key'
cat >>/etc/postfix/master.cf <<R
127.0.0.1:587  inet n - n - - smtpd -o smtpd_tls_security_level=encrypt ${login}
127.0.0.1:465  inet n - n - - smtpd -o smtpd_tls_wrappermode=yes ${login}
127.0.0.1:5587 inet n - n - - smtpd -o smtpd_tls_security_level=encrypt ${login} ${stranger}
127.0.0.1:5465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes ${login} ${stranger}
R
# Other mail systems: one takes 20 kB and no more, one takes all and keeps nothing.
sed -i 's/^transport_maps = inline:{/& { tiny.example = smtp:[127.0.0.1]:2552 } { void.example = discard: }/' /etc/postfix/main.cf
cat >>/etc/postfix/master.cf <<'R'
127.0.0.1:2552 inet n - n - - smtpd
  -o message_size_limit=20000 -o relay_domains=tiny.example
R
# A mail that comes round again while its last try is still put away lies in the queue of what is
# new until the queue manager is woken; here that is each second too, not each 300.
postconf -M 'qmgr/unix=qmgr unix n - n 1 1 qmgr'
postfix start 2>"$work/said" || { cat "$work/said" >&2; exit 1; }
