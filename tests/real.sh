#!/bin/bash
# Real projects besides GNU hello, from where this machine's cargo and pip get theirs: a Rust program with vendored dependencies, with the
# recipe that `init` makes, and a Python wheel whose build backend is an input of its own and which must equal the one on PyPI byte for
# byte. Each is attested by one user, rebuilt by another in another directory under another umask, time zone and locale; then with one byte
# changed in the source, and one in the output.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need cargo cc cmp python3 rustc setpriv sha256sum tar
/usr/bin/python3 -m pip --version >/dev/null || die "python3-pip is missing; run .ci/install --tests"
use_countersign
. tests/users.sh

# Toolchains that are part of the environment. Not below /tmp, where no host root may be.
tools=$(mktemp -d /var/lib/countersign-real.XXXXXX)
cleanup() { rm -rf --one-file-system "$work" "$tools"; }
chmod 755 "$tools"

for who in vendor reviewer; do expect 0 as $who countersign key generate --out key --no-passphrase; done
expect 0 countersign policy init --vendor "$vendor/key.pub" --rebuilder "$reviewer/key.pub" --rebuilders 1 -o "$work/policy.toml"
chmod a+r "$work/policy.toml"

# both NAME OUTPUT FILE ROOT: what this script is about, for the source and recipe in $work/NAME and $work/NAME.toml. OUTPUT is the file
# that must come out, FILE the source file to change, ROOT what the recipe asks for of this machine.
both() {
	local project=$1 output=$2 file=$3 began=$SECONDS bundle=$1.intoto.jsonl
	chmod -R a+rX "$work/$project" "$work/$project.toml"
	for who in vendor reviewer; do as $who cp -R "$work/$project" "$project"; done
	expect 0 as vendor countersign attest --source "$project" --recipe "$work/$project.toml" --key key --bundle "$bundle" --out "$project-shipped"
	[ -s "$vendor/$project-shipped/$output" ] || die "$project: $output was not made"
	# What is published, with the modes that were recorded: a tool may well make a wheel that its maker alone can read.
	cp -R --preserve=mode "$vendor/$bundle" "$vendor/$project-shipped" "$reviewer/"
	chown -R $reviewer_uid:$reviewer_uid "$reviewer/$bundle" "$reviewer/$project-shipped"
	local rebuild=(as reviewer countersign rebuild "$bundle" --policy "$work/policy.toml" --allow-root "$4")
	expect 8 countersign verify "$vendor/$project-shipped/$output" --bundle "$vendor/$bundle" --policy "$work/policy.toml"
	expect 0 "${rebuild[@]}" --source "$project" --against "$project-shipped" --key key --append
	prints identical
	expect 0 countersign verify "$vendor/$project-shipped/$output" --bundle "$reviewer/$bundle" --policy "$work/policy.toml"
	ok "$project: attested by uid $vendor_uid, rebuilt by uid $reviewer_uid: identical, verified; $((SECONDS - began)) s"

	as reviewer cp -R --preserve=mode "$project-shipped" "$project-tampered"
	flip "$reviewer/$project/$file" 1
	expect 9 "${rebuild[@]}" --source "$project" --against "$project-shipped"
	prints "$file"
	flip "$reviewer/$project/$file" 1
	flip "$reviewer/$project-tampered/$output" 2000
	expect 1 "${rebuild[@]}" --source "$project" --against "$project-tampered"
	prints "$output"
	expect 1 countersign verify "$reviewer/$project-tampered/$output" --bundle "$reviewer/$bundle" --policy "$work/policy.toml"
	ok "$project: one changed source byte: 9; one changed output byte: 1; $((SECONDS - began)) s"
}

# --- A Python package. The digests are those that PyPI states; pip looks no further.
mkdir "$work/pip"
cat >"$work/sdists.txt" <<-'EOF'
	flit_core==3.9.0 --hash=sha256:72ad266176c4a3fcfab5f2930d76896059851240570ce9a98733b658cb786eba
	idna==3.10 --hash=sha256:12f65c9b470abda6dc35cf8e63cc574b1c52b11df2c86030af0ac09b01b13ea9
EOF
cat >"$work/wheel.txt" <<-'EOF'
	idna==3.10 --hash=sha256:946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3
EOF
download() { expect 0 /usr/bin/python3 -m pip download --quiet --retries 5 --no-deps --dest "$work/pip" "$@"; }
download --no-binary flit_core,idna --require-hashes --requirement "$work/sdists.txt"
download --only-binary :all: --require-hashes --requirement "$work/wheel.txt"
tar -C "$tools" --no-same-owner -xf "$work/pip/flit_core-3.9.0.tar.gz"
tar -C "$work" --no-same-owner -xf "$work/pip/idna-3.10.tar.gz"
mv "$work/idna-3.10" "$work/idna"
chmod -R a+rX "$tools"
sed "s|ROOT|$tools|" fixtures/recipes/idna.toml >"$work/idna.toml"
wheel=idna-3.10-py3-none-any.whl
both idna "dist/$wheel" idna/core.py "$tools/flit_core-3.9.0"
cmp "$vendor/idna-shipped/dist/$wheel" "$work/pip/$wheel"
expect 0 countersign verify "$work/pip/$wheel" --bundle "$reviewer/idna.intoto.jsonl" --policy "$work/policy.toml"
ok "idna: the wheel on PyPI is the one that was built, and verifies as it"
# The twin: what makes it equal is the time, which a wheel has in two-second steps.
sed -i 's/^source-date-epoch = .*/source-date-epoch = 1726423616/' "$work/idna.toml"
expect 0 as vendor countersign build --source idna --recipe "$work/idna.toml" --out idna-later
refused cmp "$vendor/idna-later/dist/$wheel" "$work/pip/$wheel"
expect 1 countersign verify "$vendor/idna-later/dist/$wheel" --bundle "$reviewer/idna.intoto.jsonl" --policy "$work/policy.toml"
ok "idna: two seconds later it is another wheel"

# --- A Rust program.
crate=pulldown-cmark-0.12.2
crates "$work" pulldown-cmark=0.12.2
expect 0 sha256sum --check --strict - <<<"f86ba2052aebccc42cbbb3ed234b8b13ce76f75c3551a303cb2bcffcff12bb14  $work/$crate.crate"
tar -C "$work" --no-same-owner -xf "$work/$crate.crate"
mv "$work/$crate" "$work/pulldown-cmark"
expect 0 env -C "$work/pulldown-cmark" CARGO_HOME="$work/home" cargo vendor --quiet --locked
mkdir -p "$work/pulldown-cmark/.cargo"
cat >"$work/pulldown-cmark/.cargo/config.toml" <<-'EOF'
	[source.crates-io]
	replace-with = "vendored-sources"

	[source.vendored-sources]
	directory = "vendor"
EOF
mkdir "$tools/toolchains"
copy_rust "$tools/toolchains/copy"
expect 0 env RUSTUP_HOME="$tools" countersign init "$work/pulldown-cmark"
# The recipe is given beside the source, as for the others.
mv "$work/pulldown-cmark/countersign.toml" "$work/pulldown-cmark.toml"
both pulldown-cmark target/release/pulldown-cmark src/main.rs "$tools/toolchains/copy"
expect 0 as vendor sh -c 'echo "*hello*" | pulldown-cmark-shipped/target/release/pulldown-cmark'
prints "<p><em>hello</em></p>"
[ "$(find "$work/pulldown-cmark/vendor" -mindepth 1 -maxdepth 1 | wc -l)" -ge 4 ] || die "no vendored dependencies"
ok "pulldown-cmark: works"
