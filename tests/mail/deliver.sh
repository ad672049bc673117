# shellcheck shell=bash disable=SC2154  # what mail.sh and stage.sh set
# Everything is in order: through each mail system a package is queued, and the mail is in the
# inbox.

ways=(
  'ann Postfix, pipe(8)' 'pat Postfix, procmail' 'fay Postfix, .forward' 'max Postfix, maildrop'
  'lou Postfix, dovecot-lda' 'liz Postfix, LMTP, Sieve'
)
for way in "${ways[@]}"; do
  send "$work/small.eml" "${way%% *}"
done
for way in "${ways[@]}"; do
  check "${way#* }: a package is queued, its mail is in the inbox" has "${way%% *}" 1 1
done
for way in "${ways[@]}"; do
  send "$work/plain.eml" "${way%% *}"
done
for way in "${ways[@]}"; do
  check "${way#* }: a plain mail is in the inbox" has "${way%% *}" 1 2
done
for way in "${ways[@]}"; do
  send "$work/small.eml" "${way%% *}"
done
for way in "${ways[@]}"; do
  check "${way#* }: the same package again is the same entry" has "${way%% *}" 1 3
done
send "$work/small.eml" ann+sync
check 'Postfix, pipe(8): the address for packages alone has no inbox' soon postfix_is_empty
check 'Postfix, pipe(8): nor a second entry' has ann 1 3
check 'nothing was bounced' none_bounced

# An account's own script, after the one for all, and with that one included instead.
clear liz
printf 'require ["fileinto", "mailbox"];\nfileinto :create "Ship";\n' | give liz .dovecot.sieve
filed() { count_files /home/liz/Maildir/.Ship/{new,cur}; }
is_filed() { [ "$(queued liz) $(inbox liz) $(filed)" = "1 0 $1" ]; }
send "$work/small.eml" liz
check "Sieve, for all: the account's own script still files the mail" soon is_filed 1
sed -i '/^  sieve_before/d' /etc/dovecot/conf.d/95-remsync.conf
printf 'require ["include", "fileinto", "mailbox"];\n%s\n%s\n' \
  'include :global "remsync";' 'fileinto :create "Ship";' | give liz .dovecot.sieve
rm -f /home/liz/.dovecot.svbin
doveadm reload
clear liz
send "$work/small.eml" liz
check "Sieve, included: so it does" soon is_filed 1
cp "$share/dovecot-remsync.conf" /etc/dovecot/conf.d/95-remsync.conf
rm -f /home/liz/.dovecot.*
doveadm reload
