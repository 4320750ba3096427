"""A client library as people use it: redis-py against one proxy. Run by proxy_test; ends with code 0
when all went well. The argument is the proxy's port."""

import sys

import redis


def check(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def main(port):
    client = redis.Redis(host="127.0.0.1", port=port, decode_responses=True)
    check(client.ping(), True)
    check(client.set("py:a", "1"), True)
    check(client.incr("py:a"), 2)
    check(client.mset({f"py:{i}": i for i in range(100)}), True)
    check(client.mget([f"py:{i}" for i in range(100)]), [str(i) for i in range(100)])
    check(client.hset("py:h", mapping={"x": "1", "y": "2"}), 2)
    check(client.hgetall("py:h"), {"x": "1", "y": "2"})
    check(client.rpush("py:l", *range(10)), 10)
    check(client.lrange("py:l", 0, 2), ["0", "1", "2"])
    check(client.zadd("py:z", {"a": 1, "b": 2.5}), 2)
    check(client.zrange("py:z", 0, -1, withscores=True), [("a", 1.0), ("b", 2.5)])
    check(client.xadd("py:x", {"f": "v"}, id="1-1"), "1-1")
    check(client.xrange("py:x"), [("1-1", {"f": "v"})])

    with client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.get(f"py:{i % 100}")
        check(pipe.execute(), [str(i % 100) for i in range(1000)])

    check(client.set("py:binary", b"\x00\r\n\xff"), True)
    raw = redis.Redis(host="127.0.0.1", port=port)
    check(raw.get("py:binary"), b"\x00\r\n\xff")

    found = set(client.scan_iter(match="py:*", count=10))
    check({f"py:{i}" for i in range(100)} <= found, True)
    check(client.delete(*[f"py:{i}" for i in range(100)]), 100)
    check(client.exists("py:1", "py:h"), 1)

    try:
        client.lpush("py:h", "x")
        raise AssertionError("LPUSH on a hash must fail")
    except redis.ResponseError as error:
        check(str(error).startswith("WRONGTYPE"), True)
    client.info()
    check(client.set("py:nx", "1", nx=True, ex=100), True)
    check(client.set("py:nx", "2", nx=True), None)


main(int(sys.argv[1]))
