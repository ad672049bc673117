#!/usr/bin/env bash
# Measures push and check beside other programs, on SSH servers of its own on loopback addresses:
# one file of 256 MB and 5,000 of 4 KB to 1, 4 and 16 hosts, the same once more with nothing changed,
# and a check of 10,000 files on 4 hosts beside the slowest host's own sha256sum.
#
#   benches/push.sh [--install] [--rounds 3] [--hosts "1 4 16"] [--dir DIR] [large] [small] [check]
#
# All three parts unless some are named. --install fetches the other programs with apt-get; without
# it, what is not there is said and left out. Files go below DIR, TMPDIR or /tmp: on a disk most of
# the time of small files is the disk's, and push waits for it (fsync) where the others do not; below
# /dev/shm it is the programs'. The best of the rounds counts; all programs take their turns within
# each round, with the same ssh settings and as many hosts at a time.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

rounds=3 hosts='1 4 16' dir=${TMPDIR:-/tmp} at_once=4
parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --install) install=yes ;;
    --rounds) rounds=$2; shift ;;
    --hosts) hosts=$2; shift ;;
    --dir) dir=$2; shift ;;
    large | small | check) parts+=("$1") ;;
    *) sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
  shift
done
[ ${#parts[@]} -gt 0 ] || parts=(large small check)

python=/usr/bin/python3
. benches/peers.sh
absent=()
[ -x /usr/sbin/sshd ] || absent+=(openssh-server)
command -v rsync >/dev/null || absent+=(rsync)
command -v scp >/dev/null || absent+=(openssh-client)
"$python" -c 'import paramiko' 2>/dev/null || absent+=(python3-paramiko)
fetch "${absent[@]}"
cargo build --release --locked --bin remsync
remsync=$PWD/${CARGO_TARGET_DIR:-target}/release/remsync
[ -x "$remsync" ] || remsync=${CARGO_TARGET_DIR:-target}/release/remsync
top=$(mktemp -d "$dir/remsync-push.XXXXXX")
trap '[ -z "${server:-}" ] || kill "$server"; rm -rf "$top"' EXIT
most=$(printf '%s\n' $hosts 4 | sort -n | tail -1)
port=$((20000 + RANDOM % 20000))

start_server() {
  local number
  mkdir "$top/home"
  ssh-keygen -q -t ed25519 -N '' -f "$top/host"
  ssh-keygen -q -t ed25519 -N '' -f "$top/key"
  [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
  {
    printf 'Port %s\nHostKey %s/host\nAuthorizedKeysFile %s/key.pub\n' "$port" "$top" "$top"
    printf 'PidFile none\nUsePAM no\nStrictModes no\nMaxStartups 200\nLogLevel ERROR\n'
    # What a shell of this account does when it starts (a prompt, a version manager) is not measured.
    printf 'Subsystem sftp internal-sftp\nSetEnv HOME=%s/home\n' "$top"
    for number in $(seq "$most"); do printf 'ListenAddress 127.0.0.%s\n' "$number"; done
  } >"$top/sshd"
  printf 'Host *\nPort %s\nIdentityFile %s/key\nIdentitiesOnly yes\nStrictHostKeyChecking yes\nUserKnownHostsFile %s/known\n' \
    "$port" "$top" "$top" >"$top/config"
  for number in $(seq "$most"); do
    echo "[127.0.0.$number]:$port $(cut -d' ' -f1,2 "$top/host.pub")" >>"$top/known"
  done
  /usr/sbin/sshd -D -f "$top/sshd" -E "$top/log" &
  server=$!
  sleep 1
}

make_files() {
  mkdir -p "$top/large" "$top/small"
  head -c 268435456 /dev/urandom >"$top/large/file"
  head -c $((5000 * 4096)) /dev/urandom | split -b 4096 -a 4 -d - "$top/small/f"
}

user=$(id -un)
cat >"$top/push.py" <<'PYTHON'
# What the seed describes, in few lines: a pool of threads, each host by SFTP of paramiko.
import os, sys, concurrent.futures, paramiko
source, top, port, key, at_once, user = sys.argv[1:7]
def push(host):
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect(host, int(port), user, key_filename=key)
    sftp = client.open_sftp()
    there = os.path.join(top, host)
    sftp.mkdir(there)
    for name in os.listdir(source):
        sftp.put(os.path.join(source, name), there + '/' + name, confirm=False)
    client.close()
with concurrent.futures.ThreadPoolExecutor(int(at_once)) as pool:
    list(pool.map(push, sys.argv[7:]))
PYTHON

addresses() { for number in $(seq "$1"); do echo "127.0.0.$number"; done; }

# The configuration of push for so many hosts.
configure() {
  local kind=$1 count=$2 number
  rm -rf "$top/conf"
  mkdir -p "$top/conf/path_mapper"
  printf '[DEFAULT]\nnumber_of_connections = %s\nlog_path = logs\n' "$at_once" >"$top/conf/config.ini"
  {
    echo '['
    for number in $(seq "$count"); do
      [ "$number" = 1 ] || echo ,
      echo "{\"ip_address\": \"127.0.0.$number\", \"user\": \"$user\"}"
      echo "[{\"src\": \"$top/$kind\", \"dest\": \"$top/there/127.0.0.$number\"}]" \
        >"$top/conf/path_mapper/127.0.0.$number.json"
    done
    echo ']'
  } >"$top/conf/connection_info.json"
  printf '[ssh]\nconfig = "%s/config"\n' "$top" >"$top/config.toml"
}

run_remsync() {
  REMSYNC_CONFIG=$top/config.toml XDG_STATE_HOME=$top/state "$remsync" -q push "$top/conf/config.ini" >/dev/null
}
run_rsync() {
  addresses "$2" | xargs -P "$at_once" -I H rsync -a -e "ssh -F $top/config" "$top/$1/" "$user@H:$top/there/H/"
}
run_scp() {
  addresses "$2" | xargs -P "$at_once" -I H scp -q -r -F "$top/config" "$top/$1" "$user@H:$top/there/H"
}
run_python() {
  # shellcheck disable=SC2046  # several words are meant
  "$python" "$top/push.py" "$top/$1" "$top/there" "$port" "$top/key" "$at_once" "$user" $(addresses "$2") 2>/dev/null
}

# seconds COMMAND...: how long it takes.
seconds() {
  local began ended
  began=$(date +%s%N)
  "$@"
  ended=$(date +%s%N)
  echo "$(((ended - began) / 10000000))" | sed -E 's/^(.*)(..)$/\1.\2/; s/^\./0./; s/^(.)$/0.0\1/'
}

least() { sort -n | head -1; }

measure() {
  local kind=$1 count program round
  for count in $hosts; do
    local -A times=()
    configure "$kind" "$count"
    for round in $(seq "$rounds"); do
      for program in rsync scp python remsync; do
        [ "$program" != python ] || "$python" -c 'import paramiko' 2>/dev/null || continue
        rm -rf "$top/there" "$top/state"
        mkdir "$top/there"
        sync
        times[$program]+="$(seconds "run_$program" "$kind" "$count") "
        [ "$program" = rsync ] || [ "$program" = remsync ] || continue
        # What was changed just now is compared by contents: it has to be older than a tick.
        [ "$program" = rsync ] || { sleep 2.2; run_remsync; }
        times[$program-again]+="$(seconds "run_$program" "$kind" "$count") "
      done
    done
    printf '%-6s %5s' "$kind" "$count"
    for program in remsync rsync scp python remsync-again rsync-again; do
      # shellcheck disable=SC2086  # several words are meant
      printf ' %14s' "$([ -z "${times[$program]:-}" ] || printf '%s\n' ${times[$program]} | least)"
    done
    echo
  done
}

measure_check() {
  local number round hosts_own='' ours=''
  rm -rf "$top/there" "$top/tree"
  mkdir -p "$top/there" "$top/tree"
  head -c $((10000 * 4096)) /dev/urandom | split -b 4096 -a 4 -d - "$top/tree/f"
  printf '[ssh]\nconfig = "%s/config"\n' "$top" >"$top/config.toml"
  export REMSYNC_CONFIG=$top/config.toml XDG_STATE_HOME=$top/state
  "$remsync" -q -C "$top/tree" init --title T --here a@x
  for number in 1 2 3 4; do
    cp -a "$top/tree" "$top/there/$number"
    rm -rf "$top/there/$number/.remsync"*
    "$remsync" -q -C "$top/tree" create remote "ssh://$user@127.0.0.$number" "$top/there/$number"
  done
  for round in $(seq "$rounds"); do
    # All four at the same time, as a check asks them.
    hosts_own+="$(seconds own_sums) "
    ours+="$(seconds check_all) "
  done
  unset REMSYNC_CONFIG XDG_STATE_HOME
  # shellcheck disable=SC2086  # several words are meant
  printf '\ncheck of 10,000 files on 4 hosts: %s s; sha256sum over ssh on all four: %s s\n' \
    "$(printf '%s\n' $ours | grep . | least)" "$(printf '%s\n' $hosts_own | least)"
}

check_all() { "$remsync" -q -C "$top/tree" check --force >/dev/null; }
own_sums() {
  printf '%s\n' 1 2 3 4 | xargs -P 4 -I N ssh -F "$top/config" "$user@127.0.0.N" \
    "find $top/there/N -type f -print0 | xargs -0 sha256sum >/dev/null"
}

start_server
make_files
echo "seconds, the best of $rounds; at most $at_once hosts at a time; below $top"
for part in "${parts[@]}"; do
  if [ "$part" = check ]; then
    measure_check
  else
    printf '\n%-6s %5s' "$part" hosts
    printf ' %14s' remsync 'rsync -a' 'scp -r' paramiko 'remsync again' 'rsync again'
    echo
    measure "$part"
  fi
done
