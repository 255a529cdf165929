#!/bin/bash
# Whether the program compiles for macOS (all but the sandbox) and Windows (all but what builds): `cargo check` against a standard library
# that is compiled for the target from its source, as Debian's unstable release has it. Nothing is linked or run: that takes those systems.
# By hand, not in CI: that release changes daily. COUNTERSIGN_CACHE names a directory in which the root is kept between runs.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
. tests/root.sh
need_root
need git mmdebstrap tar unshare
[ -z "$(git status --porcelain)" ] || echo "$name: note: what is not committed is not tested" >&2

cache=${COUNTERSIGN_CACHE:-$work}
base=$cache/debian-sid.tar
sid=$work/root
mkdir -p "$cache" "$sid"
if [ ! -e "$base" ]; then
	# A mirror that is a few weeks behind is as good.
	expect 0 mmdebstrap --variant=apt --aptopt='Acquire::Check-Valid-Until "false"' --include=ca-certificates,cargo,gcc,libc6-dev,mount,rust-src,rustc \
		--format=tar sid "$base.new" "deb $(main_mirror) sid main"
	mv "$base.new" "$base"
fi
tar -C "$sid" --numeric-owner -xf "$base"
connect "$sid"
git clone --quiet --no-hardlinks "$root" "$sid/srv/countersign"
ok "root made: $(inside "$sid" rustc --version)"

for target in aarch64-apple-darwin x86_64-pc-windows-msvc; do
	# The pure form of BLAKE3, which needs no compiler of C for the target.
	expect 0 inside "$sid" env RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Dwarnings cargo check --quiet --locked -Zbuild-std=std,panic_unwind --features blake3/pure --target $target
	ok "$target: compiles without warnings"
done
echo 'pub fn twin() { std::os::unix::process::parent_id(); }' >>"$sid/srv/countersign/src/fs.rs"
refused inside "$sid" env RUSTC_BOOTSTRAP=1 cargo check --quiet --locked -Zbuild-std=std,panic_unwind --features blake3/pure --target x86_64-pc-windows-msvc
grep -q 'could not find `unix`' "$work/output" || die "the twin failed for another reason: $(tail -n 3 "$work/output")"
ok "a line for Unix alone does not compile for Windows"
