// Either signature of a request is enough; the second one also refuses old requests that somebody plays back.
const { createHmac, timingSafeEqual } = require("node:crypto");

const TOLERANCE_S = 5 * 60;

/** Check X-Tagmatic-Signature. The body is the Buffer as it came: express.raw({ type: "application/json" }). */
function verifySignature(body, signature, secret) {
  const expected = "sha256=" + createHmac("sha256", secret).update(body).digest("hex");
  return equal(expected, signature);
}

/** Check webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret. */
function verifyWebhook(body, id, timestamp, signatures, secret) {
  const age = Date.now() / 1000 - Number(timestamp);
  if (!/^[0-9]{10}$/.test(timestamp) || Math.abs(age) > TOLERANCE_S) return false;
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const digest = createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
  return signatures.split(" ").some((one) => equal("v1," + digest, one));
}

function equal(expected, given) {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

module.exports = { verifySignature, verifyWebhook };
