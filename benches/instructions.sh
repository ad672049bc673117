#!/usr/bin/env bash
# Counts the processor's instructions of what a program does most often: deciding on a file, learning
# a hundred rows, reading a row of orders, reading a line of base64. A count is the same however busy
# the machine, so that a change for the worse shows: each has a ceiling, a fourth above what it was when
# that was written, for compilers differ, and past it this fails.
#
#   benches/instructions.sh
#
# Needs valgrind. A higher ceiling is written here, in the commit that says why.
set -Eeuo pipefail
cd "$(dirname "$0")/.."

# what, few times, many times, instructions that one may take at most
ceilings='decide 2000 12000 360
learn 20 120 88000
orders 500 2500 13800
base64 2000 12000 1150'

cargo build --release --locked --example instructions
program=${CARGO_TARGET_DIR:-target}/release/examples/instructions

# count WHAT TIMES: instructions of the whole program; of one that fails, none.
count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
    sed -nE 's/.*Collected *: *([0-9]+).*/\1/p'
}

status=0
printf '%-10s %12s %12s\n' what each 'at most'
while read -r what few many ceiling; do
  of_few=$(count "$what" "$few")
  of_many=$(count "$what" "$many")
  each=$(((of_many - of_few) / (many - few)))
  printf '%-10s %12d %12d\n' "$what" "$each" "$ceiling"
  [ "$each" -le "$ceiling" ] || { echo "$what: more than it may take" >&2; status=1; }
done <<<"$ceilings"
exit "$status"
