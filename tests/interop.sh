#!/bin/bash
# A bundle made by countersign is accepted by verifiers that share no code with it, and refused by them after a change: openssl,
# securesystemslib, and cosign from Debian sid, which is unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need openssl python3 apt-get dpkg-deb ssh-keygen unshare
use_countersign
helper=$root/tests/interop.py
provenance=https://slsa.dev/provenance/v1

cp -R fixtures/projects/tiny-sh "$work/source"
cd "$work"
for who in vendor reviewer; do
	expect 0 countersign key generate --out $who --no-passphrase
	countersign key show $who.pub --pem >$who.pem
done
expect 0 countersign attest --source source --key vendor --bundle b.intoto.jsonl --out shipped
expect 0 countersign rebuild b.intoto.jsonl --source source --against shipped --key reviewer --append
mkdir envelopes
python3 "$helper" split b.intoto.jsonl envelopes >list
fingerprint() { ssh-keygen -lf "$1.pub" | awk '{ print $2 }'; }
# Whose envelope it is, by its key id: vendor or reviewer.
signer() {
	case $1 in
	"$(fingerprint vendor)") echo vendor ;;
	"$(fingerprint reviewer)") echo reviewer ;;
	*) die "envelope by another key: $1" ;;
	esac
}
[ "$(awk -v type=$provenance '$2 == type' list | wc -l)" -eq 2 ] || die "expected two provenance statements: $(cat list)"
grep -q ' urn:countersign:predicate:reproduced:v1 ' list || die "expected a verdict: $(cat list)"

check_openssl() { # ENVELOPE PEM
	python3 "$helper" pae "$1" pae sig && openssl pkeyutl -verify -pubin -inkey "$2" -rawin -in pae -sigfile sig
}
venv=$work/venv/bin/python3
check_securesystemslib() { "$venv" "$helper" securesystemslib "$@"; }

# A twin must be refused by what the peer found, not because it could not read it.
peer_refuses() { # PEER ENVELOPE PEM
	refused check_"$1" "$2" "$3"
	case $1 in
	openssl) prints "Signature Verification Failure" ;;
	securesystemslib) prints "refused: " ;;
	esac
}

python3 -m venv venv
expect 0 venv/bin/pip install --quiet securesystemslib==1.6.0 cryptography

# Every envelope, whatever it says, and three twins of each.
while read -r number _ keyid; do
	envelope=envelopes/$number.json
	pem=$(signer "$keyid").pem
	[ "$pem" = vendor.pem ] && other=reviewer.pem || other=vendor.pem
	python3 "$helper" flip payload "$envelope" changed-payload.json
	python3 "$helper" flip sig "$envelope" changed-sig.json
	for peer in openssl securesystemslib; do
		expect 0 check_$peer "$envelope" "$pem"
		peer_refuses $peer changed-payload.json "$pem"
		peer_refuses $peer changed-sig.json "$pem"
		peer_refuses $peer "$envelope" "$other"
	done
done <list
ok "openssl and securesystemslib: $(wc -l <list) envelopes accepted, three twins of each refused"

# cosign. Without a network, so that what it accepts hangs on the key alone.
(
	apt_private "$work/apt" deb sid
	expect 0 apt-get -o Acquire::Retries=3 download cosign
)
dpkg-deb -x cosign_*.deb cosign
mkdir home
check_cosign() { # BUNDLE PEM TYPE FILE
	HOME=$work/home unshare --map-root-user --net "$work/cosign/usr/bin/cosign" verify-blob-attestation \
		--key "$2" --insecure-ignore-tlog --type "$3" --bundle "$1" "$4"
}
accepted() { expect 0 check_cosign "$@" && prints "Verified OK"; }
cosign_refuses() { # WHY BUNDLE PEM TYPE FILE
	refused check_cosign "${@:2}"
	prints "$1"
	if grep -q "Verified OK" output; then die "cosign said both yes and no"; fi
}
expect 0 countersign bundle export b.intoto.jsonl --format sigstore -o exported
count=0
for bundle in exported/*; do
	type=$(python3 -c 'import base64,json,sys
print(json.loads(base64.b64decode(json.load(open(sys.argv[1]))["dsseEnvelope"]["payload"]))["predicateType"])' "$bundle")
	[ "$type" = $provenance ] || continue
	keyid=$(python3 -c 'import json,sys
print(json.load(open(sys.argv[1]))["dsseEnvelope"]["signatures"][0]["keyid"])' "$bundle")
	pem=$(signer "$keyid").pem
	[ "$pem" = vendor.pem ] && other=reviewer.pem || other=vendor.pem
	for file in out.txt run; do
		accepted "$bundle" "$pem" slsaprovenance1 shipped/$file
	done
	{ cat shipped/out.txt && echo x; } >tampered
	python3 "$helper" flip payload "$bundle" changed-payload.json
	python3 "$helper" flip sig "$bundle" changed-sig.json
	cosign_refuses "artifact digests do not match" "$bundle" "$pem" slsaprovenance1 tampered
	cosign_refuses "accepted signatures do not match threshold" changed-payload.json "$pem" slsaprovenance1 shipped/out.txt
	cosign_refuses "accepted signatures do not match threshold" changed-sig.json "$pem" slsaprovenance1 shipped/out.txt
	cosign_refuses "accepted signatures do not match threshold" "$bundle" "$other" slsaprovenance1 shipped/out.txt
	cosign_refuses "invalid predicate type" "$bundle" "$pem" spdx shipped/out.txt
	count=$((count + 1))
done
[ $count -eq 2 ] || die "expected two exported provenance statements, got $count"
ok "cosign: $count provenance statements accepted, five twins of each refused"
