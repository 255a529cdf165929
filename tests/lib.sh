# Shared by the scripts beside it, which source it from the repository's top. Needs bash.
#
# An expectation that is not met ends the script with what the command printed. A tool that is absent is a failure, never a skip.
# shellcheck shell=bash
set -euo pipefail

name=$(basename "$0" .sh)
root=$PWD

die() {
	echo "$name: $*" >&2
	exit 1
}

need() {
	local tool
	for tool in "$@"; do
		command -v "$tool" >/dev/null || die "$tool is missing; run .ci/install --tests"
	done
}

need_root() {
	[ "$(id -u)" -eq 0 ] || die "needs root, to become other users"
}

# A scratch directory that other users can read, removed at the end.
work=$(mktemp -d)
chmod 755 "$work"
# Never into what may still be mounted there.
cleanup() { rm -rf --one-file-system "$work"; }
trap cleanup EXIT
trap 'exit 130' INT TERM

# The program under test, copied to where every user can run it. `countersign` finds it in PATH.
use_countersign() {
	local built=${COUNTERSIGN:-${CARGO_TARGET_DIR:-target}/release/countersign}
	[ -x "$built" ] || die "$built is missing; run .ci/build"
	mkdir "$work/bin"
	install -m 755 "$built" "$work/bin/countersign"
	export PATH=$work/bin:$PATH
}

# expect CODE COMMAND…: the command must end with CODE. What it printed, both streams, is in $work/output.
expect() {
	local want=$1 got=0
	shift
	"$@" >"$work/output" 2>&1 || got=$?
	if [ "$got" -ne "$want" ]; then
		cat "$work/output" >&2
		die "exit code $got, expected $want: $*"
	fi
}

# refused COMMAND…: the command must fail, and not because it could not be started.
refused() {
	local got=0
	"$@" >"$work/output" 2>&1 || got=$?
	if [ "$got" -eq 0 ] || [ "$got" -ge 126 ]; then
		cat "$work/output" >&2
		die "exit code $got, expected a refusal: $*"
	fi
}

# prints TEXT: the last command printed TEXT.
prints() {
	grep -qF -- "$1" "$work/output" || {
		cat "$work/output" >&2
		die "expected in the output: $1"
	}
}

ok() { echo "$name: $*"; }

# copy_rust DIR: the Rust toolchain, without documentation, where every user can read it.
copy_rust() {
	local sysroot
	sysroot=$(rustc --print sysroot)
	mkdir "$1"
	tar -C "$sysroot" --exclude=./share --exclude=./lib/rustlib/src -cf - . | tar -C "$1" -xf - --no-same-owner
	chmod -R a+rX "$1"
}

# apt_private DIR KIND SUITE: makes an apt configuration of its own in DIR, with one source taken from where this machine's Debian packages
# come from, and sets APT_CONFIG. KIND is deb, deb-src or both. Neither the machine's lists nor its sources are touched.
apt_private() {
	local dir=$1 kinds=$2 suite=$3 kind uri
	uri=$(main_mirror)
	mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
	for kind in $kinds; do echo "$kind $uri $suite main"; done >"$dir/sources.list"
	cat >"$dir/apt.conf" <<-EOF
		Dir::Etc::sourcelist "$dir/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State::lists "$dir/lists";
		Dir::Cache "$dir/cache";
		APT::Sandbox::User "root";
	EOF
	export APT_CONFIG=$dir/apt.conf
	expect 0 apt-get -o Acquire::Retries=3 update
}

# crates DIR NAME=VERSION…: the published .crate of each, in DIR, from where this machine's cargo gets them, with DIR/home as cargo's home.
crates() {
	local dir=$1 config crate
	shift
	mkdir -p "$dir/home" "$dir/fetch/src"
	for config in config.toml config; do
		if [ -e "${CARGO_HOME:-$HOME/.cargo}/$config" ]; then cp "${CARGO_HOME:-$HOME/.cargo}/$config" "$dir/home/"; fi
	done
	printf '[package]\nname = "fetch"\nversion = "0.0.0"\n\n[dependencies]\n' >"$dir/fetch/Cargo.toml"
	for crate in "$@"; do echo "${crate%%=*} = \"=${crate#*=}\""; done >>"$dir/fetch/Cargo.toml"
	touch "$dir/fetch/src/lib.rs"
	expect 0 env -C "$dir/fetch" CARGO_HOME="$dir/home" cargo fetch --quiet
	for crate in "$@"; do mv "$dir"/home/registry/cache/*/"${crate%%=*}-${crate#*=}.crate" "$dir/"; done
}

# flip FILE OFFSET: changes one bit of one byte.
flip() {
	python3 - "$@" <<-'PY'
		import sys
		with open(sys.argv[1], "r+b") as file:
		    file.seek(int(sys.argv[2]))
		    byte = file.read(1)[0]
		    file.seek(int(sys.argv[2]))
		    file.write(bytes([byte ^ 1]))
	PY
}

# The mirror of this machine's own release.
main_mirror() {
	local uri
	# shellcheck disable=SC2016 # the placeholders are apt's
	uri=$(apt-get indextargets --format '$(COMPONENT) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
		awk -v suite="$(. /etc/os-release && echo "$VERSION_CODENAME")" '$1 == "main" && $2 == suite { print $3; exit }')
	[ -n "$uri" ] || die "apt knows no mirror for this machine's release; run apt-get update"
	echo "$uri"
}
