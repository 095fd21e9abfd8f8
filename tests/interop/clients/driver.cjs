// SPDX-License-Identifier: Apache-2.0
// Makes calls through the Node client, as lines of JSON on standard input say, and answers with lines of JSON: the same
// as driver.py's.
'use strict';
const path = require('node:path');
const readline = require('node:readline');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const root = path.join(__dirname, '..', '..', '..');
const forekey = require(path.join(root, 'clients', 'node'));
const loaded = loader.loadSync(path.join(root, 'examples', 'echo.proto'), { keepCase: true, defaults: true });
const { Echo } = grpc.loadPackageDefinition(loaded).forekey.example;

let echo = null;
const chats = new Map();
const calls = new Map();

const options = (line) => ({ deadline: Date.now() + line.timeout * 1000 });
const told = (answers) => ({
  texts: answers.map((answer) => answer.text), subject: answers[0]?.subject ?? '', session: answers[0]?.session ?? '',
});

// What a stream answers until it ends; the error that it ended with.
function all(stream) {
  return new Promise((resolve, reject) => {
    const answers = [];
    stream.on('data', (answer) => answers.push(answer));
    stream.on('end', () => resolve(told(answers)));
    stream.on('error', reject);
  });
}

const actions = {
  async open(line) {
    const channel = await forekey.channel(line.gate, { agentSocket: line.socket, target: line.target });
    echo = channel.client(Echo);
    return {};
  },
  say(line) {
    return new Promise((resolve, reject) => {
      const metadata = new grpc.Metadata({ waitForReady: Boolean(line.wait) });
      const call = echo.Say({ text: line.text }, metadata, options(line),
        (error, answer) => (error ? reject(error) : resolve(told([answer]))));
      if (line.name) calls.set(line.name, { call, ended: new Promise((done) => { call.on('status', done); }) });
    });
  },
  collect(line) {
    return new Promise((resolve, reject) => {
      const call = echo.Collect(options(line), (error, answer) => (error ? reject(error) : resolve(told([answer]))));
      for (const text of line.texts) call.write({ text });
      call.end();
    });
  },
  repeat(line) {
    return all(echo.Repeat({ text: line.text, times: line.times }, options(line)));
  },
  async chat_open(line) {
    const call = echo.Chat(options(line));
    const chat = { call, answers: [], waiting: [], error: null };
    call.on('data', (answer) => (chat.waiting.length ? chat.waiting.shift().resolve(answer) : chat.answers.push(answer)));
    call.on('error', (error) => {
      chat.error = error;
      for (const { reject } of chat.waiting.splice(0)) reject(error);
    });
    chats.set(line.name, chat);
    return {};
  },
  async chat_send(line) {
    const chat = chats.get(line.name);
    chat.call.write({ text: line.text });
    return told([await next(chat)]);
  },
  chat_end(line) {
    const { call } = chats.get(line.name);
    call.removeAllListeners();
    call.end();
    return all(call);
  },
  // What the call ended with.
  async cancel(line) {
    if (chats.has(line.name)) {
      const chat = chats.get(line.name);
      chat.call.cancel();
      await next(chat);
      return {};
    }
    const { call, ended } = calls.get(line.name);
    call.cancel();
    throw await ended;
  },
};

function next(chat) {
  return new Promise((resolve, reject) => {
    if (chat.answers.length) resolve(chat.answers.shift());
    else if (chat.error) reject(chat.error);
    else chat.waiting.push({ resolve, reject });
  });
}

async function run(line) {
  let answer;
  try {
    answer = { ok: true, ...(await actions[line.do](line)) };
  } catch (error) {
    answer = {
      ok: false, code: grpc.status[error.code] ?? '', kind: error.kind ?? 'exception',
      details: error.details ?? String(error.stack), reference: error.reference, step_up: error.stepUp,
      reason: error.reason, gate_trouble: error.gateTrouble, device_trouble: error.deviceTrouble, advice: error.advice,
    };
  }
  process.stdout.write(`${JSON.stringify({ id: line.id, ...answer })}\n`);
}

readline.createInterface({ input: process.stdin }).on('line', (text) => run(JSON.parse(text)))
  .on('close', () => process.exit(0));
process.stdout.write('ready\n');
