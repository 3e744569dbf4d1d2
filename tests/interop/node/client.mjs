// Sends traces with the OpenTelemetry SDK for Node and prints, as JSON, what it sent.
//
//   node client.mjs grpc|http/protobuf|http/json ENDPOINT TRACES
//
// Exits with 1 when an export reports an error.

import { context, trace, SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { OTLPTraceExporter as Grpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Proto } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const [protocol, endpoint, traces] = process.argv.slice(2);
const exporter = {
  grpc: () => new Grpc({ url: endpoint }),
  "http/protobuf": () => new Proto({ url: `${endpoint}/v1/traces` }),
  "http/json": () => new Json({ url: `${endpoint}/v1/traces` }),
}[protocol]();

// The SDK only logs a failed export; this sees each result.
const failures = [];
const watched = {
  export: (spans, done) =>
    exporter.export(spans, (result) => {
      if (result.code !== 0) failures.push(String(result.error));
      done(result);
    }),
  shutdown: () => exporter.shutdown(),
  forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve(),
};

const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": "node-client", "host.name": "n1" }),
  spanProcessors: [new BatchSpanProcessor(watched)],
});
const tracer = provider.getTracer("interop", "1.0");

const sent = [];
function record(span, parent, attributes) {
  const { traceId, spanId } = span.spanContext();
  sent.push({ trace_id: traceId, span_id: spanId, parent_id: parent, attributes });
}

for (let number = 0; number < Number(traces); number++) {
  const rootAttributes = { "http.route": "/cart", number, ratio: 0.25, cached: number % 2 === 0 };
  const root = tracer.startSpan("GET /cart", { kind: SpanKind.SERVER, attributes: rootAttributes });
  const childAttributes = { "db.system": "postgresql", tags: ["a", "b"], text: "Grüße, 世界" };
  const inRoot = trace.setSpan(context.active(), root);
  const child = tracer.startSpan("SELECT", { attributes: childAttributes }, inRoot);
  child.setStatus({ code: SpanStatusCode.ERROR, message: "no rows" });
  child.end();
  root.end();
  record(root, "", rootAttributes);
  record(child, root.spanContext().spanId, childAttributes);
}

await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify(sent));
if (failures.length > 0) {
  console.error(failures.join("\n"));
  process.exitCode = 1;
}
