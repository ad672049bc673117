# remsync.sieve: gives each mail to remsync-deliver, which takes packages out of it. For Dovecot
# with Pigeonhole, over LMTP or dovecot-lda.
#
# It goes to /usr/local/share/remsync/remsync.sieve, and dovecot-remsync.conf, which lies beside it,
# says how Dovecot gets at it. Either for all accounts (sieve_before there), or for those who
# write into their own script, before what files mail:
#
#     require "include";
#     include :global "remsync";
#
# Where things go: a package goes into the account's queue (see "remsync queue"), and the mail that
# brought it goes on to the account's own script and to the inbox like every other mail. Nothing is
# kept, filed or discarded here, so no mail is lost, bounced or doubled by it.
#
# When it fails: Pigeonhole cannot hand a mail back to the mail system. If remsync-deliver cannot
# be run, could not put a package safely into the queue, was killed, or took longer than
# sieve_execute_exec_timeout, the mail goes where it would have gone, with a star (\Flagged) and the
# keyword remsync-failed. Its package is not queued, and nothing tries again by itself. When it is
# mended, scan these mails again; for one in a maildir
#
#     remsync-deliver < ~/Maildir/cur/NAME
#
# and for all of them, as the account or with -u ACCOUNT:
#
#     doveadm search mailbox '*' keyword remsync-failed | while read -r box uid; do
#       doveadm fetch text mailbox-guid "$box" uid "$uid" | sed 1d | remsync-deliver &&
#         doveadm flags remove '\Flagged remsync-failed' mailbox-guid "$box" uid "$uid"
#     done
#
# To scan a mail twice does no harm: the same package is the same entry of the queue.

require ["vnd.dovecot.execute", "imap4flags"];

if not execute :pipe "remsync-deliver" {
  addflag ["\\Flagged", "remsync-failed"];
}
