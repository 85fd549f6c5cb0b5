// Orders as JSON in, one line of accounting for each out: `{"customer":"c1","amount":2,"price":3.5}` becomes
// `{"customer":"c1","total":7}` with the customer as key. What is cancelled is dropped, what is no order goes to the dead-letter topic.
//
// | configuration | |
// |---|---|
// | `min-total` | orders of less than that are dropped (default: none) |
//
// Exported is the interface `record-transform-typed` of the world `typed-transform`. What `transform` throws makes the call a trap; what
// `configure` throws is the refusal.

import { log } from "weir:plugin/log@0.1.0";

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

let minTotal = -Infinity;

function configure(config, _outputs) {
  for (const [key, value] of config) {
    if (key !== "min-total") {
      throw `this plugin has no \`${key}\`, it has \`min-total\``;
    }
    minTotal = value.trim() === "" ? NaN : Number(value);
    if (!Number.isFinite(minTotal)) {
      throw `\`min-total\` is a number, and not ${JSON.stringify(value)}`;
    }
  }
}

function transform(records) {
  try {
    return records.map(outcome).filter((outcome) => outcome !== undefined);
  } catch (error) {
    // The last words: there is no standard error for the engine to say them on.
    log("critical", String(error));
    throw error;
  }
}

// What becomes of one record: nothing if it is dropped.
function outcome(record, source) {
  let order;
  try {
    order = JSON.parse(decoder.decode(record.value ?? new Uint8Array()));
  } catch {
    return deadLetter(source, "not JSON");
  }
  if (order?.cancelled === true) return undefined;
  if (typeof order?.customer !== "string") return deadLetter(source, "`customer` is no text");
  const total = order.amount * order.price;
  if (!Number.isFinite(total)) return deadLetter(source, "`amount` and `price` are not both numbers");
  if (total < minTotal) return undefined;
  return {
    tag: "emit",
    val: {
      output: 0,
      source,
      key: encoder.encode(order.customer),
      value: encoder.encode(JSON.stringify({ customer: order.customer, total })),
      headers: record.headers,
    },
  };
}

function deadLetter(source, reason) {
  return { tag: "dead-letter", val: { source, reason } };
}

export const recordTransformTyped = { configure, transform };
