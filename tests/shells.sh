#!/bin/bash
# Completions in the three shells themselves, and the man pages through what reads them. Needs the packages of .ci/install --tests.
cd "$(dirname "$0")/.." || exit 1
. tests/lib.sh
need bash zsh fish man mandoc python3
use_countersign

mkdir -p "$work/play/adir" "$work/home"
cd "$work/play"
touch 'afile one' avendor.pub
export HOME=$work/home

# The same questions for every shell: words typed so far, then what must be offered, and after a slash what must not.
cat >"$work/cases" <<'EOF'
ver → verify / inspect
key → generate import show / verify
key gen → generate / show
man → / zzz
digest --l → --listing / --json
digest --exc → --exclude / --listing
build --sandbox → auto none / --sandbox afile
build --sandbox a → auto / none
completions → bash zsh fish / elvish
bundle export b --format → sigstore dsse / afile
digest av → avendor.pub / adir
attest --key av → avendor.pub / adir
verify x --policy av → avendor.pub / --product
build --out ad → adir / avendor
key show av → avendor.pub / adir
verify x --bund → --bundle / avendor.pub
zzz → / verify digest
digest --zzz → / --listing
build --sandbox zzz → / auto none
verify x --product av → / avendor.pub
EOF

# bash: the function itself, and what readline does with its answer when it has none, which is to complete files.
countersign completions bash >"$work/countersign.bash"
expect 0 bash -n "$work/countersign.bash"
bash_offers() {
	bash --noprofile --norc -c '
		. /usr/share/bash-completion/bash_completion
		. "$1"
		shift
		compopt() { :; } # only there while readline asks
		set -- countersign "$@"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
		COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
		read -r -a how <<<"$(complete -p countersign)"
		[ "${how[-1]}" = countersign ] || exit 1
		while [ "${how[0]}" != -F ]; do how=("${how[@]:1}"); done
		"${how[1]}" countersign "${@: -1}" "${@: -2:1}"
		printf "%s\n" "${COMPREPLY[@]}"
		# -o default, and -o plusdirs where directories are wanted.
		if [ ${#COMPREPLY[@]} -eq 0 ]; then
			case "${@: -2:1}" in
			--out) compgen -d -- "${@: -1}" ;;
			*) compgen -f -- "${@: -1}" ;;
			esac
		fi
	' bash "$work/countersign.bash" "$@"
}

# zsh: through its line editor, on a terminal of its own; what is given to compadd is caught.
mkdir "$work/fpath"
countersign completions zsh >"$work/fpath/_countersign"
expect 0 zsh -n "$work/fpath/_countersign"
cat >"$work/capture.py" <<'EOF'
"""What zsh offers for a line: types it and a tab into a zsh on a terminal, and catches what is given to compadd."""
import os, pty, re, select, sys, time

fpath, line = sys.argv[1], sys.argv[2]
setup = r'''PS1= PS2= RPS1= ; unsetopt zle_bracketed_paste prompt_cr prompt_sp beep
fpath=(%s $fpath); autoload -Uz compinit; compinit -u -D
compadd() {
  if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
  local -a found; builtin compadd -O found "$@"
  (( $#found )) && print -rl -- "<"${^found}">"
  builtin compadd "$@"
}
answered() { print "<""end>"; exit }; zle -N answered; bindkey "^G" answered; bindkey "^I" complete-word; zstyle ":completion:*" insert-tab no
print "<""begin>"
''' % fpath
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(TERM="dumb", LC_ALL="C.UTF-8")
    os.execvp("zsh", ["zsh", "-f", "-i"])
said = b""


def until(mark):
    global said
    end = time.monotonic() + 60
    while mark not in said:
        if not select.select([fd], [], [], max(0, end - time.monotonic()))[0]:
            sys.exit(f"zsh does not answer: {said!r}")
        try:
            more = os.read(fd, 4096)
        except OSError:
            sys.exit(f"zsh ended: {said!r}")
        said += more


os.write(fd, setup.encode())
until(b"<begin>\r\n")
said = b""
os.write(fd, line.encode() + b"\t\x07")
until(b"<end>")
os.close(fd)
os.waitpid(pid, 0)
for word in re.findall(r"<([^<>\r\n]+)>\r?\n", said.decode("utf-8", "replace")):
    if word != "end":
        print(word)
EOF
zsh_offers() { python3 "$work/capture.py" "$work/fpath" "countersign $*"; }

# fish: asked for what it would offer.
countersign completions fish >"$work/countersign.fish"
expect 0 fish --no-execute "$work/countersign.fish"
fish_offers() { fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$work/countersign.fish" "countersign $*" | cut -f 1; }

for shell in bash zsh fish; do
	count=0
	while read -r line; do
		typed=${line%%→*} rest=${line#*→}
		there=${rest%%/*} absent=${rest#*/}
		# A space before the arrow ends a word where nothing of the next is typed yet.
		case $line in
		'key →'* | 'man →'* | 'completions →'* | *'--sandbox →'* | *'--format →'*) typed=${typed% }' ' ;;
		*) typed=${typed% } ;;
		esac
		words=()
		read -r -a words <<<"$typed"
		if [ $shell = bash ]; then
			[ "${typed% }" = "$typed" ] || words+=("")
			offered=$(bash_offers "${words[@]}" 2>"$work/output") || true
			[ ! -s "$work/output" ] || { cat "$work/output" >&2 && die "bash complains: $typed"; }
		else
			offered=$(${shell}_offers "$typed")
		fi
		for word in $there; do
			grep -qxE -- "$word/?" <<<"$offered" || die "$shell: countersign $typed: $word is not among: $offered"
		done
		for word in $absent; do
			! grep -qE -- "^$word" <<<"$offered" || die "$shell: countersign $typed: $word is among: $offered"
		done
		count=$((count + 1))
	done <"$work/cases"
	ok "$shell: $count lines completed as they should be"
done

# Man pages: one a command, the same each time, without a date, and nothing for the readers to complain about.
expect 0 countersign man --out "$work/man1"
expect 0 countersign man --out "$work/again/man1"
diff -r "$work/man1" "$work/again/man1" || die "the pages are not equal each time"
countersign man key generate | cmp - "$work/man1/countersign-key-generate.1" || die "the page is not the one in the file"
countersign man | cmp - "$work/man1/countersign.1" || die "the page is not the one in the file"
pages=0
for page in "$work"/man1/*.1; do
	mandoc -T lint -W error "$page" >"$work/output" 2>&1 || { cat "$work/output" >&2 && die "mandoc: $page"; }
	LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l "$page" 2>"$work/output" | col -b >"$work/page"
	[ ! -s "$work/output" ] || { cat "$work/output" >&2 && die "man: $page"; }
	title=$(basename "$page" .1)
	case $title in
	countersign | countersign-key | countersign-policy | countersign-bundle) example='  ' ;;
	*) example="countersign ${title#countersign-}" ;;
	esac
	for section in NAME SYNOPSIS DESCRIPTION OPTIONS; do
		grep -qx "$section" "$work/page" || die "$title: no $section"
	done
	grep -qE "^ +${example//-/[ -]}" "$work/page" || die "$title: no example"
	pages=$((pages + 1))
done
[ "$pages" -ge 20 ] || die "only $pages pages"
# The twin: what is no page is found to be none.
printf '.TH X 1\n.SH NAME\n.Xx\n.nonsense\n' >"$work/bad.1"
! mandoc -T lint -W error "$work/bad.1" >/dev/null 2>&1 || man --warnings -l "$work/bad.1" 2>&1 >/dev/null | grep -q . ||
	die "nothing was found wrong with a page that is"
ok "$pages man pages"
