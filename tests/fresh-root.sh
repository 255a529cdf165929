#!/bin/bash
# The README's two commands in a fresh Debian 12 with Rust, as a new user runs them: a root file system made by mmdebstrap, the Rust toolchain
# copied in, the committed state cloned. Prints how long each takes. COUNTERSIGN_CACHE names a directory in which the root is kept between runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/root.sh
need_root
need cargo git mmdebstrap rustc tar unshare
[ -z "$(git status --porcelain)" ] || echo "$name: note: what is not committed is not tested" >&2

cache=${COUNTERSIGN_CACHE:-$work}
base=$cache/debian-12.tar
fresh=$work/root
mkdir -p "$cache" "$fresh"
# All that follows writes below it, as root.
[ -n "$work" ] && [ "$(realpath "$fresh")" != / ] || die "no scratch directory"

began=$SECONDS
if [ ! -e "$base" ]; then
	main_mirror >/dev/null
	# Signed by Debian's own keys, from where this machine gets its packages.
	expect 0 mmdebstrap --variant=minbase --format=tar bookworm "$base.new" "deb $(main_mirror) bookworm main"
	mv "$base.new" "$base"
fi
tar -C "$fresh" --numeric-owner -xf "$base"

# What a machine has before anybody installs anything on it: Rust, and a way to the package sources.
sysroot=$(rustc --print sysroot)
mkdir -p "$fresh/opt/rust"
tar -C "$sysroot" --exclude=./share --exclude=./lib/rustlib/src -cf - . | tar -C "$fresh/opt/rust" -xf -
connect "$fresh"

git clone --quiet --no-hardlinks "$root" "$fresh/srv/countersign"
git -C "$fresh/srv/countersign" remote remove origin

ok "root made in $((SECONDS - began)) s"

# They stand in the README, each on a line of its own.
for command in .ci/demo .ci/test; do
	grep -qxF "$command" README.md || die "README.md does not give the command $command"
done

expect 0 inside "$fresh" unshare --map-root-user true
expect 0 inside "$fresh" setpriv --reuid=61001 --regid=61001 --clear-groups unshare --map-root-user true
timed() { # COMMAND
	local began=$SECONDS
	inside "$fresh" sh -c "$1" >"$work/log" 2>&1 || {
		{ grep -nE 'FAILED|panicked' -A 8 "$work/log" | head -n 200; echo ...; tail -n 60 "$work/log"; } >&2
		die "$1 failed after $((SECONDS - began)) s"
	}
	ok "$1 took $((SECONDS - began)) s"
}
timed .ci/demo
tail -n 3 "$work/log"
timed .ci/test
grep '^test: ' "$work/log"
[ -z "$(git -C "$fresh/srv/countersign" status --porcelain)" ] || die "the commands left files behind: $(git -C "$fresh/srv/countersign" status --short)"
