#!/bin/bash
# An environment of Debian packages, from where this machine's apt gets its own: locked twice, by root and by an ordinary user, in other places,
# under another umask and time zone: one lock. Built in by one, collected, and rebuilt by another in a root without any compiler, from what
# was collected alone. Beside it mmdebstrap, for time and size; nothing is asserted of that.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need apt-get awk cmp du mmdebstrap setpriv tar unshare
use_countersign
. tests/users.sh
. tests/root.sh

# shellcheck disable=SC1091 # of the machine
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(main_mirror)
mirror=${mirror%/}

mkdir "$work/hello"
cat >"$work/hello/hello.c" <<'C'
#include <stdio.h>
int main(void) { puts("hello"); return 0; }
C
cat >"$work/hello/countersign.toml" <<TOML
name = "hello"
version = "1.0"

[build]
steps = [["cc", "-O2", "-o", "hello", "hello.c"]]
outputs = ["hello"]

[environment]
kind = "debian"
suites = ["$codename"]
packages = ["gcc", "libc6-dev"]
TOML
chmod -R a+rX "$work/hello"

for who in vendor reviewer; do
	expect 0 as $who countersign key generate --out key --no-passphrase
	as $who cp -R "$work/hello" hello
done
chmod a+rx "$vendor" "$reviewer"
expect 0 countersign policy init --vendor "$vendor/key.pub" --rebuilder "$reviewer/key.pub" --rebuilders 1 -o "$work/policy.toml"
chmod a+r "$work/policy.toml"

began=$SECONDS
expect 0 countersign lock --source "$work/hello" --store "$work/store" --mirror "debian=$mirror"
ok "locked by root: $(grep -c '^part' "$work/hello/countersign.lock") parts, $((SECONDS - began)) s with fetching"
expect 0 as vendor countersign lock --source hello --store store --mirror "debian=$mirror"
cmp "$work/hello/countersign.lock" "$vendor/hello/countersign.lock" || die "two locks of one environment"
ok "locked by uid $vendor_uid, elsewhere, under another umask and time zone: the same lock, the same tree"
began=$SECONDS
expect 0 as vendor countersign lock --source hello --store store --mirror "debian=$mirror" --update
ok "locked again, nothing to fetch but the indices: $((SECONDS - began)) s; $(du -sh --apparent-size "$vendor/store/trees" | cut -f1) unpacked"
# Its twin: one byte of a package, on the mirror or on the way.
mkdir "$work/mirror"
package=$(sed -n 's/^part deb hostname[^ ]* .* debian:\(.*\)$/\1/p' "$vendor/hello/countersign.lock" | head -n 1)
[ -n "$package" ] || package=$(sed -n 's/^part deb .* debian:\(.*\)$/\1/p' "$vendor/hello/countersign.lock" | head -n 1)
mkdir -p "$work/mirror/$(dirname "$package")"
printf 'not the package' >"$work/mirror/$package"
expect 7 countersign build --source "$work/hello" --out "$work/no" --store "$work/empty" --mirror "debian=$work/mirror"
# And a release file that nobody signed whom we know.
: >"$work/none.gpg"
expect 7 countersign lock --source "$work/hello" --store "$work/empty" --mirror "debian=$mirror" --update --keyring "$work/absent.gpg"
expect 2 countersign lock --source "$work/hello" --store "$work/empty" --mirror "debian=$mirror" --update --keyring "$work/none.gpg"

# Who vouches, from the key of the archive to each package; and a key that does not.
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
expect 0 countersign lock --source "$work/hello" --store "$work/store" --check --keyring "$keyring"
prints "vouched: $(grep -c '^part' "$work/hello/countersign.lock") parts by openpgp:"
expect 3 countersign lock --source "$work/hello" --store "$work/store" --check --keyring /usr/share/keyrings/debian-archive-removed-keys.gpg

expect 0 as vendor countersign attest --source hello --key key --bundle hello.intoto.jsonl --out shipped --store store
expect 0 as vendor countersign snapshot hello.intoto.jsonl --source hello -o materials.tar --store store
expect 0 as vendor countersign snapshot hello.intoto.jsonl --source hello -o again.tar --store store
cmp "$vendor/materials.tar" "$vendor/again.tar" || die "two files of the same materials"
ok "collected in one file, the same bytes twice: $(du -sh --apparent-size "$vendor/materials.tar" | cut -f1)"

# A root without compilers, and without a network that would be used.
base=$work/base
began=$SECONDS
mmdebstrap --quiet --variant=essential --include=mount,util-linux "$codename" "$base.tar" "deb $mirror $codename main"
ok "mmdebstrap, essential packages alone: $((SECONDS - began)) s, $(stat -c %s "$base.tar") bytes"
began=$SECONDS
mmdebstrap --quiet --variant=essential --include=gcc,libc6-dev "$codename" "$work/peer.tar" "deb $mirror $codename main"
ok "mmdebstrap, the same packages: $((SECONDS - began)) s, $(stat -c %s "$work/peer.tar") bytes"
mkdir "$base"
tar -C "$base" -xf "$base.tar"
[ ! -e "$base/usr/bin/cc" ] && [ ! -e "$base/usr/bin/gcc" ] || die "the root has a compiler"
mkdir -p "$base/srv/countersign"
install -m 755 "$work/bin/countersign" "$base/usr/bin/countersign"
cp -R "$vendor/materials.tar" "$vendor/hello.intoto.jsonl" "$vendor/shipped" "$reviewer/key" "$work/policy.toml" "$keyring" "$base/srv/countersign/"
variables=(PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TZ=Asia/Tokyo)
(umask 077 && expect 0 inside "$base" unshare --net countersign rebuild hello.intoto.jsonl --materials materials.tar --keyring debian-archive-keyring.gpg --against shipped --policy policy.toml --key key --append)
prints identical
expect 0 countersign verify "$vendor/shipped/hello" --bundle "$base/srv/countersign/hello.intoto.jsonl" --policy "$work/policy.toml"
ok "rebuilt in a root without compilers and without a network, from the materials alone: identical, verified"
# Its twin: one package less.
mkdir "$base/srv/countersign/materials"
tar -C "$base/srv/countersign/materials" -xf "$vendor/materials.tar"
rm "$(find "$base/srv/countersign/materials/blobs" -type f | sort | head -n 1)"
expect 7 inside "$base" countersign rebuild --materials materials
