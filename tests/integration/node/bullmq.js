"use strict";
// Job queues of BullMQ: its scripts, blocking commands and streams. All keys of a queue share the
// tag that its prefix names, as for a Redis Cluster.
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");
const { assert, main, port, run, until } = require("./support");

const options = { connection: { host: "127.0.0.1", port }, prefix: "{bull}" };
const JOBS = 40;

// Each job is worked off once and its result is kept; one in ten fails once and is tried again.
async function work(round) {
  const name = `jobs${run}-${round}`;
  const tries = new Map();
  const queue = new Queue(name, options);
  const events = new QueueEvents(name, options);
  const worker = new Worker(
    name,
    async (job) => {
      tries.set(job.id, (tries.get(job.id) || 0) + 1);
      if (job.data.number % 10 === 0 && job.attemptsMade === 0) {
        throw new Error("the first try fails");
      }
      await job.updateProgress(50);
      return job.data.number * 2;
    },
    { ...options, concurrency: 4 },
  );
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady(), worker.waitUntilReady()]);
  const jobs = await queue.addBulk(
    Array.from({ length: JOBS }, (_, number) => ({
      name: "double",
      data: { number },
      opts: { attempts: 2, priority: number % 3, delay: number % 5 === 0 ? 20 : 0 },
    })),
  );
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 60000)));
  assert.deepEqual(results, jobs.map((job) => job.data.number * 2));
  for (const job of jobs) {
    assert.equal(tries.get(job.id), job.data.number % 10 === 0 ? 2 : 1, `tries of ${job.id}`);
  }
  const counts = await queue.getJobCounts("completed", "failed", "active", "delayed");
  assert.deepEqual({ ...counts }, { completed: JOBS, failed: 0, active: 0, delayed: 0 });
  await worker.close();
  await events.close();
  await queue.obliterate({ force: true });
  await queue.close();
}

// A parent waits for its children.
async function flow(round) {
  const name = `flow${run}-${round}`;
  const order = [];
  const worker = new Worker(name, async (job) => order.push(job.name), options);
  const flows = new FlowProducer(options);
  await flows.add({
    name: "parent",
    queueName: name,
    children: [
      { name: "child", queueName: name },
      { name: "child", queueName: name },
    ],
  });
  await until(() => order.length === 3, "three jobs of a flow");
  assert.deepEqual(order, ["child", "child", "parent"]);
  await worker.close();
  await flows.close();
}

main(
  async (round) => {
    await work(round);
    await flow(round);
  },
  async () => {},
);
