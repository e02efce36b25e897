// `node bench/measure_contender.cjs FUNCTION URL` measures the function that the CloudWatch console generates.
// bench/measure_contender.py measures the shipper in the same way. Both measurements send their requests to URL,
// without TLS.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const path = require("node:path");
const readline = require("node:readline");

const [file, url] = process.argv.slice(2);
const { hostname, port } = new URL(url);
const WARM_UP = 300; // lines sent before the measurement, so that the compiler has optimised the function

Object.assign(process.env, { AWS_ACCESS_KEY_ID: "AKIDEXAMPLE", AWS_SECRET_ACCESS_KEY: "secret", AWS_SESSION_TOKEN: "token" });
https.request = (settings, answered) => http.request({ ...settings, protocol: "http:", hostname, host: hostname, port }, answered);
const answer = process.stdout.write.bind(process.stdout);
let written = 0;
console.log = (...words) => {
  written += Buffer.byteLength(words.join(" ")) + 1;
};

const { handler } = require(path.resolve(file));

// Calls the function, which answers by a callback or by a promise.
const invoke = (event) =>
  new Promise((resolve, reject) => {
    const context = { succeed: resolve, fail: reject, done: (error, value) => (error ? reject(error) : resolve(value)) };
    const promise = handler(event, context, context.done);
    if (promise && promise.then) promise.then(resolve, reject);
  });

const events = new Map();

async function run(task) {
  if (!events.has(task.event)) {
    const event = JSON.parse(fs.readFileSync(task.event, "utf-8"));
    for (let number = 0; number < WARM_UP / task.lines; number += 1) await invoke(event);
    events.set(task.event, event);
  }
  const event = events.get(task.event);
  written = 0;
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  for (let number = 0; number < task.calls; number += 1) await invoke(event);
  const used = process.cpuUsage(cpu);
  return {
    cpu: (used.user + used.system) / 1e6,
    wall: Number(process.hrtime.bigint() - wall) / 1e9,
    bytes: written,
    // The function returns no count. It fails if a line was refused, so a call that succeeds has sent all lines.
    counts: new Array(task.calls).fill(task.lines),
  };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) answer(`${JSON.stringify(await run(JSON.parse(line)))}\n`);
})();
