#!/bin/bash
# What a source depends on, for cargo, pip, npm and go: named by its own lock file, had by `countersign lock` from a directory, and used by the
# real tool in a build without a network; collected, and rebuilt from what was collected alone. Each with one byte changed on the way, and with
# a lock file that was changed afterwards. Arguments name the tools; all without.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need cargo go node npm python3 rustc tar
/usr/bin/python3 -m pip --version >/dev/null || die "python3-pip is missing; run .ci/install --tests"
use_countersign

# The Rust toolchain where the build's id can read it. Not below /tmp, where no host root may be.
rust=$(mktemp -d /var/lib/countersign-fetched.XXXXXX)
cleanup() { rm -rf --one-file-system "$work" "$rust"; }
chmod 755 "$rust"

# recipe KIND FROM OUTPUTS, and further lines for [build] and [environment] in $build and $environment; steps on standard input, a line each.
recipe() {
	local steps
	steps=$(while read -r line; do echo "	[\"sh\", \"-euc\", '''$line'''],"; done)
	cat >countersign.toml <<-TOML
		name = "uses-$1"
		version = "1.0"

		[build]
		steps = [
		$steps
		]
		outputs = ["$3"]
		$build

		[environment]
		$environment

		[[environment.fetch]]
		kind = "$1"
		from = ["$2"]
	TOML
}

of_cargo() {
	copy_rust "$rust/toolchain"
	environment="roots = [\"$rust/toolchain\"]" build="env = { PATH = \"$rust/toolchain/bin:/usr/bin:/bin\" }"
	recipe cargo Cargo.lock target/release/uses-cargo <<<"cargo build --release --locked --offline --config /vendor/cargo/config.toml"
	mkdir src
	echo 'fn main() { println!("{}", itoa::Buffer::new().format(42)) }' >src/main.rs
	printf '[package]\nname = "uses-cargo"\nversion = "1.0.0"\nedition = "2021"\n\n[dependencies]\nitoa = "1"\n' >Cargo.toml
	# A crate without dependencies of its own that this repository has; cargo has its file.
	local entry version crate
	entry=$(awk -v RS= '/name = "itoa"/' "$root/Cargo.lock")
	version=$(sed -n 's/^version = "\(.*\)"/\1/p' <<<"$entry")
	printf 'version = 3\n\n%s\n\n[[package]]\nname = "uses-cargo"\nversion = "1.0.0"\ndependencies = [\n "itoa",\n]\n' "$entry" >Cargo.lock
	(cd "$root" && expect 0 cargo fetch --locked)
	crate=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "itoa-$version.crate" | head -n 1)
	[ -n "$crate" ] || die "cargo has no itoa-$version.crate"
	mkdir -p "$mirrors/crates/itoa"
	cp "$crate" "$mirrors/crates/itoa/"
	changed=$mirrors/crates/itoa/itoa-$version.crate
	run() { [ "$("$1/target/release/uses-cargo")" = 42 ]; }
}

of_pip() {
	environment='' build='env = { PIP_NO_INDEX = "1", PIP_FIND_LINKS = "/vendor/pip", PIP_DISABLE_PIP_VERSION_CHECK = "1" }'
	recipe pip requirements.txt 'site/**' <<<"python3 -m pip install --no-compile --require-hashes --target site -r requirements.txt"
	expect 0 /usr/bin/python3 -m pip download --no-deps --only-binary :all: --dest "$mirrors/pypi/files" 'idna==3.7'
	local file sum
	file=$(cd "$mirrors/pypi/files" && ls)
	sum=$(sha256sum <"$mirrors/pypi/files/$file" | cut -d ' ' -f 1)
	mkdir -p "$mirrors/pypi/simple/idna"
	echo "<!DOCTYPE html><html><body><a href=\"../../files/$file#sha256=$sum\">$file</a></body></html>" >"$mirrors/pypi/simple/idna/index.html"
	printf 'idna==3.7 \\\n    --hash=sha256:%s\n' "$sum" >requirements.txt
	changed=$mirrors/pypi/files/$file
	run() { [ "$(PYTHONPATH=$1/site /usr/bin/python3 -c 'import idna; print(idna.__version__)')" = 3.7 ]; }
}

