"use strict";
// What the programs of this folder share: each is run as `node PROGRAM.js PORT ROUNDS [LIBRARY]`, where
// LIBRARY is another version by the name that package.json gives it; it ends with code 0 when all went
// well, and says on stderr what did not.
const assert = require("node:assert/strict");

const [port, rounds] = process.argv.slice(2).map(Number);

function library(name) {
  return require(process.argv[4] ?? name);
}

// In every key, so that no program meets what another run of it has left.
const run = process.pid;

// Runs `work(round)` for each round; the time limit is the test's.
async function runAll(work, close) {
  for (let round = 0; round < rounds; round++) {
    await work(round);
  }
  await close();
}

function main(work, close) {
  runAll(work, close).then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

async function until(condition, what) {
  const end = Date.now() + 20000;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `not within 20 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

module.exports = { assert, library, main, port, run, until };
