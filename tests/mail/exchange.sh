# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Two sites that keep in step over the real thing: mail leaves through Postfix's sendmail as
# whoever has the project, and comes back through procmail here and through LMTP and Sieve there.
# And what Postfix cannot deliver comes back, and is no package.

clear ship port
# One with no settings at all, the other with a program of its own for mail.
printf '#!/bin/sh\necho "$@" >>/home/port/sendmail.called\nexec /usr/sbin/sendmail "$@"\n' |
  install -m 755 /dev/stdin /usr/local/bin/port-sendmail
printf '[mail]\ntransport = "sendmail:/usr/local/bin/port-sendmail"\n' |
  give port .config/remsync/config.toml

reads() { [ "$(cat "/home/$1/notes/$2")" = "$3" ] || { cat "$work/said"; return 1; }; }
same_trees() {
  diff -r --exclude='.remsync*' /home/ship/notes /home/port/notes
}
# A broadcast of one arrives at the other, and is processed.
turn() {
  local from=$1 to=$2 status=${3-0} before
  # What is held waits there too.
  before=$(queued "$to")
  ended_with 0 "$from" broadcast && soon has_more "$to" "$before" &&
    ended_with "$status" "$to" process
}

check 'two sites: each trusts the key of the other' acquaint

as ship mkdir -p /home/ship/notes/log
write ship log/monday.txt 'calm sea'
write ship 'a name with ümlaut and blanks.txt' 'ice'
write ship chart.txt 'depth unknown'
head -c 300000 /dev/urandom | as ship tee /home/ship/notes/photo.bin >/dev/null
ship init --title Notes --here ship@land.example --remote 'port@land.example -'
check 'two sites: a broadcast is taken by sendmail' ended_with 0 ship broadcast
check 'two sites: Sieve queues it, and its mail is in the inbox' has port 1 1
accept_it() {
  as port sh -c 'cd && remsync -q --batch accept "$(remsync queue | cut -c1-12)" notes' >"$work/said" 2>&1
}
check 'two sites: it is accepted' accept_it
check 'two sites: and the trees are the same' same_trees
check 'two sites: the answer comes back through procmail' turn port ship
was_called() { grep -qx -- '-i -f port@land.example -- ship@land.example' /home/port/sendmail.called; }
answers_it() { grep -q '^In-Reply-To: <remsync\.' /var/mail/ship; }
check 'two sites: which answers the mail that was accepted' soon answers_it
check 'two sites: it left through sendmail:PATH' was_called

write ship log/tuesday.txt 'a gale'
write port chart.txt '40 fathoms'
check 'two sites: an edit there arrives here' turn port ship
check 'two sites: and replaces what it descends from' reads ship chart.txt '40 fathoms'
check 'two sites: an edit here arrives there' turn ship port
check 'two sites: and is created' reads port log/tuesday.txt 'a gale'
check 'two sites: the trees are the same again' same_trees

write ship chart.txt 'rocks'
write port chart.txt 'sand'
check 'two sites: a conflict is broadcast' ended_with 0 ship broadcast
check 'two sites: by both, and is held here' turn port ship 1
arrives_and_is_held() { soon waits_for port && ended_with 1 port process; }
check 'two sites: and there' arrives_and_is_held
check 'two sites: nothing is overwritten here' reads ship chart.txt rocks
check 'two sites: nor there' reads port chart.txt sand
check 'two sites: a person decides' ended_with 0 ship resolve chart.txt keep
check 'two sites: the decision arrives' turn ship port
check 'two sites: and holds there too' reads port chart.txt rocks
check 'two sites: its receipt arrives' turn port ship
# Every file of the project, and there are five.
in_step() {
  as "$1" sh -c 'cd && remsync -C notes -v status' >"$work/said" 2>&1
  [ "$(grep -c '^  .*: in step$' "$work/said") $(grep -c '^  ' "$work/said")" = '5 5' ] ||
    { cat "$work/said"; return 1; }
}
check 'two sites: status says that all is in step here' in_step ship
check 'two sites: and there' in_step port
check 'two sites: no mail was bounced' none_bounced
check 'two sites: and none waits' soon postfix_is_empty

# ---- what cannot be delivered

clear ship
write ship log/wednesday.txt 'fog'
ship create remote nobody-here@land.example -
# Small enough for Postfix to send all of it back.
ship -i broadcast nobody-here@land.example
comes_back() { grep -q "^From MAILER-DAEMON" /var/mail/ship 2>/dev/null; }
check 'a bounce: Postfix sends the mail to nobody back' soon comes_back
has_package() { grep -q 'remsync.tar.gz' /var/mail/ship; }
check 'a bounce: with our package in it' has_package
check 'a bounce: which is no package' has ship 0 1
tells() {
  ship process || true
  grep -q "$1" "$work/said" || { cat "$work/said"; return 1; }
}
check 'a bounce: process tells of it, and why' tells 'nobody-here@land.example: the mail of .* came back.* 5.1.1 '

rm /var/mail/ship
ship create remote far@tiny.example -
ship broadcast far@tiny.example
check 'too large: it comes back' soon comes_back
check 'too large: which is no package' has ship 0 1
check 'too large: process tells of it, and why' tells 'far@tiny.example: the mail of .* came back.* 5.3.4 '
