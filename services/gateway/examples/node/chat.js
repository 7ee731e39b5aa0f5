// A streamed chat over gRPC: node chat.js "what to ask" [model]
//
// MODELMILL_TOKEN     what `mill token` prints
// MODELMILL_ADDRESS   host:port of the gateway's gRPC API, default 127.0.0.1:50051
// MODELMILL_TLS_ROOT  PEM file of the authority behind the gateway's certificate; without it no TLS
// MODELMILL_PROTO     folder of the .proto files, default the repository's
'use strict';

const { readFileSync } = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const protoLoader = require('@grpc/proto-loader');

const PROTO_FOLDER =
  process.env.MODELMILL_PROTO ?? path.join(__dirname, '..', '..', '..', '..', 'proto');
const SERVICE_FILE = 'modelmill/gateway/v1/gateway_service.proto';
const CALL_SECONDS = 120;

function connect() {
  const definition = protoLoader.loadSync(SERVICE_FILE, {
    includeDirs: [PROTO_FOLDER],
    defaults: true,
    keepCase: true,
    longs: Number,
    enums: String,
  });
  const { GatewayService } = grpc.loadPackageDefinition(definition).modelmill.gateway.v1;
  const root = process.env.MODELMILL_TLS_ROOT;
  const credentials = root
    ? grpc.credentials.createSsl(readFileSync(root))
    : grpc.credentials.createInsecure();
  return new GatewayService(process.env.MODELMILL_ADDRESS ?? '127.0.0.1:50051', credentials);
}

async function chat(gateway, question, model) {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${process.env.MODELMILL_TOKEN}`);
  const request = { call: { model, messages: [{ role: 'user', content: question }] } };
  const deadline = Date.now() + CALL_SECONDS * 1000;
  const answer = gateway.StreamChat(request, metadata, { deadline });
  answer.on('metadata', (initial) => console.error(`request: ${initial.get('x-request-id')}`));
  for await (const { text_delta: text, end } of answer) {
    process.stdout.write(text);
    if (end) {
      process.stdout.write('\n');
      console.error(`ended: ${end.finish_reason}, answered by ${end.version_id}`);
    }
  }
}

async function main() {
  const [question, model = 'default'] = process.argv.slice(2);
  if (!question || !process.env.MODELMILL_TOKEN) {
    console.error('usage: MODELMILL_TOKEN=... node chat.js "what to ask" [model]');
    process.exitCode = 2;
    return;
  }
  const gateway = connect();
  try {
    await chat(gateway, question, model);
  } catch (error) {
    console.error(`${grpc.status[error.code] ?? 'failed'}: ${error.details ?? error.message}`);
    process.exitCode = 1;
  } finally {
    gateway.close();
  }
}

main();
