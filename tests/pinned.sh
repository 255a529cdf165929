#!/bin/bash
# Sample projects whose outputs are pinned: their digests, in fixtures/pinned.sha256, are the same on every machine, for every user, and with
# every version of this program. What a compiler makes is not the same everywhere, so that is printed only.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need cc make setpriv sha256sum
use_countersign
. tests/users.sh

cp fixtures/pinned.sha256 "$work/"
cp -R fixtures/projects "$work/projects"
chmod -R a+rX "$work/projects" "$work/pinned.sha256"
pinned() { # WHO PROJECTS
	local who=$1 project
	for project in pinned tiny-sh; do
		expect 0 as "$who" countersign build --quiet --source "$2/$project" --out "built/$project"
	done
	# Each line's path is PROJECT/OUTPUT.
	got=$(as "$who" sh -c 'cd built && find . -type f ! -name "*.log" -printf "%P\n" | LC_ALL=C sort | xargs sha256sum')
}
as vendor mkdir built
as reviewer mkdir built
for who in vendor reviewer; do
	pinned $who "$work/projects"
	[ "$got" = "$(cat "$work/pinned.sha256")" ] || die "built by $who: $got"
done
ok "$(wc -l <"$work/pinned.sha256") outputs have the pinned digests"

# The twin: one more byte of source.
rm -rf "$vendor/built"
as vendor mkdir built
printf 'x' >>"$work/projects/pinned/words.txt"
pinned vendor "$work/projects"
[ "$got" != "$(cat "$work/pinned.sha256")" ] || die "a changed source has the pinned digests"
ok "one more byte of source: other digests"

expect 0 as vendor countersign build --quiet --source "$work/projects/hello-c" --out hello-c
(cd "$vendor/hello-c" && sha256sum out/hello out/libutil.a) | sed "s/\$/ by $(cc --version | head -n 1)/"
