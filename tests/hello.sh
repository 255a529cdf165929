#!/bin/bash
# GNU hello from Debian's source: attested by one user in one directory, rebuilt by another user in another directory under another umask,
# time zone and locale; then with one byte changed in the source, in the output and in the recipe.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need apt-get dpkg-source python3 setpriv sha256sum ssh-keygen
use_countersign

. tests/users.sh

mkdir "$work/source"
(
	cd "$work/source"
	apt_private "$work/apt" deb-src bookworm
	expect 0 apt-get -o Acquire::Retries=3 source --download-only hello=2.10-3
	expect 0 sha256sum --check --strict - <<-EOF
		60ee7a466808301fbaa7fea2490b5e7a6d86f598956fb3e79c71b3295dc1f249  hello_2.10-3.debian.tar.xz
		75296f5ef618ae2f1849e22b142a2b5ab52c452ebefa4e7b0564c44617db3790  hello_2.10-3.dsc
		31e066137a962676e89f69d1b65382de95a7ef7d914b8cb956f41ea72e0f516b  hello_2.10.orig.tar.gz
	EOF
	expect 0 dpkg-source --no-check --extract hello_2.10-3.dsc unpacked
)
cp fixtures/recipes/hello.toml "$work/recipe.toml"
chmod -R a+rX "$work/source" "$work/recipe.toml"

# Each has a copy of its own, written under its own umask.
for who in vendor reviewer; do as $who cp -R "$work/source/unpacked" hello-2.10; done
[ "$(stat -c %a "$vendor/hello-2.10/src/hello.c")" != "$(stat -c %a "$reviewer/hello-2.10/src/hello.c")" ] ||
	die "the two copies should differ in mode"

for who in vendor reviewer; do expect 0 as $who countersign key generate --out key --no-passphrase; done
expect 0 as vendor countersign attest --source hello-2.10 --recipe "$work/recipe.toml" --key key --bundle hello.intoto.jsonl --out shipped
expect 0 as vendor shipped/hello --version
prints "GNU Hello"
as vendor cp hello.intoto.jsonl unanswered.intoto.jsonl
expect 0 countersign policy init --vendor "$vendor/key.pub" --rebuilder "$reviewer/key.pub" --rebuilders 1 -o "$work/policy.toml"
chmod a+r "$work/policy.toml"
cp "$vendor/hello.intoto.jsonl" "$reviewer/"
chown $reviewer_uid:$reviewer_uid "$reviewer/hello.intoto.jsonl"

expect 8 countersign verify "$vendor/shipped/hello" --bundle "$vendor/hello.intoto.jsonl" --policy "$work/policy.toml"
rebuild() { as reviewer countersign rebuild "$@" --against "$vendor/shipped" --policy "$work/policy.toml"; }
expect 0 rebuild hello.intoto.jsonl --source hello-2.10 --key key --append
prints identical
expect 0 countersign verify "$vendor/shipped/hello" --bundle "$reviewer/hello.intoto.jsonl" --policy "$work/policy.toml"
ok "attested by uid $vendor_uid, rebuilt by uid $reviewer_uid: identical, verified"

# One byte of the source.
as reviewer cp -R hello-2.10 changed-source
as reviewer sed -i 's/Hello, world!/Hello, World!/' changed-source/src/hello.c
[ "$(cmp -l "$reviewer/hello-2.10/src/hello.c" "$reviewer/changed-source/src/hello.c" | wc -l)" -eq 1 ] || die "expected one changed byte"
expect 9 rebuild hello.intoto.jsonl --source changed-source
prints src/hello.c
ok "one changed source byte: 9, names the file"

# flip FILE COPY OFFSET: a copy with one bit of one byte changed.
flip() {
	python3 - "$@" <<-'EOF'
		import sys
		data = bytearray(open(sys.argv[1], "rb").read())
		data[int(sys.argv[3])] ^= 1
		open(sys.argv[2], "wb").write(data)
	EOF
}

# One byte of the output: for the customer, and for the rebuild that is told to compare with it.
as reviewer mkdir tampered
flip "$vendor/shipped/hello" "$reviewer/tampered/hello" 20000
chmod 755 "$reviewer/tampered/hello"
expect 1 countersign verify "$reviewer/tampered/hello" --bundle "$reviewer/hello.intoto.jsonl" --policy "$work/policy.toml"
expect 1 as reviewer countersign rebuild hello.intoto.jsonl --source hello-2.10 --against tampered --policy "$work/policy.toml"
prints hello
ok "one changed output byte: 1"

# One byte of the recipe inside the signed statement: the signature no longer holds.
python3 - "$vendor/unanswered.intoto.jsonl" "$reviewer/changed-recipe.intoto.jsonl" <<-'EOF'
	import base64, json, sys
	changed = 0
	with open(sys.argv[1]) as source, open(sys.argv[2], "w") as out:
	    for line in source:
	        entry = json.loads(line)
	        payload = base64.b64decode(entry.get("payload", ""))
	        if b"as Debian ships" in payload:
	            entry["payload"] = base64.b64encode(payload.replace(b"as Debian ships", b"as Debian chips")).decode()
	            changed += 1
	        out.write(json.dumps(entry) + "\n")
	assert changed == 1, changed
EOF
chmod a+r "$reviewer/changed-recipe.intoto.jsonl"
expect 4 rebuild changed-recipe.intoto.jsonl --source hello-2.10
expect 4 countersign verify "$vendor/shipped/hello" --bundle "$reviewer/changed-recipe.intoto.jsonl" --policy "$work/policy.toml"

# The vendor signs a recipe with one other byte. The bytes are the same, but the rebuild answered another build order and does not count.
sed 's/as Debian ships/as Debian chips/' "$work/recipe.toml" >"$work/other.toml"
[ "$(cmp -l "$work/recipe.toml" "$work/other.toml" | wc -l)" -eq 1 ] || die "expected one changed byte"
expect 0 as vendor countersign attest --source hello-2.10 --recipe "$work/other.toml" --key key --bundle other.intoto.jsonl --out shipped-other
cmp "$vendor/shipped/hello" "$vendor/shipped-other/hello"
python3 - "$(ssh-keygen -lf "$reviewer/key.pub" | awk '{ print $2 }')" "$reviewer/hello.intoto.jsonl" "$vendor/other.intoto.jsonl" <<-'EOF'
	import json, sys
	key, answered, other = sys.argv[1:]
	lines = [line for line in open(answered) if "payload" in json.loads(line) and json.loads(line)["signatures"][0]["keyid"] == key]
	assert lines
	with open(other, "a") as out:
	    out.writelines(line.rstrip("\n") + "\n" for line in lines)
EOF
expect 8 countersign verify "$vendor/shipped/hello" --bundle "$vendor/other.intoto.jsonl" --policy "$work/policy.toml"
ok "one changed recipe byte: 4 where the signature is old, 8 where it is new"
