#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compares a share with the folder behind it: the same operations, the same results.
#   posix.sh FS_MOUNT FS_POSIX {root|user} [FDS]
set -u
fs_mount=$(realpath "$1") fs_posix=$(realpath "$2") mode=$3 fds=${4:-0}

if [ "$(id -u)" != 0 ] || [ ! -c /dev/fuse ]; then
	echo "1..0 # SKIP needs root and /dev/fuse"
	exit 77
fi
# In a mount namespace of our own, so that nothing stays mounted.
if [ -z "${POSIX_SH_INNER:-}" ]; then
	POSIX_SH_INNER=1 exec unshare -m "$0" "$@"
fi
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 711 "$tmp"
mkdir "$tmp/host" "$tmp/share" "$tmp/mnt"
opts=
[ "$fds" = 0 ] || opts="-d $fds"
if [ "$mode" = user ]; then
	opts="$opts -u 65534"
	chown 65534:65534 "$tmp/share"
fi
(cd "$tmp/host" && exec timeout 300 "$fs_posix") >"$tmp/want" 2>&1 || {
	tail -3 "$tmp/want"
	exit 1
}
# shellcheck disable=SC2086
timeout -k 10 1100 "$fs_mount" $opts "$tmp/share" "$tmp/mnt" "$fs_posix" >"$tmp/got" 2>&1 || {
	echo "fs_mount: $?"
	tail -3 "$tmp/got"
	exit 1
}
echo "$(wc -l <"$tmp/want") results"
diff -U1 "$tmp/want" "$tmp/got"
