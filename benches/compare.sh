#!/usr/bin/env bash
# Measures remsync on large trees beside programs that do the same part of the work, and beside what
# the work costs at least: looks without news, first looks, broadcasts, packing, unpacking, mail,
# small packages in numbers, a long queue, and how the cost grows with the tree.
#
#   benches/compare.sh [--install] [--files N] [--mib N] [--runs N] [--smoke] [PART...]
#
# Parts: look first broadcast pack apply smtp process queue curve; all unless some are named.
# --files: files of the tree (100000); --mib: bytes packed and mailed, in MiB (500); --runs: runs of
# each row, of which the median is shown (5; slow rows 3). --smoke: every part, as small as it goes,
# to see that it works; its figures say nothing. --install fetches the peers with apt-get; without
# it, what is not there is left out.
#
# Each run of ours stands beside one of the peer's, so that what else the machine does meets both;
# the table has the medians and their ratio. Everything is written below TMPDIR (/tmp). The trees are
# in the cache of the kernel, and that is meant.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

files=100000
mib=500
runs=5
small=1000
entries=100000
curve='10000 100000 1000000'
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=yes ;;
    --files) files=$2; shift ;;
    --mib) mib=$2; shift ;;
    --runs) runs=$2; shift ;;
    --smoke) files=300 mib=2 runs=1 small=10 entries=100 curve='100 300' ;;
    look | first | broadcast | pack | apply | smtp | process | queue | curve) parts+=("$1") ;;
    *) sed -n '2,19s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(look first broadcast pack apply smtp process queue curve)
slow_runs=$((runs < 3 ? runs : 3))

# program, Debian package
peers='git git
pigz pigz
python3 python3
/usr/bin/time time'

. benches/peers.sh
has() { command -v "$1" >/dev/null; }

