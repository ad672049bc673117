# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Our own SMTP to the real Postfix, with TLS and passwords; what it makes of a server that is
# another, that knows no such password, that is not there; and mails that are larger than memory
# should be.

clear ship port
rm -rf /home/ship/notes "$(state_of ship)"
as ship sh -c 'cd && mkdir notes && echo calm >notes/log.txt'
ship init --title Wire --here ship@land.example --remote 'port@land.example -'
printf 'secret\n' | give ship password
printf 'wrong\n' | give ship wrong

# mail_by TRANSPORT [LINE...]: how the mail of ship leaves from now on.
mail_by() {
  local transport=$1
  shift
  { printf '[mail]\ntransport = "%s"\nuser = "ship"\n' "$transport"; printf '%s\n' "$@"; } |
    give ship .config/remsync/config.toml
}
password='password_file = "~/password"'
# Something new to send.
edit() { write ship log.txt "$RANDOM $RANDOM"; }
goes() {
  edit
  ended_with 0 ship broadcast && soon waits_for port || { cat "$work/said"; return 1; }
}
came_by_now() { cat /home/port/Maildir/new/* 2>/dev/null | grep -q "with $1 id"; }
came_by() { soon came_by_now "$@"; }
waits_and_says() {
  edit
  ended_with 2 ship broadcast || return 1
  grep -q "$1" "$work/said" && ship queue --out && grep -q ' waiting ' "$work/said" ||
    { cat "$work/said"; return 1; }
}

mail_by smtp://mail.land.example "$password"
check 'SMTP: STARTTLS and a password' goes
check 'SMTP: Postfix says so in the mail' came_by ESMTPSA
check 'SMTP: find-mailer finds nothing wrong' ended_with 0 ship find-mailer
check 'SMTP: a mail to oneself goes all the way round' ended_with 0 ship find-mailer --self-test
clear port
mail_by smtps://mail.land.example "$password"
check 'SMTP: TLS from the first byte' goes
check 'SMTP: which Postfix says too' came_by ESMTPSA
check 'SMTP: a mail to oneself goes round by that, too' ended_with 0 ship find-mailer --self-test
clear port

for way in 'smtp://mail.land.example:5587' 'smtps://mail.land.example:5465'; do
  mail_by "$way" "$password"
  check "SMTP: ${way%%:*}, a certificate of nobody we know: the mail waits" waits_and_says certificate
  mail_by "$way" "$password" 'ca_file = "/etc/ssl/stranger.pem"'
  check "SMTP: ${way%%:*}, one that we were told of: it goes" goes
  clear port
done

mail_by smtp://mail.land.example 'password_file = "~/wrong"'
check 'SMTP: a wrong password: the mail waits' waits_and_says '535'
not_ok() { ended_with 2 ship find-mailer && grep -q '^not ok  *server' "$work/said" || { cat "$work/said"; return 1; }; }
check 'SMTP: and find-mailer says what is wrong' not_ok
mail_by smtp://mail.land.example:2599 "$password"
check 'SMTP: a server that is not there: the mail waits' waits_and_says 'refused'
mail_by smtp://mail.land.example "$password"
check 'SMTP: mended: what waited goes' goes
no_secret() { ! grep -r secret "$(state_of ship)" /home/ship/notes /var/log; }
check 'SMTP: the password is written nowhere' no_secret
rm /home/ship/.config/remsync/config.toml
check 'sendmail: a mail to oneself goes all the way round' ended_with 0 ship find-mailer --self-test

# ---- a mail larger than memory should be

# peak_of PROGRAM COMMAND...: runs the command; the most memory that a process of PROGRAM used
# meanwhile, in KiB, is in $peak.
peak_of() {
  local program=$1 process now ended=
  shift
  peak=0
  "$@" &
  local running=$!
  while [ -z "$ended" ]; do
    [ -e "/proc/$running" ] && kill -0 "$running" 2>/dev/null || ended=yes
    for process in /proc/[0-9]*; do
      [ "$(readlink "$process/exe" 2>/dev/null)" = "/usr/local/bin/$program" ] || continue
      now=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "$process/status" 2>/dev/null) || continue
      [ "${now:-0}" -le "$peak" ] || peak=$now
    done
    sleep 0.05
  done
  wait "$running"
}
is_small() {
  printf '        %s KiB\n' "$peak"
  [ "$peak" -gt 1000 ] && [ "$peak" -lt 32768 ]
}
clear port ann
install -m 755 "$work"/fast/* /usr/local/bin/
head -c 200000000 /dev/urandom | as ship tee /home/ship/notes/film.bin >/dev/null
ship create remote nowhere@void.example -
mail_by smtps://mail.land.example "$password"
large_by_smtp() { ended_with 0 ship broadcast nowhere@void.example; }
check 'a file of 200 MB: leaves by SMTP' peak_of remsync large_by_smtp
check 'a file of 200 MB: in less than 32 MiB of memory' is_small
rm /home/ship/.config/remsync/config.toml
ship create remote ann+sync@land.example -
large_by_sendmail() {
  ended_with 0 ship broadcast ann+sync@land.example && soon waits_for ann
}
check 'a file of 200 MB: leaves by sendmail, and is queued by the filter' \
  peak_of remsync large_by_sendmail
check 'a file of 200 MB: in less than 32 MiB of memory too' is_small
