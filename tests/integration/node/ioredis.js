"use strict";
// ioredis through its normal features.
const { assert, library, main, port, run, until } = require("./support");
const Redis = library("ioredis");

const options = { host: "127.0.0.1", port, connectionName: "mine" };
const redis = new Redis(options);
redis.defineCommand("addTo", {
  numberOfKeys: 1,
  lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
});

async function values(round) {
  const key = (name) => `io:${run}:${round}:${name}`;
  assert.equal(await redis.set(key("a"), "1"), "OK");
  assert.equal(await redis.incr(key("a")), 2);
  assert.equal(await redis.get(key("none")), null);
  assert.equal(await redis.set(key("a"), "x", "EX", 100, "NX"), null);
  assert.equal(await redis.mset({ [key("b")]: "1", [key("c")]: "2", [key("d")]: "3" }), "OK");
  assert.deepEqual(await redis.mget(key("b"), key("none"), key("d")), ["1", null, "3"]);
  assert.equal(await redis.hset(key("h"), { x: "1", y: "2" }), 2);
  assert.deepEqual(await redis.hgetall(key("h")), { x: "1", y: "2" });
  assert.equal(await redis.zadd(key("z"), 1, "one", 2, "two"), 2);
  assert.deepEqual(await redis.zrange(key("z"), 0, -1, "WITHSCORES"), ["one", "1", "two", "2"]);
  const binary = Buffer.from([0, 13, 10, 255]);
  await redis.set(key("binary"), binary);
  assert.deepEqual(await redis.getBuffer(key("binary")), binary);
  await assert.rejects(redis.lpush(key("h"), "x"), /WRONGTYPE/);
}

async function pipelines(round) {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 300; i++) {
    pipeline.set(`io:${run}:${round}:p${i}`, i).get(`io:${run}:${round}:p${i}`);
  }
  const results = await pipeline.exec();
  assert.equal(results.length, 600);
  results.forEach(([error, value], i) => {
    assert.equal(error, null);
    assert.equal(value, i % 2 === 0 ? "OK" : String((i - 1) / 2));
  });
}

async function transactions(round) {
  const key = `{io:${run}:${round}}:t`;
  await redis.del(key);
  const results = await redis.multi().set(key, 5).incr(key).lpush(key, "x").get(key).exec();
  assert.equal(results[1][1], 6);
  assert.match(results[2][0].message, /WRONGTYPE/);
  assert.equal(results[3][1], "6");
  assert.equal(await redis.addTo(key, 10), 16);
  // Of many slots, so that every shard has to have the script.
  const numbers = Array.from({ length: 30 }, (_, i) => i);
  const many = await Promise.all(numbers.map((n) => redis.addTo(`{io:${run}:${round}:${n}}:s`, n)));
  assert.deepEqual(many, numbers);
}

async function scan(round) {
  const found = new Set();
  for await (const keys of redis.scanStream({ match: `io:${run}:${round}:p*`, count: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.equal(found.size, 300);
}

async function blocking(round) {
  const waiting = redis.duplicate();
  const popped = waiting.blpop(`io:${run}:${round}:queue`, 10);
  await redis.rpush(`io:${run}:${round}:queue`, "job");
  assert.deepEqual(await popped, [`io:${run}:${round}:queue`, "job"]);
  assert.equal(await waiting.blpop(`io:${run}:${round}:queue`, 0.05), null);
  waiting.disconnect();
}

async function publish(round) {
  const subscriber = redis.duplicate();
  const messages = [];
  subscriber.on("message", (channel, message) => messages.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => messages.push([channel, message]));
  assert.equal(await subscriber.subscribe(`io:${run}:${round}:news`), 1);
  assert.equal(await subscriber.psubscribe(`io:${run}:${round}:n*`), 2);
  await until(async () => (await redis.publish(`io:${run}:${round}:news`, "hello")) >= 1, "a subscriber");
  await until(() => messages.length >= 2, "its messages");
  assert.deepEqual(messages[0], [`io:${run}:${round}:news`, "hello"]);
  await subscriber.unsubscribe(`io:${run}:${round}:news`);
  subscriber.disconnect();
}

async function connection() {
  assert.match(await redis.info(), /redis_version:7/);
  assert.equal(await redis.client("GETNAME"), "mine");
  assert.match(await redis.client("INFO"), /name=mine/);
  assert.equal((await redis.config("GET", "databases"))[0], "databases");
  assert.equal(await redis.echo("x"), "x");
}

main(
  async (round) => {
    await connection();
    await values(round);
    await pipelines(round);
    await transactions(round);
    await scan(round);
    await blocking(round);
    await publish(round);
  },
  () => redis.quit(),
);
