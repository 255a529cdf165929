#!/bin/bash
# Each kind of project that `init` knows, really built with the recipe that it makes: attested by one user, rebuilt twice by another in
# another directory under another umask, time zone and locale; then with one byte of the source changed. Arguments name the kinds; all
# without.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need autoreconf automake cargo cc cmake dh dpkg-buildpackage go javac make meson mvn ninja node npm python3 rustc setpriv
/usr/bin/python3 -c 'import build, setuptools, wheel' || die "python3-build, python3-setuptools or python3-wheel is missing; run .ci/install --tests"
use_countersign
. tests/users.sh

# rust ROOT: a copy of the Rust toolchain that every user can read, as rustup lays it out. Not below /tmp, where no host root may be.
rust=$(mktemp -d /var/lib/countersign-kinds.XXXXXX)
cleanup() { rm -rf --one-file-system "$work" "$rust"; }
chmod 755 "$rust"
mkdir "$rust/toolchains"
copy_rust "$rust/toolchains/copy"

# what to change in which file, and what the build must have made
declare -A changed=(
	[autotools]=main.c [cargo]=src/main.rs [cmake]=greeting.c [debian]=main.c [go]=vendor/example.org/greeting/greeting.go [make]=util.c
	[maven]=src/main/java/org/example/Hello.java [meson]=greeting.c [npm]=lib/1-greeting.js [python]=src/hello_python/__init__.py
)
declare -A made=(
	[autotools]=_out/usr/bin/hello [cargo]=target/release/hello-cargo [cmake]=_out/usr/bin/hello
	[debian]=_out/hello-debian_1.9_$(dpkg --print-architecture).deb [go]=out/hello-go [make]=out/hello [maven]=target/hello-maven-1.8.jar
	[meson]=_out/usr/lib/libgreeting.so [npm]=example-hello-npm-1.6.0.tgz [python]=dist/hello_python-1.5-py3-none-any.whl
)
declare -A version=([autotools]=1.3 [cargo]=1.7.0 [cmake]=1.2 [debian]=1.9 [go]=0.0.0 [make]=0.0.0 [maven]=1.8 [meson]=1.4 [npm]=1.6.0 [python]=1.5)

for who in vendor reviewer; do expect 0 as $who countersign key generate --out key --no-passphrase; done
kinds=("$@")
[ $# -gt 0 ] || mapfile -t kinds < <(printf '%s\n' "${!made[@]}" | sort)
for kind in "${kinds[@]}"; do
	began=$SECONDS
	[ -n "${made[$kind]-}" ] || die "no such kind: $kind"
	project=hello-$kind
	[ "$kind" != make ] || project=hello-c
	cp -R "fixtures/projects/$project" "$work/$kind"
	rm -f "$work/$kind/countersign.toml"
	expect 0 env RUSTUP_HOME="$rust" countersign init "$work/$kind" --json
	grep -q "^version = \"${version[$kind]}\"" "$work/$kind/countersign.toml" || die "$kind: the version is not ${version[$kind]}"
	chmod -R a+rX "$work/$kind"
	for who in vendor reviewer; do as $who cp -R "$work/$kind" "$kind"; done

	expect 0 as vendor countersign attest --source "$kind" --key key --bundle "$kind.intoto.jsonl" --out "$kind-shipped"
	[ -s "$vendor/$kind-shipped/${made[$kind]}" ] || die "$kind: ${made[$kind]} was not made"
	# The place of the build is in no output.
	if grep -rqF /build "$vendor/$kind-shipped"; then die "$kind: the build directory is in $(grep -rlF /build "$vendor/$kind-shipped")"; fi
	cp "$vendor/$kind.intoto.jsonl" "$reviewer/"
	chown $reviewer_uid:$reviewer_uid "$reviewer/$kind.intoto.jsonl"
	rebuild=(as reviewer countersign rebuild "$kind.intoto.jsonl" --against "$vendor/$kind-shipped")
	# The roots beside the default ones: a toolchain, and what Debian keeps outside /usr of some.
	while read -r path; do rebuild+=(--allow-root "$path"); done < <(sed -n 's/^roots = \[\(.*\)\]$/\1/p' "$work/$kind/countersign.toml" | grep -o '[^", ]*')
	expect 0 "${rebuild[@]}" --source "$kind" --key key --append --runs 2
	prints identical
	printf 'x' | as reviewer dd of="$kind/${changed[$kind]}" bs=1 seek=3 conv=notrunc status=none
	expect 9 "${rebuild[@]}" --source "$kind"
	prints "${changed[$kind]}"
	ok "$kind: built, rebuilt twice, identical; one changed source byte: 9; $((SECONDS - began)) s"
done

# In a package it is in no member either; dpkg has the flag by itself, and the twin is without.
if [ -d "$vendor/debian" ]; then
	inside() { dpkg-deb --fsys-tarfile "$1/${made[debian]}" | grep -aqF /build; }
	if inside "$vendor/debian-shipped"; then die "debian: the build directory is in the package"; fi
	sed -i 's/^\[build.env\]/&\nDEB_BUILD_MAINT_OPTIONS = "reproducible=-fixfilepath"/' "$vendor/debian/countersign.toml"
	expect 0 as vendor countersign build --source debian --out debian-plain
	inside "$vendor/debian-plain" || die "dpkg's flag -ffile-prefix-map makes no difference"
	ok "debian: without dpkg's -ffile-prefix-map the build directory is in the package"
fi

# A jar has the time that the recipe says; without, those of the build.
if [ -d "$vendor/maven" ]; then
	times() { python3 -c 'import sys, zipfile; print({i.date_time for i in zipfile.ZipFile(sys.argv[1]).infolist()})' "$1/${made[maven]}"; }
	[ "$(times "$vendor/maven-shipped")" = "{(1980, 2, 1, 0, 0, 0)}" ] || die "maven: the times in the jar are $(times "$vendor/maven-shipped")"
	sed -i 's/"-Dproject.build.outputTimestamp=[^"]*", //' "$vendor/maven/countersign.toml"
	expect 0 as vendor countersign build --source maven --out maven-plain
	times "$vendor/maven-plain" | grep -qF "($(date +%Y), " || die "outputTimestamp makes no difference"
	ok "maven: without outputTimestamp the time of the build is in the jar"
fi

# The twin of "the build directory is in no output": without the flag it is.
if [ -d "$vendor/cmake" ]; then
	sed -i '/^C.*FLAGS = /d' "$vendor/cmake/countersign.toml"
	expect 0 as vendor countersign build --source cmake --out cmake-plain
	grep -rqF /build "$vendor/cmake-plain" || die "the flag -ffile-prefix-map makes no difference"
	ok "cmake: without -ffile-prefix-map the build directory is in the output"
fi
