#!/bin/bash
# A rebuild is blind: the order of events is read from strace, and a hostile recipe (fixtures/projects/hostile) that searches for the
# published bytes, their digests, the bundle and the passphrase finds none of them. As root and as an ordinary user.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need bwrap python3 setpriv sha256sum strace
use_countersign
helper=$root/tests/blind.py
uid=61003
marker=countersign-released-4f1c9a

# What this script inherited is not what is tested; below it opens one descriptor on purpose.
for fd in /proc/$$/fd/*; do
	fd=${fd##*/}
	if [ "$fd" -gt 2 ] && [ "$fd" -ne 255 ]; then eval "exec $fd>&-"; fi
done

# The search finds what there is to find: the published directory, another host's network, a descriptor, a variable, a process.
mkdir -p "$work/listen" "$work/twin/build" "$work/twin/shelf"
python3 "$helper" listen "$work/listen" &
listener=$!
cleanup() {
	kill $listener 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
for _ in $(seq 100); do [ -e "$work/listen/peers" ] || sleep 0.1; done
[ -e "$work/listen/peers" ] || die "the listener did not start"
cp -R fixtures/projects/hostile "$work/source"
cp "$work/listen/peers" "$work/source/"

search_with() { # BWRAP-OPTION…: runs the search in a sandbox of another make; its findings are in $work/twin/build/out/findings
	rm -rf "$work/twin/build"
	cp -R "$work/source" "$work/twin/build"
	expect 0 bwrap --unshare-user --unshare-pid --unshare-ipc --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib \
		--symlink usr/lib64 /lib64 --bind "$work/twin/build" /build --proc /proc --dev /dev --clearenv --setenv PATH /usr/bin --chdir /build \
		"$@" python3 -IBS search.py
}
finds() { # TEXT OPTION…
	search_with "${@:2}"
	grep -qF -- "$1" "$work/twin/build/out/findings" || die "the search should have found: $1"
}
search_with --unshare-net
[ ! -s "$work/twin/build/out/findings" ] || die "the search found what is not there: $(cat "$work/twin/build/out/findings")"
echo "$marker" >"$work/twin/shelf/file"
ln "$work/twin/shelf/file" "$work/twin/shelf/$marker"
finds "published bytes: /shelf/file" --unshare-net --ro-bind "$work/twin/shelf" /shelf
finds "published bytes: name /shelf/$marker" --unshare-net --ro-bind "$work/twin/shelf" /shelf
finds "published bytes: /proc/" --unshare-net --ro-bind "$work/twin/shelf/$marker" /data
finds "published bytes: variable X" --unshare-net --setenv X "$marker"
digest=$(echo "the released bytes: $marker" | sha256sum | cut -c1-64)
finds "SHA-256: variable X" --unshare-net --setenv X "a $digest"
finds "bundle: variable X" --unshare-net --setenv X eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLC
finds "passphrase: variable X" --unshare-net --setenv X countersign-secret-b81e07
finds "reached: $(head -1 "$work/listen/peers")"
finds "reached: abstract"
finds "inherited descriptor: 9" --unshare-net 9<"$work/twin/shelf/file"
ok "the search finds what lies open: ten ways"

export COUNTERSIGN_PASSPHRASE=countersign-secret-b81e07
blind() { # WHO COMMAND-PREFIX…
	local who=$1 run=("${@:2}") home=$work/$1 shelf=$work/$1/shelf-$marker
	mkdir "$home"
	cp -R "$work/source" "$home/source"
	[ "$who" = root ] || chown -R $uid:$uid "$home"
	cd "$home"
	expect 0 "${run[@]}" mkdir reviewer reviewer/keys
	# Encrypted by default; the passphrase comes from the environment.
	expect 0 "${run[@]}" countersign key generate --out vendor
	expect 0 "${run[@]}" countersign key generate --out reviewer/keys/key
	expect 0 "${run[@]}" countersign attest --source source --key vendor --bundle vendor.intoto.jsonl --out "$shelf"
	[ -e "$shelf/out/findings" ] || die "the hostile recipe did not run"
	[ ! -s "$shelf/out/findings" ] || die "$who, attest: the build found $(cat "$shelf/out/findings")"
	expect 0 "${run[@]}" cp vendor.intoto.jsonl reviewer/b.intoto.jsonl

	rebuild=(countersign rebuild reviewer/b.intoto.jsonl --source source --against "$shelf" --key reviewer/keys/key --append)
	traced=(strace -f -y -s 4096 -e "trace=%file,%process" -o log)
	# Whoever calls it may have a published file open.
	expect 0 "${run[@]}" "${traced[@]}" "${rebuild[@]}" --out "$home/reviewer/own" 9<"$shelf/out/released.txt"
	prints identical
	[ -e reviewer/own/run-1/out/findings ] || die "the rebuilt output is not in --out"
	[ ! -s reviewer/own/run-1/out/findings ] || die "$who, rebuild: the build found $(cat reviewer/own/run-1/out/findings)"
	expect 0 python3 "$helper" trace log "$shelf" "$home/reviewer" "$digest"
	cat "$work/output"

	# The same rebuild by somebody who looks first.
	rm -rf reviewer/own
	cp vendor.intoto.jsonl reviewer/b.intoto.jsonl
	# shellcheck disable=SC2016 # for the inner shell
	expect 0 "${run[@]}" "${traced[@]}" sh -c 'cat "$0"/out/released.txt && exec "$@"' "$shelf" "${rebuild[@]}" --out "$home/reviewer/own"
	refused python3 "$helper" trace log "$shelf" "$home/reviewer" "$digest"
	prints "was opened before the sandbox had ended"

	# Through countersign's own sandbox: what is put into the build is found.
	cp -R source planted
	echo "$marker" >planted/planted.txt
	[ "$who" = root ] || chown -R $uid:$uid planted
	expect 0 "${run[@]}" countersign build --source planted --out planted-out
	grep -qF "published bytes: /build/planted.txt" planted-out/out/findings || die "$who: the planted bytes were not found"
	cd "$root"
	ok "$who: blind"
}
blind root
blind ordinary setpriv --reuid=$uid --regid=$uid --clear-groups
