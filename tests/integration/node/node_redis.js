"use strict";
// node-redis through its normal features: version 4, and 5 and later, which differ in a few names.
const { assert, library, main, port, run, until } = require("./support");
const { createClient, defineScript } = library("redis");

const client = createClient({
  socket: { host: "127.0.0.1", port },
  name: "mine",
  scripts: {
    addTo: defineScript({
      NUMBER_OF_KEYS: 1,
      SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
      transformArguments: (key, amount) => [key, String(amount)],
      parseCommand: (parser, key, amount) => {
        parser.pushKey(key);
        parser.push(String(amount));
      },
      transformReply: (reply) => reply,
    }),
  },
});

async function values(round) {
  const key = (name) => `nr:${run}:${round}:${name}`;
  assert.equal(await client.set(key("a"), "1"), "OK");
  assert.equal(await client.incr(key("a")), 2);
  assert.equal(await client.get(key("none")), null);
  assert.equal(await client.set(key("a"), "x", { EX: 100, NX: true }), null);
  assert.equal(await client.mSet([[key("b"), "1"], [key("c"), "2"]]), "OK");
  assert.deepEqual(await client.mGet([key("b"), key("none"), key("c")]), ["1", null, "2"]);
  assert.equal(await client.hSet(key("h"), { x: "1", y: "2" }), 2);
  assert.deepEqual({ ...(await client.hGetAll(key("h"))) }, { x: "1", y: "2" });
  assert.equal(await client.zAdd(key("z"), [{ score: 1, value: "one" }]), 1);
  assert.equal(await client.xAdd(key("x"), "1-1", { f: "v" }), "1-1");
  assert.equal((await client.xRange(key("x"), "-", "+")).length, 1);
  await assert.rejects(client.lPush(key("h"), "x"), /WRONGTYPE/);
  // What is asked in one turn goes out as one pipeline.
  const numbers = Array.from({ length: 300 }, (_, i) => i);
  await Promise.all(numbers.map((i) => client.set(key(`p${i}`), String(i))));
  const got = await Promise.all(numbers.map((i) => client.get(key(`p${i}`))));
  assert.deepEqual(got, numbers.map(String));
}

async function transactions(round) {
  const key = `{nr:${run}:${round}}:t`;
  await client.del(key);
  assert.deepEqual(await client.multi().set(key, 5).incr(key).get(key).exec(), ["OK", 6, "6"]);
  assert.equal(await client.addTo(key, 10), 16);
  const isolated = client.duplicate();
  await isolated.connect();
  await isolated.watch(key);
  const value = Number(await isolated.get(key));
  await client.set(key, "changed");
  await assert.rejects(isolated.multi().set(key, value + 1).exec(), /watched keys/i);
  await isolated.quit();
  assert.equal(await client.get(key), "changed");
}

async function functions(round) {
  await client.functionLoad(
    `#!lua name=nr
    redis.register_function('nr_add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)`,
    { REPLACE: true },
  );
  const numbers = Array.from({ length: 30 }, (_, i) => i);
  const call = (n) => client.fCall("nr_add", { keys: [`nr:${run}:${round}:f${n}`], arguments: [String(n)] });
  assert.deepEqual(await Promise.all(numbers.map(call)), numbers);
}

async function scan(round) {
  const found = new Set();
  for await (const key of client.scanIterator({ MATCH: `nr:${run}:${round}:p*`, COUNT: 50 })) {
    // Later versions give the keys of a SCAN together.
    [key].flat().forEach((one) => found.add(one));
  }
  assert.equal(found.size, 300);
}

async function blocking(round) {
  const waiting = client.duplicate();
  await waiting.connect();
  const popped = waiting.blPop(`nr:${run}:${round}:queue`, 10);
  await client.rPush(`nr:${run}:${round}:queue`, "job");
  assert.equal((await popped).element, "job");
  await waiting.quit();
}

async function publish(round) {
  const subscriber = client.duplicate();
  const messages = [];
  await subscriber.connect();
  await subscriber.subscribe(`nr:${run}:${round}:news`, (message) => messages.push(message));
  await subscriber.pSubscribe(`nr:${run}:${round}:n*`, (message) => messages.push(message));
  await until(async () => (await client.publish(`nr:${run}:${round}:news`, "hello")) >= 1, "a subscriber");
  await until(() => messages.length >= 2, "its messages");
  assert.equal(messages[0], "hello");
  await subscriber.unsubscribe(`nr:${run}:${round}:news`);
  await subscriber.pUnsubscribe(`nr:${run}:${round}:n*`);
  await subscriber.quit();
}

async function connection() {
  if (!client.isOpen) {
    client.on("error", (error) => console.error(error.message));
    await client.connect();
  }
  assert.match(await client.info("server"), /redis_version:7/);
  assert.equal(await client.clientGetName(), "mine");
  assert.equal((await client.clientInfo()).name, "mine");
  assert.ok("databases" in (await client.configGet("databases")));
}

main(
  async (round) => {
    await connection();
    await values(round);
    await transactions(round);
    await functions(round);
    await scan(round);
    await blocking(round);
    await publish(round);
  },
  () => client.quit(),
);
