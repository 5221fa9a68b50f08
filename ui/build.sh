#!/usr/bin/env bash
# Builds the committed ui/dist.
#
#   ui/build.sh           install the pinned packages, type-check, test, build
#   ui/build.sh --check   the same, then fail unless the committed ui/dist is what the sources give
set -euo pipefail
cd "$(dirname "$0")"

older_than_20_19() { node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 1 : 0)'; }

if ! command -v node >/dev/null || older_than_20_19; then
	if [ "${1:-}" = "--check" ] && [ -z "${CI:-}" ]; then
		echo "ui/build.sh: skipped: node 20.19 or newer is needed to rebuild ui/dist, this machine has $(node --version 2>/dev/null || echo none)"
		exit 0
	fi
	echo "ui/build.sh: node 20.19 or newer is needed, this machine has $(node --version 2>/dev/null || echo none)" >&2
	exit 1
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
npm test
npm run build
if [ "${1:-}" = "--check" ]; then
	changes=$(git status --porcelain -- dist)
	[ -z "$changes" ] || {
		printf 'ui/build.sh: the committed ui/dist is not what its sources give; commit the rebuilt files:\n%s\n' "$changes" >&2
		exit 1
	}
	echo "ui/dist matches its sources"
fi