find_peers
if [ -z "${REMSYNC:-}" ]; then
  cargo build --release --locked --bins
  target=${CARGO_TARGET_DIR:-target}/release
  case $target in /*) ;; *) target=$PWD/$target ;; esac
  REMSYNC=$target/remsync
fi
top=$(mktemp -d)
sink_pid=''
trap '[ -z "$sink_pid" ] || kill "$sink_pid" 2>/dev/null || true; rm -rf "$top"' EXIT

# as SITE COMMAND...: remsync as one site's owner.
as() {
  local home=$top/home.$1
  shift
  mkdir -p "$home/.config/remsync"
  [ -e "$home/.config/remsync/config.toml" ] ||
    printf '[mail]\ntransport = "maildir:%s"\n[trust]\nunsigned = "accept"\n' "$top/mail" \
      >"$home/.config/remsync/config.toml"
  HOME=$home XDG_CONFIG_HOME=$home/.config XDG_STATE_HOME=$home/.state "$REMSYNC" --batch "$@"
}

# fill DIR N: N files of about 25 bytes, a hundred a folder.
fill() {
  python3 - "$1" "$2" <<'PY'
import os, sys
top, count = sys.argv[1], int(sys.argv[2])
for folder in range((count + 99) // 100):
    path = f"{top}/part{folder // 100:03d}/folder{folder % 100:02d}"
    os.makedirs(path)
    for file in range(min(100, count - 100 * folder)):
        with open(f"{path}/file-{file:03d}.txt", "w") as out:
            out.write(f"file {folder} {file} of a tree\n")
PY
}

# prose DIR MIB FILES: text that compresses as text does.
prose() {
  python3 - "$1" "$2" "$3" <<'PY'
import os, random, sys
top, size, count = sys.argv[1], int(sys.argv[2]) << 20, int(sys.argv[3])
dice = random.Random(1994)
words = ["".join(dice.choices("etaoinshrdlucmfwypvbgk", k=dice.randint(2, 9))) for _ in range(20000)]
weights = [1 / (rank + 5) for rank in range(len(words))]
os.makedirs(top, exist_ok=True)
for file in range(count):
    left = size // count
    with open(f"{top}/text-{file:05d}.txt", "w") as out:
        while left > 0:
            text = " ".join(dice.choices(words, weights, k=2000)) + "\n"
            out.write(text[:left])
            left -= len(text)
PY
}

# pair NAME N: site a has a tree of N files, site b the same, and both know it.
pair() {
  local a=$top/$1.a b=$top/$1.b
  [ ! -d "$a" ] || return 0
  mkdir "$a" "$b"
  fill "$a" "$2"
  cp -al "$a/." "$b/"
  as a -C "$a" init --title "$1" --here "a@$1.example" --remote "b@$1.example $b" >/dev/null
  as b -C "$b" init --title "$1" --here "b@$1.example" --remote "a@$1.example $a" >/dev/null
  local from to
  sleep 3 # What changed less than two seconds ago is not believed by any index.
  for from in a b a b; do
    to=$([ $from = a ] && echo b || echo a)
    mkdir -p "$top/post.$1" # Nothing may be left to say.
    as $from -C "$top/$1.$from" -i broadcast --to "$top/post.$1" >/dev/null 2>&1 || true
    find "$top/post.$1" -type f -name '*.tar.gz' 2>/dev/null | sort | while read -r package; do
      as "$to" -C "$top/$1.$to" process "$package" >/dev/null 2>&1 || true
    done
    rm -rf "$top/post.$1"
  done
}

# remember TREE: what its site knows is as it was again after each "as_remembered TREE".
remember() {
  rm -rf "$top/known"
  mkdir "$top/known"
  cp -a "$1/.remsync" "$1/.remsync.d" "$top/known/"
}
as_remembered() {
  rm -rf "$1/.remsync" "$1/.remsync.d"
  cp -a "$top/known/." "$1/"
}

# timed NAME COMMAND...: runs it, and notes the seconds and the KiB under NAME.
timed() {
  local name=$1 began ended
  shift
  began=$(date +%s%N)
  if has /usr/bin/time && [ "$(type -t "$1")" = file ]; then
    /usr/bin/time -o "$top/kib" -f %M "$@" >"$top/said" 2>&1 || true
    tail -n 1 "$top/kib" >>"$top/kib.$name"
  else
    "$@" >"$top/said" 2>&1 || true
  fi
  ended=$(date +%s%N)
  echo $(((ended - began) / 1000)) >>"$top/us.$name"
}

# timed_as NAME SITE COMMAND...: the same for remsync.
timed_as() {
  local name=$1 home=$top/home.$2
  shift 2
  HOME=$home XDG_CONFIG_HOME=$home/.config XDG_STATE_HOME=$home/.state \
    timed "$name" "$REMSYNC" --batch "$@"
}

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : 0 }'; }

# row WHAT OURS [PEER [GOAL]]: a line of the table, from what was timed under these names.
row() {
  local ours peer kib=0
  ours=$(median "$top/us.$2")
  peer=0
  [ -z "${3:-}" ] || [ ! -e "$top/us.$3" ] || peer=$(median "$top/us.$3")
  [ ! -e "$top/kib.$2" ] || kib=$(median "$top/kib.$2")
  awk -v what="$1" -v ours="$ours" -v peer="$peer" -v kib="$kib" -v by="${3:-}" -v goal="${4:-}" \
    -v runs="$(wc -l <"$top/us.$2")" 'BEGIN {
      printf "| %-44s | %9.3f | %9s | %6s | %5s | %8.1f | %4d |\n", what, ours / 1e6,
        peer ? sprintf("%.3f", peer / 1e6) : "-", peer ? sprintf("%.2f", ours / peer) : "-",
        goal == "" ? "-" : goal, kib / 1024, runs }'
}

heading() {
  printf '\n%s\n\n' "$1"
  echo '| what | ours s | peer s | ratio | goal | peak MiB | runs |'
  echo '|---|---|---|---|---|---|---|'
}

git_tree() {
  [ -d "$1/.git" ] && return 0
  (cd "$1" && git init -q . && printf '.remsync*\n' >.git/info/exclude &&
    git -c core.preloadIndex=true add -A . && git -c user.name=x -c user.email=x@x commit -qm x &&
    git config core.preloadIndex true)
}

measure_look() {
  pair look "$files"
  local a=$top/look.a n
  if has git; then git_tree "$a"; fi
  heading "no news in $files files (peer: git status -uno; floor: find)"
  as a -C "$a" status >/dev/null || true
  for n in $(seq "$runs"); do
    ! has git || timed git git -C "$a" status -uno
    timed_as status a -C "$a" status
    timed find find "$a" -type f -size -1k -newermt 2100-01-01
    timed_as nothing a -C "$a" broadcast
  done
  row 'status' status git 1.0
  row 'status, beside find' status find
  row 'broadcast, nothing changed, beside status' nothing status 1.1
}

measure_first() {
  local tree=$top/first n
  mkdir "$tree"
  prose "$tree" "$mib" $((files / 10 + 1))
  as a -C "$tree" init --title first --here a@first.example --remote 'b@first.example /b' >/dev/null
  heading "first look at $mib MiB in $((files / 10 + 1)) files (peer: find | xargs -P2 sha256sum)"
  sums() { find "$tree" -type f -name '*.txt' -print0 | xargs -0 -P2 -n 64 sha256sum >/dev/null; }
  for n in $(seq "$runs"); do
    timed sums sums
    rm -f "$tree/.remsync.d/index"
    timed_as first a -C "$tree" status
  done
  row 'status, nothing hashed before' first sums 1.1
  rm -rf "$tree"
}

measure_broadcast() {
  pair look "$files"
  local a=$top/look.a n file
  heading "ten changed of $files files (peer: broadcast with nothing changed)"
  as a -C "$a" status >/dev/null || true
  for n in $(seq "$slow_runs"); do
    timed_as quiet a -C "$a" broadcast
    for file in 0 1 2 3 4 5 6 7 8 9; do
      rm "$a/part000/folder00/file-00$file.txt"
      echo "changed $n $file" >"$a/part000/folder00/file-00$file.txt"
    done
    rm -rf "$top/mail"
    timed_as ten a -C "$a" broadcast
  done
  row 'broadcast, ten changed' ten quiet
  printf '| its mail: %s bytes (goal: 100000) | | | | | | |\n' \
    "$(find "$top/mail" -type f -printf '%s\n' | head -n 1)"
}

measure_pack() {
  local tree=$top/pack n
  mkdir "$tree"
  prose "$tree" "$mib" 100
  as a -C "$tree" init --title pack --here a@pack.example --remote 'b@pack.example /b' >/dev/null
  as a -C "$tree" status >/dev/null || true
  sleep 3
  as a -C "$tree" status >/dev/null || true
  remember "$tree"
  heading "packing $mib MiB of text (peer: tar | pigz -6)"
  pigz_it() { tar -C "$tree" -cf - --exclude '.remsync*' . | pigz -6 >"$top/peer.tgz"; }
  for n in $(seq "$slow_runs"); do
    ! has pigz || timed pigz pigz_it
    rm -rf "$top/out"
    as_remembered "$tree"
    timed_as pack a -C "$tree" broadcast --to "$top/out"
  done
  row 'broadcast --to, all of it' pack pigz 1.0
  if has pigz; then
    printf '| bytes: ours %s, of pigz %s (goal: within 3 %%) | | | | | | |\n' \
      "$(find "$top/out" -type f -name '*.tar.gz' -printf '%s\n' | awk '{ n += $1 } END { print n }')" \
      "$(stat -c %s "$top/peer.tgz")"
  fi
  rm -rf "$tree" "$top/out" "$top/peer.tgz"
}

measure_apply() {
  local tree=$top/apply count=$((files < 99000 ? files : 99000)) n package id
  mkdir "$tree"
  fill "$tree" "$count"
  as a -C "$tree" init --title apply --here a@apply.example --remote 'b@apply.example /b' >/dev/null
  as a -C "$tree" broadcast --to "$top/out" >/dev/null
  package=$(find "$top/out" -type f -name '*.tar.gz')
  tar -C "$tree" -czf "$top/peer.tgz" --exclude '.remsync*' .
  heading "unpacking and applying $count files (peer: tar xzf; sync)"
  untar() { tar -C "$top/there" -xzf "$top/peer.tgz" && sync; }
  for n in $(seq "$slow_runs"); do
    rm -rf "$top/there" && mkdir "$top/there" && sync
    timed untar untar
    rm -rf "$top/there" "$top/home.b" && mkdir "$top/there" && sync
    as b -C "$top" process "$package" >/dev/null 2>&1 || true
    id=$(as b -C "$top" --json queue list | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)
    timed_as accept b -C "$top" accept "$id" "$top/there"
    [ "$(find "$top/there" -name '*.txt' | wc -l)" = "$count" ] || sed 's/^/  /' "$top/said" >&2
  done
  row 'accept' accept untar 1.5
  rm -rf "$tree" "$top/there" "$top/out" "$top/peer.tgz"
}

start_sink() {
  cat >"$top/sink.py" <<'PY'
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write(str(server.getsockname()[1]))
while True:
    peer, _ = server.accept()
    peer.sendall(b"220 sink\r\n")
    buffer, in_data = b"", False
    while True:
        chunk = peer.recv(1 << 20)
        if not chunk:
            break
        if in_data:
            buffer = (buffer + chunk)[-5:] if len(chunk) < 5 else chunk[-5:]
            if buffer == b"\r\n.\r\n":
                in_data, buffer = False, b""
                peer.sendall(b"250 taken\r\n")
            continue
        buffer += chunk
        while b"\r\n" in buffer and not in_data:
            line, buffer = buffer.split(b"\r\n", 1)
            verb = line[:4].upper()
            if verb == b"EHLO":
                peer.sendall(b"250-sink\r\n250-8BITMIME\r\n250 SIZE 0\r\n")
            elif verb == b"DATA":
                in_data = True
                peer.sendall(b"354 go\r\n")
            elif verb == b"QUIT":
                peer.sendall(b"221 bye\r\n")
            else:
                peer.sendall(b"250 ok\r\n")
    peer.close()
PY
  cat >"$top/copy.py" <<'PY'
import socket, sys
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def say(line):
    peer.sendall(line)
    return peer.recv(4096)
peer.recv(4096)
for line in (b"EHLO x\r\n", b"MAIL FROM:<a@x>\r\n", b"RCPT TO:<b@x>\r\n", b"DATA\r\n"):
    say(line)
peer.sendfile(open(sys.argv[2], "rb"))
say(b"\r\n.\r\n")
say(b"QUIT\r\n")
PY
  python3 "$top/sink.py" "$top/port" &
  sink_pid=$!
  until [ -s "$top/port" ]; do sleep 0.1; done
}

measure_smtp() {
  local tree=$top/smtp n port
  start_sink
  port=$(cat "$top/port")
  mkdir "$tree"
  head -c "$((mib << 20))" /dev/urandom >"$tree/noise"
  as a -C "$tree" init --title smtp --here a@smtp.example --remote 'b@smtp.example /b' >/dev/null
  as a -C "$tree" status >/dev/null || true
  heading "$mib MiB of noise by SMTP to a sink (peer: tar | gzip -1 | base64, then a raw copy)"
  raw() {
    tar -C "$tree" -cf - noise | gzip -1 | base64 >"$top/mail.raw"
    python3 "$top/copy.py" "$port" "$top/mail.raw"
  }
  remember "$tree"
  for n in $(seq "$slow_runs"); do
    timed raw raw
    as_remembered "$tree"
    REMSYNC_TRANSPORT=smtp://127.0.0.1:$port timed_as smtp a -C "$tree" broadcast
    grep -qi fail "$top/said" && sed 's/^/  /' "$top/said" >&2
  done
  row 'broadcast (memory goal: 32 MiB)' smtp raw 1.3
  kill "$sink_pid" 2>/dev/null || true
  sink_pid=''
  rm -rf "$tree" "$top/mail.raw"
}

# packages N: site a edits a file N times, and site b gets each edit as a package of its own.
packages() {
  local n a=$top/many.a
  rm -rf "$top/many.a" "$top/many.b" "$top/home.b" "$top/mail"
  pair many 100
  for n in $(seq "$1"); do
    echo "edit $n" >"$a/part000/folder00/file-$(printf %03d $((n % 100))).txt"
    as a -C "$a" broadcast "b@many.example" >/dev/null
  done
  find "$top/mail" -type f | sort | while read -r mail; do
    HOME=$top/home.b XDG_CONFIG_HOME=$top/home.b/.config XDG_STATE_HOME=$top/home.b/.state \
      "$REMSYNC-deliver" <"$mail"
  done
}

measure_process() {
  local n
  heading "small packages in the queue (peer: a fifth of them, five times)"
  packages $((small / 5))
  timed_as few b -C "$top/many.b" process
  awk '{ print $1 * 5 }' "$top/us.few" >"$top/us.fifth"
  packages "$small"
  timed_as many b -C "$top/many.b" process
  row "process of $small packages" many fifth 1.0
}

measure_queue() {
  local n queue=$top/home.q/.state/remsync/queue
  heading "a queue of $entries entries (floor: ls)"
  # One comes as packages do; the others are made after its note: to sync each would take hours.
  pair one 10
  echo edit >"$top/one.a/part000/folder00/file-000.txt"
  rm -rf "$top/mail"
  as a -C "$top/one.a" broadcast >/dev/null
  find "$top/mail" -type f | while read -r mail; do
    HOME=$top/home.q XDG_CONFIG_HOME=$top/home.q/.config XDG_STATE_HOME=$top/home.q/.state \
      "$REMSYNC-deliver" <"$mail"
  done
  python3 - "$queue" "$entries" <<'PY'
import hashlib, os, sys
queue, count = sys.argv[1], int(sys.argv[2])
[name] = os.listdir(queue + "/new")
note = open(f"{queue}/meta/{name[:64]}", "rb").read()
package = open(f"{queue}/new/{name}", "rb").read()
for n in range(count - 1):
    bytes = package[:-8] + n.to_bytes(8, "little")
    digest = hashlib.sha256(bytes).hexdigest()
    for path, content in ((f"new/{digest}{name[64:]}", bytes), (f"meta/{digest}", note)):
        with open(os.open(f"{queue}/{path}", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.write(content)
PY
  as q queue list >/dev/null
  for n in $(seq "$slow_runs"); do
    timed ls ls -l "$queue/new"
    timed_as list q queue list
  done
  row 'queue list (goal: 0.5 s)' list ls
  [ "$(wc -l <"$top/said")" = "$entries" ]
}

measure_curve() {
  local count n
  heading 'how the cost grows'
  for count in $curve; do
    pair "curve$count" "$count"
    as a -C "$top/curve$count.a" status >/dev/null || true
    for n in $(seq "$slow_runs"); do
      timed_as "status$count" a -C "$top/curve$count.a" status
      echo "edit $n" >"$top/curve$count.a/part000/folder00/file-000.txt"
      rm -rf "$top/out"
      timed_as "broadcast$count" a -C "$top/curve$count.a" broadcast --to "$top/out"
      timed_as "process$count" b -C "$top/curve$count.b" process \
        "$(find "$top/out" -type f -name '*.tar.gz')"
    done
    row "status, $count files" "status$count"
    row "broadcast of one edit, $count files" "broadcast$count"
    row "process of one edit, $count files" "process$count"
    rm -rf "$top/curve$count.a" "$top/curve$count.b"
  done
}

# What was measured, with what, on what.
awk -F': *' '/^model name/ { name = $2; cpus++ } END { print cpus " x " name }' /proc/cpuinfo
awk '/^MemTotal/ { printf "%.0f GiB of memory, ", $2 / 1048576 }' /proc/meminfo
printf '%s, load %s\n' "$(uname -sr)" "$(cut -d ' ' -f 1-3 /proc/loadavg)"
"$REMSYNC" --version
! has git || git --version
! has pigz || pigz --version 2>&1 | head -n 1
tar --version | head -n 1

for part in "${parts[@]}"; do
  "measure_$part"
done
