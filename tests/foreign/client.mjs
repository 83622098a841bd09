// A gRPC client on @grpc/grpc-js: node client.mjs SERVER IDENTITY_FOLDER PROTO_FOLDER METHOD
// Requests come as JSON lines on standard input, which ends the sending side when it closes;
// answers leave as JSON lines on standard output. An error is one JSON line on standard error.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { credentials, makeGenericClientConstructor, Metadata, status } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const [server, identity, protos, method] = process.argv.slice(2);
const [service, name] = method.split("/");
const file = (part) => readFileSync(join(identity, part));

const definition = loadSync(
  ["camera", "deployment", "match", "recognition", "watchlist"].map((noun) => `cordon/v1/${noun}.proto`),
  { includeDirs: [protos], longs: String, enums: String, bytes: String },
)[service];
const Client = makeGenericClientConstructor(definition, service);
const client = new Client(server, credentials.createSsl(file("ca.pem"), file("key.pem"), file("cert.pem")));

const metadata = new Metadata();
if (process.env.CORDON_TOKEN) metadata.set("authorization", `Bearer ${process.env.CORDON_TOKEN}`);

const answer = (message) => process.stdout.write(`${JSON.stringify(message)}\n`);
const fail = (error) => {
  process.stderr.write(`${JSON.stringify({ code: status[error.code], message: error.details })}\n`);
  process.exitCode = 1;
  client.close();
};

// proto-loader knows no JSON form of a timestamp.
const request = (line) =>
  JSON.parse(line, (key, value) =>
    ["sentAt", "capturedAt"].includes(key)
      ? { seconds: Math.floor(Date.parse(value) / 1000), nanos: (Date.parse(value) % 1000) * 1e6 }
      : value,
  );

const lines = createInterface({ input: process.stdin });
const { requestStream, responseStream } = definition[name];
if (requestStream) {
  const call = client[name](metadata);
  call.on("data", answer).on("error", fail).on("end", () => client.close());
  lines.on("line", (line) => call.write(request(line))).on("close", () => call.end());
} else {
  lines.once("line", (line) => {
    if (responseStream) {
      const call = client[name](request(line), metadata);
      call.on("data", answer).on("error", fail).on("end", () => client.close());
    } else {
      client[name](request(line), metadata, (error, message) => {
        if (error) return fail(error);
        answer(message);
        client.close();
      });
    }
    lines.close();
  });
}
