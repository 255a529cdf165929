# Root file systems of other Debian releases, for the scripts beside it, which source it after lib.sh. Needs bash and root.
# shellcheck shell=bash

# connect ROOT: how this machine reaches the package sources, in a root. Sets `variables`, all that goes into `inside`.
connect() {
	local root=$1 config file variable certificates
	for config in config.toml config; do
		if [ -e "${CARGO_HOME:-$HOME/.cargo}/$config" ]; then
			install -D -m 644 "${CARGO_HOME:-$HOME/.cargo}/$config" "$root/root/.cargo/$config"
		fi
	done
	for file in /etc/resolv.conf /etc/hosts /etc/pip.conf; do
		if [ -e "$file" ]; then install -D -m 644 "$file" "$root$file"; fi
	done
	# The certificates that this machine trusts, which may be more than Debian's.
	certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
	if [ -e "$certificates" ]; then
		install -D -m 644 "$certificates" "$root/opt/certificates.crt"
		echo 'Acquire::https::CaInfo "/opt/certificates.crt";' >"$root/etc/apt/apt.conf.d/91certificates"
	fi
	apt-config dump --format '%f "%v";%n' Acquire | grep -E '::Proxy|::Check-' >"$root/etc/apt/apt.conf.d/90machine" || true
	variables=(PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8)
	while IFS= read -r -d '' variable; do
		case ${variable%%=*} in
		*_proxy | *_PROXY | CARGO_NET_* | CARGO_REGISTR* | CARGO_SOURCE_* | PIP_INDEX_URL | npm_config_registry) variables+=("$variable") ;;
		esac
	done < <(env -0)
	if [ -e "$root/opt/certificates.crt" ]; then
		for variable in SSL_CERT_FILE CARGO_HTTP_CAINFO NODE_EXTRA_CA_CERTS PIP_CERT; do variables+=("$variable=/opt/certificates.crt"); done
	fi
}

# inside ROOT COMMAND…: in /srv/countersign of the root. Not chroot: the kernel refuses user namespaces to whoever is in one. So a mount
# namespace, and pivot_root.
inside() {
	env -i "${variables[@]}" unshare --mount --pid --fork --kill-child --propagation private sh -euc '
		root=$1
		shift
		mount --bind "$root" "$root"
		cd "$root"
		mount --rbind /dev dev
		mount -t proc proc proc
		mkdir -p .outside
		pivot_root . .outside
		umount -l /.outside
		rmdir /.outside
		cd /srv/countersign
		exec "$@"
	' inside "$@"
}
