# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# The crontab and the systemd units, as far as they can be tried without their daemons: quiet when
# nothing happened, words when something did.

clear ship port
rm -rf /home/ship/notes "$(state_of ship)"
acquaint
as ship sh -c 'cd && mkdir notes && echo calm >notes/log.txt'
as ship sh -c 'cd && remsync -q -C notes init --title Cron --here ship@land.example --remote "port@land.example -"'

# cron N [SAID]: line N of the crontab, run as cron does: with its few variables and sh. What it prints would be
# mailed.
cron() {
  local path line said=${2-$work/cron.said}
  path=$(sed -n 's/^PATH=//p' "$share/crontab")
  line=$(sed -nE 's/^[0-9,*]+ +[0-9*]+ +[^ ]+ +[^ ]+ +[^ ]+ +//p' "$share/crontab" | sed -n "$1p")
  (cd /home/ship && setpriv --reuid=ship --regid=ship --init-groups env -i HOME=/home/ship \
    LOGNAME=ship USER=ship SHELL=/bin/sh PATH="$path" /bin/sh -c "$line") >"$said" 2>&1 ||
    true
}
says_nothing() { [ ! -s "$work/cron.said" ] || { cat "$work/cron.said"; return 1; }; }
says() { grep -q "$1" "$work/cron.said" || { cat "$work/cron.said"; return 1; }; }

has_lines() { [ "$(grep -cE '^[0-9*]' "$share/crontab")" = 2 ]; }
check 'cron: the crontab has two lines' has_lines
cron 1
check 'cron: a run that sends says nothing' says_nothing
check 'cron: and sends' has port 1 1
cron 1
check 'cron: a run with nothing to do says nothing' says_nothing
cron 2
check 'cron: mornings with nothing that waits say nothing' says_nothing

# What waits for a person is told once, and every morning.
accepted() {
  as port sh -c 'cd && rm -rf notes && remsync -q --batch accept "$(remsync queue | grep -m1 Cron | cut -c1-12)" notes &&
    echo gale >notes/log.txt && remsync -q -C notes broadcast'
}
accepted >"$work/said" 2>&1 || cat "$work/said"
as ship sh -c 'cd && echo fog >notes/log.txt'
soon waits_for ship
cron 1
cron 2
check 'cron: mornings with a conflict name it' says '^log.txt: '
cron 1
check 'cron: a run with nothing new says nothing again' says_nothing

# What fails is told.
as ship sh -c 'cd && mv notes elsewhere'
cron 1
check 'cron: a project that is gone is told' says 'notes'
as ship sh -c 'cd && mv elsewhere notes'

# Two lines for two projects in the same minute do not get in each other's way.
cron 1 "$work/cron.beside" &
beside=$!
cron 1
wait "$beside"
check 'cron: two at once say nothing' says_nothing
says_nothing_beside() { [ ! -s "$work/cron.beside" ] || { cat "$work/cron.beside"; return 1; }; }
check 'cron: neither does' says_nothing_beside

# ---- systemd

install -d -o ship -g ship /home/ship/.config/systemd/user
for unit in "$share"/remsync@.*; do
  give ship ".config/systemd/user/${unit##*/}" <"$unit"
done
units_are_sound() {
  local unit
  for unit in service timer; do
    as ship XDG_RUNTIME_DIR=/home/ship systemd-analyze verify --user --man=no \
      "/home/ship/.config/systemd/user/remsync@.$unit" >"$work/said" 2>&1 && [ ! -s "$work/said" ] ||
      { cat "$work/said"; return 1; }
  done
}
check 'systemd: the units are sound' units_are_sound
# The command of the service, as systemd would run it.
unit_command() {
  local line
  line=$(sed -n 's/^ExecStart=//p' "$share/remsync@.service" | sed 's/\$\$/$/g; s|%h|/home/ship|g')
  local status=0
  as ship sh -c "cd ~/notes && $line" >"$work/cron.said" 2>&1 || status=$?
  [ "$status" = "$1" ] || { echo "        $status"; cat "$work/cron.said"; return 1; }
}
check 'systemd: something waits, which is 1' unit_command 1
as ship sh -c 'cd && remsync -q -C notes resolve log.txt keep'
check 'systemd: nothing waits, which is 0' unit_command 0
check 'systemd: and nothing is said' says_nothing