of_npm() {
	environment='' build=''
	# shellcheck disable=SC2016 # the build's HOME
	recipe npm package-lock.json out.txt < <(
		echo 'cp -r /vendor/npm "$HOME/.npm"'
		echo 'npm ci --offline --no-audit --no-fund --ignore-scripts'
		echo 'node -e "console.log(require(\"@example/greeting\"))" >out.txt'
	)
	mkdir -p "$work/greeting" "$mirrors/npm/@example/greeting/-"
	echo '{ "name": "@example/greeting", "version": "1.0.0", "main": "main.js" }' >"$work/greeting/package.json"
	echo 'module.exports = "hello"' >"$work/greeting/main.js"
	(cd "$work/greeting" && expect 0 npm pack)
	changed=$mirrors/npm/@example/greeting/-/greeting-1.0.0.tgz
	cp "$work/greeting/example-greeting-1.0.0.tgz" "$changed"
	echo '{ "name": "uses-npm", "version": "1.0.0", "dependencies": { "@example/greeting": "1.0.0" } }' >package.json
	python3 - "$changed" >package-lock.json <<-'PY'
		import base64, hashlib, json, sys
		integrity = "sha512-" + base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode()
		json.dump({"name": "uses-npm", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {
		    "": {"name": "uses-npm", "version": "1.0.0", "dependencies": {"@example/greeting": "1.0.0"}},
		    "node_modules/@example/greeting": {
		        "version": "1.0.0", "resolved": "https://registry.invalid/@example/greeting/-/greeting-1.0.0.tgz", "integrity": integrity}}}, sys.stdout)
	PY
	run() { [ "$(cat "$1/out.txt")" = hello ]; }
}

of_go() {
	environment='' build='env = { GOPROXY = "file:///vendor/go", GOSUMDB = "off", GOFLAGS = "-trimpath -buildvcs=false", CGO_ENABLED = "0" }'
	recipe go go.sum uses-go <<<"go build -o uses-go ."
	printf 'module x.example/uses-go\n\ngo 1.18\n\nrequire x.example/Greeting v1.0.0\n' >go.mod
	printf 'package main\n\nimport greeting "x.example/Greeting"\n\nfunc main() { println(greeting.Text) }\n' >main.go
	python3 - "$mirrors/go" >go.sum <<-'PY'
		import base64, hashlib, os, sys, zipfile
		files = {"go.mod": b"module x.example/Greeting\n\ngo 1.18\n", "greeting.go": b'package greeting\n\nconst Text = "hello"\n'}
		directory = sys.argv[1] + "/x.example/!greeting/@v"
		os.makedirs(directory)
		open(directory + "/v1.0.0.mod", "wb").write(files["go.mod"])
		with zipfile.ZipFile(directory + "/v1.0.0.zip", "w", zipfile.ZIP_DEFLATED) as archive:
		    for name, data in files.items():
		        archive.writestr(zipfile.ZipInfo("x.example/Greeting@v1.0.0/" + name), data)
		def h1(files):
		    lines = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
		    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()
		print("x.example/Greeting v1.0.0", h1({"x.example/Greeting@v1.0.0/" + name: data for name, data in files.items()}))
		print("x.example/Greeting v1.0.0/go.mod", h1({"go.mod": files["go.mod"]}))
	PY
	changed=$mirrors/go/x.example/!greeting/@v/v1.0.0.mod
	run() { [ "$("$1/uses-go" 2>&1)" = hello ]; }
}

expect 0 countersign key generate --out "$work/key" --no-passphrase
kinds=("$@")
[ $# -gt 0 ] || kinds=(cargo go npm pip)
for kind in "${kinds[@]}"; do
	began=$SECONDS
	mirrors=$work/mirrors-$kind at=$work/$kind
	mkdir -p "$mirrors" "$at/source"
	cd "$at/source"
	"of_$kind"
	cd "$at"
	chmod -R a+rX "$at"
	flags=()
	for mirror in crates pypi npm go; do flags+=(--mirror "$mirror=$mirrors/$mirror"); done
	expect 0 countersign lock --source source --store store "${flags[@]}"
	expect 0 countersign lock --source source --check
	expect 0 countersign attest --source source --key "$work/key" --bundle bundle.intoto.jsonl --out out --store store
	run out || die "$kind: what was built does not run as it should"
	expect 0 countersign snapshot bundle.intoto.jsonl --source source -o all --store store
	rebuild=(countersign rebuild bundle.intoto.jsonl --materials all --against out)
	[ "$kind" != cargo ] || rebuild+=(--allow-root "$rust/toolchain")
	mv "$mirrors" "$mirrors.away"
	expect 0 "${rebuild[@]}"
	prints identical
	mv "$mirrors.away" "$mirrors"
	# Its twins: one byte on the mirror, a lock file that says something else, a part that was not handed over.
	printf '#' | dd of="$changed" bs=1 seek=20 conv=notrunc status=none
	expect 7 countersign lock --source source --update --store empty "${flags[@]}"
	prints "$(basename "$changed")"
	expect 7 countersign build --source source --out no --store empty "${flags[@]}"
	from=$(sed -n 's/^from = \["\(.*\)"\]$/\1/p' source/countersign.toml)
	sed -i 's/1\.0\.0/1.0.1/g; s/==3\.7/==3.8/; s/^version = "1\.[0-9.]*"$/version = "1.0.1"/' "source/$from"
	expect 1 countersign lock --source source --check
	expect 2 countersign build --source source --out no --store store
	rm "$(find all/blobs -type f | sort | head -n 1)"
	expect 7 "${rebuild[@]}"
	cd "$root"
	ok "$kind: locked, built without a network, rebuilt from what was collected; changed on the way: 7; another lock file: 2; $((SECONDS - began)) s"
done
