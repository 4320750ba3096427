"""A client library as people use it: redis-py against one proxy. Run by proxy_test and tls_test; ends
with code 0 when all went well. The arguments are the proxy's port and, for TLS, a folder with
certificates."""

import sys
import threading

import redis


def connect(port, **options):
    if len(sys.argv) > 2:
        names = {"ssl_ca_certs": "ca.crt", "ssl_certfile": "node.crt", "ssl_keyfile": "node.key"}
        options |= {option: f"{sys.argv[2]}/{name}" for option, name in names.items()}
        options["ssl"] = True
    return redis.Redis(host="127.0.0.1", port=port, **options)


def check(got, wanted):
    assert got == wanted, f"got {got!r}, wanted {wanted!r}"


def hear(subscriber):
    """The next message that is no confirmation."""
    message = subscriber.get_message(ignore_subscribe_messages=True, timeout=10)
    while message is None:
        message = subscriber.get_message(ignore_subscribe_messages=True, timeout=10)
    return message["type"], message["pattern"], message["channel"], message["data"]


def pubsub(client, port):
    other = connect(port, decode_responses=True)
    with client.pubsub() as subscriber:
        subscriber.subscribe("py:news", "py:{acct}:events")
        subscriber.psubscribe("py:w*")
        confirmed = [subscriber.get_message(timeout=10) for _ in range(3)]
        check([message["data"] for message in confirmed], [1, 2, 3])
        check(other.publish("py:news", "one"), 1)
        check(hear(subscriber), ("message", None, "py:news", "one"))
        check(other.publish("py:weather", "two"), 1)
        check(hear(subscriber), ("pmessage", "py:w*", "py:weather", "two"))
        with other.pipeline(transaction=True) as pipe:
            pipe.set("py:{acct}:a", 1).publish("py:{acct}:events", "three")
            check(pipe.execute(), [True, 1])
        check(hear(subscriber), ("message", None, "py:{acct}:events", "three"))
        check(other.pubsub_numsub("py:news", "py:none"), [("py:news", 1), ("py:none", 0)])
        check(sorted(other.pubsub_channels("py:*")), ["py:news", "py:{acct}:events"])
        check(other.pubsub_numpat(), 1)
        check(subscriber.check_health() is None, True)
        subscriber.unsubscribe("py:news")
        check(subscriber.get_message(timeout=10)["data"], 2)
        check(other.publish("py:news", "four"), 0)

    heard = []
    subscriber = client.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe(**{"py:handled": heard.append})
    thread = subscriber.run_in_thread(sleep_time=0.01)
    for _ in range(1000):
        if other.publish("py:handled", "x") == 1:
            break
    for _ in range(1000):
        if heard:
            break
        other.ping()
        threading.Event().wait(0.01)
    thread.stop()
    thread.join()
    check(heard[0]["data"], "x")


def main(port):
    client = connect(port, decode_responses=True)
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
    raw = connect(port)
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
    pubsub(client, port)
    client.info()
    check(client.set("py:nx", "1", nx=True, ex=100), True)
    check(client.set("py:nx", "2", nx=True), None)


main(int(sys.argv[1]))
