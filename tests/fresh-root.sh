#!/bin/bash
# The README's two commands in a fresh Debian 12 with Rust, as a new user runs them: a root file system made by mmdebstrap, the Rust toolchain
# copied in, the committed state cloned. Prints how long each takes. COUNTERSIGN_CACHE names a directory in which the root is kept between runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
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
for config in config.toml config; do
	if [ -e "${CARGO_HOME:-$HOME/.cargo}/$config" ]; then
		install -D -m 644 "${CARGO_HOME:-$HOME/.cargo}/$config" "$fresh/root/.cargo/$config"
	fi
done
for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
	if [ -e "$file" ]; then install -D -m 644 "$file" "$fresh$file"; fi
done
# The certificates that this machine trusts, which may be more than Debian's.
certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -e "$certificates" ]; then
	install -m 644 "$certificates" "$fresh/opt/certificates.crt"
	echo 'Acquire::https::CaInfo "/opt/certificates.crt";' >"$fresh/etc/apt/apt.conf.d/91certificates"
fi
apt-config dump --format '%f "%v";%n' Acquire | grep -E '::Proxy|::Check-' >"$fresh/etc/apt/apt.conf.d/90machine" || true

git clone --quiet --no-hardlinks "$root" "$fresh/srv/countersign"
git -C "$fresh/srv/countersign" remote remove origin

# Only these variables go in: how to reach the package sources.
variables=(PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
while IFS= read -r -d '' variable; do
	case ${variable%%=*} in
	*_proxy | *_PROXY | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_* | PIP_INDEX_URL) variables+=("$variable") ;;
	esac
done < <(env -0)
if [ -e "$fresh/opt/certificates.crt" ]; then
	for variable in SSL_CERT_FILE CARGO_HTTP_CAINFO PIP_CERT; do variables+=("$variable=/opt/certificates.crt"); done
fi
ok "root made in $((SECONDS - began)) s"

# Not chroot: the kernel refuses user namespaces to whoever is in one. So a mount namespace, and pivot_root.
inside() {
	env -i "${variables[@]}" unshare --mount --pid --fork --kill-child --propagation private sh -euc '
		root=$1
		shift
		mount --bind "$root" "$root"
		cd "$root"
		mount --rbind /dev dev
		mount -t proc proc proc
		mkdir -p .outside
		pivot_root . .outside
		umount -l /.outside
		rmdir /.outside
		cd /srv/countersign
		exec "$@"
	' inside "$fresh" "$@"
}

# They stand in the README, each on a line of its own.
for command in .ci/demo .ci/test; do
	grep -qxF "$command" README.md || die "README.md does not give the command $command"
done

expect 0 inside unshare --map-root-user true
expect 0 inside setpriv --reuid=61001 --regid=61001 --clear-groups unshare --map-root-user true
timed() { # COMMAND
	local began=$SECONDS
	inside sh -c "$1" >"$work/log" 2>&1 || {
		tail -n 100 "$work/log" >&2
		die "$1 failed after $((SECONDS - began)) s"
	}
	ok "$1 took $((SECONDS - began)) s"
}
timed .ci/demo
tail -n 3 "$work/log"
# In there CI is not set, so this script is not among the tests that it runs.
timed .ci/test
grep '^test: ' "$work/log"
[ -z "$(git -C "$fresh/srv/countersign" status --porcelain)" ] || die "the commands left files behind: $(git -C "$fresh/srv/countersign" status --short)"
