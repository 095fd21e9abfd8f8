// SPDX-License-Identifier: Apache-2.0
// One call by the Node client, as an application makes it: prints what came of it as a line of JSON.
//
//   NODE_PATH=... node client.cjs AGENT_SOCKET METHOD TEXT
'use strict';
const path = require('node:path');
const grpc = require('@grpc/grpc-js');

const forekey = require(path.join(__dirname, '..', '..', '..', 'clients', 'node'));
const [agentSocket, method, text] = process.argv.slice(2);
const bytes = (value) => value;
const Service = grpc.makeGenericClientConstructor({
  Call: { path: method, requestStream: false, responseStream: false, requestSerialize: bytes,
    requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes },
}, 'Service');

function call(service) {
  return new Promise((resolve, reject) => {
    let answer;
    service.Call(Buffer.from(text), { deadline: Date.now() + 60_000 }, (error, message) => {
      if (error) reject(error);
      answer = message;
    }).on('status', (status) => {
      if (status.code === grpc.status.OK) {
        resolve({ text: answer.toString(), subject: String(status.metadata.get('x-subject')[0] ?? '') });
      }
    });
  });
}

async function main() {
  let told;
  try {
    const channel = await forekey.channel('', { agentSocket });
    told = await call(channel.client(Service));
    channel.close();
  } catch (error) {
    told = { code: grpc.status[error.code] ?? String(error.stack), kind: error.kind, details: error.details,
      reason: error.reason };
  }
  console.log(JSON.stringify(told));
  process.exit(0);
}

main();
