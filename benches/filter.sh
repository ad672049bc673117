#!/usr/bin/env bash
# Measures the filter beside other programs that take attachments out of a mail: time and memory
# for mails with packages of 1, 100 and 500 MB that nothing compresses, twenty deliveries at once,
# ten thousand one after the other.
#
#   benches/filter.sh [--install] [--sizes "1 100 500"] [large] [at-once] [small]
#
# All three parts unless some are named. --install fetches the other programs with apt-get; without
# it, what is not there is said and left out. Everything is written below TMPDIR (/tmp), on whose
# disk all depends: what it takes to write the mail there durably is in the table as "floor".
#
# Each program reads the mail from the page cache and writes to a fresh folder. remsync-deliver has
# its package on the disk when it ends; the others leave that to the kernel, so they are measured
# with and without a sync of what they wrote.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

sizes='1 100 500'
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=yes ;;
    --sizes) sizes=$2; shift ;;
    large | at-once | small) parts+=("$1") ;;
    *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(large at-once small)

# program, Debian package
peers='ripmime ripmime
munpack mpack
reformime maildrop
python3 python3
/usr/bin/time time'

. benches/peers.sh
find_peers
cargo build --release --locked --bin remsync-deliver --example mails
target=${CARGO_TARGET_DIR:-target}/release
deliver=$PWD/$target/remsync-deliver
mails=$PWD/$target/examples/mails
[ -x "$deliver" ] || deliver=$target/remsync-deliver mails=$target/examples/mails
top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT

cat >"$top/extract.py" <<'PY'
import email, sys
for n, part in enumerate(email.message_from_binary_file(open(sys.argv[1], "rb")).walk()):
    body = part.get_payload(decode=True)
    if body is not None:
        open(f"{sys.argv[2]}/{n}", "wb").write(body)
PY

# The programs, each as a function of the mail and the folder that it writes to.
run_floor() { dd if="$1" of="$2/mail" bs=1M conv=fsync status=none; }
run_remsync() { "$deliver" --queue "$2/queue" <"$1"; }
run_ripmime() { ripmime -i "$1" -d "$2"; }
run_munpack() { (cd "$2" && munpack -q "$1" >/dev/null 2>&1); }
run_reformime() { reformime -e -s 1.2 <"$1" >"$2/1"; }
run_python3() { python3 "$top/extract.py" "$1" "$2"; }

# wall SYNC NAME MAIL: seconds of one run.
wall() {
  local dir began ended
  dir=$(mktemp -d -p "$top")
  # A queue is made once, and then it is there.
  [ "$2" != remsync ] || "$deliver" --queue "$dir/queue" </dev/null
  sync
  began=$(date +%s%N)
  "run_$2" "$3" "$dir"
  [ "$1" = no ] || find "$dir" -type f -exec sync {} +
  ended=$(date +%s%N)
  rm -rf "$dir"
  echo $(((ended - began) / 1000)) | awk '{ printf "%.3f\n", $1 / 1000000 }'
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# peak NAME MAIL: KiB of memory.
peak() {
  local dir
  dir=$(mktemp -d -p "$top")
  export -f run_floor run_remsync run_ripmime run_munpack run_reformime run_python3
  export deliver top
  case $1 in
    floor) set -- dd if="$2" of="$dir/mail" bs=1M conv=fsync status=none ;;
    remsync) set -- "$deliver" --queue "$dir/queue" ;;
    ripmime) set -- ripmime -i "$2" -d "$dir" ;;
    munpack) set -- munpack -q -C "$dir" "$2" ;;
    reformime) set -- reformime -e -s 1.2 ;;
    python3) set -- python3 "$top/extract.py" "$2" "$dir" ;;
  esac
  (cd "$dir" && HOME=$dir /usr/bin/time -o "$top/peak" -f %M "$@" <"$mail" >"$dir/out" 2>/dev/null)
  cat "$top/peak"
  rm -rf "$dir"
}

measure_large() {
  local size mail name runs first plain synced kib
  for size in $sizes; do
    mail=$top/$size.eml
    "$mails" large "$size" >"$mail"
    runs=5
    [ "$size" -lt 500 ] || runs=3
    first=''
    printf '\npackage of %s MB, mail of %s bytes, median of %s runs\n' \
      "$size" "$(stat -c %s "$mail")" "$runs"
    printf '%-11s %12s %10s %12s %10s %10s %8s\n' \
      program 'wall s' 'mail MB/s' 'synced s' 'to ours' 'peak MiB' 'to ours'
    for name in remsync floor ripmime munpack reformime python3; do
      case $name in
        remsync | floor) ;;
        *) command -v "$name" >/dev/null || continue ;;
      esac
      plain=$(for _ in $(seq "$runs"); do wall no "$name" "$mail"; done | median)
      case $name in
        remsync | floor) synced=$plain ;;
        *) synced=$(for _ in $(seq "$runs"); do wall yes "$name" "$mail"; done | median) ;;
      esac
      kib=$(peak "$name" "$mail")
      first=${first:-$synced $kib}
      echo "$name $plain $synced $kib $(stat -c %s "$mail") $first" | awk '{
        printf "%-11s %12.3f %10.0f %12.3f %10.2f %10.1f %8.1f\n",
          $1, $2, $5 / 1000000 / $2, $3, $3 / $6, $4 / 1024, $4 / $7 }'
    done
    rm "$mail"
  done
}

# waiting DIR: how many entries there are, none of them half.
waiting() { find "$1/new" -type f | wc -l; }

measure_at_once() {
  local began ended alone n
  "$mails" small 20 "$top/mails"
  began=$(date +%s%N)
  "$deliver" --queue "$top/alone" <"$top/mails/0.eml"
  ended=$(date +%s%N)
  alone=$(((ended - began) / 1000))
  began=$(date +%s%N)
  for n in $(seq 0 19); do
    "$deliver" --queue "$top/at-once" <"$top/mails/$n.eml" &
    # The same again: one entry.
    "$deliver" --queue "$top/at-once" <"$top/mails/$n.eml" &
  done
  wait
  ended=$(date +%s%N)
  printf '\n20 packages at once, each twice: %d ms, one alone %d ms; %d of 20 wait, %d left in tmp\n' \
    $(((ended - began) / 1000000)) $((alone / 1000)) "$(waiting "$top/at-once")" \
    "$(find "$top/at-once/tmp" -type f | wc -l)"
  [ "$(waiting "$top/at-once")" = 20 ]
}

measure_small() {
  local count=10000 n began ended
  "$mails" small "$count" "$top/many"
  printf '\n%d small mails, one after the other\n' "$count"
  began=$(date +%s%N)
  for n in $(seq 0 $((count - 1))); do
    "$deliver" --queue "$top/queue" <"$top/many/$n.eml"
    if [ $(((n + 1) % (count / 10))) = 0 ]; then
      ended=$(date +%s%N)
      printf '  to %5d: %6.2f ms each\n' $((n + 1)) \
        "$(echo $(((ended - began) / (count / 10)))  | awk '{ print $1 / 1000000 }')"
      began=$(date +%s%N)
    fi
  done
  printf '  %d of %d wait\n' "$(waiting "$top/queue")" "$count"
  [ "$(waiting "$top/queue")" = "$count" ]
}

for part in "${parts[@]}"; do
  case $part in
    large) measure_large ;;
    at-once) measure_at_once ;;
    small) measure_small ;;
  esac
done
