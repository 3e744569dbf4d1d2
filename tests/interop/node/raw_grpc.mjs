// Sends hand-made HTTP/2 requests, one for each line of JSON, and prints what came back as a line of JSON.
//
//   node raw_grpc.mjs URL
//
// A request is {headers: {...}, frames: [base64, ...]}: each frame is written as it is, then the stream is half-closed.
// An answer is {headers: {...}, trailers: {...}, reset: code}. Every request has a connection of its own.

import { connect } from "node:http2";
import { createInterface } from "node:readline";

const TIMEOUT_MS = 10_000;
const [url] = process.argv.slice(2);
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await send(JSON.parse(line))));
}

function send({ headers, frames }) {
  return new Promise((done) => {
    const answer = { headers: {}, trailers: {}, reset: 0 };
    const session = connect(url);
    const stream = session.request(headers);
    const timer = setTimeout(() => stream.close(), TIMEOUT_MS);
    session.on("error", (error) => (answer.error = String(error)));
    stream.on("response", (found) => (answer.headers = { ...found }));
    stream.on("trailers", (found) => (answer.trailers = { ...found }));
    stream.on("error", () => {}); // a reset; its code is in the answer
    stream.on("close", () => {
      answer.reset = stream.rstCode;
      clearTimeout(timer);
      session.close();
      done(answer);
    });
    stream.resume();
    for (const frame of frames) stream.write(Buffer.from(frame, "base64"));
    stream.end();
  });
}
