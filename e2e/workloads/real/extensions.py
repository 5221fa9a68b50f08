"""Python whose time goes to its C extensions, with callbacks into Python."""

import functools
import hashlib
import json
import re
import sqlite3
import struct
import zlib

text = " ".join("word%d, number %d." % (i, i * 7919) for i in range(60_000)).encode()
for _ in range(3):
    packed = zlib.compress(text, 6)
    assert zlib.decompress(packed) == text
    print(hashlib.sha256(text * 8).hexdigest(), hashlib.blake2b(text * 4).hexdigest()[:8])
    print(len(re.findall(rb"(\w+)(\d)[, ]+number (\d+)\.", text)))
    value = {"list": [{"n": i, "text": "t%d" % i, "f": i / 3} for i in range(60_000)]}
    print(len(json.loads(json.dumps(value))["list"]))
    print(sorted(range(80_000), key=functools.cmp_to_key(lambda a, b: (a * 7 % 13) - (b * 7 % 13)))[0])
    database = sqlite3.connect(":memory:")
    database.create_function("twice", 1, lambda n: n * 2)
    database.execute("create table t(a, b)")
    database.executemany("insert into t values(?, ?)", ((i, str(i * 7)) for i in range(40_000)))
    print(database.execute("select sum(twice(a)), max(b) from t where b like '%3%'").fetchone())
    print(sum(struct.unpack("<%dI" % (len(text) // 4), text[: len(text) // 4 * 4])))
