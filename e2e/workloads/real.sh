#!/bin/sh
# Real programs with a fixed amount of work, some seconds each.
#
#   real.sh needs NAME          the commands it takes
#   real.sh prepare NAME DIR    make its input in DIR (once)
#   real.sh run NAME DIR        do its work; standard output is dropped by the caller
#
# Everything runs as a child of this script, so that it can be sampled as one tree of processes.
set -eu

what=$1 name=$2 dir=${3:-}
here=$(dirname "$(readlink -f "$0")")
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1) || postgres=
python=python3
[ -x /usr/bin/python3 ] && python=/usr/bin/python3

# As postgres if this is root, which postgres refuses to run as.
as_postgres() {
	if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

# 24 MB of machine code and text, the same in every run on one machine.
text() {
	cat "$(command -v cc)" "$python" "$(command -v openssl)" /usr/include/*.h /usr/lib/*/libc.so.6 |
		head -c 6000000 >"$dir/text"
	cat "$dir/text" "$dir/text" "$dir/text" "$dir/text" >"$dir/big"
}

case $name in
openssl) needs="openssl" ;;
xz) needs="xz cc" ;;
zstd) needs="zstd cc" ;;
sqlite3) needs="sqlite3" ;;
gcc) needs="gcc" ;;
rustc | rust) needs="rustc" ;;
python | python-extensions) needs="python3" ;;
node) needs="node" ;;
postgres) needs="$postgres/pgbench $postgres/initdb" ;;
go) needs="go" ;;
java) needs="java javac" ;;
storm) needs="gcc" ;;
*) echo "real.sh: no workload $name" >&2; exit 2 ;;
esac

prepare() {
	mkdir -p "$dir"
	chmod 755 "$dir"
	case $name in
	xz | zstd) text ;;
	gcc | storm)
		for i in 1 2 3 4; do
			cat >"$dir/unit$i.c" <<-END
			#include <stdio.h>
			#include <stdlib.h>
			#include <string.h>
			#include <regex.h>
			$(j=0; while [ $j -lt $((i * 25)) ]; do
				echo "int f$j(int a, const char *s) { int t[64]; for (int i = 0; i < 64; i++) t[i] = a * i + s[i % 4]; switch (a & 7) { case 1: qsort(t, 64, 4, 0); break; case 2: memmove(t, t + 1, 200); break; default: printf(\"%d\", t[a & 63]); } return t[a & 63] + $j; }"
				j=$((j + 1))
			done)
			END
		done
		;;
	rustc)
		{
			echo 'use std::collections::{BTreeMap, HashMap};'
			j=0
			while [ $j -lt 60 ]; do
				echo "#[derive(Debug, Clone, PartialEq)] pub struct S$j { pub a: Vec<u$((8 << (j % 4)))>, pub b: String, pub c: HashMap<String, BTreeMap<u64, Option<f64>>> }"
				echo "impl S$j { pub fn f(&mut self, n: usize) -> Result<usize, String> { self.a.sort(); self.c.retain(|k, v| k.len() > n && !v.is_empty()); let s: usize = self.c.values().flat_map(|v| v.values()).filter_map(|o| o.map(|f| f as usize)).sum(); self.b = format!(\"{s} {:?}\", self.a); self.b.parse::<usize>().map_err(|e| e.to_string()) } }"
				j=$((j + 1))
			done
		} >"$dir/unit.rs"
		;;
	rust) rustc --edition=2024 -O -Cdebuginfo=1 -o "$dir/rust-program" "$here/real/program.rs" ;;
	go)
		cp "$here/real/program.go" "$dir/"
		(cd "$dir" && GO111MODULE=off GOFLAGS=-mod=mod GOCACHE="$dir/cache" go build -o go-program program.go)
		;;
	java) javac -d "$dir" "$here/real/Program.java" ;;
	postgres)
		[ "$(id -u)" != 0 ] || chown postgres "$dir"
		as_postgres "$postgres/initdb" -D "$dir/data" -A trust >"$dir/log" 2>&1
		;;
	esac
}

# Starts a server of its own, reachable through a socket in the folder only, and stops it afterwards.
run_postgres() {
	cd /
	as_postgres "$postgres/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off \
		-c shared_buffers=32MB >>"$dir/server.log" 2>&1 &
	i=0
	until as_postgres "$postgres/pg_isready" -q -h "$dir"; do
		i=$((i + 1))
		[ $i -lt 600 ] || { cat "$dir/server.log" >&2; exit 1; }
		sleep 0.1
	done
	as_postgres "$postgres/pgbench" -q -i -s 3 -h "$dir" postgres
	as_postgres "$postgres/pgbench" -n -c 4 -j 2 -t 900 -h "$dir" postgres
	as_postgres "$postgres/pgbench" -n -S -c 4 -j 2 -t 3000 -h "$dir" postgres
	as_postgres "$postgres/pg_ctl" -D "$dir/data" -m fast stop
	wait
}

run() {
	case $name in
	openssl)
		openssl speed -seconds 1 -bytes 8192 sha256 sha512 md5
		openssl speed -seconds 1 -bytes 8192 -evp aes-256-gcm
		openssl speed -seconds 1 -bytes 8192 -evp chacha20-poly1305
		openssl speed -seconds 1 rsa2048
		;;
	xz) xz -T2 -4 -c "$dir/text" ;;
	zstd)
		zstd -q -T2 -13 -c "$dir/big"
		zstd -q -1 -c "$dir/big" | zstd -q -d -c
		;;
	sqlite3) rm -f "$dir/db" && sqlite3 "$dir/db" <"$here/real/work.sql" ;;
	gcc) for i in 1 2 3 4; do gcc -O2 -c -o "$dir/unit$i.o" "$dir/unit$i.c" & gcc -O1 -c -o "$dir/other$i.o" "$dir/unit$i.c"; wait; done ;;
	rustc) rustc --edition=2024 --crate-type=rlib -O -o "$dir/unit.rlib" "$dir/unit.rs" ;;
	rust) "$dir/rust-program" ;;
	python) "$python" "$here/real/plain.py" ;;
	python-extensions) "$python" "$here/real/extensions.py" ;;
	node) node "$here/real/work.js" ;;
	postgres) run_postgres ;;
	go) "$dir/go-program" ;;
	java) java -cp "$dir" Program ;;
	storm)
		# Some hundreds of processes that live for milliseconds: compilers, shells, small tools.
		storm() {
			i=0
			while [ $i -lt 15 ]; do
				gcc -O1 -c -o "$dir/storm$1.o" "$dir/unit1.c"
				sh -c 'for f in 1 2 3; do expr $f + 1; done; ls / | sort | uniq -c' >"$dir/storm$1.txt"
				awk 'BEGIN { for (i = 0; i < 3000; i++) s += i % 7; print s }' >"$dir/storm$1.txt"
				sed -n 's/int f1/x/p' "$dir/unit1.c" | grep -c x | tr 0-9 a-j
				md5sum "$dir/unit4.c" >"$dir/storm$1.txt"
				i=$((i + 1))
			done
		}
		storm 1 &
		storm 2
		wait
		;;
	esac
}

case $what in
needs) echo "$needs" ;;
prepare) prepare ;;
run) run ;;
esac
