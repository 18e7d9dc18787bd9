const { verifySignature, verifyWebhook } = require("./verify.js");

for (const line of require("node:fs").readFileSync(0, "utf8").split("\n").slice(0, -1)) {
  const [kind, ...fields] = line.split("\t");
  const [body, ...texts] = fields.map((field) => Buffer.from(field, "base64"));
  const check = kind === "signature" ? verifySignature : verifyWebhook;
  console.log(check(body, ...texts.map(String)));
}
