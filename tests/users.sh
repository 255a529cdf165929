# Two users who are not root, for the scripts beside it; sourced after lib.sh and use_countersign. Each has a directory of its own, another
# umask, another time zone and another locale.
# shellcheck shell=bash
# shellcheck disable=SC2154 # work is set by lib.sh

vendor_uid=61001
reviewer_uid=61002
vendor=$work/vendor
reviewer=$work/a/much/longer/path/of/the/reviewer
mkdir -p "$vendor" "$reviewer"
chown $vendor_uid:$vendor_uid "$vendor"
chown $reviewer_uid:$reviewer_uid "$reviewer"

# as USER COMMAND…: runs it as that user, in that user's directory and environment.
as() {
	local uid dir mask zone locale
	case $1 in
	vendor) uid=$vendor_uid dir=$vendor mask=022 zone=UTC locale=C ;;
	reviewer) uid=$reviewer_uid dir=$reviewer mask=077 zone=Asia/Tokyo locale=tr_TR.UTF-8 ;;
	esac
	shift
	(
		cd "$dir"
		umask $mask
		exec setpriv --reuid=$uid --regid=$uid --clear-groups env -i PATH="$PATH" HOME="$dir" TZ=$zone LANG=$locale LC_ALL=$locale "$@"
	)
}

[ "$(as vendor id -u)" = $vendor_uid ] && [ "$(as reviewer id -u)" = $reviewer_uid ] || die "could not become the two users"
[ $vendor_uid -ne $reviewer_uid ] && [ $vendor_uid -ne 0 ] && [ $reviewer_uid -ne 0 ] || die "the two users must be two, and not root"
[ "$(as reviewer sh -c umask)" = 0077 ] || die "the reviewer's umask is not 077"
refused as vendor touch "$reviewer/x"
