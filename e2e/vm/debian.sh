# Sourced: packages of any suite and architecture of Debian, without touching the machine's own apt.

ARCHIVE_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
ATTEMPTS=3

fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# The mirror this machine uses, else Debian's own.
mirror() {
	local uri
	uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		grep -v '^ *#' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ') || true
	printf '%s' "${uri:-http://deb.debian.org/debian}"
}

# again COMMAND…: mirrors answer 404 or break off now and then.
again() {
	local attempt
	for attempt in $(seq "$ATTEMPTS"); do
		"$@" && return
		printf '%s: attempt %s of %s failed: %s\n' "${0##*/}" "$attempt" "$ATTEMPTS" "$*" >&2
		sleep $((attempt * 2))
	done
	return 1
}

# use SUITE ARCHITECTURE: chooses what apt() speaks of, with a root of its own in $CACHE/apt.
use() {
	APT_ROOT=$CACHE/apt/$1-$2
	mkdir -p "$APT_ROOT/lists/partial" "$APT_ROOT/cache/archives/partial" "$APT_ROOT/state"
	touch "$APT_ROOT/state/status"
	printf 'deb [signed-by=%s] %s %s main\n' "$ARCHIVE_KEYS" "$(mirror)" "$1" >"$APT_ROOT/sources.list"
	cat >"$APT_ROOT/apt.conf" <<-EOC
		APT::Architecture "$2";
		APT::Architectures { "$2"; };
		Acquire::Languages "none";
		Dir::Cache "$APT_ROOT/cache";
		Dir::Etc::SourceList "$APT_ROOT/sources.list";
		Dir::Etc::SourceParts "/dev/null";
		Dir::State "$APT_ROOT/state";
		Dir::State::Lists "$APT_ROOT/lists";
		Dir::State::status "$APT_ROOT/state/status";
	EOC
}

# apt COMMAND ARGUMENTS…: apt-get or apt-cache on the chosen suite.
apt() { APT_CONFIG=$APT_ROOT/apt.conf command "$@"; }

# lists: fetches the lists of packages, once a day.
lists() {
	[ -n "$(find "$APT_ROOT/lists" -maxdepth 1 -name '*Packages*' -mmin -1440 2>/dev/null)" ] && return
	again apt apt-get update -qq -o APT::Update::Error-Mode=any
}

# newest PATTERN: names of packages which match it, newest first.
newest() { apt apt-cache pkgnames | grep -xE "$1" | sort -Vr; }

# unpack PACKAGE FOLDER: downloads it and unpacks its files.
unpack() {
	local work
	work=$(mktemp -d)
	(cd "$work" && again apt apt-get download -qq -o APT::Sandbox::User=root "$1" >&2) || { rm -rf "$work"; return 1; }
	mkdir -p "$2"
	dpkg-deb -x "$work"/*.deb "$2"
	rm -rf "$work"
}
